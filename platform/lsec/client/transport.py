"""The two clients: each runs the same conversations, one blocking, one asynchronous."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx2

from lsec.client import (
    cypher_routes,
    dead_letter_routes,
    experiment_routes,
    influence_routes,
    inspection_routes,
    live_routes,
    release_routes,
    retraining_routes,
    routes,
    sending,
    serving_routes,
    snapshot_routes,
    user_routes,
)
from lsec.client.exchange import Emit, Feed, Flow, Outcome
from lsec.client.wire import AsyncWire, Wire, checked_address, headers_of

P = ParamSpec("P")
T = TypeVar("T")


def _get(flow: Callable[P, Flow[T]]) -> "Callable[Concatenate[Client, P], T]":
    @wraps(flow)
    def method(client: "Client", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return client.run(flow(*args, **kwargs))

    return method


def _iterate(feed: Callable[P, Feed[T]]) -> "Callable[Concatenate[Client, P], Iterator[T]]":
    @wraps(feed)
    def method(client: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return client.iterate(feed(*args, **kwargs))

    return method


def _await(flow: Callable[P, Flow[T]]) -> "Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]":
    @wraps(flow)
    def method(client: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        return client.run(flow(*args, **kwargs))

    return method


def _aiterate(feed: Callable[P, Feed[T]]) -> "Callable[Concatenate[AsyncClient, P], AsyncIterator[T]]":
    @wraps(feed)
    def method(client: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return client.iterate(feed(*args, **kwargs))

    return method


class Client:
    """The API, blocking; a context manager."""

    def __init__(self, base_url: str, api_key: str = "") -> None:
        self._http = httpx2.Client(base_url=checked_address(base_url), headers=headers_of(api_key))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    health = _get(routes.health)
    ready = _get(routes.ready)
    post_events = _get(routes.post_events)
    lag = _get(routes.lag)
    event_schema = _get(routes.event_schema)
    train = _get(routes.train)
    trainings = _get(routes.trainings)
    training = _get(routes.training)
    cancel_training = _get(routes.cancel_training)
    training_log = _get(routes.training_log)
    start_experiment = _get(experiment_routes.start_experiment)
    experiments = _get(experiment_routes.experiments)
    experiment = _get(experiment_routes.experiment)
    stop_experiment = _get(experiment_routes.stop_experiment)
    promote_challenger = _get(experiment_routes.promote_challenger)
    inspections = _get(inspection_routes.inspections)
    retraining = _get(retraining_routes.retraining)
    set_retraining = _get(retraining_routes.set_retraining)
    check_retraining = _get(retraining_routes.check_retraining)
    releases = _get(release_routes.releases)
    release = _get(release_routes.release)
    promote_release = _get(release_routes.promote_release)
    rollback_release = _get(release_routes.rollback_release)
    keep_release = _get(release_routes.keep_release)
    delete_release = _get(release_routes.delete_release)
    compare_releases = _get(release_routes.compare_releases)
    release_card = _get(release_routes.release_card)
    create_snapshot = _get(snapshot_routes.create_snapshot)
    snapshots = _get(snapshot_routes.snapshots)
    snapshot = _get(snapshot_routes.snapshot)
    wait_until_exported = _get(snapshot_routes.wait_until_exported)
    keep_snapshot = _get(snapshot_routes.keep_snapshot)
    delete_snapshot = _get(snapshot_routes.delete_snapshot)
    recommendations = _get(serving_routes.recommendations)
    recommendations_of_many = _get(serving_routes.recommendations_of_many)
    session_recommendations = _get(serving_routes.session_recommendations)
    similar_products = _get(serving_routes.similar_products)
    streamers_to_follow = _get(serving_routes.streamers_to_follow)
    product_audience = _get(serving_routes.product_audience)
    showcase_next = _get(serving_routes.showcase_next)
    leaderboard = _get(influence_routes.leaderboard)
    attribution = _get(influence_routes.attribution)
    lift = _get(influence_routes.lift)
    audience = _get(influence_routes.audience)
    seeds = _get(influence_routes.seeds)
    paper = _get(influence_routes.paper)
    product_streamers = _get(influence_routes.product_streamers)
    spread = _get(influence_routes.spread)
    funnel = _get(influence_routes.funnel)
    influencers = _get(influence_routes.influencers)
    paths = _get(influence_routes.paths)
    erase_user = _get(user_routes.erase_user)
    erasure = _get(user_routes.erasure)
    erasures = _get(user_routes.erasures)
    wait_until_erased = _get(user_routes.wait_until_erased)
    user_data = _get(user_routes.user_data)
    event_status = _get(dead_letter_routes.event_status)
    dead_letters = _get(dead_letter_routes.dead_letters)
    dead_letter = _get(dead_letter_routes.dead_letter)
    fix_dead_letter = _get(dead_letter_routes.fix_dead_letter)
    replay_dead_letter = _get(dead_letter_routes.replay_dead_letter)
    replay_dead_letters = _get(dead_letter_routes.replay_dead_letters)
    purge_dead_letter = _get(dead_letter_routes.purge_dead_letter)
    purge_dead_letters = _get(dead_letter_routes.purge_dead_letters)
    send_events = _get(sending.send_events)
    send_batches = _get(sending.send_batches)
    wait_until_committed = _get(routes.wait_until_committed)
    training_progress = _iterate(routes.training_progress)
    slates = _iterate(release_routes.slates)
    release_artifact = _iterate(release_routes.release_artifact)
    live_events = _iterate(live_routes.live_events)
    metrics = _get(live_routes.metrics)
    cypher = _iterate(cypher_routes.cypher)
    cancel_cypher = _get(cypher_routes.cancel_cypher)

    def run(self, flow: Flow[T]) -> T:
        """What a conversation returns."""
        with Wire(self._http) as wire:
            return wire.run(flow)

    def iterate(self, feed: Feed[T]) -> Iterator[T]:
        """What a conversation emits."""
        outcome: Outcome = None
        with Wire(self._http) as wire:
            while True:
                try:
                    step = feed.send(outcome)
                except StopIteration:
                    return
                if isinstance(step, Emit):
                    outcome = None
                    yield step.value
                else:
                    outcome = wire.perform(step)


class AsyncClient:
    """The API, asynchronous; an asynchronous context manager."""

    def __init__(self, base_url: str, api_key: str = "") -> None:
        self._http = httpx2.AsyncClient(base_url=checked_address(base_url), headers=headers_of(api_key))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    health = _await(routes.health)
    ready = _await(routes.ready)
    post_events = _await(routes.post_events)
    lag = _await(routes.lag)
    event_schema = _await(routes.event_schema)
    train = _await(routes.train)
    trainings = _await(routes.trainings)
    training = _await(routes.training)
    cancel_training = _await(routes.cancel_training)
    training_log = _await(routes.training_log)
    start_experiment = _await(experiment_routes.start_experiment)
    experiments = _await(experiment_routes.experiments)
    experiment = _await(experiment_routes.experiment)
    stop_experiment = _await(experiment_routes.stop_experiment)
    promote_challenger = _await(experiment_routes.promote_challenger)
    inspections = _await(inspection_routes.inspections)
    retraining = _await(retraining_routes.retraining)
    set_retraining = _await(retraining_routes.set_retraining)
    check_retraining = _await(retraining_routes.check_retraining)
    releases = _await(release_routes.releases)
    release = _await(release_routes.release)
    promote_release = _await(release_routes.promote_release)
    rollback_release = _await(release_routes.rollback_release)
    keep_release = _await(release_routes.keep_release)
    delete_release = _await(release_routes.delete_release)
    compare_releases = _await(release_routes.compare_releases)
    release_card = _await(release_routes.release_card)
    create_snapshot = _await(snapshot_routes.create_snapshot)
    snapshots = _await(snapshot_routes.snapshots)
    snapshot = _await(snapshot_routes.snapshot)
    wait_until_exported = _await(snapshot_routes.wait_until_exported)
    keep_snapshot = _await(snapshot_routes.keep_snapshot)
    delete_snapshot = _await(snapshot_routes.delete_snapshot)
    recommendations = _await(serving_routes.recommendations)
    recommendations_of_many = _await(serving_routes.recommendations_of_many)
    session_recommendations = _await(serving_routes.session_recommendations)
    similar_products = _await(serving_routes.similar_products)
    streamers_to_follow = _await(serving_routes.streamers_to_follow)
    product_audience = _await(serving_routes.product_audience)
    showcase_next = _await(serving_routes.showcase_next)
    leaderboard = _await(influence_routes.leaderboard)
    attribution = _await(influence_routes.attribution)
    lift = _await(influence_routes.lift)
    audience = _await(influence_routes.audience)
    seeds = _await(influence_routes.seeds)
    paper = _await(influence_routes.paper)
    product_streamers = _await(influence_routes.product_streamers)
    spread = _await(influence_routes.spread)
    funnel = _await(influence_routes.funnel)
    influencers = _await(influence_routes.influencers)
    paths = _await(influence_routes.paths)
    erase_user = _await(user_routes.erase_user)
    erasure = _await(user_routes.erasure)
    erasures = _await(user_routes.erasures)
    wait_until_erased = _await(user_routes.wait_until_erased)
    user_data = _await(user_routes.user_data)
    event_status = _await(dead_letter_routes.event_status)
    dead_letters = _await(dead_letter_routes.dead_letters)
    dead_letter = _await(dead_letter_routes.dead_letter)
    fix_dead_letter = _await(dead_letter_routes.fix_dead_letter)
    replay_dead_letter = _await(dead_letter_routes.replay_dead_letter)
    replay_dead_letters = _await(dead_letter_routes.replay_dead_letters)
    purge_dead_letter = _await(dead_letter_routes.purge_dead_letter)
    purge_dead_letters = _await(dead_letter_routes.purge_dead_letters)
    send_events = _await(sending.send_events)
    send_batches = _await(sending.send_batches)
    wait_until_committed = _await(routes.wait_until_committed)
    training_progress = _aiterate(routes.training_progress)
    slates = _aiterate(release_routes.slates)
    release_artifact = _aiterate(release_routes.release_artifact)
    live_events = _aiterate(live_routes.live_events)
    metrics = _await(live_routes.metrics)
    cypher = _aiterate(cypher_routes.cypher)
    cancel_cypher = _await(cypher_routes.cancel_cypher)

    async def run(self, flow: Flow[T]) -> T:
        """What a conversation returns."""
        async with AsyncWire(self._http) as wire:
            return await wire.run(flow)

    async def iterate(self, feed: Feed[T]) -> AsyncIterator[T]:
        """What a conversation emits."""
        outcome: Outcome = None
        async with AsyncWire(self._http) as wire:
            while True:
                try:
                    step = feed.send(outcome)
                except StopIteration:
                    return
                if isinstance(step, Emit):
                    outcome = None
                    yield step.value
                else:
                    outcome = await wire.perform(step)
