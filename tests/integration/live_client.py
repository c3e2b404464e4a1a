"""A listener of the live feed, and events for it."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2

from tests.integration.api_server import wait_until

AT = datetime.now(UTC).replace(microsecond=0)


def eventually(condition: Callable[[], bool]) -> None:
    """Poll `condition` until it is true; there is time for a server to start again."""
    wait_until(condition, timeout_s=30)


@dataclass
class Seen:
    """What a listener got: the event ids, the messages' own names and ids, and the gaps."""

    events: list[dict[str, Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    token: str = ""

    @property
    def ids(self) -> list[str]:
        return [event["event_id"] for event in self.events]

    def take(self, message: httpx2.ServerSentEvent) -> None:
        self.token = message.id
        if message.event == "gap":
            self.gaps.append(json.loads(message.data))
        elif message.data:
            self.events.append(json.loads(message.data))
            self.names.append(message.event)
            self.tokens.append(message.id)


@contextmanager
def listening(client: httpx2.Client, token: str = "", **params: Any) -> Iterator[Seen]:
    """What comes in while the block runs; it begins once the feed has said where it is."""
    seen = Seen()
    headers = {"Last-Event-ID": token} if token else {}
    with client.stream("GET", "/v1/events/live", params=params, headers=headers, timeout=60) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")

        def listen() -> None:
            try:
                for message in httpx2.EventSource(answer):
                    seen.take(message)
            except (httpx2.StreamError, httpx2.TransportError):
                return

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            eventually(lambda: bool(seen.token))
            yield seen
        finally:
            answer.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            listener.join()


def viewed(event_id: str, user: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "type": "user.viewed",
        "event_id": event_id,
        "at": AT.isoformat().replace("+00:00", "Z"),
        "user_id": f"u{user}",
        "product_id": "p1",
        **fields,
    }


def send(client: httpx2.Client, *events: dict[str, Any]) -> None:
    assert client.post("/v1/events", json=list(events)).status_code == 202
