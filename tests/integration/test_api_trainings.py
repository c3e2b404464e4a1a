"""Trainings over HTTP: asked for, refused with the field at fault, watched, cancelled."""

import base64
import json
import threading
from typing import Any

import httpx2
import pytest
import redis
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from lsec.core.jobs import GPU_QUEUE, TRAIN_JOB, TRAIN_QUEUE
from lsec.core.ledger import AuditRecord, Scope, Training, TrainingStatus, sync_url, utc_now
from lsec.core.settings import Settings
from tests.integration.api_server import run_api, wait_until
from tests.integration.conftest import bearer
from workers import ledger


@pytest.fixture
def broker(stack_settings: Settings, clean_stack: None) -> Any:
    """A client of the broker, whose training queue is empty."""
    with redis.Redis.from_url(stack_settings.broker_url.get_secret_value()) as client:
        client.delete(TRAIN_QUEUE, GPU_QUEUE)
        yield client
        client.delete(TRAIN_QUEUE, GPU_QUEUE)


def audit(settings: Settings) -> list[tuple[str, str]]:
    """Actions and targets on record, oldest first."""
    engine = create_engine(sync_url(settings.ledger_url))
    with Session(engine) as session:
        records = session.scalars(select(AuditRecord).order_by(AuditRecord.id)).all()
    engine.dispose()
    return [(record.action, record.target) for record in records]


def test_a_training_is_queued_and_its_job_sent(
    api_client: httpx2.Client, broker: Any, stack_settings: Settings
) -> None:
    answer = api_client.post(
        "/v1/trainings", json={"since": "2026-01-01T01:00:00+01:00", "categories": ["c1"], "seed": 7}
    )
    assert answer.status_code == 202
    training = answer.json()
    assert answer.headers["location"] == f"/v1/trainings/{training['id']}"
    assert (training["status"], training["version"]) == ("queued", 0)
    assert training["request"] == {
        "since": "2026-01-01T00:00:00Z",
        "until": None,
        "categories": ["c1"],
        "streamers": None,
        "min_purchases": 1,
        "model": "cosine-gcn",
        "hyperparameters": {},
        "preset": None,
        "seed": 7,
        "publish": True,
        "override_gate": None,
        "warm_start": False,
        "snapshot": None,
        "device": "auto",
    }
    assert (training["reason"], training["queue"]) == ("asked for by hand", TRAIN_QUEUE)
    assert "requested_by" not in training
    message = json.loads(broker.lpop(TRAIN_QUEUE))
    assert message["headers"]["task"] == TRAIN_JOB
    assert json.loads(base64.b64decode(message["body"]))[0] == [training["id"]]
    assert api_client.get(answer.headers["location"]).json() == training
    assert audit(stack_settings) == [("training.create", training["id"])]


def test_asks_for_the_same_are_one_run_with_all_their_reasons(
    api_client: httpx2.Client, broker: Any, stack_settings: Settings
) -> None:
    def ask(reason: str, **request: Any) -> httpx2.Response:
        return api_client.post("/v1/trainings", json={"reason": reason, "categories": ["b", "a"], **request})

    first, merged = ask("new prices"), ask("a sale has begun")
    assert (first.status_code, merged.status_code) == (202, 200)
    assert merged.headers["location"] == first.headers["location"]
    assert merged.json()["reason"] == "new prices\na sale has begun"
    assert ask("a sale has begun").json()["version"] == merged.json()["version"]
    assert broker.llen(TRAIN_QUEUE) == 1
    # Another seed is another result: it has a turn of its own, once the scope is free.
    other = ask("another seed", seed=1)
    assert (other.status_code, other.json()["reason"]) == (202, "another seed")
    engine = ledger.open_ledger(stack_settings)
    assert ledger.claim_training(engine, first.json()["id"]) is not None
    assert ledger.claim_training(engine, other.json()["id"]) is None
    # Behind one that runs a new one is queued, which takes in what comes after.
    behind = ask("newer still")
    assert (behind.status_code, behind.json()["id"] != first.json()["id"]) == (202, True)
    assert ask("and again").json()["id"] == behind.json()["id"]
    engine.dispose()
    actions = [action.removeprefix("training.") for action, _ in audit(stack_settings)]
    assert actions == ["create", "merge", "merge", "create", "create", "merge"]


