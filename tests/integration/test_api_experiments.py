"""Experiments over HTTP: who is answered by which release, figures counted by hand, guards, how they end."""

import json
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta

import httpx2
import neo4j
import pytest
import redis
from sqlalchemy import update
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from graph_schema.events import Event, UserBought, UserDismissed, UserImpressed, UserRefunded
from lsec.cli.main import app
from lsec.core.artifact import MANIFEST
from lsec.core.experiments import sees_challenger
from lsec.core.ledger import Scope, utc_now
from lsec.core.release_ledger import Experiment
from lsec.core.settings import Settings
from tests.integration.api_server import run_api, wait_until
from tests.integration.conftest import bearer
from tests.integration.experiment_lab import (
    CHALLENGER,
    CHAMPION,
    NOON,
    PRODUCTS,
    SHARE,
    USERS,
    Lab,
    crowd,
    experiment_lab,
    record_of,
)
from tests.integration.served_market import fetch
from workers.graph import write_rows


@pytest.fixture
def lab(
    stack_settings: Settings, neo4j_driver: neo4j.Driver, log_client: redis.Redis, keys: dict[Scope, str]
) -> Iterator[Lab]:
    with experiment_lab(stack_settings, neo4j_driver, log_client, keys[Scope.ADMIN]) as lab:
        yield lab


def test_each_user_is_answered_from_the_release_of_their_arm_until_the_experiment_ends(lab: Lab) -> None:
    experiment = lab.start()
    assert (experiment["status"], experiment["is_shown"]) == ("running", True)
    sees = {user_id: sees_challenger(experiment["id"], user_id, SHARE) for user_id in USERS}
    assert set(sees.values()) == {False, True}
    # Of a hundred, an id drawn anew has 15 to 45 all but once in a thousand times.
    assert (
        150 <= sum(sees_challenger(experiment["id"], f"u{number}", SHARE) for number in range(1_000)) <= 450
    )
    some = next(user_id for user_id in USERS if sees[user_id])
    wait_until(lambda: lab.serves(some, CHALLENGER))
    expected = {user_id: CHALLENGER if sees[user_id] else CHAMPION for user_id in USERS}
    answers = {user_id: fetch(lab.client, user_id, k=3) for user_id in USERS}
    assert {user_id: answer["release_id"] for user_id, answer in answers.items()} == expected
    assert [each["product_id"] for each in answers[some]["products"]] == PRODUCTS[4:7]
    batch = lab.client.post("/v1/recommendations:batch", json={"user_ids": USERS, "k": 1}).json()
    assert {each["user_id"]: each["release_id"] for each in batch["recommendations"]} == expected
    visitor = lab.client.post("/v1/sessions/recommendations", json={}).json()
    assert visitor["release_id"] == CHAMPION
    # What they do while it runs is excluded and folded in by their own arm.
    lab.stack.append([UserBought(event_id="b", at=utc_now(), user_id=some, product_id=PRODUCTS[4], amount=1)])
    lab.stack.drain()
    wait_until(lambda: PRODUCTS[4] not in shown(lab, some))
    assert lab.serves(some, CHALLENGER)
    ended = lab.client.post(f"/v1/experiments/{experiment['id']}/stop", json={"reason": "enough"})
    assert (ended.json()["status"], ended.json()["outcome"]) == ("stopped", "stopped: enough")
    wait_until(lambda: lab.serves(some, CHAMPION))
    assert lab.client.post(f"/v1/experiments/{experiment['id']}/promote").status_code == 409
    actions = [action for action, key_id in lab.audited() if key_id]
    assert actions == ["experiment.start", "experiment.stop"]


def shown(lab: Lab, user_id: str) -> list[str]:
    return [each["product_id"] for each in fetch(lab.client, user_id)["products"]]


