"""Load of reads from a process of its own: sockets and epoll, requests made beforehand, little CPU.

The load shares the machine with what it measures, so an answer costs as few steps here as Python allows:
its status, its length, its time. No library of clients comes near that, and wrk is no Python package.
"""

import gc
import multiprocessing
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

RECEIVED_BYTES = 262_144
CONNECTIONS = 16
GRACE_S = 30.0
"""An answer that takes longer ends the benchmark."""
_OK, _REFUSED = b"HTTP/1.1 200", b"HTTP/1.1 503"
_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


@dataclass(frozen=True, slots=True)
class Latencies:
    """Seconds that each answer took, how many came a second, and how many were refused (503) beside them."""

    seconds: NDArray[np.float64]
    per_second: float
    num_refused: int = 0

    def ms(self, percentile: float) -> float:
        """A percentile of them in milliseconds; SystemExit if there are none."""
        if not len(self.seconds):
            raise SystemExit(f"Nothing was answered, and {self.num_refused} requests were refused.")
        return float(np.percentile(self.seconds, percentile)) * 1000


def get_request(path: str, secret: str) -> bytes:
    """The bytes of a GET with a key."""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {secret}\r\n\r\n".encode()


def closed_loop(
    port: int, requests: Sequence[bytes], *, seconds: float, connections: int = CONNECTIONS
) -> Latencies:
    """Each connection asks again as soon as it has its answer."""
    return _in_a_process(_ask_again, port, requests, seconds, connections)


def open_loop(
    port: int,
    requests: Sequence[bytes],
    *,
    seconds: float,
    per_second: float,
    connections: int = 64,
    beside: Callable[[], None] = lambda: None,
) -> Latencies:
    """Requests at a steady rate, whatever becomes of those before.

    Latency counts from the moment a request was due, though it had to wait for a free connection: a
    server that stalls delays all that were due meanwhile, and each of them counts (no coordinated omission).
    `beside` is called right before the first one.
    """
    return _in_a_process(_ask_when_due, port, requests, seconds, connections, per_second, beside=beside)


def _in_a_process(
    loop: Callable[..., Latencies], *arguments: Any, beside: Callable[[], None] = lambda: None
) -> Latencies:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_run, args=(there, loop, arguments))
    process.start()
    there.close()
    try:
        # A new process first imports what it needs, which takes seconds of a core.
        here.recv()
        beside()
        here.send(None)
        found: Latencies = here.recv()
    except EOFError:
        raise SystemExit("The load has ended early; what it wrote tells why.") from None
    finally:
        process.join()
    return found


def _run(parent: Any, loop: Callable[..., Latencies], arguments: tuple[Any, ...]) -> None:
    gc.disable()
    parent.send(None)
    parent.recv()
    parent.send(loop(*arguments))


class _Connections:
    """Kept-alive connections, each with one request under way at most."""

    def __init__(self, port: int, num: int) -> None:
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._partial: dict[int, bytes] = {}
        for _ in range(num):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setblocking(False)
            self._poll.register(connection, select.EPOLLIN)
            self._sockets[connection.fileno()] = connection

    @property
    def numbers(self) -> list[int]:
        """One of each."""
        return list(self._sockets)

    def send(self, number: int, request: bytes) -> None:
        """Send a request, which fits a socket's buffer."""
        self._sockets[number].send(request)

    def answered(self, timeout_s: float) -> Iterator[tuple[int, bool]]:
        """Those whose answer is complete, after waiting for one, and whether it is 200; else it is 503.

        SystemExit for any other answer.
        """
        for number, _ in self._poll.poll(timeout_s):
            data = self._sockets[number].recv(RECEIVED_BYTES)
            if number in self._partial:
                data = self._partial.pop(number) + data if data else data
            is_ok = data.startswith(_OK)
            if not is_ok and not data.startswith(_REFUSED):
                raise SystemExit(f"no answer: {data[:2000]!r}")
            if _is_complete(data):
                yield number, is_ok
            else:
                self._partial[number] = data

    def close(self) -> None:
        """Close all."""
        for connection in self._sockets.values():
            connection.close()
        self._poll.close()


def _is_complete(data: bytes) -> bool:
    """Whether an answer that begins with its status is all there; one without a length ends the benchmark."""
    end = data.find(_END)
    if end < 0:
        return False
    place = data.find(_LENGTH, 0, end)
    if place < 0:
        raise SystemExit(f"an answer without its length: {data[:end]!r}")
    length = int(data[place + len(_LENGTH) : data.find(b"\r\n", place)])
    return len(data) >= end + len(_END) + length


def _ask_again(port: int, requests: Sequence[bytes], seconds: float, num_connections: int) -> Latencies:
    connections = _Connections(port, num_connections)
    following = cycle(requests)
    took: list[float] = []
    sent_at: dict[int, float] = {}
    clock = time.perf_counter
    started = clock()
    for number in connections.numbers:
        sent_at[number] = clock()
        connections.send(number, next(following))
    num_refused = 0
    while (now := clock()) - started < seconds:
        for number, is_ok in connections.answered(GRACE_S):
            now = clock()
            if is_ok:
                took.append(now - sent_at[number])
            else:
                num_refused += 1
            sent_at[number] = now
            connections.send(number, next(following))
    connections.close()
    return Latencies(np.array(took), len(took) / (now - started), num_refused)


def _ask_when_due(
    port: int, requests: Sequence[bytes], seconds: float, num_connections: int, per_second: float
) -> Latencies:
    connections = _Connections(port, num_connections)
    following = cycle(requests)
    # By turns: the server closes a connection that it has not heard of for some seconds.
    idle = deque(connections.numbers)
    due_at: dict[int, float] = {}
    took: list[float] = []
    clock = time.perf_counter
    num_requests = round(seconds * per_second)
    num_sent = num_refused = 0
    started = clock()
    while len(took) + num_refused < num_requests:
        now = clock()
        while idle and num_sent < num_requests and (due := started + num_sent / per_second) <= now:
            number = idle.popleft()
            due_at[number] = due
            connections.send(number, next(following))
            num_sent += 1
        is_waiting = idle and num_sent < num_requests
        wait_s = max(0.0, started + num_sent / per_second - clock()) if is_waiting else GRACE_S
        for number, is_ok in connections.answered(wait_s):
            if is_ok:
                took.append(clock() - due_at[number])
            else:
                num_refused += 1
            idle.append(number)
    ended = clock()
    connections.close()
    return Latencies(np.array(took), len(took) / (ended - started), num_refused)
