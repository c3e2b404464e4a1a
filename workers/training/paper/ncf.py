"""NCF, a network of a user's and a product's embeddings, without a graph."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from workers.training.paper.network import Kept, Parts
from workers.training.paper.preset import PaperHyperparameters
from workers.training.paper.relations import RelationName


class Ncf(nn.Module):
    """Neural collaborative filtering (He et al. 2017, arXiv 1708.05031), in the sizes of the paper's authors.

    s(u, i) = w·[p_u ∘ q_i ‖ mlp(p'_u ‖ q'_i)], where p and q have a quarter of the dimensions d of p' and q',
    and the perceptron goes from 2 d over d and d/2 to d/4.
    """

    def __init__(self, num_users: int, num_products: int, hyperparameters: PaperHyperparameters) -> None:
        super().__init__()
        width = hyperparameters.ncf_dimensions
        self._factors = width // 4
        # The factors p of each row, followed by its part p' of the perceptron's input.
        self.users = nn.Embedding(num_users, self._factors + width)
        self.products = nn.Embedding(num_products, self._factors + width)
        self.hidden = nn.Linear(2 * width, width)
        self.middle = nn.Linear(width, width // 2)
        self.last = nn.Linear(width // 2, width // 4)
        self.output = nn.Linear(2 * (width // 4), 1, bias=False)

    def parts(self, _: Kept | None = None) -> Parts:
        """Factors, and what each side alone adds to the first hidden layer: [U, d/4 + d] and [P, d/4 + d]."""
        of_users, of_products = torch.chunk(self.hidden.weight, 2, dim=1)
        (users, user_inputs), (products, product_inputs) = (
            torch.tensor_split(table.weight, [self._factors], dim=1) for table in (self.users, self.products)
        )
        hidden = functional.linear(product_inputs, of_products, self.hidden.bias)
        return {"buy": (torch.cat([users, user_inputs @ of_users.T], 1), torch.cat([products, hidden], 1))}

    def score_pairs(self, _: RelationName, users: Tensor, products: Tensor) -> Tensor:
        """Scores [...] of parts [..., d/4 + d] that are broadcast against each other."""
        of_factors, of_network = torch.tensor_split(self.output.weight[0], 2)
        hidden = (users[..., self._factors :] + products[..., self._factors :]).relu_()
        hidden = self.middle(hidden).relu_()
        # No non-linearity stands between the last layer and the output: they are one vector.
        scores: Tensor = hidden @ (self.last.weight.T @ of_network) + self.last.bias @ of_network
        factors = users[..., : self._factors] * of_factors
        scores += (factors * products[..., : self._factors]).sum(dim=-1)
        return scores