def test_figures_are_those_counted_by_hand(lab: Lab) -> None:
    experiment = lab.start()
    experiment_id, since = experiment["id"], NOON
    lab.began(experiment_id, since)
    sees = [user_id for user_id in USERS if sees_challenger(experiment_id, user_id, SHARE)]
    others = [user_id for user_id in USERS if user_id not in sees]
    events: list[Event] = [
        # Two products, one of them twice: bought both, one within the window, and dismissed one.
        impressed(sees[0], "p4", CHALLENGER, since + minutes(1)),
        impressed(sees[0], "p5", CHALLENGER, since + minutes(2)),
        impressed(sees[0], "p5", CHALLENGER, since + minutes(3)),
        bought(sees[0], "p4", since + minutes(30), amount=500),
        bought(sees[0], "p5", since + minutes(62), amount=70),
        UserDismissed(event_id="d", at=since + minutes(5), user_id=sees[0], product_id="p5"),
        # Bought before it was shown, bought without being shown, given back.
        impressed(sees[1], "p4", CHALLENGER, since + minutes(10)),
        bought(sees[1], "p4", since + minutes(9), amount=1),
        bought(sees[1], "p6", since + minutes(11), amount=1),
        bought(sees[1], "p4", since + minutes(12), amount=1, event_id="back"),
        UserRefunded(event_id="r", at=since + minutes(90), user_id=sees[1], purchase_event_id="back"),
        # Shown the champion's alone, though they are the challenger's.
        impressed(sees[2], "p0", CHAMPION, since + minutes(1)),
        # Of the champion's: one who buys, one who was shown something on that day before it began.
        impressed(others[0], "p0", CHAMPION, since + minutes(1)),
        bought(others[0], "p0", since + minutes(2), amount=200),
        impressed(others[1], "p0", CHAMPION, since - minutes(1)),
        impressed(others[1], "p1", CHAMPION, since + minutes(1)),
        bought(others[1], "p1", since + minutes(2), amount=9),
        impressed(others[2], "p0", CHAMPION, since - minutes(1)),
        impressed(others[2], "p0", CHAMPION, since + timedelta(days=1)),
        bought(others[2], "p0", since + timedelta(days=1, minutes=2), amount=30),
        # Whose window is not over.
        impressed(others[3], "p0", CHAMPION, utc_now() - minutes(1)),
    ]
    lab.stack.append(events)
    lab.stack.drain()
    result = lab.look(experiment_id)["result"]
    assert result["arms"]["challenger"] == {
        "num_users_seen": 2,
        "num_users": 2,
        "num_impressions": 4,
        "num_conversions": 1,
        "num_users_converted": 1,
        "conversion_rate": 0.5,
        "amount_per_user": 250.0,
        "num_users_dismissed": 1,
    }
    assert result["arms"]["champion"] == {
        "num_users_seen": 3,
        "num_users": 2,
        "num_impressions": 2,
        "num_conversions": 2,
        "num_users_converted": 2,
        "conversion_rate": 1.0,
        "amount_per_user": 115.0,
        "num_users_dismissed": 0,
    }
    assert result["lift"] is None
    assert result["recommendation"].startswith("Cannot tell yet")
    assert "2103.06476" in result["method"]["source"]
    assert not any(user_id in str(result) for user_id in (sees[0], others[0]))


def impressed(user_id: str, product_id: str, release_id: str, at: datetime) -> UserImpressed:
    event_id = f"i{user_id}{product_id}{at.timestamp()}"
    return UserImpressed(
        event_id=event_id, at=at, user_id=user_id, product_id=product_id, release_id=release_id, position=0
    )


def bought(user_id: str, product_id: str, at: datetime, *, amount: int, event_id: str = "") -> UserBought:
    event_id = event_id or f"b{user_id}{product_id}{at.timestamp()}"
    return UserBought(event_id=event_id, at=at, user_id=user_id, product_id=product_id, amount=amount)


def minutes(num: int) -> timedelta:
    return timedelta(minutes=num)


@pytest.mark.parametrize(
    ("buys", "dismisses", "reason"),
    [((3, 10**6), (10**6, 10**6), "conversions fell"), ((5, 5), (20, 3), "more users dismiss")],
)
def test_a_guard_that_breaks_brings_all_users_back_to_the_champion(
    lab: Lab, buys: tuple[int, int], dismisses: tuple[int, int], reason: str
) -> None:
    experiment_id = lab.start(share=0.5)["id"]
    some = next(user_id for user_id in USERS if sees_challenger(experiment_id, user_id, 0.5))
    wait_until(lambda: lab.serves(some, CHALLENGER))
    crowd(lab, experiment_id, buys=buys, dismisses=dismisses)
    ended = lab.look(experiment_id)
    assert (ended["status"], ended["outcome"][: len(reason)]) == ("rolled_back", reason), ended["result"]
    assert ended["ended_at"] is not None
    assert ended["result"]["split"]["fits"] is True
    assert ended["is_shown"] is False
    wait_until(lambda: lab.serves(some, CHAMPION))
    assert lab.audited()[-1] == ("experiment.end", "")


def command(lab: Lab, *arguments: str) -> str:
    """What a command of `lsec experiments` prints."""
    url = str(lab.client.base_url)
    done = CliRunner().invoke(app, ["experiments", *arguments, "--url", url, "--key", lab.secret])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_better_challenger_is_said_to_be_better_and_promoted(lab: Lab) -> None:
    experiment_id = lab.start(share=0.5, guards={"max_conversion_loss": None})["id"]
    crowd(lab, experiment_id, buys=(20, 3), dismisses=(10**6, 10**6))
    result = lab.look(experiment_id)["result"]
    assert result["recommendation"].startswith("The challenger is better")
    assert 0 < result["lift"]["lower"] < 1 / 3 - 1 / 20 < result["lift"]["upper"]
    assert result["relative_lift"]["lower"] > 0
    assert result["amount_lift"]["lower"] > 0
    assert "The challenger is better" in command(lab, "show", experiment_id)
    promoted = lab.client.post(f"/v1/experiments/{experiment_id}/promote")
    assert (promoted.status_code, promoted.json()["status"]) == (200, "promoted")
    assert lab.pointers() == {
        "release_id": CHALLENGER, "challenger_id": None, "experiment_id": None, "share": None
    }  # fmt: skip
    wait_until(lambda: all(lab.serves(user_id, CHALLENGER) for user_id in USERS[:10]))
    actions = [action for action, _ in lab.audited()]
    assert actions == ["experiment.start", "release.promote", "experiment.promote"]
    assert lab.client.post(f"/v1/experiments/{experiment_id}/promote").status_code == 200


