"""One layer of GCN, LightGCN or GAT from the rows of one kind to those of another, as PyG convolutions."""

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from workers.training.paper.sums import Bags, weighted_sums

with warnings.catch_warnings():
    # PyG scripts a few functions when it is imported, of which torch disapproves.
    warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated", category=FutureWarning)
    from torch_geometric import EdgeIndex
    from torch_geometric.nn import GATConv, MessagePassing
    from torch_geometric.utils import segment, softmax

Aggregation = Literal["gcn", "lightgcn", "gat"]


@dataclass(frozen=True, slots=True)
class Direction:
    """E edges from S sources to T targets, sorted by target: as PyG's index, and as bags for H heads.

    `edges` [E] is the place of each among its relation's pairs, starts[T + 1] where each target's begin.
    """

    edge_index: Any
    edges: Tensor
    starts: Tensor
    by_target: Bags
    by_source: Bags

    @classmethod
    def from_sorted(
        cls,
        sources: Tensor,
        targets: Tensor,
        edges: Tensor,
        *,
        shape: tuple[int, int],
        num_heads: int,
        device: torch.device,
    ) -> Self:
        """The direction of these edges, sorted by target and then source, among shape = (S, T)."""
        places = torch.arange(len(edges))
        by_source = torch.argsort(sources, stable=True)
        return cls(
            EdgeIndex(torch.stack([sources, targets]).to(device), sparse_size=shape, sort_order="col"),
            edges.to(device),
            functional.pad(torch.bincount(targets, minlength=shape[1]).cumsum(0), (1, 0)).to(device),
            Bags.from_sorted(targets, sources, places, num_rows=shape[1], num_heads=num_heads).to(device),
            Bags.from_sorted(
                sources[by_source], targets[by_source], by_source, num_rows=shape[0], num_heads=num_heads
            ).to(device),
        )


class Convolution(MessagePassing):  # type: ignore[misc]  # PyG is not typed
    """x'_t = Σ_s w_st W x_s + b with given weights; LightGCN's has neither W nor b.

    Source: Kipf & Welling 2017 (arXiv 1609.02907), He et al. 2020 (arXiv 2002.02126).
    """

    SUPPORTS_FUSED_EDGE_INDEX = True

    def __init__(self, in_dimensions: int = 0, out_dimensions: int = 0) -> None:
        super().__init__(aggr="sum")
        self.linear = nn.Linear(in_dimensions, out_dimensions, bias=False) if out_dimensions else None
        self.bias = nn.Parameter(torch.zeros(out_dimensions)) if out_dimensions else None
        if self.linear is not None:
            nn.init.xavier_uniform_(self.linear.weight)

    def forward(self, sources: Tensor, _: Tensor, direction: Direction, weights: Tensor) -> Tensor:
        """The targets' vectors [T, e] from the sources' [S, d], by weights [E]."""
        rows = sources if self.linear is None else self.linear(sources)
        sums: Tensor = self.propagate(direction.edge_index, x=rows, weights=weights, direction=direction)
        return sums if self.bias is None else sums + self.bias

    def message_and_aggregate(
        self,
        edge_index: Any,  # noqa: ARG002  # PyG passes it; the direction has it as bags
        x: Tensor,
        weights: Tensor,
        direction: Direction,
    ) -> Tensor:
        """PyG's hook for a layer that needs no message for each edge."""
        return weighted_sums(x[:, None], weights[:, None], direction.by_target, direction.by_source)[:, 0]


class Attention(GATConv):  # type: ignore[misc]  # PyG is not typed
    """PyG's GATConv between two kinds of rows, with the same result in a fraction of its time.

    No table of a message for each edge is made, nor are the targets transformed only to attend. An edge of
    weight 0 is not there. Source: Veličković et al. 2018 (arXiv 1710.10903).
    """

    SUPPORTS_FUSED_EDGE_INDEX = True
    # PyG makes the signature of propagate of it.
    propagate_type: ClassVar = {"x": Tensor, "attention": Tensor, "direction": Direction}

    def __init__(self, in_dimensions: int, out_dimensions: int, num_heads: int) -> None:
        super().__init__(in_dimensions, out_dimensions, num_heads, add_self_loops=False)
        for weight in (self.lin.weight, self.att_src, self.att_dst):
            nn.init.xavier_normal_(weight, gain=2**0.5)

    def forward(self, sources: Tensor, targets: Tensor, direction: Direction, weights: Tensor) -> Tensor:
        """The targets' vectors [T, H · e] from the sources' [S, d] and their own [T, d], by weights 0/1."""
        rows = self.lin(sources).view(-1, self.heads, self.out_channels)
        matrix = self.lin.weight.view(self.heads, self.out_channels, -1)
        of_sources = (rows * self.att_src).sum(dim=-1)
        of_targets = targets @ (matrix * self.att_dst[0, :, :, None]).sum(dim=1).T
        from_rows, to_rows = direction.edge_index.as_tensor()
        logits = functional.leaky_relu(of_sources[from_rows] + of_targets[to_rows], self.negative_slope)
        attention = softmax(logits, to_rows, direction.starts, len(targets)) * weights[:, None]
        kept = segment(attention, direction.starts, reduce="sum")[to_rows]
        sums = self.propagate(
            direction.edge_index, x=rows, attention=attention / (kept + 1e-16), direction=direction
        )
        return cast("Tensor", sums.flatten(1) + self.bias)

    def message_and_aggregate(
        self,
        edge_index: Any,  # noqa: ARG002  # PyG passes it; the direction has it as bags
        x: Tensor,
        attention: Tensor,
        direction: Direction,
    ) -> Tensor:
        """PyG's hook for a layer that needs no message for each edge."""
        return weighted_sums(x, attention, direction.by_target, direction.by_source)


def make_layer(
    aggregation: Aggregation, in_dimensions: int, out_dimensions: int, *, num_heads: int
) -> Convolution | Attention:
    """A layer of this kind with its own parameters."""
    if aggregation == "gat":
        return Attention(in_dimensions, out_dimensions, num_heads)
    if aggregation == "gcn":
        return Convolution(in_dimensions, out_dimensions)
    return Convolution()
