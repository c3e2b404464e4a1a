"""An installation that is well, to be broken piece by piece, and what is found of it then."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import neo4j
import redis
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from lsec.core.artifact import open_artifact
from lsec.core.inspections import Finding, FindingState
from lsec.core.settings import Settings
from tests.integration.small_release import write_artifact
from workers.ingest.lease import Lease
from workers.inspection.active import shown_releases
from workers.inspection.agreement import graph_releases
from workers.inspection.inspect import inspect
from workers.ledger import mark_published, open_ledger, record_release
from workers.publish import publish

OLD, ACTIVE = "rel_old", "rel_new"
USERS = [f"u{number}" for number in range(30)]
PRODUCTS = ["p1", "p2", "p3"]


@dataclass(frozen=True, slots=True)
class Installation:
    """An installation with two releases, the newer one active."""

    settings: Settings
    driver: neo4j.Driver
    client: redis.Redis
    engine: Engine

    def look(self) -> dict[str, Finding]:
        """Everything that is looked at, by name."""
        return {each.name: each for each in inspect(self.settings, second_look_s=0)}

    def shown(self, *, is_deep: bool = False) -> dict[str, Finding]:
        """What is found of the releases that are shown."""
        found = shown_releases(self.settings, self.engine, self.driver, is_deep=is_deep)
        return {each.name: each for each in found}

    def in_graph(self) -> dict[str, Finding]:
        return {each.name: each for each in graph_releases(self.engine, self.driver)}

    def add(self, *rows: object) -> None:
        with Session(self.engine) as session, session.begin():
            session.add_all(rows)

    def follow(self, remedy: str) -> None:
        """Run the statement that a remedy gives."""
        statement = remedy.partition("In Neo4j: ")[2] or remedy.partition("in Neo4j: ")[2]
        assert statement
        self.driver.execute_query(statement.partition(";")[0])

    def folder(self, path: Path, *, hours_old: float = 1.0) -> None:
        path.mkdir(parents=True)
        at = time.time() - hours_old * 3600
        os.utime(path, (at, at))


@contextmanager
def open_installation(
    settings: Settings, driver: neo4j.Driver, client: redis.Redis
) -> Iterator[Installation]:
    """An installation on an empty stack, with a lease of its ingester; its folders are empty in the end."""
    engine = open_ledger(settings)
    driver.execute_query(
        "UNWIND range(0, size($ids) - 1) AS i CREATE (:User {id: $ids[i], index: i})", ids=USERS
    )
    slates = dict.fromkeys(USERS, PRODUCTS)
    for release_id in (OLD, ACTIVE):
        folder = settings.artifacts_path / release_id
        write_artifact(folder, slates, products=PRODUCTS, popular=PRODUCTS)
        artifact = open_artifact(folder)
        record_release(engine, artifact.manifest)
        publish(driver, artifact)
        mark_published(engine, release_id)
    lease = Lease(client, shard=0)
    assert lease.hold()
    yield Installation(settings, driver, client, engine)
    lease.release()
    engine.dispose()
    for path in (settings.artifacts_path, settings.runs_path):
        shutil.rmtree(path, ignore_errors=True)


def states(found: dict[str, Finding], *names: str) -> set[FindingState]:
    return {found[name].state for name in names}
