"""How long after the 202 of a user's event their next recommendations differ, on a stack of its own.

A thousand users have slates; one after the other buys, views or follows, every other one a new user. The
answer is asked for every few milliseconds until it is another one: a purchase is gone from it, a view or
follow has made the ranking anew.
"""

import itertools
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from bench.serving_market import RELEASE_ID, Market, fill
from bench.stack import make_key, serving
from lsec.core.ledger import Scope
from lsec.core.settings import Settings
from lsec.local import DATABASES, running_stack
from workers.graph import open_driver
from workers.migrate import migrate

MARKET = Market(users=1_000, products=2_000, streamers=50)
ASK_EVERY_S = 0.005
GIVE_UP_S = 30.0
KINDS = ("user.bought", "user.viewed", "user.followed")


def measure(folder: Path, *, num_events: int) -> dict[str, float]:
    """Percentiles over the events, in s; SystemExit if an event changes no answer."""
    settings = Settings(data_dir=folder, bolt_port=0, valkey_port=0)
    with running_stack(settings, services=DATABASES) as stack:
        migrate(stack.settings)
        with open_driver(stack.settings) as driver:
            fill(driver, MARKET, stack.settings.artifacts_path)
        secret = make_key(stack.settings, Scope.ADMIN)
        with (
            serving(stack.settings, secret) as (target, _),
            httpx2.Client(
                base_url=f"http://127.0.0.1:{target.settings.api_port}",
                headers={"Authorization": f"Bearer {secret}"},
                timeout=30,
            ) as client,
        ):
            _await_release(client)
            events = itertools.islice(_events(), num_events + len(KINDS))
            took = [_lag_s(client, event) for event in events][len(KINDS) :]
    p50, p99 = np.percentile(took, [50, 99]).tolist()
    return {"event_to_answer_p50_s": p50, "event_to_answer_p99_s": p99, "events": num_events}


def _events() -> Iterator[dict[str, Any]]:
    """One event a user, of each kind in turn; every other user is a new one."""
    for number in itertools.count():
        kind = KINDS[number % len(KINDS)]
        user_id = f"u{number}" if number % 2 else f"new{number}"
        yield {"type": kind, "event_id": f"lag-{number}", "user_id": user_id}


def _lag_s(client: httpx2.Client, event: dict[str, Any]) -> float:
    before = _scores(client, event["user_id"])
    if event["type"] == "user.followed":
        event["streamer_id"] = "s1"
    else:
        event["product_id"] = next(iter(before))
    event["at"] = datetime.now(UTC).isoformat()
    headers = {"Content-Type": "application/x-ndjson"}
    answer = client.post("/v1/events", content=json.dumps(event), headers=headers)
    accepted_at = time.perf_counter()
    if answer.status_code != 202:
        raise SystemExit(f"The event was answered with {answer.status_code}: {answer.text}")
    while _scores(client, event["user_id"]) == before:
        if time.perf_counter() - accepted_at > GIVE_UP_S:
            raise SystemExit(f"{event['type']} changed nothing for {event['user_id']} in {GIVE_UP_S:.0f} s.")
        time.sleep(ASK_EVERY_S)
    return time.perf_counter() - accepted_at


def _scores(client: httpx2.Client, user_id: str) -> dict[str, float]:
    answer = client.get(f"/v1/users/{user_id}/recommendations")
    answer.raise_for_status()
    return {each["product_id"]: each["score"] for each in answer.json()["products"]}


def _await_release(client: httpx2.Client) -> None:
    """Wait until every process serves the release and follows the changes."""
    num_good, until = 0, time.monotonic() + 120
    while num_good < 20:
        answer = client.get("/v1/users/u1/recommendations")
        is_good = answer.json().get("release_id") == RELEASE_ID and "X-LSEC-Degraded" not in answer.headers
        num_good = num_good + 1 if is_good else 0
        if time.monotonic() > until:
            raise SystemExit("The release is not served.")
        time.sleep(0.05)
