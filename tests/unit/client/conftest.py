"""A small API on a real port that misbehaves as a test asks it to."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import msgspec
import pytest
import uvicorn
import zstandard
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.in_thread import running


class HalfAnswer(Response):
    """Promises a body, and breaks off before it is sent."""

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"99")]})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
        raise ConnectionAbortedError


@dataclass
class MoodyApi:
    """Answers events with the next of `moods`; then well, remembering ids as the platform does."""

    url: str = ""
    moods: list[str] = field(default_factory=list)
    seen_ids: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    request_times: list[float] = field(default_factory=list)
    progress_streams: int = 0
    live_streams: int = 0
    lag_polls: int = 0
    lag_ages_s: list[float] = field(default_factory=list)
    """How old the oldest event is that is not in the graph, at one look after the other; then it is 0."""
    dead_letters: int = 0
    sets_aside_again: bool = False
    """Whether a dead letter that is replayed becomes another one."""
    retry_after_s: int = 1
    answers_after_s: float = 0.0
    at_once: int = 0
    most_at_once: int = 0

    async def events(self, request: Request) -> Response:
        self.requests.append(request)
        self.request_times.append(time.monotonic())
        body = await request.body()
        if request.headers.get("content-encoding") == "zstd":
            body = zstandard.decompress(body)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.answers_after_s)
        self.at_once -= 1
        mood = self.moods.pop(0) if self.moods else "well"
        if mood == "busy":
            problem = {"title": "Overloaded", "status": 503, "detail": "backlog"}
            return JSONResponse(problem, 503, {"Retry-After": str(self.retry_after_s)})
        if mood == "refuse":
            problem = {"title": "Not allowed", "status": 403, "detail": "no", "remedy": "Ask for a key."}
            return JSONResponse(problem, 403)
        answer = self._take(body)
        if mood == "lose the answer":
            return HalfAnswer()
        if len(body) > 4_000:
            return JSONResponse({"title": "Body too large", "detail": "past 4000 bytes"}, 413)
        return JSONResponse(answer, 202 if answer["accepted"] or answer["duplicates"] else 422)

    def _take(self, body: bytes) -> dict[str, object]:
        rejected, ids = [], []
        for index, line in enumerate(body.split()):
            try:
                ids.append(str(msgspec.json.decode(line)["event_id"]))
            except (msgspec.DecodeError, KeyError):
                rejected.append({"index": index, "field": "event_id", "reason": "missing"})
        if len(body) > 4_000:
            return {}
        new = [event_id for event_id in ids if event_id not in self.seen_ids]
        self.seen_ids += new
        return {"accepted": len(new), "duplicates": len(ids) - len(new), "rejected": rejected}

    async def lag(self, request: Request) -> Response:
        self.requests.append(request)
        self.lag_polls += 1
        backlog = 7 - min(7, 2 * self.lag_polls)
        appended = 7 + len(self.seen_ids)
        shard = {"shard": 0, "appended": appended, "committed": appended - backlog, "backlog_events": backlog}
        age_s = self.lag_ages_s.pop(0) if self.lag_ages_s else 0.0
        lag = {"backlog_events": backlog, "oldest_uncommitted_age_s": age_s, "shards": [shard]}
        return JSONResponse(lag | {"dead_letters": self.dead_letters})

    async def replay(self, request: Request) -> Response:
        self.requests.append(request)
        num = min(self.dead_letters, int(request.query_params["limit"]))
        if not self.sets_aside_again:
            self.dead_letters -= num
        return JSONResponse({"replayed": num, "refused": [], "open": self.dead_letters})

    async def progress(self, request: Request) -> Response:
        self.requests.append(request)
        self.progress_streams += 1
        return StreamingResponse(self._progress(self.progress_streams), media_type="text/event-stream")

    async def _progress(self, stream: int) -> AsyncIterator[str]:
        yield ": ping\r\n\r\n"
        if stream == 1:
            yield 'event: progress\ndata: {"id": "trn_1", "status": "running", "percent": 10}\n\n'
            raise ConnectionAbortedError
        yield 'event: progress\ndata: {"id": "trn_1", "status": "succeeded",\ndata: "percent": 100}\n\n'
        yield "event: done\ndata: {}\n\n"

    async def live(self, request: Request) -> Response:
        """Breaks off after the first event; goes on, and then refuses."""
        self.requests.append(request)
        self.live_streams += 1
        if self.live_streams > 2:
            return JSONResponse({"title": "Not allowed", "status": 403, "detail": "no"}, 403)
        return StreamingResponse(self._live(self.live_streams), media_type="text/event-stream")

    async def _live(self, stream: int) -> AsyncIterator[str]:
        yield "retry: 1000\nid: 0:0-0.0\n\n"
        event = '"at":"2026-01-01T00:00:00Z","user_id":"u1","product_id":"p[1]","amount":5}'
        if stream == 1:
            yield f'id: 0:1-0.1\nevent: user.bought\ndata: {{"type":"user.bought","event_id":"e1",{event}\n\n'
            yield ": waiting\nid: 0:2-0.7\n\n"
            raise ConnectionAbortedError
        yield 'id: 0:8-0.9\nevent: gap\ndata: {"shard":0,"num_events":2,"reason":"Trimmed."}\n\n'
        yield f'id: 0:9-0.10\nevent: user.viewed\ndata: {{"type":"user.viewed","event_id":"e2",{event}\n\n'

    async def slates(self, request: Request) -> Response:
        self.requests.append(request)
        return StreamingResponse(self._slates(), media_type="application/x-ndjson")

    async def _slates(self) -> AsyncIterator[str]:
        yield '{"user_id": "u1", "products": [{"product_id": "p1", "score": 1.5}]}\n{"user_id"'
        yield ': "u2", "products": []}\n'
        if "break off" in self.moods:
            raise ConnectionAbortedError

    async def recommendations(self, request: Request) -> Response:
        self.requests.append(request)
        if self.moods and self.moods.pop(0) == "away":
            return JSONResponse({"title": "Service unavailable"}, 503)
        reason = {"kind": "users_alike", "text": "3 users alike bought it", "num_users": 3}
        products = [{"product_id": "p1", "score": 0.5, "reason": reason, "new_field": 1}]
        return JSONResponse(
            {
                "user_id": request.path_params["user"],
                "source": "slate",
                "release_id": "r",
                "products": products,
            }
        )

    async def failed_training(self, _request: Request) -> Response:
        error = "Too few purchases. Its log is runs/trn_2/trainer.log."
        return JSONResponse({"id": "trn_2", "status": "failed", "error": error})

    async def failed_progress(self, _request: Request) -> Response:
        data = msgspec.json.encode({"id": "trn_2", "status": "failed", "error": "Its log is trainer.log."})
        return Response(b"event: progress\ndata: " + data + b"\n\n", media_type="text/event-stream")

    async def influence(self, request: Request) -> Response:
        """No purchase names a streamer, and only p2 is sold."""
        self.requests.append(request)
        is_sold = request.query_params.get("product_id") == "p2"
        rows = [{"streamer_id": "s1", "showcases": 4}] if is_sold else []
        name = request.path_params["query"]
        return JSONResponse({"query": name, "columns": ["streamer_id", "showcases"], "rows": rows})

    async def page(self, _request: Request) -> Response:
        return Response("<html>not an API</html>", media_type="text/html")

    def routes(self) -> list[Route]:
        return [
            Route("/v1/events", self.events, methods=["POST"]),
            Route("/v1/events/lag", self.lag),
            Route("/v1/events/live", self.live),
            Route("/v1/dead-letters:replay", self.replay, methods=["POST"]),
            Route("/v1/trainings/trn_1/progress", self.progress),
            Route("/v1/trainings/trn_2", self.failed_training),
            Route("/v1/trainings/trn_2/progress", self.failed_progress),
            Route("/v1/influence/{query}", self.influence),
            Route("/v1/releases/r/slates", self.slates),
            Route("/v1/users/{user:path}/recommendations", self.recommendations),
            Route("/healthz", self.page),
        ]


@pytest.fixture
def api() -> Iterator[MoodyApi]:
    moody = MoodyApi()
    config = uvicorn.Config(
        Starlette(routes=moody.routes()), port=0, log_level=60, lifespan="off", ws="none", loop="asyncio"
    )
    with running(uvicorn.Server(config)) as moody.url:
        yield moody
