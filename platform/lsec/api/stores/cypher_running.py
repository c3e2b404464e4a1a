"""A statement on its way: what was asked, what has become of it, and the lines for whoever reads it."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

Mode = Literal["run", "explain", "profile"]
READ_WITHIN_S = 10.0
"""So long a slow reader has for the end of an answer."""
CHUNKS_AHEAD = 8
"""Chunks that wait for the reader at most."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller wants to run."""

    statement: str
    parameters: dict[str, Any]
    mode: Mode
    timeout_s: float
    max_rows: int


@dataclass(slots=True)
class Running:
    """A statement on its way; `lines` are read from it, and closing it ends it."""

    id: str
    asked: Asked
    key_id: str
    kept: str = ""
    begun: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    queue: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(CHUNKS_AHEAD))
    task: asyncio.Task[None] | None = None
    started: float = field(default_factory=time.monotonic)
    num_rows: int = 0
    num_bytes: int = 0
    outcome: str = "running"
    is_ended: bool = False

    @property
    def ms(self) -> int:
        """Milliseconds since it was sent."""
        return int((time.monotonic() - self.started) * 1000)

    def detail(self) -> dict[str, Any]:
        """What the audit keeps of it."""
        return {
            "statement": self.kept,
            "parameters": sorted(self.asked.parameters),
            "outcome": self.outcome,
            "rows": self.num_rows,
            "ms": self.ms,
        }

    async def send(self, line: object) -> None:
        """Give a line to the reader, who may be slower."""
        await self.queue.put(orjson.dumps(line) + b"\n")

    def drop(self) -> None:
        """Forget what nobody will read."""
        while not self.queue.empty():
            self.queue.get_nowait()

    async def end(self) -> None:
        """Tell the reader, once, that nothing follows."""
        if self.is_ended:
            return
        self.is_ended = True
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                await self.queue.put(None)
        except TimeoutError:
            log.warning("nobody has read the answer to statement %s", self.id)

    async def lines(self) -> AsyncIterator[bytes]:
        """The answer's lines; a reader who leaves ends the statement."""
        is_read = False
        try:
            while (chunk := await self.queue.get()) is not None:
                if chunk:
                    yield chunk
            is_read = True
        finally:
            if self.task is not None and not is_read:
                self.task.cancel()
