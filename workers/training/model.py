"""A graph convolution over users and products that scores by cosine."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from workers.training.graph import SparseMatrix


class Vectors(NamedTuple):
    """Unit vectors of the users [U, d], products [P, d] and streamers [S, d]."""

    users: Tensor
    products: Tensor
    streamers: Tensor


class CosineGCN(nn.Module):
    """LightGCN's propagation (He et al. 2020, arXiv 2002.02126), cosines, and a bias for each product.

    Z = Σ_l w_l X^l with X^l = Â X^(l-1), where X^0 are the embeddings of users and products. A user u
    likes a product i by s(u, i) = cos(z_u, z_i) / temperature + b_i, and would follow a streamer s by
    cos(z_u, z_s) / temperature. Streamers are not part of the propagation.

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
        users: Tensor = self.users
        products: Tensor = self.products
        sums = users * self.layer_weights[0], products * self.layer_weights[0]
        for weight in self.layer_weights[1:]:
            users, products = adjacency @ products, adjacency.transposed @ users
            sums = torch.add(sums[0], users, alpha=weight), torch.add(sums[1], products, alpha=weight)
        return Vectors(*(functional.normalize(rows, dim=1) for rows in (*sums, self.streamers)))


@torch.no_grad()
def spectral_start(
    adjacency: SparseMatrix,
    shape: tuple[int, int],
    *,
    dimensions: int,
    std: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Embeddings of users [U, d] and products [P, d] along the greatest singular vectors of the adjacency.

    They are U√Σ and V√Σ by subspace iteration (Halko et al. 2011, algorithm 4.4 on AᵀA), scaled so that a row
    has a norm of std on average (root mean square), plus normal noise of the same size, which breaks ties
    and fills what a small graph has no singular vectors for.
    """
    device = adjacency.forward.weights.device
    rank = min(dimensions, *shape)

    def noise(num: int, width: int) -> Tensor:
        return torch.randn(num, width, generator=generator).to(device)

    users, products = (noise(num, dimensions) * std / dimensions**0.5 for num in shape)
    basis = noise(shape[1], rank)
    for _ in range(NUM_SUBSPACE_ITERATIONS):
        basis = torch.linalg.qr(adjacency.transposed @ (adjacency @ basis)).Q
    images = adjacency @ basis
    squares, directions = torch.linalg.eigh(images.T @ images)
    sigma = squares.clamp(min=MIN_SINGULAR_VALUE**2).sqrt()
    for rows, along in (
        (users, images @ directions / sigma.sqrt()),
        (products, basis @ directions * sigma.sqrt()),
    ):
        rows[:, :rank] += along * (std / along.square().sum(dim=1).mean().sqrt())
    return users, products


NUM_SUBSPACE_ITERATIONS = 5
MIN_SINGULAR_VALUE = 1e-3
"""Those of the normalised adjacency go up to 1; what is smaller is noise by then."""
