"""Producers that send a ledger's requests over several connections and retry as real ones would."""

import threading
import time
from collections import deque
from dataclasses import dataclass

from graph_schema.events import Event
from lsec.client import Client
from tests.faults.ledger import Ledger

PATIENCE_S = 600.0
ASK_AGAIN_S = 2.0
"""An event that is refused for its time is sent again after this long."""


@dataclass(slots=True)
class Tally:
    """What the API answered; what a retry repeats of a lost answer counts as duplicates."""

    accepted: int = 0
    duplicates: int = 0
    refused: int = 0
    retries: int = 0


class Producers:
    """Threads that take a ledger's requests in turn, each when it is due."""

    def __init__(
        self, ledger: Ledger, *, url: str, secret: str, duration_s: float, num_connections: int = 4
    ) -> None:
        self.tally = Tally()
        self._url, self._secret = url, secret
        self._lock = threading.Lock()
        started, step = time.monotonic(), duration_s / len(ledger.requests)
        self._waiting = deque((started + place * step, each) for place, each in enumerate(ledger.requests))
        self._faults: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(num_connections)]
        for thread in self._threads:
            thread.start()

    @property
    def num_waiting(self) -> int:
        """Requests that are not sent yet."""
        return len(self._waiting)

    def join(self, *, timeout_s: float) -> Tally:
        """Waits until everything was accepted; raises what went wrong."""
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._faults:
            raise self._faults[0]
        if any(thread.is_alive() for thread in self._threads):
            raise TimeoutError(f"{len(self._waiting)} requests are not sent after {timeout_s:.0f} s")
        return self.tally

    def _run(self) -> None:
        try:
            with Client(self._url, self._secret) as client:
                while not self._faults and (request := self._next()):
                    self._send(client, request)
        except BaseException as fault:  # noqa: BLE001 - `join` raises it
            self._faults.append(fault)

    def _next(self) -> list[Event]:
        """The next request once it is due; empty when there are none left."""
        with self._lock:
            if not self._waiting:
                return []
            due, request = self._waiting.popleft()
        time.sleep(max(0.0, due - time.monotonic()))
        return request

    def _send(self, client: Client, request: list[Event]) -> None:
        """One request until it is in; events of a clock that is ahead later again."""
        totals = client.send_events(request, batch=len(request), patience_s=PATIENCE_S)
        if strange := [each for each in totals.rejected if each.field != "at"]:
            raise AssertionError(f"the API refused {strange[0]}")
        with self._lock:
            self.tally.accepted += totals.accepted
            self.tally.duplicates += totals.duplicates
            self.tally.refused += len(totals.rejected)
            self.tally.retries += totals.retries
            if totals.rejected:
                again = [request[each.index] for each in totals.rejected]
                self._waiting.append((time.monotonic() + ASK_AGAIN_S, again))
