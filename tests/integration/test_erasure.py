"""A person is forgotten everywhere, whatever happens meanwhile, and it is not called done before."""

import shutil
from collections.abc import Iterator
from datetime import timedelta

import httpx2
import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from lsec.api.stores.active_release import ReleaseFollower
from lsec.api.stores.graph import Graph, open_graph
from lsec.core.artifact import open_artifact
from lsec.core.erasures import user_hash
from lsec.core.ledger import (
    AuditRecord,
    DeadLetter,
    Erasure,
    Training,
    TrainingStatus,
    utc_now,
)
from tests.integration.api_server import run_api, wait_until
from tests.integration.forgetting import (
    OTHER,
    PERSONAL,
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
    kill_upkeep,
    pass_minutes,
    slates,
    source,
    state,
    step,
    user_is_in_the_graph,
)
from tests.integration.ingest_stack import KEYS, IngestStack
from workers.publish import publish
from workers.upkeep.scrub import scrub


@pytest.fixture
def stack(stack: IngestStack) -> Iterator[IngestStack]:
    """The stack with files that a byte can be looked for in, and its folders empty in the end."""
    before = stack.client.config_get("rdbcompression")
    stack.client.config_set("rdbcompression", "no")
    yield stack
    stack.client.config_set("rdbcompression", before["rdbcompression"])
    for path in (stack.settings.artifacts_path, stack.settings.runs_path):
        shutil.rmtree(path, ignore_errors=True)


def test_an_erasure_is_done_when_nothing_holds_the_user_any_more(
    stack: IngestStack, api_client: httpx2.Client
) -> None:
    fill(stack)
    with Session(stack.engine) as session, session.begin():
        session.execute(
            update(Training).values(status=TrainingStatus.RUNNING, finished_at=None, heartbeat_at=utc_now())
        )
    wait_until(lambda: source(api_client, USER) in PERSONAL)
    assert slates(api_client) == [USER, OTHER]
    # It is hidden at once, also while nothing drains the log.
    erasure_id = ask(api_client)["id"]
    assert source(api_client, USER) == "popular"
    assert slates(api_client) == [OTHER]
    assert ask(api_client)["id"] == erasure_id
    [waiting] = step(stack)
    assert (waiting.state, waiting.waiting_for) == ("accepted", ["the ingester: 1 events to go"])
    assert user_is_in_the_graph(stack)

    stack.drain()
    [waiting] = step(stack)
    assert waiting.state == "in_graph"
    assert [reason.split(" until ")[0] for reason in waiting.waiting_for] == [
        f"training {RUN}, which began before",
        "the event log",
        "the stream of changes, kept for some minutes",
    ]
    assert not user_is_in_the_graph(stack)
    assert source(api_client, USER) == "popular"
    assert slates(api_client) == [OTHER]

    with Session(stack.engine) as session, session.begin():
        session.execute(update(Training).values(status=TrainingStatus.SUCCEEDED))
    [waiting] = step(stack, eager(stack))
    assert waiting.waiting_for == ["the stream of changes, kept for some minutes"]
    assert state(api_client, erasure_id)["waiting_for"] == waiting.waiting_for
    pass_minutes(stack)
    assert step(stack, eager(stack)) == []
    done = state(api_client, erasure_id)
    assert (done["state"], done["user_id"], done["user_hash"]) == ("done", None, user_hash(USER))
    # Valkey deletes the files that it has replaced in the background. The one letter is of a later day.
    wait_until(lambda: holders(stack) <= {"ledger.sqlite"})
    payloads = [letter.payload for letter in stack.dead_letters()]
    assert [USER.encode() in payload for payload in payloads] == [False, True, False]
    assert slates(api_client) == [OTHER]
    wait_until(lambda: source(api_client, OTHER) in PERSONAL)
    assert open_artifact(stack.settings.artifacts_path / RELEASE, verify=True).user_row(OTHER) is not None


