"""A claimed run: its lease, kept by a heartbeat, its progress, and how it is told to stop."""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from lsec.core.ledger import Training
from workers import ledger

log = logging.getLogger(__name__)

BEAT_S = 1.0
STOPPING = threading.Event()
"""Set when this worker shuts down: its runs go back to the queue."""
PHASE_SHARES = {"export": (0, 10), "train": (10, 90), "publish": (90, 100)}


class Cancelled(Exception):
    """The run was cancelled, or its lease went to another worker."""


class Interrupted(Exception):
    """This worker shuts down; another, or the next, goes on with the run."""


@dataclass
class Run:
    """A claimed run: its lease, kept by a thread, and what is reported of it."""

    engine: Engine
    training: Training
    folder: Path
    timings_s: dict[str, float] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lost: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _changes: dict[str, Any] = field(default_factory=dict)
    _renewed_at: float = field(default_factory=time.monotonic)

    @contextlib.contextmanager
    def lease(self) -> Iterator[None]:
        """Keep the lease by a heartbeat while inside."""
        keeper = threading.Thread(target=self._keep, name=f"lease-{self.training.id}", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            self._stop.set()
            keeper.join()

    def _keep(self) -> None:
        while not self._stop.wait(BEAT_S):
            self._write()

    def _write(self) -> None:
        """Renew the lease; a ledger that cannot be reached is tried again until the lease is over."""
        with self._lock:
            changes, self._changes = self._changes, {}
        now = time.monotonic()
        try:
            goes_on = ledger.beat(self.engine, self.training, **changes)
        except SQLAlchemyError as error:
            log.warning("no heartbeat for training %s: %s", self.training.id, error)
            with self._lock:
                self._changes = changes | self._changes
            goes_on = now - self._renewed_at < ledger.LEASE.total_seconds()
        else:
            self._renewed_at = now
        if not goes_on:
            self._lost.set()

    def report(self, phase: str, share: float, **changes: Any) -> None:
        """Say how far `phase` is (share in 0 to 1); Cancelled if the run must stop."""
        low, high = PHASE_SHARES[phase]
        percent = round(low + (high - low) * min(max(share, 0.0), 1.0), 1)
        with self._lock:
            self._changes |= {"phase": phase, "percent": percent, **changes}
        self.check()

    @property
    def must_stop(self) -> bool:
        """Whether the run was cancelled, its lease lost, or this worker shuts down."""
        return self._lost.is_set() or STOPPING.is_set()

    def check(self) -> None:
        """Raise Cancelled or Interrupted if the run must stop."""
        if self._lost.is_set():
            raise Cancelled
        if STOPPING.is_set():
            raise Interrupted

    @contextlib.contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Report the phase's begin at once and note its wall time at its end."""
        self.report(phase, 0.0, message="", eta_s=None)
        self._write()
        self.check()
        started = time.monotonic()
        yield
        self.timings_s[phase] = round(time.monotonic() - started, 2)
        self.report(phase, 1.0, timings_s=dict(self.timings_s))
        self._write()
        self.check()
