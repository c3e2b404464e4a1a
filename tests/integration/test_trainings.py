"""A training run from the graph to the active release, with a real training subprocess."""

import threading
import time
from typing import Any

import neo4j
import pytest
from sqlalchemy.orm import Session

from lsec.core.artifact import open_artifact
from lsec.core.errors import Conflict
from lsec.core.jobs import DEFAULT_MODEL, new_id
from lsec.core.ledger import ReleaseRecord, Training, TrainingStatus, utc_now
from lsec.core.settings import Settings
from workers import ledger
from workers.collect import collect
from workers.publish import active_release, flip, publish
from workers.training.presets import Preset, presets_folder, save_preset
from workers.trainings import run_training

pytestmark = pytest.mark.usefixtures("clean_stack")

# Users of a half of the market buy products of that half: what any working model learns.
MARKET = """
UNWIND range(0, 39) AS i CREATE (:User {id: 'u' + i, index: i})
WITH count(*) AS _
UNWIND range(0, 29) AS i CREATE (:Product {id: 'p' + i, index: i})
WITH count(*) AS _
UNWIND range(0, 3) AS i CREATE (:Streamer {id: 's' + i, index: i})
WITH count(*) AS _
CREATE (:IngestOffset {shard: 0, epoch: 'e', position: '1-0', seq: 1, num_events: 1})
CREATE (:IndexCounter {label: 'User', next: 40}), (:IndexCounter {label: 'Product', next: 30}),
       (:IndexCounter {label: 'Streamer', next: 4})
WITH 1 AS _
MATCH (u:User) UNWIND range(0, 7) AS n
MATCH (p:Product {index: (u.index % 2) * 15 + (u.index * 7 + n * (1 + u.index % 3)) % 15})
CREATE (u)-[:BOUGHT {event_id: u.id + '-' + n, at: datetime('2026-01-01T00:00:00Z'), quantity: 1, amount: 100,
                     streamer_id: '', stream_id: '', seq: 1, shard: 0}]->(p)
WITH DISTINCT u
MATCH (s:Streamer {index: (u.index % 2) * 2})
CREATE (u)-[:FOLLOWS {at: datetime('2026-01-01T00:00:00Z')}]->(s)
"""


def queue(settings: Settings, **request: Any) -> str:
    training_id = new_id("trn")
    engine = ledger.open_ledger(settings)
    with Session(engine) as session, session.begin():
        session.add(
            Training(
                id=training_id,
                status=TrainingStatus.QUEUED,
                request={
                    "model": DEFAULT_MODEL,
                    "seed": 1,
                    "publish": True,
                    "min_purchases": 1,
                    "override_gate": "a market too small to judge a model by",
                    **request,
                },
                requested_by="k",
            )
        )
    engine.dispose()
    return training_id


def read(settings: Settings, training_id: str) -> Training:
    engine = ledger.open_ledger(settings)
    with Session(engine) as session:
        training = session.get_one(Training, training_id)
    engine.dispose()
    return training


def cancel(settings: Settings, training_id: str) -> None:
    engine = ledger.open_ledger(settings)
    with Session(engine) as session, session.begin():
        session.get_one(Training, training_id).cancel_requested_at = utc_now()
    engine.dispose()


def test_a_training_ends_in_an_active_release(stack_settings: Settings, neo4j_driver: neo4j.Driver) -> None:
    neo4j_driver.execute_query(MARKET)
    training_id = queue(stack_settings)
    assert run_training(stack_settings, training_id) == TrainingStatus.SUCCEEDED
    training = read(stack_settings, training_id)
    assert training.percent == 100.0
    assert set(training.timings_s) == {"export", "train", "publish"}
    assert training.release_id == active_release(neo4j_driver)
    artifact = open_artifact(stack_settings.artifacts_path / str(training.release_id), verify=True)
    records, _, _ = neo4j_driver.execute_query(
        "MATCH (u:User)-[:HAS_SLATE]->(s:Slate {release_id: $id}) "
        "RETURN u.id AS user_id, s.product_ids AS products, [(u)-[:BOUGHT]->(p) | p.id] AS bought",
        id=training.release_id,
    )
    assert len(records) == 40
    for record in records:
        assert not set(record["products"]) & set(record["bought"])
        row = artifact.user_row(record["user_id"])
        assert row is not None
        assert record["products"] == [product_id for product_id, _ in artifact.slate(row)]
    assert training.metrics == artifact.manifest.metrics | {"gate": training.metrics["gate"]}
    curve = training.metrics["validations"]
    assert curve[0].keys() >= {"step", "loss", "ndcg@10", "step_ms", "peak_mb", "seconds"}
    assert training.message == training.metrics["stopped_because"] != ""
    # A second delivery of the same job finds nothing to do.
    assert run_training(stack_settings, training_id) is None


def test_a_training_without_purchases_says_so(stack_settings: Settings) -> None:
    training_id = queue(stack_settings)
    assert run_training(stack_settings, training_id) == TrainingStatus.FAILED
    assert "purchase" in str(read(stack_settings, training_id).error)


