"""The paper's models with their optimiser, as learners: a step is one of their epochs."""

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from workers.training.adam import Adam, Group
from workers.training.data import Interactions
from workers.training.model import Vectors
from workers.training.paper.layers import Aggregation
from workers.training.paper.ncf import Ncf
from workers.training.paper.network import Kept, Network
from workers.training.paper.objective import Sample, binary_cross_entropy, epoch_batches
from workers.training.paper.predictor import PairRanker
from workers.training.paper.preset import PaperHyperparameters
from workers.training.paper.relations import Kind, Relation, RelationName, relations_of
from workers.training.ranking import Ranker, Scorer

AGGREGATIONS: dict[str, Aggregation] = {"gcn": "gcn", "lightgcn": "lightgcn", "gat": "gat"}
HETEROGENEOUS = "het-"


class PaperOptimisation:
    """Purchases are one task; for a model over all relations, follows are another.

    The objective is the authors': the edges that a batch scores are taken out of the graph for it. Their
    sampling of neighbours is left out, all that remains is propagated. Every random number of a step comes
    from (seed, step), so a resumed run repeats an uninterrupted one.
    """

    def __init__(
        self,
        model: str,
        data: Interactions,
        hyperparameters: PaperHyperparameters,
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        self._hyperparameters = hp = hyperparameters
        self._seed = seed
        self._device = device
        self._num_streamers = data.num_streamers
        aggregation = AGGREGATIONS.get(model.removeprefix(HETEROGENEOUS))
        num_heads = hp.attention_heads if aggregation == "gat" else 1
        only_buys = not model.startswith(HETEROGENEOUS)
        self._relations = relations_of(data, only_buys=only_buys, num_heads=num_heads, device=device)
        # The batches are drawn on the CPU, so that all devices see the same.
        self._sources = [relation.pairs[0].cpu() for relation in self._relations]
        self._model = self._new_model(data, aggregation).to(device)
        self._optimizer = Adam([Group(list(self._model.parameters()), hp.learning_rate)])

    @property
    def parameters(self) -> dict[str, Tensor]:
        """All parameters, shared with the model."""
        return self._model.state_dict()

    @property
    def held_parameters(self) -> dict[str, Tensor]:
        """The same: these models are trained in one process."""
        return self.parameters

    @property
    def optimizer_state(self) -> dict[str, Any]:
        """The optimiser's state, shared with it."""
        return self._optimizer.state

    def restore(self, parameters: dict[str, Tensor], optimizer_state: dict[str, Any] | None = None) -> None:
        """Goes back to these parameters and, to train on, to this state of the optimiser."""
        self._model.load_state_dict(parameters)
        if optimizer_state is not None:
            self._optimizer.restore(optimizer_state)

    def step(self, step: int) -> float:
        """Takes the step of this number, which is one epoch, and returns the mean loss of its batches."""
        losses = []
        batches = epoch_batches(
            self._sources,
            [relation.num_sources for relation in self._relations],
            [relation.num_targets for relation in self._relations],
            batch_size=self._hyperparameters.batch_size,
            num_negatives=self._hyperparameters.num_negatives,
            generator=torch.Generator().manual_seed((self._seed << 24) + step + 1),
        )
        for batch in batches:
            loss = self._loss(batch)
            if loss.requires_grad:
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
                self._optimizer.step(1)
            losses.append(loss.item())
        return sum(losses) / len(losses)

    def scorer(self) -> Ranker:
        """Scores by the current parameters."""
        if self._hyperparameters.predictor == "inner_product":
            users, products, _ = self.vectors()
            bias = products.new_zeros(len(products))
            return Scorer(users, products, bias, temperature=1.0, scoring="inner_product")
        with torch.no_grad():
            users, products = self._model.parts()["buy"]
        return PairRanker(users, products, partial(self._model.score_pairs, "buy"))

    @torch.no_grad()
    def vectors(self) -> Vectors:
        """Vectors by the current parameters, whose inner product is the score if the predictor is that.

        NCF's are its embeddings. Where the model knows no streamers, theirs are zeros.
        """
        if isinstance(self._model, Ncf):
            users, products = (table.weight.detach() for table in (self._model.users, self._model.products))
            return Vectors(users, products, users.new_zeros(self._num_streamers, users.shape[1]))
        vectors = self._model()
        users, products = vectors["user"], vectors["product"]
        nothing = users.new_zeros(self._num_streamers, users.shape[1])
        return Vectors(users, products, vectors.get("streamer", nothing))

    def _new_model(self, data: Interactions, aggregation: Aggregation | None) -> Ncf | Network:
        sizes: dict[Kind, int] = {
            "user": data.num_users, "product": data.num_products, "streamer": data.num_streamers
        }  # fmt: skip
        # Layers draw from torch's own generator, which stays as it was for all others.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            if aggregation is None:
                return Ncf(data.num_users, data.num_products, self._hyperparameters)
            return Network(
                self._relations, sizes, aggregation=aggregation, hyperparameters=self._hyperparameters
            )

    def _loss(self, batch: list[Sample]) -> Tensor:
        weights: dict[RelationName, float] = {"buy": 1, "follow": self._hyperparameters.follow_weight}
        parts = self._model.parts(self._kept(batch))
        loss = torch.zeros((), device=self._device)
        for relation, sample in zip(self._relations, batch, strict=True):
            if relation.name in parts and len(sample.edges):
                scores = self._scores(relation, sample, *parts[relation.name])
                loss = loss + weights[relation.name] * binary_cross_entropy(scores[:, 0], scores[:, 1:])
        return loss

    def _kept(self, batch: list[Sample]) -> Kept:
        """Which edges of each relation are not scored, so that none is predicted from itself."""
        kept = {}
        for relation, sample in zip(self._relations, batch, strict=True):
            kept[relation.name] = torch.ones(relation.num_edges, dtype=torch.bool, device=self._device)
            kept[relation.name][sample.edges.to(self._device)] = False
        return kept

    def _scores(self, relation: Relation, sample: Sample, sources: Tensor, targets: Tensor) -> Tensor:
        """Scores [B, 1 + K] of the sample's edges and, for each, of its negatives."""
        rows, positives = relation.pairs[:, sample.edges.to(self._device)]
        columns = torch.cat([positives[:, None], sample.negatives.to(self._device)], dim=1)
        left, right = functional.embedding(rows, sources)[:, None], functional.embedding(columns, targets)
        return self._model.score_pairs(relation.name, left, right)
