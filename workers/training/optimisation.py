"""Our model with its optimiser and its tasks over one set of interactions."""

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workers.training import processes
from workers.training.adam import Adam, Group
from workers.training.data import Interactions
from workers.training.graph import SparseMatrix, normalised
from workers.training.hyperparameters import Hyperparameters
from workers.training.losses import Task, fast_precision, softmax_loss
from workers.training.model import CosineGCN, Vectors, spectral_start
from workers.training.processes import Shares
from workers.training.ranking import Scorer
from workers.training.warm_start import Start


class Optimisation:
    """Buying is the main task; following, viewing, and what followed streamers sell are auxiliary.

    What it gives is the moving average of the parameters that its steps change (Polyak and Juditsky 1992),
    which begins with those it starts from.

    Every random number of a step comes from (seed, step), so a resumed run repeats an uninterrupted one.
    Where several processes train, each holds its share of the users, and all see the same whole from outside.
    `torch.compile` is not used: its import takes seconds, a third of a short training, and it would leave the
    sparse and the dense products as they are.
    """

    def __init__(
        self,
        data: Interactions,
        hyperparameters: Hyperparameters,
        *,
        seed: int,
        device: torch.device,
        precision: torch.dtype | None = None,
        start: Start | None = None,
    ) -> None:
        self._hyperparameters = hp = hyperparameters
        self._seed = seed
        self._precision = precision or fast_precision(device)
        self._shares = Shares.of_users(data)
        data = self._shares.of_data(data)
        shape = data.num_users, data.num_products
        self._adjacency = interest_graph(
            data, view_edge=hp.view_edge, exponent=hp.degree_exponent, device=device
        )
        self._rough_adjacency = self._adjacency.roughly()
        self._buying, self._viewing, self._following = (
            Task.from_pairs(pairs.sources, pairs.targets, shape=(data.num_users, num_targets), device=device)
            for pairs, num_targets in (
                (data.buys, data.num_products),
                (data.viewed, data.num_products),
                (data.follows, data.num_streamers),
            )
        )
        sizes = data.num_users, data.num_streamers, data.num_products
        self._sold = Task.from_paths(data.follows, data.sells, shape=sizes, device=device)
        generator = torch.Generator().manual_seed(seed)
        self._model = CosineGCN(
            *self._embeddings(data, start, shape, generator), layer_weights=hp.layer_weights
        )
        bias = popularity_bias(processes.total(self._buying.target_degrees), times=hp.popularity_start)
        if start is not None:
            bias = torch.where(start.is_known.to(device), start.bias.to(device), bias)
        self._model.bias.data.copy_(bias)
        embeddings = [self._model.users, self._model.products, self._model.streamers]
        self._optimizer = Adam(
            [
                Group(embeddings, hp.learning_rate, by_rows=True),
                Group([self._model.bias], hp.bias_learning_rate),
            ]
        )
        self._averaged = copy.deepcopy(self._model).requires_grad_(False)

    def _embeddings(
        self, data: Interactions, start: Start | None, shape: tuple[int, int], generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings of users, products and streamers to start from, on the graph's device."""
        hp, device = self._hyperparameters, self._adjacency.forward.weights.device

        def noise(num: int) -> Tensor:
            drawn = torch.randn(num, hp.dimensions, generator=generator).to(device)
            return drawn.mul_(hp.initial_std / hp.dimensions**0.5)

        if start is None:
            users, products = spectral_start(
                self._adjacency, shape, dimensions=hp.dimensions, std=hp.initial_std, generator=generator
            )
            return users, products, noise(data.num_streamers)
        return (
            self._shares.part(noise(self._shares.num_rows)).add_(self._shares.part(start.users.to(device))),
            noise(data.num_products).add_(start.products.to(device)),
            noise(data.num_streamers).add_(start.streamers.to(device)),
        )

    @property
    def held_parameters(self) -> dict[str, Tensor]:
        """The averaged parameters that this process holds, shared with the model."""
        return self._averaged.state_dict()

    @property
    def parameters(self) -> dict[str, Tensor]:
        """All averaged parameters; in a single process they are shared with the model."""
        held = self.held_parameters
        return held | {"users": self._shares.whole(held["users"])}

    @property
    def optimizer_state(self) -> dict[str, Any]:
        """The optimiser's whole state and what it changes; in a single process they are shared with it."""
        changed = [parameter.detach() for parameter in self._model.parameters()]
        return _with_users(self._optimizer.state | {"parameters": changed}, self._shares.whole)

    def restore(self, parameters: dict[str, Tensor], optimizer_state: dict[str, Any] | None = None) -> None:
        """Goes back to these parameters and, to train on, to this state of the optimiser."""
        held = parameters | {"users": self._shares.part(parameters["users"])}
        self._averaged.load_state_dict(held)
        self._model.load_state_dict(held)
        if optimizer_state is not None:
            state = _with_users(optimizer_state, self._shares.part)
            with torch.no_grad():
                for parameter, saved in zip(self._model.parameters(), state.pop("parameters"), strict=True):
                    parameter.copy_(saved)
            self._optimizer.restore(state)

    def step(self, step: int) -> float:
        """Takes the step of this number, which is one epoch, and returns the loss of buying.

        It is no number if that of another task is none.
        """
        losses = self._losses(step, torch.Generator().manual_seed((self._seed << 24) + step + 1))
        loss = torch.stack(losses).sum()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        processes.sum_gradients([self._model.streamers, self._model.bias])
        self._optimizer.step(learning_rate_share(step, self._hyperparameters))
        self._average()
        of_all, of_buying = processes.total(torch.stack([loss, losses[0]]).detach()).tolist()
        told: float = of_buying if math.isfinite(of_all) else of_all
        return told

    @torch.no_grad()
    def _average(self) -> None:
        share = 1 - self._hyperparameters.average_decay
        for average, parameter in zip(self._averaged.parameters(), self._model.parameters(), strict=True):
            average.lerp_(parameter, share)

    def _losses(self, step: int, generator: torch.Generator) -> list[Tensor]:
        """Of buying, and of the auxiliary tasks whose turn it is: every second, with twice its weight."""
        hp = self._hyperparameters
        users, products, streamers = self._model(self._rough_adjacency)
        buying = (1.0, self._buying, products, self._model.bias)
        auxiliary = [
            (weight, task, targets, None)
            for weight, task, targets in (
                (hp.follow_weight, self._following, streamers),
                (hp.view_weight, self._viewing, products),
                (hp.sold_weight, self._sold, products),
            )
            if weight and task.total
        ]
        if len(auxiliary) > 1:
            auxiliary = [(2 * weight, *others) for weight, *others in auxiliary[step % 2 :: 2]]
        return [
            weight
            * softmax_loss(
                task,
                users,
                targets,
                temperature=hp.temperature,
                bias=bias,
                num_users=hp.num_softmax_users,
                num_targets=hp.num_softmax_products,
                generator=generator,
                precision=self._precision,
            )
            for weight, task, targets, bias in (buying, *auxiliary)
        ]

    @torch.no_grad()
    def vectors(self) -> Vectors:
        """Unit vectors by the averaged parameters."""
        vectors: Vectors = self._averaged(self._adjacency)
        return vectors._replace(users=self._shares.whole(vectors.users))

    def scorer(self) -> Scorer:
        """Scores by the averaged parameters."""
        users, products, _ = self.vectors()
        return Scorer(users, products, self._averaged.bias.detach(), self._hyperparameters.temperature)


def _with_users(state: dict[str, Any], change: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    """The optimiser's state with what is of the users, its first parameter, changed."""
    of_parameters = ("averages", "squares", "parameters")
    return state | {name: [change(state[name][0]), *state[name][1:]] for name in of_parameters}


def learning_rate_share(step: int, hyperparameters: Hyperparameters) -> float:
    """Linear warm-up, times a cosine from 1 to 0 over all steps."""
    warmup = min(1.0, (step + 1) / max(hyperparameters.warmup_steps, 1))
    return warmup * (1 + math.cos(math.pi * step / hyperparameters.num_steps)) / 2


def popularity_bias(num_buyers: Tensor, *, times: float) -> Tensor:
    """So many times the logarithms of 1 + the buyers of each product [P], less their mean.

    A softmax without vectors would end with the logarithms themselves: the steps are too few to come near.
    """
    logarithms = num_buyers.log1p()
    return (logarithms - logarithms.mean()) * times


def interest_graph(
    data: Interactions, *, view_edge: float, exponent: float, device: torch.device
) -> SparseMatrix:
    """The normalised user-product block: 1 for a purchase, view_edge for a view without one."""
    ends = [(data.buys.sources, data.buys.targets)]
    weights = [np.ones(len(data.buys))]
    if view_edge:
        viewed_only = data.viewed.without(data.buys)
        ends.append((viewed_only.sources, viewed_only.targets))
        weights.append(np.full(len(viewed_only), view_edge))
    users, products = (np.concatenate(rows) for rows in zip(*ends, strict=True))
    shape = data.num_users, data.num_products
    return normalised(users, products, np.concatenate(weights), exponent=exponent, shape=shape, device=device)
