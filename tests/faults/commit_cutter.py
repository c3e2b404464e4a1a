"""A way to Neo4j on which some commits, or the answers to them, get lost."""

import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator

COMMIT = b"\x00\x02\xb0\x12\x00\x00"
"""Bolt's COMMIT: a chunk of two bytes, a structure without fields of signature 0x12, and the end."""
BUFFER_BYTES = 65536
QUIET_S = 0.5


class CommitCutter:
    """Passes bytes on, but cuts at every other commit, by turns before Neo4j has it and before its answer."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.num_before = self.num_after = 0
        self._target = target
        self._commits = itertools.count(1)
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """What stands for Neo4j's address."""
        return f"bolt://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        # Neo4j may be down, and each end may go away at any time: then so does the other.
        with contextlib.suppress(OSError), client, socket.create_connection(self._target) as server:
            deaf = threading.Event()
            answers = threading.Thread(target=_pass_on, args=(server, client, deaf), daemon=True)
            answers.start()
            while data := client.recv(BUFFER_BYTES):
                if COMMIT in data and (number := next(self._commits)) % 2 == 0:
                    if number % 4:
                        self.num_before += 1
                        break
                    deaf.set()
                    server.sendall(data)
                    answers.join(QUIET_S)
                    self.num_after += 1
                    break
                server.sendall(data)
            _shut(client)
            _shut(server)
            answers.join()


def _pass_on(source: socket.socket, target: socket.socket, deaf: threading.Event) -> None:
    """Bytes of one direction to the end; none any more once `deaf` is set."""
    with contextlib.suppress(OSError):
        while data := source.recv(BUFFER_BYTES):
            if not deaf.is_set():
                target.sendall(data)
    _shut(target)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def commit_cutter(host: str, port: int) -> Iterator[CommitCutter]:
    """A cutter before a Neo4j, closed at the end of the block."""
    cutter = CommitCutter((host, port))
    try:
        yield cutter
    finally:
        cutter.close()