def test_a_training_that_needs_a_gpu_goes_to_its_queue(api_client: httpx2.Client, broker: Any) -> None:
    answer = api_client.post("/v1/trainings", json={"device": "cuda"})
    assert (answer.status_code, answer.json()["queue"]) == (202, GPU_QUEUE)
    assert (broker.llen(GPU_QUEUE), broker.llen(TRAIN_QUEUE)) == (1, 0)


def test_a_run_whose_worker_is_lost_is_cancelled_at_once(
    api_client: httpx2.Client, broker: Any, stack_settings: Settings
) -> None:
    training_id = api_client.post("/v1/trainings", json={}).json()["id"]
    engine = ledger.open_ledger(stack_settings)
    claimed = ledger.claim_training(engine, training_id)
    assert claimed is not None
    with Session(engine) as session, session.begin():
        session.get_one(Training, training_id).heartbeat_at = utc_now() - 2 * ledger.LEASE
    cancelled = api_client.post(f"/v1/trainings/{training_id}/cancel").json()
    assert cancelled["status"] == "cancelled"
    assert ledger.renew(engine, claimed) != ledger.Hold.HELD
    engine.dispose()


def test_the_end_of_a_runs_log_is_given_from_a_lines_begin_on(
    api_client: httpx2.Client, broker: Any, stack_settings: Settings
) -> None:
    training_id = api_client.post("/v1/trainings", json={"reason": "new prices"}).json()["id"]
    path = f"/v1/trainings/{training_id}/log"
    answer = api_client.get(path)
    assert answer.headers["content-type"].startswith("text/plain")
    assert "new prices" in answer.text
    assert "no file of this run" in answer.text
    folder = stack_settings.runs_path / training_id
    folder.mkdir(parents=True)
    (folder / "trainer.log").write_text("one\ntwo\nthree\n")
    assert api_client.get(path).text.endswith("---\none\ntwo\nthree\n")
    for last_bytes, end in ((6, "three\n"), (7, "three\n"), (10, "two\nthree\n"), (13, "two\nthree\n")):
        shown = api_client.get(path, params={"last_bytes": last_bytes}).text
        assert shown.partition("---\n")[2] == end
    assert api_client.get(path, params={"last_bytes": 0}).status_code == 422


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"sinse": "2026-01-01T00:00:00Z"}, "sinse"),
        ({"since": "2026-01-01T00:00:00"}, "since"),
        ({"since": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "until"),
        ({"model": "oracle"}, "model"),
        ({"min_purchases": 0}, "min_purchases"),
        ({"streamers": ["a b"]}, "streamers.0"),
        ({"streamers": []}, "streamers"),
        ({"categories": []}, "categories"),
        ({"hyperparameters": {"temperature": {}}}, "hyperparameters"),
        ({"hyperparameters": {"layer_weights": [0.1] * 17}}, "hyperparameters"),
        ({"hyperparameters": {"predictor": "x" * 65}}, "hyperparameters"),
        ({"hyperparameters": {f"h{i}": 1 for i in range(65)}}, "hyperparameters"),
        ({"hyperparameters": {"../x": 1}}, "hyperparameters.../x.[key]"),
        ({"preset": "../spring"}, "preset"),
        ({"seed": "x"}, "seed"),
        ({"seed": "3"}, "seed"),
        ({"seed": True}, "seed"),
        ({"publish": "false"}, "publish"),
        ({"device": "tpu"}, "device"),
        ({"reason": ""}, "reason"),
        ({"reason": "x" * 201}, "reason"),
        ({"reason": "two\nlines"}, "reason"),
        ({"override_gate": " no "}, "override_gate"),
        ({"override_gate": "x" * 501}, "override_gate"),
        ({"since": 1_767_225_600}, "since"),
    ],
)
def test_a_request_that_is_wrong_names_its_field(
    api_client: httpx2.Client, broker: Any, body: dict[str, Any], field: str
) -> None:
    answer = api_client.post("/v1/trainings", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert broker.llen(TRAIN_QUEUE) == 0
    assert api_client.get("/v1/trainings").json() == {"trainings": []}


def test_broken_json_is_a_problem(api_client: httpx2.Client) -> None:
    answer = api_client.post("/v1/trainings", content="{")
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


def test_the_list_is_newest_first_and_limited(api_client: httpx2.Client, broker: Any) -> None:
    ids = [api_client.post("/v1/trainings", json={"seed": seed}).json()["id"] for seed in range(3)]
    listed = api_client.get("/v1/trainings", params={"limit": 2}).json()["trainings"]
    assert [training["id"] for training in listed] == [ids[2], ids[1]]


def test_a_queued_training_is_cancelled_at_once_and_a_final_one_cannot_be(
    api_client: httpx2.Client, broker: Any, stack_settings: Settings
) -> None:
    training_id = api_client.post("/v1/trainings", json={}).json()["id"]
    cancelled = api_client.post(f"/v1/trainings/{training_id}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
    assert cancelled.json()["finished_at"] is not None
    again = api_client.post(f"/v1/trainings/{training_id}/cancel")
    assert (again.status_code, again.json()["type"]) == (409, "urn:lsec:problem:conflict")
    engine = ledger.open_ledger(stack_settings)
    assert ledger.claim_training(engine, training_id) is None
    engine.dispose()
    assert [action for action, _ in audit(stack_settings)] == ["training.create", "training.cancel"]


def test_a_running_training_is_told_to_stop(
    api_client: httpx2.Client, broker: Any, stack_settings: Settings
) -> None:
    training_id = api_client.post("/v1/trainings", json={}).json()["id"]
    engine = ledger.open_ledger(stack_settings)
    claimed = ledger.claim_training(engine, training_id)
    assert claimed is not None
    answer = api_client.post(f"/v1/trainings/{training_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "running")
    assert answer.json()["cancel_requested_at"] is not None
    assert ledger.renew(engine, claimed, percent=5.0) != ledger.Hold.HELD
    engine.dispose()


def test_an_unknown_training_is_not_found(api_client: httpx2.Client) -> None:
    for method, path in (("GET", ""), ("POST", "/cancel"), ("GET", "/progress"), ("GET", "/log")):
        answer = api_client.request(method, f"/v1/trainings/trn_none{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_progress_sends_each_change_and_ends_with_the_final_state(
    api_client: httpx2.Client, broker: Any, stack_settings: Settings
) -> None:
    training_id = api_client.post("/v1/trainings", json={}).json()["id"]
    seen: list[tuple[str, str, float]] = []

    def watch() -> None:
        with api_client.stream("GET", f"/v1/trainings/{training_id}/progress") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            event = ""
            for line in stream.iter_lines():
                name, _, value = line.partition(": ")
                event = value if name == "event" else event
                if name == "data":
                    training = json.loads(value)
                    seen.append((event, training["status"], training["percent"]))

    watcher = threading.Thread(target=watch)
    watcher.start()
    engine = ledger.open_ledger(stack_settings)
    wait_until(lambda: len(seen) == 1)
    claimed = ledger.claim_training(engine, training_id)
    assert claimed is not None
    wait_until(lambda: len(seen) == 2)
    ledger.renew(engine, claimed, percent=40.0)
    wait_until(lambda: len(seen) == 3)
    ledger.end_training(engine, claimed, TrainingStatus.SUCCEEDED, percent=100.0)
    watcher.join(timeout=10)
    engine.dispose()
    assert seen == [
        ("progress", "queued", 0.0),
        ("progress", "running", 0.0),
        ("progress", "running", 40.0),
        ("progress", "succeeded", 100.0),
        ("done", "succeeded", 100.0),
    ]


def test_without_a_broker_the_training_fails_with_the_reason(
    stack_settings: Settings, keys: dict[Scope, str]
) -> None:
    nobody = stack_settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"})
    lonely = Settings(**nobody.model_dump(exclude_defaults=True))
    with (
        run_api(lonely) as url,
        httpx2.Client(base_url=url, headers=bearer(keys[Scope.ADMIN]), timeout=30) as client,
    ):
        answer = client.post("/v1/trainings", json={})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        training = client.get(f"/v1/trainings/{answer.json()['training_id']}").json()
    assert training["status"] == "failed"
    assert "could not be sent" in training["error"]


def test_both_sides_see_the_same_row(
    stack_settings: Settings, api_client: httpx2.Client, broker: Any
) -> None:
    training_id = api_client.post("/v1/trainings", json={"min_purchases": 3}).json()["id"]
    engine = ledger.open_ledger(stack_settings)
    with Session(engine) as session:
        training = session.get_one(Training, training_id)
        assert (training.request["min_purchases"], training.status) == (3, TrainingStatus.QUEUED)
        assert training.created_at.tzinfo is not None
    engine.dispose()
