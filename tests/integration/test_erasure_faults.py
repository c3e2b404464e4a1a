"""A fault holds up the erasures that it concerns, and says so; what was reached stays reached."""

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import httpx2
import msgspec
import pytest
import redis
from neo4j.exceptions import DriverError
from sqlalchemy import make_url, select
from sqlalchemy.orm import Session

from lsec.api.app import open_services
from lsec.api.metrics import Metrics
from lsec.api.stores.active_release import ReleaseFollower
from lsec.api.stores.graph import Graph, open_graph
from lsec.core.ledger import Erasure, TrainingStatus, utc_now
from tests.integration.forgetting import (
    RELEASE,
    RUN,
    USER,
    acts,
    add_artifact,
    add_run,
    ask,
    eager,
    fill,
    holders,
    ignore,
    pass_minutes,
    state,
    step,
)
from tests.integration.ingest_stack import KEYS, IngestStack
from workers.upkeep.jobs import continue_erasures
from workers.upkeep.log import UpkeepLog
from workers.upkeep.scrub import scrub


@pytest.fixture
def stack(stack: IngestStack) -> Iterator[IngestStack]:
    """The stack, whose folders are empty in the end."""
    yield stack
    for path in (stack.settings.artifacts_path, stack.settings.runs_path):
        shutil.rmtree(path, ignore_errors=True)


def test_files_that_cannot_be_cleaned_are_named_and_hold_up_nothing_else(
    stack: IngestStack, api_client: httpx2.Client
) -> None:
    fill(stack)
    add_artifact(stack, "rel_2")
    # Neither the files of a run nor an artifact may be like this.
    linked = stack.settings.runs_path / "trn_0"
    linked.mkdir()
    (linked / "artifact").symlink_to(shutil.copytree(stack.settings.runs_path / RUN, linked / "elsewhere"))
    odd = stack.settings.artifacts_path / RELEASE / "no file"
    erasure_id = ask(api_client)["id"]
    stack.drain()
    pass_minutes(stack)
    [waiting] = step(stack, eager(stack))
    [reason] = waiting.waiting_for
    assert reason.startswith("the files of training trn_0: ")
    assert not (stack.settings.runs_path / RUN / "snapshot").exists()

    shutil.rmtree(linked)
    odd.mkdir()
    [waiting] = step(stack, eager(stack))
    [reason] = waiting.waiting_for
    assert reason.startswith(f"the artifact of release {RELEASE}: ")
    assert not {name for name in holders(stack) if "rel_2" in name}
    odd.rmdir()
    assert step(stack, eager(stack)) == []
    assert state(api_client, erasure_id)["state"] == "done"


def test_what_is_in_the_graph_is_known_though_the_step_fails_afterwards(
    stack: IngestStack, api_client: httpx2.Client
) -> None:
    stack.append(acts(USER, utc_now(), prefix="a"))
    erasure_id = ask(api_client)["id"]
    stack.drain()
    stack.client.set(KEYS.changes, "no stream")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        step(stack)
    assert state(api_client, erasure_id)["state"] == "in_graph"


@pytest.mark.parametrize("number", ["many", "-1", "5000000000", "2"])
def test_an_entry_whose_number_of_events_is_damaged_holds_the_user(stack: IngestStack, number: str) -> None:
    stack.client.xadd(KEYS.log, {"n": number, "t": 1, "c": msgspec.msgpack.encode(USER)})
    held = UpkeepLog(stack.client, stack.settings).last_held({USER: date(2026, 1, 1), "other": date.max})
    assert list(held) == [USER]


def test_a_journal_that_was_in_use_is_emptied_later(stack: IngestStack, api_client: httpx2.Client) -> None:
    path = make_url(stack.settings.ledger_url).database
    assert path is not None
    journal = Path(f"{path}-wal")
    stack.append(acts(USER, utc_now(), prefix="a"))
    ask(api_client)
    stack.drain()
    pass_minutes(stack)
    with sqlite3.connect(path, isolation_level=None) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM erasures").fetchone()
        assert step(stack, eager(stack)) == []
        assert journal.stat().st_size
        reader.execute("COMMIT")
    reader.close()
    continue_erasures(stack.settings)
    assert not journal.stat().st_size


def test_a_run_that_begins_while_others_are_cleaned_keeps_its_files(
    stack: IngestStack, api_client: httpx2.Client
) -> None:
    fill(stack)
    ask(api_client)
    stack.drain()
    pass_minutes(stack)
    step(stack)
    add_run(stack, "trn_2", TrainingStatus.RUNNING, started_at=utc_now())
    part = stack.settings.runs_path / "trn_2" / "snapshot.partial"
    part.mkdir(parents=True)
    step(stack, eager(stack))
    assert part.exists()


async def test_the_api_knows_whom_to_hide_before_its_first_request(stack: IngestStack) -> None:
    with Session(stack.engine) as session, session.begin():
        session.add(
            Erasure(
                id="era_1",
                user_id=USER,
                user_hash="h",
                requested_at=utc_now(),
                requested_by="k",
                event_id="era_1-1",
                shard=0,
                waiting_for=[],
            )
        )
    async with open_services(stack.settings, Metrics()) as services:
        assert services.erasures.hidden == {USER}
        # Connections that are given up while they open are closed by nobody but the collector.
        await asyncio.sleep(1)


async def test_a_cleaned_artifact_is_opened_anew_though_the_graph_is_away(stack: IngestStack) -> None:
    fill(stack)
    driver = open_graph(stack.settings)
    async with driver:
        follower = ReleaseFollower(Graph(driver), stack.settings, serve=ignore, tell=ignore)
        await follower.refresh()
    assert follower.current is not None
    assert follower.current.user_row(USER) == 0
    assert scrub(stack.settings.artifacts_path / RELEASE, [USER])
    # Before the next look at the files, too.
    assert (await follower.open(RELEASE)).user_row(USER) is None
    with pytest.raises(DriverError):
        await follower.refresh()
    assert follower.current.user_row(USER) is None
    assert await follower.open(RELEASE) is follower.current


def test_letters_of_several_erased_users_go_at_once(stack: IngestStack, api_client: httpx2.Client) -> None:
    fill(stack)
    for user_id in (USER, "person-other"):
        ask(api_client, user_id)
    stack.drain()
    step(stack)
    left = [letter.payload for letter in stack.dead_letters()]
    # The later one of the first, and the one that is nobody's.
    assert [USER.encode() in payload for payload in left] == [True, False]
    with Session(stack.engine) as session:
        assert all(session.scalars(select(Erasure.committed_at)))