def test_no_byte_of_the_user_is_left_in_any_file(stack: IngestStack, api_client: httpx2.Client) -> None:
    fill(stack)
    with Session(stack.engine) as session, session.begin():
        session.query(DeadLetter).filter_by(position=2).delete()
    ask(api_client)
    stack.drain()
    assert {"ledger.sqlite", f"artifacts/{RELEASE}/user_ids.safetensors"} & holders(stack)
    assert any("appendonly" in name for name in holders(stack))
    assert step(stack, eager(stack))
    pass_minutes(stack)
    assert step(stack, eager(stack)) == []
    wait_until(lambda: holders(stack) == set())
    with Session(stack.engine) as session:
        actions = {record.action: record.target for record in session.query(AuditRecord)}
    assert actions == {"user.erase": user_hash(USER), "user.erased": user_hash(USER)}


def test_older_events_retries_and_replays_stay_out(stack: IngestStack, api_client: httpx2.Client) -> None:
    fill(stack)
    ask(api_client)
    ingester = stack.drain()
    for prefix in ("a", "late"):
        # Whether the window knows them or not.
        stack.append(acts(USER, utc_now() - timedelta(days=1), prefix=prefix))
        stack.drain(ingester)
        assert not user_is_in_the_graph(stack)
    [waiting] = step(stack)
    assert any("event log" in reason for reason in waiting.waiting_for)
    # Another entry after them: only what is older can be trimmed, and it is waited for.
    stack.append(acts(OTHER, utc_now(), prefix="c"))
    stack.drain(ingester)
    [waiting] = step(stack)
    assert any("event log" in reason for reason in waiting.waiting_for)
    pass_minutes(stack)
    assert step(stack, eager(stack)) == []


def test_an_asked_erasure_goes_into_the_log_even_if_that_was_away_or_lost_it(stack: IngestStack) -> None:
    stack.append(acts(USER, utc_now(), prefix="a"))
    ingester = stack.drain()
    now = utc_now()
    with Session(stack.engine) as session, session.begin():
        session.add(
            Erasure(
                id="era_1",
                user_id=USER,
                user_hash=user_hash(USER),
                requested_at=now,
                requested_by="k",
                event_id="era_1-1",
                shard=0,
                waiting_for=[],
            )
        )
    [waiting] = step(stack)
    assert waiting.number == 5
    # It is set aside in place of being applied: that is seen, and it is sent once more.
    stack.client.xtrim(KEYS.log, maxlen=0)
    committed = stack.client.hget(KEYS.committed, "total")
    stack.client.hset(KEYS.committed, mapping={"total": 5})
    [waiting] = step(stack)
    assert waiting.waiting_for == ["the ingester, once more"]
    stack.client.hset(KEYS.committed, mapping={"total": committed})
    stack.drain(stack.ingester(adopt_log=True))
    assert ingester.offset.num_events == 4
    [waiting] = step(stack)
    assert waiting.state == "in_graph"
    assert not user_is_in_the_graph(stack)


def test_another_process_of_the_api_hides_the_user_within_moments(
    stack: IngestStack, api_client: httpx2.Client
) -> None:
    fill(stack)
    with (
        run_api(stack.settings) as url,
        httpx2.Client(base_url=url, headers=api_client.headers, timeout=30) as other,
    ):
        wait_until(lambda: source(other, USER) in PERSONAL)
        ask(api_client)
        wait_until(lambda: source(other, USER) == "popular")
        assert slates(other) == [OTHER]


async def test_a_process_of_the_api_opens_a_cleaned_artifact_anew(stack: IngestStack) -> None:
    fill(stack)
    driver = open_graph(stack.settings)
    async with driver:
        follower = ReleaseFollower(Graph(driver), stack.settings, serve=ignore, tell=ignore)
        await follower.refresh()
        before = follower.current
        await follower.refresh()
        assert before is not None
        assert follower.current is before
        assert scrub(stack.settings.artifacts_path / RELEASE, [USER])
        await follower.refresh()
        assert follower.current is not None
        rows = [
            [artifact.user_row(user) for user in (USER, OTHER)] for artifact in (before, follower.current)
        ]
        assert rows == [[0, 1], [None, 1]]


