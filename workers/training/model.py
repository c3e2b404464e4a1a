"""LightGCN whose users, products and streamers are scored by cosine."""

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


class LightGCN(nn.Module):
    """LightGCN (He et al. 2020, arXiv 2002.02126) on purchases, with a bias for each product.

    Z = Σ_l w_l X^l with X^l = Â X^(l-1), where X^0 are the embeddings of users and products. A user u
    likes a product i by s(u, i) = cos(z_u, z_i) / temperature + b_i, and would follow a streamer s by
    cos(z_u, z_s) / temperature. Streamers are not part of the propagation.

    layer_weights: w_l, from layer 0 on; their number less one is the number of propagations.
    """

    def __init__(
        self,
        num_users: int,
        num_products: int,
        num_streamers: int,
        *,
        dimensions: int,
        layer_weights: tuple[float, ...],
        initial_std: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.layer_weights = layer_weights

        def embeddings(num: int) -> nn.Parameter:
            return nn.Parameter(
                torch.randn(num, dimensions, generator=generator) * initial_std / dimensions**0.5
            )

        self.users = embeddings(num_users)
        self.products = embeddings(num_products)
        self.streamers = embeddings(num_streamers)
        self.bias = nn.Parameter(torch.zeros(num_products))

    def forward(self, adjacency: SparseMatrix) -> Vectors:
        """Unit vectors after propagation over the normalised user-product block adjacency [U, P]."""
        users: Tensor = self.users
        products: Tensor = self.products
        sums = users * self.layer_weights[0], products * self.layer_weights[0]
        for weight in self.layer_weights[1:]:
            users, products = adjacency @ products, adjacency.transposed @ users
            sums = torch.add(sums[0], users, alpha=weight), torch.add(sums[1], products, alpha=weight)
        return Vectors(*(functional.normalize(rows, dim=1) for rows in (*sums, self.streamers)))