def test_a_challenger_that_cannot_be_opened_costs_nobody_an_answer_and_is_rolled_back(lab: Lab) -> None:
    manifest = lab.settings.artifacts_path / CHALLENGER / MANIFEST
    experiment_id = lab.start()["id"]
    some = next(user_id for user_id in USERS if sees_challenger(experiment_id, user_id, SHARE))
    wait_until(lambda: lab.serves(some, CHALLENGER))
    manifest.write_text("{")
    # A process that starts now cannot open it.
    with (
        run_api(lab.settings) as url,
        httpx2.Client(base_url=url, headers=bearer(lab.secret), timeout=30) as client,
    ):
        wait_until(lambda: fetch(client, some)["release_id"] == CHAMPION, timeout_s=30)
    ended = lab.look(experiment_id)
    assert ended["status"] == "rolled_back"
    assert ended["outcome"].startswith("the challenger's artifact cannot be read")
    wait_until(lambda: lab.serves(some, CHAMPION))


def test_one_experiment_runs_at_a_time_and_only_with_a_release_that_may_be_served(lab: Lab) -> None:
    with Session(lab.stack.engine) as session, session.begin():
        failed = record_of("rel_failed")
        failed.gate = {"is_passed": False, "checks": [{"name": "coverage", "is_passed": False}]}
        gone, lost = record_of("rel_gone"), record_of("rel_lost")
        gone.deleted_at = utc_now()
        session.add_all([failed, gone, lost])
    shutil.copytree(lab.settings.artifacts_path / CHALLENGER, lab.settings.artifacts_path / "rel_failed")
    refused = {
        each: lab.client.post("/v1/experiments", json={"challenger_id": each})
        for each in (CHAMPION, "rel_failed", "rel_gone", "rel_lost", "rel_unknown")
    }
    assert [answer.status_code for answer in refused.values()] == [409, 409, 409, 409, 404]
    assert "coverage" in refused["rel_failed"].text
    assert lab.client.post("/v1/experiments", json={"challenger_id": "r", "share": 0.9}).status_code == 422
    assert lab.client.get("/v1/experiments").json() == {"experiments": []}
    experiment_id = lab.start()["id"]
    second = lab.client.post("/v1/experiments", json={"challenger_id": CHALLENGER})
    assert (second.status_code, "is running" in second.text) == (409, True)
    # The pointer is swapped by whom it belongs to alone.
    wish = {"champion_id": CHAMPION, "challenger_id": CHALLENGER, "share": 0.5}
    driver = lab.stack.driver
    assert write_rows(driver, "experiments/begin", experiment_id="exp_other", **wish) == []
    assert write_rows(driver, "experiments/end", experiment_id="exp_other") == []
    assert lab.pointers()["experiment_id"] == experiment_id
    assert lab.client.delete(f"/v1/releases/{CHALLENGER}").status_code == 409
    stop = f"/v1/experiments/{experiment_id}/stop"
    assert [lab.client.post(stop).status_code for _ in range(2)] == [200, 200]
    # Not against a champion that is none any more.
    wish["champion_id"] = CHALLENGER
    assert write_rows(driver, "experiments/begin", experiment_id="exp_other", **wish) == []
    assert lab.pointers()["challenger_id"] is None


def test_the_upkeep_brings_the_pointer_to_what_the_ledger_says(lab: Lab) -> None:
    experiment_id = lab.start()["id"]
    write_rows(lab.stack.driver, "experiments/end", experiment_id=experiment_id)
    assert lab.get(experiment_id)["is_shown"] is False
    assert lab.look(experiment_id)["is_shown"] is True
    # Ended in the ledger by one who was cut off.
    with Session(lab.stack.engine) as session, session.begin():
        session.execute(update(Experiment).values(status="stopped"))
    assert lab.look(experiment_id)["is_shown"] is False
    # Another release became active.
    second = json.loads(
        command(lab, "start", CHALLENGER, "--share", "0.2", "--max-conversion-loss", "0", "--json")
    )
    assert (second["share"], second["guards"]["max_conversion_loss"]) == (0.2, None)
    listed = json.loads(command(lab, "list", "--json"))["experiments"]
    assert [each["id"] for each in listed] == [second["id"], experiment_id]
    assert lab.client.post(f"/v1/releases/{CHALLENGER}/promote").status_code == 200
    assert lab.look(second["id"])["status"] == "promoted"
    assert lab.pointers()["challenger_id"] is None
