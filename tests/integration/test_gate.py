"""The gate on a real stack: what it rejects is not published, and says why; an override is on record."""

from typing import Any

import neo4j
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from lsec.core.artifact import open_artifact
from lsec.core.ledger import AuditRecord, ReleaseRecord, Training, TrainingStatus
from lsec.core.settings import Settings
from tests.integration.test_trainings import MARKET, queue, read
from workers import ledger
from workers.code_version import code_version
from workers.publish import active_release
from workers.trainings import run_training

pytestmark = pytest.mark.usefixtures("clean_stack")

QUICK = {"dimensions": 16, "num_steps": 20, "validation_share": 0.3}
BAD = QUICK | {"layer_weights": [1], "num_steps": 1, "initial_std": 10.0}
"""A step from noise, without propagation."""


def train(settings: Settings, **request: Any) -> Training:
    """The run at its end."""
    training_id = queue(settings, override_gate=None, **{"hyperparameters": QUICK} | request)
    run_training(settings, training_id)
    return read(settings, training_id)


def release_of(settings: Settings, training: Training) -> ReleaseRecord:
    engine = ledger.open_ledger(settings)
    with Session(engine) as session:
        release = session.get_one(ReleaseRecord, str(training.release_id))
    engine.dispose()
    return release


def overrides(settings: Settings) -> list[tuple[str, str, Any]]:
    engine = ledger.open_ledger(settings)
    with Session(engine) as session:
        records = session.scalars(select(AuditRecord).where(AuditRecord.action == "gate.override")).all()
    engine.dispose()
    return [(record.key_id, record.target, record.detail) for record in records]


def failed(gate: dict[str, Any]) -> list[str]:
    return [check["name"] for check in gate["checks"] if not check["is_passed"]]


def test_a_run_with_too_few_users_is_rejected_until_an_admin_overrides_it(
    stack_settings: Settings, neo4j_driver: neo4j.Driver
) -> None:
    neo4j_driver.execute_query(MARKET)
    rejected = train(stack_settings)
    assert rejected.status == TrainingStatus.REJECTED
    gate = rejected.metrics["gate"]
    assert failed(gate)[0] == "held_out_users"
    num = rejected.metrics["num_validation_users"]
    assert f"{num} users have held-out purchases, too few to judge a model by" in str(rejected.error)
    assert "\n" not in str(rejected.error)
    assert active_release(neo4j_driver) is None
    release = release_of(stack_settings, rejected)
    assert (release.gate, release.published_at) == (gate, None)
    assert (release.seed, release.requested_by, release.code_version) == (1, "k", code_version())
    assert release.hyperparameters["dimensions"] == 16
    # Who wants it all the same finds it.
    folder = stack_settings.artifacts_path / release.id
    assert open_artifact(folder, verify=True).manifest.release_id == release.id
    assert release.num_bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert overrides(stack_settings) == []

    reason = "the launch is today"
    training_id = queue(stack_settings, hyperparameters=QUICK, override_gate=reason)
    assert run_training(stack_settings, training_id) == TrainingStatus.SUCCEEDED
    training = read(stack_settings, training_id)
    assert active_release(neo4j_driver) == training.release_id
    override = release_of(stack_settings, training).gate["override"]
    assert (override["by"], override["reason"]) == ("k", reason)
    assert training.metrics["gate"]["override"] == override
    detail = {"training_id": training_id, "reason": reason, "failed": failed(gate)}
    assert overrides(stack_settings) == [("k", training.release_id, detail)]


def test_a_run_is_held_against_the_release_that_is_served(
    stack_settings: Settings, neo4j_driver: neo4j.Driver
) -> None:
    neo4j_driver.execute_query(MARKET)
    settings = stack_settings.model_copy(update={"gate_min_users": 30})
    first = train(settings)
    assert first.status == TrainingStatus.SUCCEEDED, first.error
    assert "over_champion" not in first.metrics
    # The same training again is not worse, and takes its place.
    second = train(settings)
    assert second.status == TrainingStatus.SUCCEEDED, second.error
    compared = second.metrics["over_champion"]
    assert (compared["release_id"], second.metrics["gate"]["judged_against"]) == (first.release_id,) * 2
    assert compared["difference"]["ndcg@10"]["difference"] == 0
    assert active_release(neo4j_driver) == second.release_id

    worse = train(settings, hyperparameters=BAD)
    assert worse.status == TrainingStatus.REJECTED
    assert "champion" in failed(worse.metrics["gate"])
    assert f"of {second.release_id} for" in str(worse.error)
    assert active_release(neo4j_driver) == second.release_id
    unpublished = train(settings, hyperparameters=BAD, publish=False)
    assert unpublished.status == TrainingStatus.SUCCEEDED
    assert failed(release_of(settings, unpublished).gate) == failed(worse.metrics["gate"])
