"""The policy of retraining: set over HTTP, put into the schedule, and acted on by what is in the graph."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import neo4j
import pytest
from celery import Celery
from redbeat import RedBeatSchedulerEntry
from redbeat.schedulers import ensure_conf, get_redis
from sqlalchemy import select
from sqlalchemy.orm import Session

from lsec.core.jobs import UPKEEP_QUEUE
from lsec.core.ledger import AuditRecord, Training, utc_now
from lsec.core.release_ledger import RetrainingPolicy
from lsec.core.retraining import POLICY_ID
from lsec.core.settings import Settings
from tests.integration.small_release import activate, write_artifact
from workers import ledger
from workers.retraining import read_policy, retrain, watch
from workers.schedule import ENTRY, reconcile

RELEASE = "rel_retrained"
PRODUCTS = [f"p{number}" for number in range(20)]
NOW = datetime.now(UTC)
POLICY = {"is_enabled": True, "cron": "0 3 * * *", "min_new_share": 0.1, "max_drift": 0.05}
BUY = """
UNWIND $pairs AS pair
MERGE (u:User {id: pair[0]}) MERGE (p:Product {id: pair[1]})
CREATE (u)-[:BOUGHT {event_id: randomUUID(), at: $at, quantity: 1, amount: 1, streamer_id: '', stream_id: '',
                     seq: $seq, shard: 0}]->(p)
"""


@pytest.fixture
def _release(
    stack_settings: Settings, neo4j_driver: neo4j.Driver, api_client: httpx2.Client
) -> Iterator[None]:
    """An active release of 200 users with two of the first ten products each, up to batch 5, an hour ago."""
    bought = {f"u{n}": [PRODUCTS[n % 10], PRODUCTS[(n + 3) % 10]] for n in range(200)}
    milliseconds = int((NOW - timedelta(hours=1)).timestamp() * 1000)
    folder = stack_settings.artifacts_path / RELEASE
    write_artifact(
        folder,
        {user_id: [] for user_id in bought},
        products=PRODUCTS,
        popular=PRODUCTS,
        bought=bought,
        positions=[{"shard": 0, "seq": 5, "position": f"{milliseconds}-0"}],
    )
    activate(neo4j_driver, RELEASE)
    buy(neo4j_driver, [(user, product) for user, products in bought.items() for product in products], seq=5)
    yield
    shutil.rmtree(folder)


def buy(driver: neo4j.Driver, pairs: list[tuple[str, str]], *, seq: int) -> None:
    driver.execute_query(BUY, pairs=[list(pair) for pair in pairs], seq=seq, at=NOW)


def put(client: httpx2.Client, **changes: Any) -> dict[str, Any]:
    answer = client.put("/v1/retraining", json={**POLICY, **changes})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def look(client: httpx2.Client, settings: Settings) -> dict[str, Any]:
    """What a look finds that asks for nothing."""
    assert watch(settings, acts=False) is None
    return dict(client.get("/v1/retraining").json()["verdict"])


def test_a_policy_is_set_and_shown_and_on_record(api_client: httpx2.Client, stack_settings: Settings) -> None:
    before = api_client.get("/v1/retraining").json()
    assert (before["is_enabled"], before["cron"], before["verdict"]) == (False, "", None)
    request = {"min_purchases": 2, "since": "2026-01-01T01:00:00+01:00"}
    policy = put(api_client, cron=" 0  3 * * mon-fri ", request=request)
    assert (policy["is_enabled"], policy["cron"]) == (True, "0 3 * * mon-fri")
    assert (policy["request"]["min_purchases"], policy["request"]["model"]) == (2, "cosine-gcn")
    assert policy["request"]["since"] == "2026-01-01T00:00:00Z"
    assert api_client.get("/v1/retraining").json() == policy
    engine = ledger.open_ledger(stack_settings)
    with Session(engine) as session:
        [record] = session.scalars(select(AuditRecord))
        assert (record.action, record.detail["cron"]) == ("retraining.set", "0 3 * * mon-fri")
    engine.dispose()


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"cron": "every day"}, "cron", "5 fields"),
        ({"cron": "61 * * * *"}, "cron", "is no cron"),
        ({"cron": "0 0 31 2 *"}, "cron", "is no cron"),
        ({"min_new_share": -1}, "min_new_share", "greater than or equal to 0"),
        ({"max_drift": 2}, "max_drift", "less than or equal to 1"),
        ({"request": {"sinse": 1}}, "request.sinse", "not permitted"),
        ({"request": {"model": "oracle"}}, "request.model", "no model"),
        ({"often": True}, "often", "not permitted"),
    ],
)
def test_a_policy_that_is_wrong_names_its_field(
    api_client: httpx2.Client, change: dict[str, Any], field: str, reason: str
) -> None:
    answer = api_client.put("/v1/retraining", json={**POLICY, **change})
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert reason in answer.json()["detail"]
    assert api_client.get("/v1/retraining").json()["is_enabled"] is False


@pytest.mark.usefixtures("_release")
def test_a_run_is_asked_for_when_enough_is_new_and_the_numbers_stand_on_it(
    api_client: httpx2.Client, stack_settings: Settings, neo4j_driver: neo4j.Driver
) -> None:
    put(api_client, max_drift=0)
    assert watch(stack_settings, acts=True) is None
    verdict = look(api_client, stack_settings)
    assert (verdict["num_new"], verdict["num_known"], verdict["is_due"]) == (0, 400, False)
    buy(neo4j_driver, [(f"u{n}", PRODUCTS[n % 10]) for n in range(39)], seq=6)
    assert watch(stack_settings, acts=True) is None
    buy(neo4j_driver, [("u50", PRODUCTS[1])], seq=7)
    assert look(api_client, stack_settings)["is_due"]
    assert api_client.get("/v1/trainings").json() == {"trainings": []}
    training = watch(stack_settings, acts=True)
    assert training is not None
    assert training.reason == f"40 purchases (10.0%) are newer than release {RELEASE}'s snapshot; bound 10.0%"
    [shown] = api_client.get("/v1/trainings").json()["trainings"]
    assert (shown["id"], shown["reason"], shown["status"]) == (training.id, training.reason, "queued")
    # While it waits, and for a while after it has ended without a new champion, no other is asked for.
    assert watch(stack_settings, acts=True) is None
    assert look(api_client, stack_settings)["waits_for"] == f"training {training.id}, which is queued"
    api_client.post(f"/v1/trainings/{training.id}/cancel")
    assert watch(stack_settings, acts=True) is None
    assert "has just ended cancelled" in look(api_client, stack_settings)["waits_for"]


@pytest.mark.usefixtures("_release")
def test_a_run_is_asked_for_when_other_products_are_bought_than_before(
    api_client: httpx2.Client, stack_settings: Settings, neo4j_driver: neo4j.Driver
) -> None:
    put(api_client, min_new_share=0)
    buy(neo4j_driver, [(f"u{n}", PRODUCTS[n % 10]) for n in range(100)], seq=6)
    verdict = look(api_client, stack_settings)
    assert verdict["drift"] < 0.01
    assert not verdict["is_due"]
    buy(neo4j_driver, [(f"u{n}", PRODUCTS[10 + n % 10]) for n in range(80)], seq=7)
    buy(neo4j_driver, [(f"u{n}", f"new{n % 3}") for n in range(20)], seq=7)
    training = watch(stack_settings, acts=True)
    assert training is not None
    assert training.reason.startswith("what is bought has drifted by 0.")
    assert "bound 0.050" in training.reason


def test_a_policy_that_is_off_asks_for_nothing(api_client: httpx2.Client, stack_settings: Settings) -> None:
    put(api_client, is_enabled=False)
    assert watch(stack_settings, acts=True) is None
    assert retrain(stack_settings) is None


def test_at_a_fixed_time_the_policys_training_is_asked_for_or_merged(
    api_client: httpx2.Client, stack_settings: Settings
) -> None:
    put(api_client, request={"seed": 4})
    first, second = retrain(stack_settings), retrain(stack_settings)
    assert first is not None
    assert second is not None
    assert (first.id, first.request["seed"]) == (second.id, 4)
    by_hand = api_client.post("/v1/trainings", json={"seed": 4, "reason": "at once"})
    assert by_hand.status_code == 200
    assert by_hand.json()["reason"] == "scheduled at '0 3 * * *' (UTC)\nat once"
    assert api_client.get("/v1/retraining").json()["fired_at"] is not None


@pytest.fixture
def scheduler(stack_settings: Settings) -> Iterator[Celery]:
    """An app whose schedule is in the test stack's broker."""
    url = stack_settings.broker_url.get_secret_value()
    with Celery("test", broker=url, set_as_current=False) as app:
        app.conf.update(redbeat_redis_url=url, redbeat_redis_options={"socket_timeout": 5})
        ensure_conf(app)
        yield app
        RedBeatSchedulerEntry(ENTRY, app=app).delete()
        get_redis(app).delete(UPKEEP_QUEUE)
        get_redis(app).close()


