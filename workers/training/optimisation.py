"""A model with its optimiser and its two tasks over one set of purchases."""

import math
from typing import Any

import torch
from torch import Tensor

from workers.training.adam import Adam, Group
from workers.training.data import Interactions
from workers.training.graph import normalised_incidence
from workers.training.hyperparameters import Hyperparameters
from workers.training.losses import Task, softmax_loss
from workers.training.model import LightGCN, Vectors
from workers.training.ranking import Scorer


class Optimisation:
    """Buying is the main task; following, on the same user vectors, is the auxiliary one.

    Every random number of a step comes from (seed, step), so a resumed run repeats an uninterrupted one.
    """

    def __init__(
        self, data: Interactions, hyperparameters: Hyperparameters, *, seed: int, device: torch.device
    ) -> None:
        self._hyperparameters = hp = hyperparameters
        self._seed = seed
        shape = data.num_users, data.num_products
        follow_shape = data.num_users, data.num_streamers
        buys, follows = data.buys, data.follows
        self._adjacency = normalised_incidence(buys.sources, buys.targets, shape=shape, device=device)
        self._buying = Task.from_pairs(buys.sources, buys.targets, shape=shape, device=device)
        self._following = Task.from_pairs(follows.sources, follows.targets, shape=follow_shape, device=device)
        self._model = LightGCN(
            *shape,
            data.num_streamers,
            dimensions=hp.dimensions,
            layer_weights=hp.layer_weights,
            initial_std=hp.initial_std,
            generator=torch.Generator().manual_seed(seed),
        ).to(device)
        embeddings = [self._model.users, self._model.products, self._model.streamers]
        self._optimizer = Adam(
            [Group(embeddings, hp.learning_rate), Group([self._model.bias], hp.bias_learning_rate)]
        )

    @property
    def parameters(self) -> dict[str, Tensor]:
        """All parameters, shared with the model."""
        return self._model.state_dict()

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
        """Takes the step of this number, which is one epoch, and returns its loss."""
        self._optimizer.clear_gradients()
        loss = self._loss(torch.Generator().manual_seed((self._seed << 24) + step + 1))
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        self._optimizer.step(learning_rate_share(step, self._hyperparameters))
        return loss.item()

    def _loss(self, generator: torch.Generator) -> Tensor:
        hp = self._hyperparameters
        vectors = self._model(self._adjacency)
        loss = softmax_loss(
            self._buying,
            vectors.users,
            vectors.products,
            temperature=hp.temperature,
            bias=self._model.bias,
            num_users=hp.num_softmax_users,
            num_targets=hp.num_softmax_products,
            generator=generator,
        )
        if not self._following.num_pairs or not hp.follow_weight:
            return loss
        return loss + hp.follow_weight * softmax_loss(
            self._following,
            vectors.users,
            vectors.streamers,
            temperature=hp.temperature,
            num_users=hp.num_softmax_users,
            num_targets=hp.num_softmax_products,
            generator=generator,
        )

    @torch.no_grad()
    def vectors(self) -> Vectors:
        """Unit vectors by the current parameters."""
        vectors: Vectors = self._model(self._adjacency)
        return vectors

    def scorer(self) -> Scorer:
        """Scores by the current parameters."""
        users, products, _ = self.vectors()
        return Scorer(users, products, self._model.bias.detach(), self._hyperparameters.temperature)


def learning_rate_share(step: int, hyperparameters: Hyperparameters) -> float:
    """Linear warm-up, times a cosine from 1 to 0 over all steps."""
    warmup = min(1.0, (step + 1) / max(hyperparameters.warmup_steps, 1))
    return warmup * (1 + math.cos(math.pi * step / hyperparameters.num_steps)) / 2
