"""Performs the steps of a conversation over HTTP, blocking or asynchronous."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any, TypeVar

import httpx2

from lsec.client.exchange import Call, Dropped, Flow, Item, Next, Open, Outcome, Pause, Reply, Step, Together
from lsec.core.errors import InvalidInput

T = TypeVar("T")
GRACE_S = 1.0
"""How long conversations that are to end may take for the request that is under way."""


class Stopped(Exception):
    """A conversation was ended from outside."""


class Wire(ExitStack):
    """Performs steps; holds the open answer, if there is one, until the next is opened.

    Once `stop` is set, no step begins any more and pauses end: Stopped.
    """

    def __init__(self, http: httpx2.Client, stop: threading.Event | None = None) -> None:
        super().__init__()
        self._http = http
        self._stop = stop or threading.Event()
        self._items: Iterator[Item] = iter(())

    def run(self, flow: Flow[T]) -> T:
        """What a conversation returns."""
        outcome: Outcome = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            outcome = self.perform(step)

    def perform(self, step: Step) -> Outcome:
        if self._stop.is_set():
            raise Stopped
        try:
            match step:
                case Pause(seconds):
                    if self._stop.wait(seconds):
                        raise Stopped
                    return None
                case Together(flows, connections):
                    self._hold(flows, connections)
                    return None
                case Call():
                    response = self._http.request(**_arguments(step))
                    return Reply(response.status_code, response.headers, response.content)
                case Open():
                    return self._open(step)
                case Next():
                    return next(self._items, None)
        except httpx2.RequestError as error:
            return _dropped(error)

    def _hold(self, flows: Iterator[Flow[None]], connections: int) -> None:
        """A thread for each conversation; this one alone reads the iterator, which Ctrl-C interrupts.

        They are daemons: whoever ends this process need not wait for a request without an answer.
        """
        free, stop = threading.Semaphore(connections), threading.Event()
        failures: list[BaseException] = []
        threads: list[threading.Thread] = []

        def converse(flow: Flow[None]) -> None:
            try:
                with Wire(self._http, stop) as wire:
                    wire.run(flow)
            except BaseException as error:  # noqa: BLE001 - raised again below, in the caller's thread
                failures.append(error)
                stop.set()
            finally:
                free.release()

        try:
            while free.acquire() and not failures and (flow := next(flows, None)) is not None:
                threads = [thread for thread in threads if thread.is_alive()]
                threads.append(threading.Thread(target=converse, args=(flow,), daemon=True))
                threads[-1].start()
            for thread in threads:
                while thread.is_alive() and not failures:
                    thread.join(0.05)
        finally:
            stop.set()
            deadline = time.monotonic() + GRACE_S
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
        if failures:
            raise failures[0]

    def _open(self, step: Open) -> Reply:
        self.close()
        response = self.enter_context(self._http.stream(**_arguments(step.call)))
        if response.status_code >= 400:
            return Reply(response.status_code, response.headers, response.read())
        if step.as_events:
            self._items = (Item(event.data, event.event, event.id) for event in httpx2.EventSource(response))
        elif step.as_bytes:
            self._items = (Item("", content=chunk) for chunk in response.iter_bytes())
        else:
            self._items = (Item(line) for line in response.iter_lines())
        return Reply(response.status_code, response.headers, b"")


class AsyncWire(AsyncExitStack):
    """The same, asynchronous."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        super().__init__()
        self._http = http
        self._items: AsyncIterator[Item] = _nothing()

    async def run(self, flow: Flow[T]) -> T:
        """What a conversation returns."""
        outcome: Outcome = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            outcome = await self.perform(step)

    async def perform(self, step: Step) -> Outcome:
        try:
            match step:
                case Pause(seconds):
                    await asyncio.sleep(seconds)
                    return None
                case Together(flows, connections):
                    await self._hold(flows, connections)
                    return None
                case Call():
                    response = await self._http.request(**_arguments(step))
                    return Reply(response.status_code, response.headers, response.content)
                case Open():
                    return await self._open(step)
                case Next():
                    return await anext(self._items, None)
        except httpx2.RequestError as error:
            return _dropped(error)

    async def _hold(self, flows: Iterator[Flow[None]], connections: int) -> None:
        free = asyncio.Semaphore(connections)

        async def converse(flow: Flow[None]) -> None:
            try:
                async with AsyncWire(self._http) as wire:
                    await wire.run(flow)
            finally:
                free.release()

        try:
            async with asyncio.TaskGroup() as group:
                while await free.acquire() and (flow := next(flows, None)) is not None:
                    group.create_task(converse(flow))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _open(self, step: Open) -> Reply:
        await self.aclose()
        response = await self.enter_async_context(self._http.stream(**_arguments(step.call)))
        if response.status_code >= 400:
            return Reply(response.status_code, response.headers, await response.aread())
        if step.as_events:
            self._items = (
                Item(event.data, event.event, event.id) async for event in httpx2.EventSource(response)
            )
        elif step.as_bytes:
            self._items = (Item("", content=chunk) async for chunk in response.aiter_bytes())
        else:
            self._items = (Item(line) async for line in response.aiter_lines())
        return Reply(response.status_code, response.headers, b"")


async def _nothing() -> AsyncIterator[Item]:
    return
    yield  # makes this a generator


def _arguments(call: Call) -> dict[str, Any]:
    headers = {"Content-Type": call.content_type, "Content-Encoding": call.content_encoding}
    return {
        "method": call.method,
        "url": call.path,
        "params": {name: value for name, value in call.params.items() if value is not None},
        "content": call.content,
        "headers": {name: value for name, value in headers.items() if value},
        "timeout": call.timeout_s,
    }


def _dropped(error: httpx2.RequestError) -> Dropped:
    return Dropped(f"{error.request.url}: {error or type(error).__name__}")


def checked_address(base_url: str) -> str:
    """The address; InvalidInput if it is none of HTTP."""
    if not base_url.startswith(("http://", "https://")):
        raise InvalidInput(
            f"{base_url!r} is no address of an API.", remedy="Give one such as http://127.0.0.1:8000."
        )
    return base_url


def headers_of(api_key: str) -> dict[str, str]:
    """The headers that carry a key; none for ''."""
    return {"Authorization": f"Bearer {api_key}"} if api_key else {}
