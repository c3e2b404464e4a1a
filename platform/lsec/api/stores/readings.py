"""Readings that all who ask for the same thing wait for together, until it changes."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Readings(Generic[T]):
    """One reading at a time for each key; what it gives is kept unless the key was forgotten meanwhile."""

    def __init__(
        self, read: Callable[[str], Coroutine[Any, Any, T]], *, keep: Callable[[str, T], None]
    ) -> None:
        self._read = read
        self._keep = keep
        self._under_way: dict[str, asyncio.Task[T]] = {}
        self._tasks: set[asyncio.Task[T]] = set()
        """Those under way, and those whose key was forgotten since they began."""

    def __len__(self) -> int:
        return len(self._under_way)

    def __contains__(self, key: str) -> bool:
        return key in self._under_way

    def begin(self, key: str) -> asyncio.Task[T]:
        """The reading that is under way for a key, or a new one."""
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(self._read(key))
            self._tasks.add(task)
            task.add_done_callback(lambda done: self._end(key, done))
        return task

    def forget(self, key: str) -> None:
        """Take in that what is being read for a key is older than a change."""
        self._under_way.pop(key, None)

    def forget_all(self) -> None:
        """The same for every key."""
        self._under_way.clear()

    async def close(self) -> None:
        """Wait for what is being read."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _end(self, key: str, done: asyncio.Task[T]) -> None:
        self._tasks.discard(done)
        # Whoever waits hears of a failure; nobody may be waiting.
        has_result = has_succeeded(done)
        if self._under_way.get(key) is done:
            del self._under_way[key]
            if has_result:
                self._keep(key, done.result())


def has_succeeded(task: asyncio.Task[Any]) -> bool:
    """Whether the task has a result."""
    return task.done() and not task.cancelled() and task.exception() is None
