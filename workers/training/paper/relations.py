"""The relations of the tripartite graph, each with its edges in both directions."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.training.data import Interactions, Pairs
from workers.training.paper.layers import Direction

Kind = Literal["user", "product", "streamer"]
RelationName = Literal["buy", "sell", "follow"]
KINDS: tuple[Kind, ...] = ("user", "product", "streamer")


@dataclass(frozen=True, slots=True)
class Relation:
    """E distinct edges from rows of one kind to rows of another, sorted by source, and both directions."""

    name: RelationName
    source: Kind
    target: Kind
    pairs: Tensor
    num_sources: int
    num_targets: int
    onward: Direction
    backward: Direction

    @property
    def num_edges(self) -> int:
        return self.pairs.shape[1]

    def normalised(self, kept: Tensor) -> Tensor:
        """Weights [E] 1/√(d_s d_t), with the degrees of the graph of the kept [E] edges; 0 for the others."""
        weights = kept.to(torch.float32)
        for rows, num in zip(self.pairs, (self.num_sources, self.num_targets), strict=True):
            degrees = torch.zeros(num, device=rows.device).index_add_(0, rows, kept.to(torch.float32))
            weights = weights * degrees.clamp_(min=1).rsqrt_()[rows]
        return weights


def relations_of(
    data: Interactions, *, only_buys: bool, num_heads: int = 1, device: torch.device
) -> list[Relation]:
    """The purchases and, unless only they are wanted, the other two relations of the paper's graph.

    Their order sets that of the vectors which are joined: a user's (buy, follow) then stand against a
    product's (buy, sell) and a streamer's (sell, follow), so that inner products pair like with like.
    """
    sizes: dict[Kind, int] = {
        "user": data.num_users, "product": data.num_products, "streamer": data.num_streamers
    }  # fmt: skip
    wanted: list[tuple[RelationName, Kind, Kind, Pairs]] = [
        ("buy", "user", "product", data.buys),
        ("sell", "streamer", "product", data.sells),
        ("follow", "user", "streamer", data.follows),
    ]
    return [
        Relation(
            name,
            source,
            target,
            torch.from_numpy(np.stack([pairs.sources, pairs.targets])).to(device),
            sizes[source],
            sizes[target],
            _direction(pairs.sources, pairs.targets, sizes[source], sizes[target], num_heads, device),
            _direction(pairs.targets, pairs.sources, sizes[target], sizes[source], num_heads, device),
        )
        for name, source, target, pairs in (wanted[:1] if only_buys else wanted)
    ]


def _direction(
    sources: NDArray[np.int64],
    targets: NDArray[np.int64],
    num_sources: int,
    num_targets: int,
    num_heads: int,
    device: torch.device,
) -> Direction:
    order = np.lexsort((sources, targets))
    return Direction.from_sorted(
        torch.from_numpy(sources[order]),
        torch.from_numpy(targets[order]),
        torch.from_numpy(order),
        shape=(num_sources, num_targets),
        num_heads=num_heads,
        device=device,
    )
