"""A small API on a real port that misbehaves as a test asks it to."""

import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import msgspec
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send


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
    lag_polls: int = 0

    async def events(self, request: Request) -> Response:
        self.requests.append(request)
        self.request_times.append(time.monotonic())
        body = await request.body()
        mood = self.moods.pop(0) if self.moods else "well"
        if mood == "busy":
            problem = {"title": "Overloaded", "status": 503, "detail": "backlog"}
            return JSONResponse(problem, 503, {"Retry-After": "1"})
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
        committed = min(7, 2 * self.lag_polls)
        shard = {"shard": 0, "appended": 7, "committed": committed, "backlog_events": 7 - committed}
        return JSONResponse({"backlog_events": 7 - committed, "shards": [shard], "dead_letters": 0})

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
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    moody.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield moody
    server.should_exit = True
    thread.join()
