"""Users who have changed since the release: their live state and their ranking, made once a change.

A user of whom nothing was heard since the release's snapshot is served from its slate, without a question.
Who that is comes from the ingesters' changes, and for what came before them from one look through the graph.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
from neo4j.exceptions import DriverError, Neo4jError
from numpy.typing import NDArray

from lsec.api.stores.graph import ANALYSIS_TIMEOUT_S, SERVING_TIMEOUT_S, Graph
from lsec.api.stores.readings import Readings, has_succeeded
from lsec.api.stores.settled_users import settled_users, since_ms, still_settled
from lsec.core.artifact import Artifact
from lsec.core.fold_in import FoldIn
from lsec.serving.answer import Ranking
from lsec.serving.folding import folded_in, of_slate
from lsec.serving.known import Known, of_release, of_release_row
from lsec.serving.shelf import Shelf
from lsec.serving.shopper import Shopper

MAX_HELD = 50_000
"""Users whose state is kept; the one not asked for longest goes first."""
WAIT_S = 0.1
"""A request waits so long for a user's new state; then it is answered from what is known."""
MAX_WAITED_FOR = 8
"""While more states than these are being made, requests do not wait."""
MAX_LOADING = 64
"""While so many are being made, no further one is begun."""
RETRY_S = 1.0
HEARD_PER_TURN = 2_000
"""After so many users requests have their turn."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Heard:
    """When, in ms since 1970, a user was last heard of, and whether their taste is newer than the release."""

    at_ms: int
    has_new_taste: bool


class Shoppers:
    """The changed users of this process."""

    def __init__(self, graph: Graph, *, leaving: Callable[[], Collection[str]] = frozenset) -> None:
        self._graph = graph
        self._leaving = leaving
        self._shelf: Shelf | None = None
        self._fold_in: FoldIn | None = None
        self._folding = asyncio.Lock()
        self._num_visitors = 0
        self._held: OrderedDict[str, Known] = OrderedDict()
        self._before: dict[str, Shopper] = {}
        """The states that were held when a release was swapped in, for those who are not read anew yet."""
        self._readings = Readings(self._read, keep=self._keep)
        self._heard_of: dict[str, Heard] = {}
        self._is_clean: NDArray[np.bool_] = np.zeros(0, bool)
        self._coming: tuple[Artifact, NDArray[np.bool_]] | None = None
        """A release to be served next, and for whom its slate will be enough."""
        self._begun = asyncio.Event()

    async def expect(self, artifact: Artifact) -> None:
        """Find out, before a release is served, for whom its slate will be enough as the last one's was."""
        before = self._shelf.artifact if self._shelf else None
        if before is not None:
            settled = self._is_clean.copy(), list(self._heard_of)
            # Whoever is heard of from now on is not forgotten with the release that comes.
            self._coming = artifact, await asyncio.to_thread(still_settled, artifact, before, *settled)

    def begin(self, shelf: Shelf, *, is_same_graph: bool = True) -> None:
        """Begin anew with a release: of nobody but `expect`ed ones is it known that its slate is enough.

        What users were known to have done is kept until they are read again, unless it is another graph.
        """
        held = {user_id: known.shopper for user_id, known in self._held.items() if known.shopper is not None}
        before = self._before | held if is_same_graph else {}
        coming, self._coming = self._coming, None
        if coming is not None and coming[0] is shelf.artifact and is_same_graph:
            is_clean = coming[1]
        else:
            is_clean = np.zeros(len(shelf.artifact.user_ids) if shelf.artifact else 0, bool)
        # What might fail is done: from here on it is all of this release.
        self._before = before if len(before) <= MAX_HELD else held
        self._shelf, self._is_clean, self._fold_in = shelf, is_clean, None
        self._held.clear()
        self._readings.forget_all()
        self._begun.set()

    def changed(self, user_id: str, *, has_new_taste: bool) -> None:
        """Take in that a user has changed; one who was asked for lately is read again at once."""
        before = self._heard_of.get(user_id)
        has_new_taste = has_new_taste or (before is not None and before.has_new_taste)
        self._heard_of[user_id] = Heard(int(time.time() * 1000), has_new_taste)
        held = self._held.get(user_id)
        if held is not None:
            self._held[user_id] = held._replace(is_stale=True)
        is_wanted = held is not None or user_id in self._readings
        self._readings.forget(user_id)
        if is_wanted and self._shelf is not None:
            self._load(user_id)

    async def prepare(self) -> None:
        """Have the graph plan the query of a user's state: that may take longer than a request waits."""
        await self._graph.rows(
            "serving/shopper", timeout_s=ANALYSIS_TIMEOUT_S, asked={"user_id": "", "release_id": ""}
        )

    async def known(self, user_id: str, shelf: Shelf) -> tuple[Known, bool]:
        """What is known of a user, and whether that is up to date.

        Of one who is to be forgotten it is what the graph has now: all else may hold what was erased.
        """
        if user_id in self._leaving():
            return await self._as_the_graph_has_it(user_id, shelf)
        if shelf is not self._shelf:
            # A release was swapped in since the request began: it is answered from the one it began with.
            return self._known_before(user_id, shelf), False
        held = self._held.get(user_id)
        if held is not None and not held.is_stale:
            self._held.move_to_end(user_id)
            return held, True
        row = shelf.user_row(user_id) if held is None else None
        if row is not None and self._is_clean[row] and user_id not in self._heard_of:
            known = of_release_row(row, shelf)
            if known.ranking is not None:
                return known, True
        task = self._load(user_id)
        if task is not None and len(self._readings) <= MAX_WAITED_FOR:
            await asyncio.wait([task], timeout=WAIT_S)
        if shelf is not self._shelf:
            return self._known_before(user_id, shelf), False
        if task is not None and has_succeeded(task):
            return task.result(), True
        return held or self._known_before(user_id, shelf), False

    async def _as_the_graph_has_it(self, user_id: str, shelf: Shelf) -> tuple[Known, bool]:
        self._held.pop(user_id, None)
        self._before.pop(user_id, None)
        self._readings.forget(user_id)
        task = self._load(user_id) if shelf is self._shelf else None
        if task is not None:
            await asyncio.wait([task], timeout=WAIT_S)
            if has_succeeded(task) and shelf is self._shelf:
                return task.result(), True
        return Known(None, None), False

    def _known_before(self, user_id: str, shelf: Shelf) -> Known:
        """What was last known of a user beside the release's slate."""
        shopper = self._before.get(user_id)
        if shopper is None:
            return of_release(user_id, shelf)
        slate = of_slate(user_id, shelf) if shopper.has_slate else None
        return Known(shopper, slate, shelf.catalog.rows(shopper.bought), is_stale=True)

    async def close(self) -> None:
        """Wait for what is being read."""
        await self._readings.close()

    async def visitor(self, shopper: Shopper, shelf: Shelf) -> tuple[Known, bool]:
        """What follows from what an anonymous visitor did, and whether all does; nothing of it is kept."""
        bought = shelf.catalog.rows(shopper.bought)
        if shelf is not self._shelf or shelf.artifact is None or not shopper.has_taste:
            return Known(shopper, None, bought), shelf.artifact is None or not shopper.has_taste
        if self._num_visitors >= MAX_WAITED_FOR:
            return Known(shopper, None, bought), False
        self._num_visitors += 1
        try:
            async with self._folding:
                ranking = await asyncio.to_thread(self._folded_in, shopper, shelf)
        finally:
            self._num_visitors -= 1
        return Known(shopper, ranking, bought), True

    def _load(self, user_id: str) -> asyncio.Task[Known] | None:
        """The reading of a user's state; None if there are too many to begin another."""
        if user_id not in self._readings and len(self._readings) >= MAX_LOADING:
            return None
        return self._readings.begin(user_id)

    def _keep(self, user_id: str, known: Known) -> None:
        self._held[user_id] = known
        self._before.pop(user_id, None)
        self._held.move_to_end(user_id)
        while len(self._held) > MAX_HELD:
            self._held.popitem(last=False)

    async def _read(self, user_id: str) -> Known:
        """The user's state as the graph has it, and the ranking that follows from it."""
        shelf = self._shelf
        assert shelf is not None
        rows = await self._graph.rows(
            "serving/shopper",
            timeout_s=SERVING_TIMEOUT_S,
            asked={"user_id": user_id, "release_id": shelf.release_id or ""},
        )
        shopper = Shopper.from_row(rows[0]) if rows else Shopper()
        held = self._held.get(user_id)
        if (
            held is not None
            and held.shopper is not None
            and held.ranking is not None
            and held.shopper.taste == shopper.taste
            and held.shopper.has_slate == shopper.has_slate
        ):
            ranking: Ranking | None = held.ranking
        else:
            ranking = await self._ranking(user_id, shopper, shelf)
        return Known(shopper, ranking, shelf.catalog.rows(shopper.bought))

    async def _ranking(self, user_id: str, shopper: Shopper, shelf: Shelf) -> Ranking | None:
        slate = of_slate(user_id, shelf) if shopper.has_slate else None
        if slate is not None and not self._has_new_taste(user_id, shopper, shelf):
            return slate
        if shelf.artifact is None or not shopper.has_taste:
            return slate
        # One at a time: numpy uses all that a core has.
        async with self._folding:
            return await asyncio.to_thread(self._folded_in, shopper, shelf)

    def _folded_in(self, shopper: Shopper, shelf: Shelf) -> Ranking | None:
        assert shelf.artifact is not None
        if self._fold_in is None or self._shelf is not shelf:
            fold_in = FoldIn.of(shelf.artifact)
            if self._shelf is shelf:
                self._fold_in = fold_in
        else:
            fold_in = self._fold_in
        return folded_in(shopper, shelf, fold_in)

    def _has_new_taste(self, user_id: str, shopper: Shopper, shelf: Shelf) -> bool:
        heard = self._heard_of.get(user_id)
        if heard is not None and heard.has_new_taste:
            return True
        row = shelf.user_row(user_id)
        if row is None or shelf.artifact is None:
            return True
        bought = set(shelf.catalog.rows(shopper.bought).tolist())
        return bought != set(shelf.artifact.bought(row).tolist()) or shopper.newest_ms >= since_ms(
            shelf.artifact
        )

    async def follow(self) -> None:
        """Find who changed before this process began to listen, for each release anew."""
        while True:
            await self._begun.wait()
            self._begun.clear()
            shelf = self._shelf
            try:
                if shelf is not None and shelf.artifact is not None:
                    await self._look_through(shelf, shelf.artifact)
            except (DriverError, Neo4jError):
                log.debug("the graph cannot be looked through", exc_info=True)
                self._begun.set()
                await asyncio.sleep(RETRY_S)

    async def _look_through(self, shelf: Shelf, artifact: Artifact) -> None:
        """Read for whom the slate is enough; whoever changes from now on is heard of."""
        await self._forget_before(since_ms(artifact))
        async for clean, tastes in settled_users(self._graph, artifact):
            if self._shelf is not shelf:
                return
            self._is_clean[clean] = True
            self._heard_of |= dict.fromkeys(tastes, Heard(int(time.time() * 1000), has_new_taste=True))
        log.info("%d users are as %s knows them", self._is_clean.sum(), artifact.manifest.release_id)

    async def _forget_before(self, moment_ms: int) -> None:
        """Forget who was last heard of before then; a part at a time, for requests are answered between."""
        user_ids = list(self._heard_of)
        for start in range(0, len(user_ids), HEARD_PER_TURN):
            for user_id in user_ids[start : start + HEARD_PER_TURN]:
                if self._heard_of[user_id].at_ms < moment_ms:
                    del self._heard_of[user_id]
            await asyncio.sleep(0)
