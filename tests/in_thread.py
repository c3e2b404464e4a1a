"""Runs a server of uvicorn in a thread of the test process."""

import contextlib
import threading
import time
from collections.abc import Iterator

import uvicorn

START_TIMEOUT_S = 20


@contextlib.contextmanager
def running(server: uvicorn.Server) -> Iterator[str]:
    """The address of the server, whose port should be 0 to be any free one; it stops with the block."""
    thread = threading.Thread(target=server.run, name="server")
    thread.start()
    deadline = time.monotonic() + START_TIMEOUT_S
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)
    try:
        assert server.started, "the server did not start"
        host, port = server.servers[0].sockets[0].getsockname()
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join()
