"""Users in every place that can hold them, steps of the upkeep, and where they are held still."""

import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from sqlalchemy.orm import Session

from graph_schema.events import Event, UserBought, UserUpserted, UserViewed, UserWatched
from lsec.core.artifact import open_artifact
from lsec.core.ledger import (
    DeadLetter,
    Erasure,
    Training,
    TrainingStatus,
    dead_letter_id,
    utc_now,
)
from lsec.core.settings import Settings
from lsec.local.services import environment
from tests.integration.ingest_stack import KEYS, IngestStack
from tests.integration.small_release import write_artifact
from workers.ledger import record_release
from workers.publish import publish
from workers.snapshot import Scope, export_snapshot
from workers.upkeep.erasure import Upkeep

USER, OTHER = "person-0f3c9a", "person-other"
RELEASE = "rel_1"
RUN = "trn_1"


def acts(user_id: str, at: datetime, *, prefix: str) -> list[Event]:
    """Something of each place in the graph."""
    return [
        UserUpserted(event_id=f"{prefix}1", at=at, user_id=user_id, name=f"Name of {user_id}"),
        UserViewed(event_id=f"{prefix}2", at=at, user_id=user_id, product_id="p1", stream_id="t1"),
        UserWatched(event_id=f"{prefix}3", at=at, user_id=user_id, streamer_id="s1", seconds=5),
        UserBought(event_id=f"{prefix}4", at=at, user_id=user_id, product_id="p2", amount=7),
    ]


def fill(stack: IngestStack) -> None:
    """Both users everywhere: graph, log, dead letters, a run's snapshot, an active release."""
    now = utc_now()
    stack.append(acts(USER, now - timedelta(days=3), prefix="a") + acts(OTHER, now, prefix="b"))
    stack.drain()
    add_dead_letters(stack, now)
    add_run(stack, RUN, TrainingStatus.SUCCEEDED, started_at=now - timedelta(hours=1))
    export_snapshot(stack.driver, stack.settings.runs_path / RUN / "snapshot", Scope())
    add_artifact(stack, RELEASE)
    artifact = open_artifact(stack.settings.artifacts_path / RELEASE)
    record_release(stack.engine, artifact.manifest)
    publish(stack.driver, artifact)


def add_artifact(stack: IngestStack, release_id: str) -> None:
    slates = {USER: ["p1"], OTHER: ["p1"]}
    folder = stack.settings.artifacts_path / release_id
    write_artifact(folder, slates, products=["p1", "p2"], popular=["p2"])


def add_run(stack: IngestStack, training_id: str, status: TrainingStatus, *, started_at: datetime) -> None:
    with Session(stack.engine) as session, session.begin():
        session.add(
            Training(id=training_id, status=status, request={}, requested_by="k", started_at=started_at)
        )


def add_dead_letters(stack: IngestStack, now: datetime) -> None:
    """One of each user's, one that nobody can read, and one of the time after the erasure."""
    later = now + timedelta(days=2)
    payloads = [
        msgspec.msgpack.encode(UserViewed(event_id="d", at=at, user_id=user_id, product_id="p1"))
        for at, user_id in ((now, USER), (now, OTHER), (later, USER))
    ]
    with Session(stack.engine) as session, session.begin():
        for position, payload in enumerate([*payloads, b"\xff" + USER.encode(), b"\xff nobody's"]):
            place: dict[str, Any] = {"epoch": "e", "shard": 0, "entry_id": "1-0", "position": position}
            letter_id = dead_letter_id(**place)
            session.add(DeadLetter(id=letter_id, event_id="d", payload=payload, reason="r", **place))


def eager(stack: IngestStack) -> Settings:
    """Settings that keep nothing of the log."""
    return stack.settings.model_copy(update={"log_retention_s": 0})


def step(stack: IngestStack, settings: Settings | None = None) -> list[Erasure]:
    """What is open after a step of the upkeep."""
    return Upkeep(settings or stack.settings, stack.engine, stack.driver, stack.client).step()


def pass_minutes(stack: IngestStack) -> None:
    """What the time does to the stream of changes."""
    stack.client.xtrim(KEYS.changes, maxlen=0)


def ask(client: httpx2.Client, user_id: str = USER) -> dict[str, Any]:
    answer = client.delete(f"/v1/users/{user_id}")
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == f"/v1/erasures/{found['id']}"
    return found


def state(client: httpx2.Client, erasure_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/v1/erasures/{erasure_id}").json()
    return found


PERSONAL = ("slate", "folded_in")
"""Where products come from that are chosen for this user."""


def source(client: httpx2.Client, user_id: str) -> str:
    return str(client.get(f"/v1/users/{user_id}/recommendations").json().get("source"))


def slates(client: httpx2.Client) -> list[str]:
    lines = client.get(f"/v1/releases/{RELEASE}/slates").text.splitlines()
    return [msgspec.json.decode(line)["user_id"] for line in lines]


def holders(stack: IngestStack, user_id: str = USER) -> set[str]:
    """Files of the platform that hold a user's id; the stores of Neo4j are its own.

    Another process looks: one that closes a file gives up all locks that SQLite holds on it in that process.
    """
    data_dir = stack.settings.data_dir
    command = ["grep", "-rlaF", "--exclude-dir=neo4j", "-e", user_id, str(data_dir)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode in (0, 1, 2), found.stderr  # 2: a file went while it was read
    return {str(Path(line).relative_to(data_dir)) for line in found.stdout.splitlines()}


def user_is_in_the_graph(stack: IngestStack) -> bool:
    records, _, _ = stack.driver.execute_query(
        "MATCH (n) WHERE $id IN [n.id, n.user_id] RETURN count(n) AS num", id=USER
    )
    return bool(records[0]["num"])


def kill_upkeep(settings: Settings, *, after_s: float) -> None:
    """Run the job in a process of its own and kill it so long after its start."""
    program = (
        "from lsec.core.settings import load_settings\n"
        "from workers.upkeep.jobs import continue_erasures\n"
        "settings = load_settings()\n"
        "print(flush=True)\n"
        "continue_erasures(settings)\n"
    )
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **environment(settings)}
    with subprocess.Popen([sys.executable, "-c", program], env=variables, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)


async def ignore(_: object) -> None:
    """What a follower of the active release calls, where nobody follows it."""
