"""Performs the steps of a conversation over HTTP, blocking or asynchronous."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import httpx2

from lsec.client.exchange import Call, Dropped, Item, Next, Open, Outcome, Pause, Reply, Step


class Wire(ExitStack):
    """Performs steps; holds the open answer, if there is one, until the next is opened."""

    def __init__(self, http: httpx2.Client) -> None:
        super().__init__()
        self._http = http
        self._items: Iterator[Item] = iter(())

    def perform(self, step: Step) -> Outcome:
        try:
            match step:
                case Pause(seconds):
                    time.sleep(seconds)
                    return None
                case Call():
                    response = self._http.request(**_arguments(step))
                    return Reply(response.status_code, response.headers, response.content)
                case Open(call, as_events):
                    return self._open(call, as_events=as_events)
                case Next():
                    return next(self._items, None)
        except httpx2.RequestError as error:
            return _dropped(error)

    def _open(self, call: Call, *, as_events: bool) -> Reply:
        self.close()
        response = self.enter_context(self._http.stream(**_arguments(call)))
        if response.status_code >= 400:
            return Reply(response.status_code, response.headers, response.read())
        if as_events:
            self._items = (Item(event.data, event.event) for event in httpx2.EventSource(response))
        else:
            self._items = (Item(line) for line in response.iter_lines())
        return Reply(response.status_code, response.headers, b"")


class AsyncWire(AsyncExitStack):
    """The same, asynchronous."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        super().__init__()
        self._http = http
        self._items: AsyncIterator[Item] = _nothing()

    async def perform(self, step: Step) -> Outcome:
        try:
            match step:
                case Pause(seconds):
                    await asyncio.sleep(seconds)
                    return None
                case Call():
                    response = await self._http.request(**_arguments(step))
                    return Reply(response.status_code, response.headers, response.content)
                case Open(call, as_events):
                    return await self._open(call, as_events=as_events)
                case Next():
                    return await anext(self._items, None)
        except httpx2.RequestError as error:
            return _dropped(error)

    async def _open(self, call: Call, *, as_events: bool) -> Reply:
        await self.aclose()
        response = await self.enter_async_context(self._http.stream(**_arguments(call)))
        if response.status_code >= 400:
            return Reply(response.status_code, response.headers, await response.aread())
        if as_events:
            self._items = (Item(event.data, event.event) async for event in httpx2.EventSource(response))
        else:
            self._items = (Item(line) async for line in response.aiter_lines())
        return Reply(response.status_code, response.headers, b"")


async def _nothing() -> AsyncIterator[Item]:
    return
    yield  # makes this a generator


def _arguments(call: Call) -> dict[str, Any]:
    return {
        "method": call.method,
        "url": call.path,
        "params": {name: value for name, value in call.params.items() if value is not None},
        "content": call.content,
        "headers": {"Content-Type": call.content_type} if call.content_type else {},
        "timeout": call.timeout_s,
    }


def _dropped(error: httpx2.RequestError) -> Dropped:
    return Dropped(f"{error.request.url}: {error or type(error).__name__}")
