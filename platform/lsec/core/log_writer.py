"""Writes a process's log lines in a thread, those of a moment together."""

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Iterator
from typing import TextIO

WRITE_EVERY_S = 0.05


class BackgroundLines(logging.Handler):
    """Keeps lines until `flush`; one that tells of an error is written at once, after all before it.

    Who logs waits for no stream, however busy the disk behind it is.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: deque[str] = deque()
        self._writing = threading.Lock()

    def handle(self, record: logging.LogRecord) -> bool:
        """Emit the record without the lock of a handler that writes."""
        if is_wanted := bool(self.filter(record)):
            self.emit(record)
        return is_wanted

    def emit(self, record: logging.LogRecord) -> None:
        """Take the record's line in."""
        try:
            self._lines.append(self.format(record))
        # As any handler does: a line that cannot be written must not end what it tells of.
        except Exception:  # noqa: BLE001
            self.handleError(record)
        if record.levelno >= logging.ERROR:
            self.flush()

    def flush(self) -> None:
        """Write what there is; a stream that is gone takes its lines along."""
        with self._writing, contextlib.suppress(OSError, ValueError):
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            if lines:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()


@contextlib.contextmanager
def background_lines() -> Iterator[None]:
    """Within the block a thread writes what the root logger would; at its end all is out."""
    root = logging.getLogger()
    before = next((each for each in root.handlers if type(each) is logging.StreamHandler), None)
    if before is None:
        yield
        return
    handler = BackgroundLines(before.stream)
    handler.setFormatter(before.formatter)
    ended = threading.Event()

    def write_on() -> None:
        while not ended.wait(WRITE_EVERY_S):
            handler.flush()

    thread = threading.Thread(target=write_on, name="log lines", daemon=True)
    root.removeHandler(before)
    root.addHandler(handler)
    thread.start()
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.addHandler(before)
        ended.set()
        thread.join()
        handler.flush()