def test_an_erasure_asked_on_a_later_day_begins_anew(stack: IngestStack, api_client: httpx2.Client) -> None:
    erasure_id = ask(api_client)["id"]
    stack.drain()
    step(stack)
    yesterday = utc_now() - timedelta(days=1)
    with Session(stack.engine) as session, session.begin():
        session.execute(update(Erasure).values(requested_at=yesterday, event_id=f"{erasure_id}-before"))
    again = ask(api_client)
    assert (again["id"], again["state"]) == (erasure_id, "accepted")
    assert again["requested_at"] > yesterday.isoformat()
    stack.drain()
    pass_minutes(stack)
    assert step(stack, eager(stack)) == []


def test_a_run_that_began_before_is_waited_for_and_its_artifact_cleaned(
    stack: IngestStack, api_client: httpx2.Client
) -> None:
    fill(stack)
    add_run(stack, "trn_2", TrainingStatus.RUNNING, started_at=utc_now())
    ask(api_client)
    stack.drain()
    pass_minutes(stack)
    assert step(stack, eager(stack))[0].waiting_for == ["training trn_2, which began before"]
    # It ends with an artifact that has the user, and publishes it: the tombstone keeps the slate out.
    add_artifact(stack, "rel_2")
    publish(stack.driver, open_artifact(stack.settings.artifacts_path / "rel_2"))
    assert not user_is_in_the_graph(stack)
    with Session(stack.engine) as session, session.begin():
        session.execute(update(Training).values(status=TrainingStatus.SUCCEEDED))
    assert step(stack, eager(stack)) == []
    wait_until(lambda: not holders(stack) - {"ledger.sqlite"})


def test_a_user_who_comes_back_is_a_new_one(stack: IngestStack, api_client: httpx2.Client) -> None:
    fill(stack)
    ask(api_client)
    ingester = stack.drain()
    tomorrow = utc_now() + timedelta(days=1)
    stack.append(acts(USER, tomorrow, prefix="n"))
    stack.drain(ingester)
    pass_minutes(stack)
    # What is newer does not hold the erasure up, and is not touched.
    assert step(stack, eager(stack)) == []
    assert user_is_in_the_graph(stack)
    assert len(stack.dead_letters()) == 3


def test_upkeep_that_is_killed_anywhere_goes_on(stack: IngestStack, api_client: httpx2.Client) -> None:
    fill(stack)
    for number in range(2, 8):
        add_artifact(stack, f"rel_{number}")
        add_run(stack, f"trn_{number}", TrainingStatus.FAILED, started_at=utc_now())
        shutil.copytree(stack.settings.runs_path / RUN, stack.settings.runs_path / f"trn_{number}")
    erasure_id = ask(api_client)["id"]
    stack.drain()
    for delay_s in (0.0, 0.02, 0.05, 0.1, 0.2, 0.4):
        kill_upkeep(eager(stack), after_s=delay_s)
    pass_minutes(stack)
    assert step(stack, eager(stack)) == []
    assert state(api_client, erasure_id)["state"] == "done"
    wait_until(lambda: not holders(stack) - {"ledger.sqlite"})
    releases = sorted(path.name for path in stack.settings.artifacts_path.iterdir())
    assert releases == [f"rel_{number}" for number in range(1, 8)]
    for release_id in releases:
        artifact = open_artifact(stack.settings.artifacts_path / release_id, verify=True)
        assert artifact.user_row(OTHER) is not None


def test_an_unknown_erasure_is_not_found(api_client: httpx2.Client) -> None:
    assert api_client.get("/v1/erasures/era_x").status_code == 404
    assert api_client.get("/v1/erasures").json() == {"erasures": []}
