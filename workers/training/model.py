"""A graph convolution over users and products that scores by cosine."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from workers.training import processes
from workers.training.graph import SparseMatrix
from workers.training.processes import Shares


class Vectors(NamedTuple):
    """Unit vectors of the users [U, d], products [P, d] and streamers [S, d]."""

    users: Tensor
    products: Tensor
    streamers: Tensor


class CosineGCN(nn.Module):
    """LightGCN's propagation (He et al. 2020, arXiv 2002.02126), cosines, and a bias for each product.

    Z = Σ_l w_l unit(X^l) with X^l = Â X^(l-1), where X^0 are the embeddings of users and products, and unit
    scales each row to length 1. A user u likes a product i by s(u, i) = cos(z_u, z_i) / temperature + b_i,
    and would follow a streamer s by cos(z_u, z_s) / temperature. Streamers are not part of the propagation.

    users [U, d] and products [P, d]: the embeddings to start from; streamers [S, d] likewise.
    layer_weights: w_l, from layer 0 on; their number less one is the number of propagations.
    """

    def __init__(
        self, users: Tensor, products: Tensor, streamers: Tensor, *, layer_weights: tuple[float, ...]
    ) -> None:
        super().__init__()
        self.layer_weights = layer_weights
        self.users = nn.Parameter(users)
        self.products = nn.Parameter(products)
        self.streamers = nn.Parameter(streamers)
        self.bias = nn.Parameter(products.new_zeros(len(products)))

    def forward(self, adjacency: SparseMatrix) -> Vectors:
        """Unit vectors after propagation over the normalised user-product block adjacency [U, P]."""
        users, products = _Propagation.apply(self.users, self.products, adjacency, self.layer_weights)
        return Vectors(*(_Unit.apply(rows) for rows in (users, products, self.streamers)))


class _Propagation(torch.autograd.Function):
    """The layers' sum. Without unit lengths the last would outweigh the others, more so the denser the data.

    The lengths are constants to the gradient. What is left is linear and Â symmetric, so a gradient goes back
    from the last layer inwards (Horner), and no layer is kept for it.
    """

    @staticmethod
    def forward(
        ctx: Any, users: Tensor, products: Tensor, adjacency: SparseMatrix, layer_weights: tuple[float, ...]
    ) -> tuple[Tensor, Tensor]:
        first_weight, *weights = layer_weights
        scales = [(_to_length(first_weight, users), _to_length(first_weight, products))]
        sums = users * scales[0][0], products * scales[0][1]
        for weight in weights:
            users, products = adjacency @ products, adjacency.transposed @ users
            scales.append((_to_length(weight, users), _to_length(weight, products)))
            sums[0].addcmul_(users, scales[-1][0])
            sums[1].addcmul_(products, scales[-1][1])
        ctx.adjacency, ctx.scales = adjacency, scales
        return sums

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        # Every process scores the products by its own share of the loss, so their gradient is a sum.
        of_sums = gradients[0], processes.total(gradients[1])
        *inner_scales, scales = ctx.scales
        users, products = (gradient * scale for gradient, scale in zip(of_sums, scales, strict=True))
        for scales in reversed(inner_scales):
            users, products = ctx.adjacency @ products, ctx.adjacency.transposed @ users
            users.addcmul_(of_sums[0], scales[0])
            products.addcmul_(of_sums[1], scales[1])
        return users, products, None, None


def _to_length(length: float, rows: Tensor) -> Tensor:
    """What each row [N, d] is to be multiplied by, [N, 1], to have this length; 0 for a row of zeros."""
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    factors = length / norms
    return factors.masked_fill_(norms < MIN_NORM, 0)


class _Unit(torch.autograd.Function):
    """Rows scaled to unit length. Autograd would keep the rows too, and go over them three times as often."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_(min=MIN_NORM)
        unit: Tensor = rows / norms
        ctx.save_for_backward(unit, norms)
        return unit

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        unit, norms = ctx.saved_tensors
        along = torch.linalg.vecdot(gradients[0], unit).unsqueeze(1)
        by_rows: Tensor = gradients[0].addcmul(unit, along, value=-1).div_(norms)
        return by_rows


@torch.no_grad()
def spectral_start(
    adjacency: SparseMatrix,
    shape: tuple[int, int],
    *,
    dimensions: int,
    std: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Embeddings of users [U, d] and products [P, d] along the greatest singular vectors of adjacency[shape].

    They are U√Σ and V√Σ by subspace iteration (Halko et al. 2011, algorithm 4.4 on AᵀA), scaled so that a row
    has a norm of std on average (root mean square), plus normal noise of the same size, which breaks ties
    and fills what a small graph has no singular vectors for. Where several processes train, each brings the
    rows of its users and gets theirs, the same as in one.
    """
    device = adjacency.forward.weights.device
    shares = Shares.of_length(shape[0])
    num_users, num_products = shares.num_rows, shape[1]
    rank = min(dimensions, num_users, num_products)

    def noise(num: int, width: int) -> Tensor:
        return torch.randn(num, width, generator=generator).to(device)

    users, products = (noise(num, dimensions) * std / dimensions**0.5 for num in (num_users, num_products))
    users = shares.part(users)
    basis = noise(num_products, rank)
    for _ in range(NUM_SUBSPACE_ITERATIONS):
        basis = torch.linalg.qr(adjacency.transposed @ (adjacency @ basis)).Q
    images = adjacency @ basis
    squares, directions = torch.linalg.eigh(processes.total(images.T @ images))
    sigma = squares.clamp(min=MIN_SINGULAR_VALUE**2).sqrt()
    along_users = images @ directions / sigma.sqrt()
    along_products = basis @ directions * sigma.sqrt()
    # A singular vector's sign is left open, and rounding may turn it.
    signs = along_products.gather(0, along_products.abs().argmax(dim=0, keepdim=True)).sign()
    along_users, along_products = along_users * signs, along_products * signs
    users_square = processes.total(along_users.square().sum(dim=1).sum()) / num_users
    products_square = along_products.square().sum(dim=1).mean()
    users[:, :rank] += along_users * (std / users_square.sqrt())
    products[:, :rank] += along_products * (std / products_square.sqrt())
    return users, products


NUM_SUBSPACE_ITERATIONS = 5
MIN_SINGULAR_VALUE = 1e-3
"""Those of the normalised adjacency go up to 1; what is smaller is noise by then."""

MIN_NORM = 1e-12
"""A row of zeros stays zeros."""
