"""Releases over HTTP: promoted, rolled back, compared, pinned, deleted, and past the retention."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import neo4j
import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from lsec.cli.main import app
from lsec.core.jobs import UPKEEP_QUEUE
from lsec.core.ledger import AuditRecord, ReleaseRecord, Scope
from lsec.core.settings import Settings
from lsec.local.services import environment
from tests.integration.api_server import wait_until
from tests.integration.small_release import write_artifact
from workers.ledger import open_ledger
from workers.releases import keep_releases_in_order, publish_for_a_while

PRODUCTS = [f"p{number}" for number in range(8)]
SLATES = {
    "rel_1": {"u1": ["p0", "p1", "p2"], "u2": ["p3", "p4"], "u3": [], "u4": ["p5"]},
    "rel_2": {"u1": ["p0", "p2", "p6"], "u2": ["p4", "p3"], "u3": [], "u5": ["p5"]},
    "rel_3": {"u1": ["p7"]},
}
FAILED = {"name": "coverage", "value": 0.01, "bound": 0.05, "is_passed": False, "detail": "too few products"}
PASSED = {"name": "popularity", "value": 0.2, "bound": 0.1, "is_passed": True, "detail": ""}
REJECTED = {"is_passed": False, "judged_against": "rel_1", "checks": [PASSED, FAILED]}
CARD = "# A model\n"


@dataclass
class Shop:
    """Three releases on disk and in the ledger, the newest last; none is in the graph."""

    client: httpx2.Client
    settings: Settings
    driver: neo4j.Driver
    engine: Engine
    secret: str

    def post(self, path: str, expected_status: int, **body: Any) -> dict[str, Any]:
        answer = self.client.post(f"/v1/releases/{path}", json=body)
        assert answer.status_code == expected_status, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def get(self, path: str) -> dict[str, Any]:
        answer = self.client.get(f"/v1/releases{path}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def promote(self, release_id: str) -> None:
        """What the route and then the worker do."""
        assert self.post(f"{release_id}/promote", 202)["state"] == "publishing"
        assert not publish_for_a_while(self.settings, release_id)

    def upkeep(self, **changes: Any) -> None:
        keep_releases_in_order(self.settings.model_copy(update=changes))

    def audits(self) -> list[tuple[str, str, str]]:
        """Action, release and reason of each change."""
        with Session(self.engine) as session:
            rows = session.scalars(select(AuditRecord).order_by(AuditRecord.id)).all()
        assert all(row.key_id for row in rows)
        return [(row.action, row.target, row.detail.get("reason", "")) for row in rows]

    def folder(self, release_id: str) -> Path:
        return self.settings.artifacts_path / release_id


@pytest.fixture
def shop(
    stack_settings: Settings,
    neo4j_driver: neo4j.Driver,
    api_client: httpx2.Client,
    keys: dict[Scope, str],
) -> Iterator[Shop]:
    neo4j_driver.execute_query("UNWIND range(1, 5) AS i CREATE (:User {id: 'u' + i})")
    engine = open_ledger(stack_settings)
    for number, (release_id, slates) in enumerate(SLATES.items()):
        folder = stack_settings.artifacts_path / release_id
        write_artifact(folder, slates, products=PRODUCTS, popular=PRODUCTS)
        (folder / "README.md").write_text(CARD)
        (stack_settings.runs_path / f"trn_{release_id}").mkdir(parents=True)
        with Session(engine) as session, session.begin():
            session.add(
                ReleaseRecord(
                    id=release_id,
                    training_id=f"trn_{release_id}",
                    model="cosine-gcn",
                    metrics={"ndcg@10": 0.1 * (number + 1), "users": {"new": {"hits": number}}},
                    counts={"users": len(slates)},
                    snapshot_sha256="s",
                    created_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number),
                )
            )
    yield Shop(api_client, stack_settings, neo4j_driver, engine, keys[Scope.ADMIN])
    engine.dispose()
    shutil.rmtree(stack_settings.artifacts_path)
    shutil.rmtree(stack_settings.runs_path)


def test_a_release_is_promoted_by_a_worker_and_the_one_before_comes_back_at_once(shop: Shop) -> None:
    asked = shop.post("rel_1/promote", 202, reason="the first")
    assert (asked["state"], asked["aliases"], asked["percent"]) == ("publishing", [], 0.0)
    assert not publish_for_a_while(shop.settings, "rel_1")
    # A job that is delivered twice finds nothing to do.
    assert not publish_for_a_while(shop.settings, "rel_1")
    first = shop.get("/rel_1")
    assert (first["state"], first["aliases"], first["active"]) == ("active", ["champion"], True)
    assert first["published_at"] is not None
    shop.promote("rel_2")
    listed = shop.get("")
    assert (listed["active"], listed["challenger"]) == ("rel_2", None)
    states = {each["id"]: each["state"] for each in listed["releases"]}
    assert states == {"rel_3": "kept", "rel_2": "active", "rel_1": "published"}
    assert list(states) == ["rel_3", "rel_2", "rel_1"]
    assert [each["id"] for each in shop.get("?state=published")["releases"]] == ["rel_1"]
    back = shop.post("rollback", 200, reason="conversions fell", expected="rel_2")
    assert (back["id"], back["state"]) == ("rel_1", "active")
    assert "No release is kept" in shop.post("rollback", 409)["detail"]
    # Both are whole in the graph: no worker is needed to go forth again.
    assert shop.post("rel_2/promote", 200)["active"]
    assert shop.audits() == [
        ("release.promote", "rel_1", "the first"),
        ("release.promote", "rel_2", ""),
        ("release.rollback", "rel_1", "conversions fell"),
        ("release.promote", "rel_2", ""),
    ]


def test_a_real_worker_writes_what_is_promoted_and_clears_what_is_deleted(shop: Shop) -> None:
    options = ("--pool", "threads", "--concurrency", "1", "--queues", UPKEEP_QUEUE)
    command = [sys.executable, "-m", "celery", "-A", "workers.celery_app:app", "worker", *options]
    with subprocess.Popen(command, env=os.environ | environment(shop.settings)) as worker:
        try:
            shop.post("rel_1/promote", 202)
            assert shop.client.delete("/v1/releases/rel_2").status_code == 202
            wait_until(lambda: shop.get("/rel_1")["active"], timeout_s=120)
            wait_until(lambda: not shop.folder("rel_2").exists(), timeout_s=60)
        finally:
            worker.terminate()


def test_a_promotion_that_finds_another_release_active_changes_nothing(shop: Shop) -> None:
    shop.promote("rel_1")
    refused = shop.post("rel_2/promote", 409, expected="rel_3")
    assert refused["active"] == "rel_1"
    assert shop.post("rel_2/promote", 202, expected="rel_1")["state"] == "publishing"
    shop.post("rel_3/promote", 202)
    assert "is being published" in shop.client.delete("/v1/releases/rel_3").json()["detail"]
    for release_id in ("rel_2", "rel_3"):
        publish_for_a_while(shop.settings, release_id)
    lost = shop.get("/rel_3")
    assert (lost["state"], shop.get("")["active"]) == ("published", "rel_2")
    assert "Release rel_2 became active while rel_3" in lost["promotion_error"]
    # Whoever asks anew means it.
    assert shop.post("rel_3/promote", 200)["promotion_error"] is None


def test_a_release_that_has_not_passed_the_gate_needs_a_reason_to_become_active(shop: Shop) -> None:
    with Session(shop.engine) as session, session.begin():
        session.get_one(ReleaseRecord, "rel_2").gate = REJECTED
    refused = shop.post("rel_2/promote", 409)
    assert (refused["checks"], "coverage" in refused["detail"]) == ([FAILED], True)
    assert shop.audits() == []
    shop.post("rel_2/promote", 202, override="the catalogue is small")
    publish_for_a_while(shop.settings, "rel_2")
    gate = shop.get("/rel_2")["gate"]
    assert gate["override"]["reason"] == "the catalogue is small"
    assert (gate["checks"], shop.get("")["active"]) == (REJECTED["checks"], "rel_2")
    card = shop.client.get("/v1/releases/rel_2/card")
    assert card.headers["content-type"].startswith("text/markdown")
    assert card.text.startswith(CARD)
    assert "| coverage | 0.01 | 0.05 | no | too few products |" in card.text
    assert "the catalogue is small" in card.text


def test_two_releases_are_compared_over_the_users_that_both_know(shop: Shop) -> None:
    found = shop.get("/rel_1/compare/rel_2?k=2&user_id=u1")
    figures = {each["name"]: each for each in found["metrics"]}
    assert figures["ndcg@10"]["difference"] == pytest.approx(0.1)
    assert figures["users.new.hits"] == {"name": "users.new.hits", "value": 0, "other": 1, "difference": 1}
    # u1: {p0, p1} and {p0, p2}, a third; u2: the same two, another first. u3 has no slate.
    assert found["overlap"] == {
        "k": 2,
        "num_common_users": 3,
        "num_compared_users": 2,
        "is_sampled": False,
        "mean_jaccard": pytest.approx((1 / 3 + 1) / 2),
        "same_first_share": 0.5,
        "coverage": 4 / 8,
        "other_coverage": 4 / 8,
    }
    places = {each["product_id"]: (each["place"], each["other_place"]) for each in found["user"]["products"]}
    assert places == {"p0": (1, 1), "p1": (2, None), "p2": (3, 2), "p6": (None, 3)}
    assert shop.client.get("/v1/releases/rel_1/compare/rel_2?user_id=nobody").status_code == 404


def test_a_deleted_release_leaves_its_record_and_nothing_else(shop: Shop) -> None:
    shop.promote("rel_1")
    shop.promote("rel_2")
    for release_id, status in (("rel_2", 409), ("rel_1", 202), ("rel_1", 202), ("rel_9", 404)):
        answer = shop.client.delete(f"/v1/releases/{release_id}", params={"reason": "a mistake"})
        assert answer.status_code == status, answer.text
    # From the request on it can neither become active nor come back.
    assert "is deleted" in shop.post("rel_1/promote", 409)["detail"]
    shop.post("rollback", 409)
    shop.upkeep()
    gone = shop.get("/rel_1")
    assert (gone["state"], gone["metrics"]["ndcg@10"], gone["deleted_at"] is not None) == (
        "deleted",
        0.1,
        True,
    )
    held = "MATCH (n) WHERE n.release_id = 'rel_1' OR n.id = 'rel_1' RETURN count(n) AS num"
    assert shop.driver.execute_query(held).records[0]["num"] == 0
    assert not shop.folder("rel_1").exists()
    assert not (shop.settings.runs_path / "trn_rel_1").exists()
    assert shop.folder("rel_2").exists()
    assert shop.audits().count(("release.delete", "rel_1", "a mistake")) == 1


def test_retention_leaves_what_is_new_pinned_active_or_was_active(shop: Shop) -> None:
    with Session(shop.engine) as session, session.begin():
        for number in range(4, 8):
            session.add(
                ReleaseRecord(
                    id=f"rel_{number}",
                    training_id=f"trn_{number}",
                    model="m",
                    metrics={},
                    counts={},
                    snapshot_sha256="",
                    is_kept=number == 4,
                    created_at=datetime(2026, 2, number, tzinfo=UTC),
                )
            )
    shop.promote("rel_1")
    shop.promote("rel_2")
    pinned = shop.client.patch("/v1/releases/rel_3", json={"is_kept": True, "reason": "audited"})
    assert pinned.json()["is_kept"]
    shop.upkeep(kept_artifacts=2)
    deleted = {each["id"] for each in shop.get("")["releases"] if each["deleted_at"]}
    assert deleted == {"rel_5"}
    assert shop.client.patch("/v1/releases/rel_3", json={"is_kept": False}).status_code == 200
    shop.upkeep(kept_artifacts=2)
    assert not shop.folder("rel_3").exists()
    assert shop.client.patch("/v1/releases/rel_3", json={"is_kept": True}).status_code == 409


def test_the_artifact_comes_whole_with_its_checksums(shop: Shop, tmp_path: Path) -> None:
    answer = shop.client.get("/v1/releases/rel_1/artifact")
    assert int(answer.headers["content-length"]) == len(answer.content)
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        archive.extractall(tmp_path, filter="data")
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=tmp_path / "rel_1", check=True)
    here = {path.name: path.read_bytes() for path in shop.folder("rel_1").iterdir()}
    there = {path.name: path.read_bytes() for path in (tmp_path / "rel_1").iterdir()}
    assert there.keys() - here.keys() == {"SHA256SUMS"}
    assert here.items() <= there.items()
    assert shop.client.get("/v1/releases/rel_9/artifact").status_code == 404


def test_the_commands_do_what_the_routes_do(shop: Shop, tmp_path: Path) -> None:
    shop.promote("rel_1")

    def run(*arguments: str) -> str:
        options = ["--url", str(shop.client.base_url), "--key", shop.secret]
        done = CliRunner().invoke(app, ["releases", *arguments, *options])
        assert done.exit_code == 0, done.output
        return done.output

    assert "publishing" in run("promote", "rel_2", "--no-wait", "--reason", "newer")
    publish_for_a_while(shop.settings, "rel_2")
    assert "rel_2 is active" in run("promote", "rel_2")
    assert "rel_1 is active" in run("rollback", "--expected", "rel_2")
    assert "champion" in run("list")
    assert "mean Jaccard index" in run("compare", "rel_1", "rel_2", "--user", "u1")
    assert "pinned" in run("keep", "rel_3")
    assert "not judged" in run("show", "rel_3")
    assert run("card", "rel_3").startswith(CARD)
    run("download", "rel_3", "--out", str(tmp_path / "rel.tar"))
    assert tarfile.is_tarfile(tmp_path / "rel.tar")
    assert '"state": "deleted"' in run("delete", "rel_3", "--yes", "--json")
