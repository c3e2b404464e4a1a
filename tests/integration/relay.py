"""A way to a service that can be cut, so that the service is away for those who take it."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

BUFFER_BYTES = 65536


class Relay:
    """Passes bytes on in both directions until it is cut."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._ends: list[socket.socket] = []
        self._is_cut = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break all connections, and take no more."""
        self._is_cut = True
        for end in (self._listener, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._is_cut:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._ends += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=_pass_on, args=pair, daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    # Either end may go at any time: then so does the other.
    with contextlib.suppress(OSError):
        while data := source.recv(BUFFER_BYTES):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def relay_to(url: str) -> Iterator[Relay]:
    """A relay to the host and port of a URL, cut at the end of the block."""
    address = urlsplit(url)
    assert address.hostname
    assert address.port
    relay = Relay((address.hostname, address.port))
    try:
        yield relay
    finally:
        relay.cut()
