"""The load of reads: what it counts, against a server that answers as it is told to."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from bench.read_load import closed_loop, get_request, open_loop

BODY = b'{"products":[]}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
    len(BODY),
    BODY,
)
REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
REQUESTS = [get_request(f"/v1/users/u{number}/recommendations", "lsec_key") for number in range(3)]

Send = Callable[[socket.socket, int], None]
"""Answers a connection's request, the n-th of all."""


@contextmanager
def server(send: Send) -> Iterator[tuple[int, list[bytes]]]:
    """The port of a server, and the requests that it has read."""
    seen: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        # A load that ends leaves answers behind that nobody reads.
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65_536):
                seen.append(data)
                send(connection, len(seen))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1], seen
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def send_whole(connection: socket.socket, _: int) -> None:
    connection.sendall(ANSWER)


def send_in_pieces(connection: socket.socket, _: int) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for cut in (ANSWER[:20], ANSWER[20:-3], ANSWER[-3:]):
        connection.sendall(cut)
        time.sleep(0.002)


@pytest.mark.parametrize("send", [send_whole, send_in_pieces])
def test_each_connection_asks_again_when_its_answer_is_complete(send: Send) -> None:
    with server(send) as (port, seen):
        found = closed_loop(port, REQUESTS, seconds=0.5, connections=3)
    assert 0 <= len(seen) - len(found.seconds) <= 3
    assert set(seen) == set(REQUESTS)
    assert found.per_second == pytest.approx(len(found.seconds) / 0.5, rel=0.5)
    assert found.ms(50) > (4 if send is send_in_pieces else 0)


def test_a_stall_delays_all_reads_that_were_due_in_it() -> None:
    def send(connection: socket.socket, number: int) -> None:
        if number == 50:
            time.sleep(0.5)
        connection.sendall(ANSWER)

    with server(send) as (port, seen):
        found = open_loop(port, REQUESTS, seconds=1.0, per_second=200, connections=1)
    assert len(seen) == len(found.seconds) == 200
    # 100 came due in the half second, and waited half of it on average.
    late = found.seconds[found.seconds > 0.1]
    assert len(late) > 60
    assert 0.2 < late.mean() < 0.7


def test_a_rate_that_a_server_holds_is_held() -> None:
    with server(send_whole) as (port, _):
        found = open_loop(port, REQUESTS, seconds=1.0, per_second=300)
    assert found.per_second == pytest.approx(300, rel=0.2)


def test_what_is_refused_is_counted_apart() -> None:
    def send(connection: socket.socket, number: int) -> None:
        connection.sendall(ANSWER if number % 2 else REFUSAL)

    with server(send) as (port, _):
        paced = open_loop(port, REQUESTS, seconds=0.5, per_second=100, connections=1)
    assert (len(paced.seconds), paced.num_refused) == (25, 25)
    with server(send) as (port, seen):
        found = closed_loop(port, REQUESTS, seconds=0.3, connections=1)
    assert len(seen) - 1 <= len(found.seconds) + found.num_refused <= len(seen)
    assert abs(len(found.seconds) - found.num_refused) <= 1


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 500 Internal Server Error\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]
)
def test_another_answer_ends_the_benchmark(answer: bytes) -> None:
    with server(lambda connection, _: connection.sendall(answer)) as (port, _), pytest.raises(SystemExit):
        closed_loop(port, REQUESTS, seconds=5.0, connections=1)
