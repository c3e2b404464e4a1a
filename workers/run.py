"""A claimed run: its lease, kept by a heartbeat, its progress, and how it is told to stop."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from lsec.core.ledger import Training, TrainingStatus, utc_now
from workers import ledger
from workers.ledger import Hold

log = logging.getLogger(__name__)

BEAT_S = 1.0
CANCEL_S = 2.5
"""A cancelled run that a step does not let go of is over after so long: what it writes later is refused."""
STOPPING = threading.Event()
"""Set when this worker shuts down: its runs go back to the queue."""
PHASE_SHARES = {"export": (0, 10), "train": (10, 88), "gate": (88, 90), "publish": (90, 100)}
LOG = "trainer.log"
"""In the run's folder: what became of the run, and what its trainer wrote."""


class Cancelled(Exception):
    """A cancel was asked for."""


class Interrupted(Exception):
    """This worker shuts down; another, or the next, goes on with the run."""


class LeaseLost(Exception):
    """Another worker has the run, or it has ended, or the ledger was away for too long to know."""


class Stalled(Exception):
    """The run has made no progress for too long."""


@dataclass
class Run:
    """A claimed run: its lease, kept by a thread, and what is reported of it.

    `expected_s` are the seconds that its phases took the last time; a run without progress for `stall_s`
    seconds is stopped. `break_off` ends, from another thread, what a step waits for once it must stop.
    """

    engine: Engine
    training: Training
    folder: Path
    stall_s: float = float("inf")
    expected_s: dict[str, float] = field(default_factory=dict)
    break_off: Callable[[], None] = lambda: None
    timings_s: dict[str, float] = field(default_factory=dict)
    renewed_at: float = field(default_factory=time.monotonic)
    """When the ledger last said that this claim holds the run."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _cancelled: threading.Event = field(default_factory=threading.Event)
    _lost: threading.Event = field(default_factory=threading.Event)
    _stalled: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _changes: dict[str, Any] = field(default_factory=dict)
    _seen: dict[str, Any] = field(default_factory=dict)
    _moved_at: float = field(default_factory=time.monotonic)
    _began_at: float = field(default_factory=time.monotonic)

    @contextlib.contextmanager
    def lease(self) -> Iterator[None]:
        """Keep the lease by a heartbeat while inside."""
        threads = [
            threading.Thread(target=each, name=f"{name}-{self.training.id}", daemon=True)
            for name, each in (("lease", self._keep), ("break-off", self._break_off))
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            threads[0].join()

    def _keep(self) -> None:
        while not self._stop.wait(BEAT_S):
            self._write()
            if time.monotonic() - self._moved_at > self.stall_s:
                self._stalled.set()

    def _break_off(self) -> None:
        """Have a step come out of what it waits for, and the run's end told in time if it does not."""
        while not self.must_stop:
            if self._stop.wait(BEAT_S / 5):
                return
        threading.Thread(target=self._break_off_again, daemon=True).start()
        while not self._cancelled.is_set():
            if self._stop.wait(BEAT_S / 5):
                return
        if not self._stop.wait(CANCEL_S):
            how = {"message": "cancelled", "timings_s": dict(self.timings_s)}
            with contextlib.suppress(SQLAlchemyError):
                ledger.end_training(self.engine, self.training, TrainingStatus.CANCELLED, **how)

    def _break_off_again(self) -> None:
        """In a thread of its own: a frozen service answers this as little as it answers the step."""
        has_failed = False
        while not self._stop.is_set():
            try:
                self.break_off()
            # Whatever it is: the step comes out some time, and the run's end does not wait for it.
            except Exception:
                if not has_failed:
                    log.exception("what training %s waits for cannot be ended", self.training.id)
                has_failed = True
            self._stop.wait(BEAT_S / 2)

    def _write(self) -> None:
        """Renew the lease; a ledger that cannot be reached is tried again until the lease is over."""
        with self._lock:
            changes, self._changes = self._changes, {}
        now = time.monotonic()
        try:
            hold = ledger.renew(self.engine, self.training, **changes)
        except SQLAlchemyError as error:
            log.warning("no heartbeat for training %s: %s", self.training.id, error)
            with self._lock:
                self._changes = changes | self._changes
            if now - self.renewed_at > ledger.LEASE.total_seconds():
                self._lost.set()
            return
        self._note_hold(hold, now)

    def _note_hold(self, hold: Hold, now: float) -> None:
        if hold == Hold.HELD:
            self.renewed_at = now
        elif hold == Hold.CANCELLED:
            self._cancelled.set()
        elif not self._cancelled.is_set():
            self._lost.set()

    def confirm(self) -> None:
        """Raise unless the ledger says now that this claim holds the run: before what nothing takes back."""
        now = time.monotonic()
        self._note_hold(ledger.renew(self.engine, self.training), now)
        self.check()

    def report(self, phase: str, share: float, **changes: Any) -> None:
        """Say how far `phase` is (share in 0 to 1); raise if the run must stop.

        `eta_s` among the changes is the phase's own; what is shown is that of the whole run.
        """
        low, high = PHASE_SHARES[phase]
        share = min(max(share, 0.0), 1.0)
        percent = round(low + (high - low) * share, 1)
        eta_s = self._eta_s(phase, share, changes.pop("eta_s", None))
        seen = {"phase": phase, "percent": percent, **changes}
        with self._lock:
            if seen != self._seen:
                self._seen, self._moved_at = seen, time.monotonic()
            self._changes |= {**seen, "eta_s": eta_s}
        self.check()

    def _eta_s(self, phase: str, share: float, phase_eta_s: float | None) -> float | None:
        """Seconds until the run's end: of this phase, and of those after it.

        What a later phase takes is what it took the last time, else by the shares of the bar.
        """
        elapsed = time.monotonic() - self._began_at
        left = phase_eta_s
        if left is None and share >= 0.05:
            left = elapsed * (1 - share) / share
        if left is None and phase in self.expected_s:
            left = max(self.expected_s[phase] - elapsed, 0.0)
        if left is None:
            return None
        low, high = PHASE_SHARES[phase]
        rate = (elapsed + left) / (high - low)
        later = [name for name, (begin, _) in PHASE_SHARES.items() if begin >= high]
        if not self.training.request.get("publish", True):
            later = [name for name in later if name != "publish"]
        widths = {name: end - begin for name, (begin, end) in PHASE_SHARES.items()}
        return round(left + sum(self.expected_s.get(name, rate * widths[name]) for name in later), 1)

    @property
    def must_stop(self) -> bool:
        """Whether the run was cancelled, lost or stalled, or this worker shuts down."""
        events = (self._cancelled, self._lost, self._stalled, STOPPING)
        return any(event.is_set() for event in events)

    def check(self) -> None:
        """Raise Cancelled, LeaseLost, Stalled or Interrupted if the run must stop."""
        if self._cancelled.is_set():
            raise Cancelled
        if self._lost.is_set():
            raise LeaseLost
        if self._stalled.is_set():
            phase = self._seen.get("phase", "start")
            raise Stalled(f"no progress for {self.stall_s:.0f} s at {phase}")
        if STOPPING.is_set():
            raise Interrupted

    @contextlib.contextmanager
    def timed(self, phase: str, *, is_last: bool = False) -> Iterator[None]:
        """Report the phase's begin at once and note its wall time at its end.

        Once the last one is over, a stop comes too late.
        """
        self._began_at = started = time.monotonic()
        self.note(f"{phase} begins")
        self.report(phase, 0.0, message="")
        self._write()
        self.check()
        yield
        self.timings_s[phase] = round(time.monotonic() - started, 2)
        self.note(f"{phase} has ended after {self.timings_s[phase]} s")
        with contextlib.suppress(*((Cancelled, Interrupted, LeaseLost, Stalled) if is_last else ())):
            self.report(phase, 1.0, timings_s=dict(self.timings_s))
            self._write()
            self.check()

    def note(self, text: str) -> None:
        """Add a line to the run's log; one that cannot be written is no reason to stop."""
        with contextlib.suppress(OSError), (self.folder / LOG).open("a") as file:
            file.write(f"{utc_now():%Y-%m-%dT%H:%M:%SZ} {self.training.worker or 'worker'}: {text}\n")
