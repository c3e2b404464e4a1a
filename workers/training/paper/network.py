"""The paper's network: each relation has a graph network of its own, whose vectors are joined."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from workers.training.paper.layers import Aggregation, make_layer
from workers.training.paper.predictor import InnerProduct, Mlp
from workers.training.paper.preset import PaperHyperparameters
from workers.training.paper.relations import KINDS, Kind, Relation, RelationName

KindVectors = dict[Kind, Tensor]
Kept = Mapping[RelationName, Tensor]
Parts = dict[RelationName, tuple[Tensor, Tensor]]
ACTIVATIONS: dict[Aggregation, Callable[[Tensor], Tensor]] = {"gcn": functional.relu, "gat": functional.elu}
TASKS: tuple[RelationName, ...] = ("buy", "follow")


class RelationNetwork(nn.Module):
    """Layers over one relation, with parameters of their own in each; only the last output counts."""

    def __init__(self, aggregation: Aggregation, hyperparameters: PaperHyperparameters) -> None:
        super().__init__()
        self._aggregation: Aggregation = aggregation
        widths = list(pairwise(hyperparameters.layer_dimensions))
        heads = hyperparameters.attention_heads if aggregation == "gat" else 1
        self.onward, self.backward_ = (
            nn.ModuleList(
                make_layer(aggregation, width * (heads if depth else 1), next_width, num_heads=heads)
                for depth, (width, next_width) in enumerate(widths)
            )
            for _ in range(2)
        )
        self.dimensions = widths[0][0] if aggregation == "lightgcn" else heads * widths[-1][1]

    def forward(
        self, sources: Tensor, targets: Tensor, relation: Relation, kept: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The vectors of the relation's two kinds from their embeddings, over the kept [E] edges."""
        weights = kept.to(torch.float32) if self._aggregation == "gat" else relation.normalised(kept)
        onward_weights, backward_weights = (
            weights[direction.edges] for direction in (relation.onward, relation.backward)
        )
        last = len(self.onward) - 1
        activation = ACTIVATIONS.get(self._aggregation)
        for depth, (onward, backward) in enumerate(zip(self.onward, self.backward_, strict=True)):
            sources, targets = (
                backward(targets, sources, relation.backward, backward_weights),
                onward(sources, targets, relation.onward, onward_weights),
            )
            if activation is not None and depth < last:
                sources, targets = activation(sources), activation(targets)
        return sources, targets


class Network(nn.Module):
    """LSEC-GNN (Yu et al. 2021, arXiv 2106.03415, section 4), as its authors' code has it.

    Every user, product and streamer has one embedding. For each relation a network of its own takes the
    embeddings of its two kinds; the vector of a row is what the relations of its kind make of it, joined: a
    user's is [buy ‖ follow]. Each task has a predictor of its own. With the purchases alone it is the
    homogeneous model of the same aggregation.
    """

    def __init__(
        self,
        relations: Sequence[Relation],
        sizes: Mapping[Kind, int],
        *,
        aggregation: Aggregation,
        hyperparameters: PaperHyperparameters,
    ) -> None:
        super().__init__()
        hp = hyperparameters
        self._relations = relations
        self._kinds = [k for k in KINDS if any(k in (r.source, r.target) for r in relations)]
        self.embeddings = nn.ModuleDict(
            {kind: nn.Embedding(sizes[kind], hp.layer_dimensions[0]) for kind in self._kinds}
        )
        self.networks = nn.ModuleDict({r.name: RelationNetwork(aggregation, hp) for r in relations})
        dimensions: dict[Kind, int] = dict.fromkeys(self._kinds, 0)
        for relation in relations:
            for kind in (relation.source, relation.target):
                dimensions[kind] += cast("RelationNetwork", self.networks[relation.name]).dimensions
        self.predictors = nn.ModuleDict(
            {
                r.name: InnerProduct()
                if hp.predictor == "inner_product"
                else Mlp(dimensions[r.source], dimensions[r.target], hp.predictor_dimensions)
                for r in relations
                if r.name in TASKS
            }
        )

    def forward(self, kept: Kept | None = None) -> KindVectors:
        """The vectors [N, d] of each kind, over the kept [E] edges of each relation, by default all."""
        vectors: dict[Kind, list[Tensor]] = {kind: [] for kind in self._kinds}
        for relation in self._relations:
            edges = kept[relation.name] if kept else torch.ones_like(relation.pairs[0], dtype=torch.bool)
            ends = (relation.source, relation.target)
            embeddings = (self.embeddings[kind].weight for kind in ends)
            outputs = self.networks[relation.name](*embeddings, relation, edges)
            for kind, output in zip(ends, outputs, strict=True):
                vectors[kind].append(output)
        return {kind: torch.cat(parts, dim=1) for kind, parts in vectors.items()}

    def parts(self, kept: Kept | None = None) -> Parts:
        """For each task, what its predictor needs of all sources and of all targets."""
        vectors = self(kept)
        return {
            r.name: cast("Mlp", self.predictors[r.name]).parts(vectors[r.source], vectors[r.target])
            for r in self._relations
            if r.name in self.predictors
        }

    def score_pairs(self, task: RelationName, sources: Tensor, targets: Tensor) -> Tensor:
        """Scores [...] of parts [..., h] that are broadcast against each other."""
        scores: Tensor = self.predictors[task](sources, targets)
        return scores