def test_a_training_takes_its_preset_and_its_own_hyperparameters(
    stack_settings: Settings, neo4j_driver: neo4j.Driver
) -> None:
    neo4j_driver.execute_query(MARKET)
    preset = Preset(DEFAULT_MODEL, {"dimensions": 16, "num_steps": 7, "temperature": 0.3})
    save_preset(presets_folder(stack_settings.data_dir), "spring", preset)
    training_id = queue(stack_settings, preset="spring", hyperparameters={"temperature": 0.4})
    assert run_training(stack_settings, training_id) == TrainingStatus.SUCCEEDED
    release_id = str(read(stack_settings, training_id).release_id)
    used = open_artifact(stack_settings.artifacts_path / release_id).manifest.hyperparameters
    assert (used["dimensions"], used["num_steps"], used["temperature"]) == (16, 7, 0.4)


def test_a_training_that_asks_for_what_there_is_not_fails_before_its_export(stack_settings: Settings) -> None:
    for request, reason in (
        ({"hyperparameters": {"wings": 2}}, "Unknown hyperparameters: wings"),
        ({"preset": "autumn"}, "There is no preset autumn"),
    ):
        training_id = queue(stack_settings, **request)
        assert run_training(stack_settings, training_id) == TrainingStatus.FAILED
        training = read(stack_settings, training_id)
        assert reason in str(training.error)
        assert training.timings_s == {}
        assert not (stack_settings.runs_path / training_id / "snapshot").exists()


def test_the_curve_is_read_while_the_training_runs(
    stack_settings: Settings, neo4j_driver: neo4j.Driver
) -> None:
    neo4j_driver.execute_query(MARKET)
    endless = {"num_steps": 1_000_000, "patience": 1_000_000, "validate_every": 20}
    training_id = queue(stack_settings, hyperparameters=endless)
    worker = threading.Thread(target=run_training, args=(stack_settings, training_id))
    worker.start()
    seen: list[int] = []
    deadline = time.monotonic() + 120
    while len(set(seen)) < 3 and time.monotonic() < deadline:
        seen.append(len(read(stack_settings, training_id).metrics.get("validations", [])))
        time.sleep(0.1)
    cancel(stack_settings, training_id)
    worker.join(timeout=30)
    assert len(set(seen)) >= 3
    training = read(stack_settings, training_id)
    assert training.status == TrainingStatus.CANCELLED
    steps = [each["step"] for each in training.metrics["validations"]]
    assert steps[0] == 20
    assert steps == sorted(set(steps))


def test_a_cancel_stops_the_run_soon(stack_settings: Settings, neo4j_driver: neo4j.Driver) -> None:
    neo4j_driver.execute_query(MARKET)
    training_id = queue(stack_settings)
    outcome: list[TrainingStatus | None] = []
    worker = threading.Thread(target=lambda: outcome.append(run_training(stack_settings, training_id)))
    worker.start()
    while read(stack_settings, training_id).phase != "train":
        time.sleep(0.05)
    cancel(stack_settings, training_id)
    asked = time.monotonic()
    worker.join(timeout=30)
    assert outcome == [TrainingStatus.CANCELLED]
    assert time.monotonic() - asked < 10
    assert active_release(neo4j_driver) is None


def test_an_unpublished_release_stays_inactive_until_it_is_published(
    stack_settings: Settings, neo4j_driver: neo4j.Driver
) -> None:
    neo4j_driver.execute_query(MARKET)
    training_id = queue(stack_settings, publish=False)
    assert run_training(stack_settings, training_id) == TrainingStatus.SUCCEEDED
    release_id = str(read(stack_settings, training_id).release_id)
    assert active_release(neo4j_driver) is None
    engine = ledger.open_ledger(stack_settings)
    with Session(engine) as session:
        assert session.get_one(ReleaseRecord, release_id).published_at is None
    engine.dispose()
    artifact = open_artifact(stack_settings.artifacts_path / release_id)
    publish(neo4j_driver, artifact)
    publish(neo4j_driver, artifact)
    assert active_release(neo4j_driver) == release_id


def test_a_flip_needs_the_expected_release(neo4j_driver: neo4j.Driver) -> None:
    neo4j_driver.execute_query(
        "UNWIND ['a', 'b', 'c'] AS id CREATE (:Release {id: id, created_at: datetime(), is_complete: true})"
    )
    flip(neo4j_driver, "a", expected=None)
    flip(neo4j_driver, "b", expected="a")
    with pytest.raises(Conflict, match="Release b became active"):
        flip(neo4j_driver, "c", expected="a")
    assert active_release(neo4j_driver) == "b"


def test_old_releases_are_collected_but_never_the_active_one(neo4j_driver: neo4j.Driver) -> None:
    neo4j_driver.execute_query(
        "UNWIND range(1, 5) AS i CREATE (:Release {id: 'r' + i, created_at: datetime({epochMillis: i})}) "
        "CREATE (:Slate {release_id: 'r' + i, user_id: 'u'}) "
        "CREATE (:Vector {release_id: 'r' + i, kind: 'product', item_id: 'p', values: [1.0, 2.0]})"
    )
    neo4j_driver.execute_query("MATCH (r:Release) SET r.is_complete = true")
    flip(neo4j_driver, "r2", expected=None)
    assert sorted(collect(neo4j_driver, keep=2)) == ["r1", "r3"]
    records, _, _ = neo4j_driver.execute_query(
        "MATCH (s:Slate), (v:Vector {release_id: s.release_id}) RETURN s.release_id AS id ORDER BY id"
    )
    assert [record["id"] for record in records] == ["r2", "r4", "r5"]