def test_the_schedule_holds_what_the_ledger_says_and_makes_up_for_what_it_missed(
    api_client: httpx2.Client, stack_settings: Settings, scheduler: Celery
) -> None:
    engine = ledger.open_ledger(stack_settings)
    key = "redbeat:" + ENTRY

    def entry() -> RedBeatSchedulerEntry:
        return RedBeatSchedulerEntry.from_key(key, app=scheduler)

    put(api_client)
    assert reconcile(scheduler, read_policy(engine))
    assert not reconcile(scheduler, read_policy(engine))
    assert (entry().schedule.hour, entry().is_due()[0]) == ({3}, False)
    put(api_client, cron="30 4 * * *")
    assert reconcile(scheduler, read_policy(engine))
    assert entry().schedule.hour == {4}
    # Valkey loses it, and meanwhile its time goes by.
    get_redis(scheduler).delete(key, "redbeat::schedule")
    with Session(engine) as session, session.begin():
        session.get_one(RetrainingPolicy, POLICY_ID).updated_at = utc_now() - timedelta(days=2)
    assert reconcile(scheduler, read_policy(engine))
    assert entry().is_due()[0]
    retrain(stack_settings)
    get_redis(scheduler).delete(key, "redbeat::schedule")
    assert reconcile(scheduler, read_policy(engine))
    assert not entry().is_due()[0]
    put(api_client, is_enabled=False)
    assert reconcile(scheduler, read_policy(engine))
    assert not reconcile(scheduler, read_policy(engine))
    assert get_redis(scheduler).exists(key) == 0
    with Session(engine) as session:
        assert len(session.scalars(select(Training)).all()) == 1
    engine.dispose()
