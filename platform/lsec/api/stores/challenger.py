"""The challenger of an experiment in this process: opened beside the champion for a share of the users."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lsec.api.background import stop
from lsec.api.stores.active_release import FOLLOW_EVERY_S, Trial
from lsec.api.stores.market import Market
from lsec.api.stores.open_release import OpenRelease
from lsec.api.stores.shoppers import Shoppers
from lsec.core.experiments import sees_challenger

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Arm:
    """What some of the users are answered from: a release with the live market, and who has changed since."""

    market: Market
    shoppers: Shoppers


@dataclass(slots=True)
class _Opened:
    """A challenger that is open, and the tasks that keep it up to date."""

    arm: Arm
    release: OpenRelease
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def is_ready(self, release_id: str) -> bool:
        """Whether this release is open, and the products are read."""
        current = self.release.current
        is_open = current is not None and current.manifest.release_id == release_id
        return is_open and "log" not in self.arm.market.away


class Challenger:
    """Chooses the arm of each user; nothing is held open while no experiment runs.

    `open_arm` makes an arm of its own for a challenger. Until that is ready, and whenever it cannot be, all
    users are the champion's.
    """

    def __init__(self, champion: Arm, artifacts_path: Path, *, open_arm: Callable[[], Arm]) -> None:
        self._champion = champion
        self._artifacts_path = artifacts_path
        self._open_arm = open_arm
        self._wanted: Trial | None = None
        self._opened: _Opened | None = None
        self._running: tuple[Trial, Arm] | None = None

    def aim(self, trial: Trial | None) -> None:
        """Take in which experiment runs; `follow` acts on it."""
        self._wanted = trial

    def arm_of(self, user_id: str) -> Arm:
        """What the user is to be answered from."""
        running = self._running
        if running is None:
            return self._champion
        trial, arm = running
        return arm if sees_challenger(trial.experiment_id, user_id, trial.share) else self._champion

    async def follow(self) -> None:
        """Open, keep and close the challenger as the pointer tells, for ever."""
        while True:
            try:
                await self._turn()
            # Whatever it is: the champion serves on, where the end of this loop would end the process.
            except Exception:
                log.exception("the challenger cannot be served")
                await self.close()
            await asyncio.sleep(FOLLOW_EVERY_S)

    async def _turn(self) -> None:
        wanted, running = self._wanted, self._running
        if wanted is None or (running is not None and running[0] != wanted):
            await self.close()
        if wanted is None:
            return
        if self._opened is None:
            self._opened = self._open()
        opened = self._opened
        for task in opened.tasks:
            if task.done():
                # What it failed with.
                task.result()
        await opened.arm.market.graph_answers("graph" not in self._champion.market.away)
        await opened.release.show(wanted.challenger_id)
        if self._running is None and opened.is_ready(wanted.challenger_id):
            self._running = wanted, opened.arm
            log.info("experiment %s: a share of %s sees it", wanted.experiment_id, wanted.share)

    def _open(self) -> _Opened:
        arm = self._open_arm()
        opened = _Opened(arm, OpenRelease(self._artifacts_path, arm.market.serve, role="the challenger"))
        opened.tasks = [
            asyncio.create_task(follow(), name=f"challenger: {follow.__qualname__}")
            for follow in (arm.market.follow, arm.shoppers.follow)
        ]
        return opened

    async def close(self) -> None:
        """All users are the champion's from now on; then what was open is closed."""
        self._running = None
        if self._opened is None:
            return
        for task in self._opened.tasks:
            try:
                await stop(task)
            except Exception:
                log.exception("%s had failed", task.get_name())
        await self._opened.arm.shoppers.close()
        # Last, so that a call that is cancelled half-way leaves it to the next one.
        self._opened = None
