"""An API that serves a champion, a challenger beside it, and a crowd of users who were shown one of them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import neo4j
import redis
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from lsec.core.artifact import open_artifact
from lsec.core.experiments import sees_challenger
from lsec.core.ledger import AuditRecord, ReleaseRecord, utc_now
from lsec.core.release_ledger import Experiment
from lsec.core.settings import Settings
from tests.integration.api_server import run_api, wait_until
from tests.integration.conftest import bearer
from tests.integration.ingest_stack import IngestStack, ingest_stack
from tests.integration.served_market import fetch
from tests.integration.small_release import write_artifact
from workers.experiments import check_experiments
from workers.graph import read_rows
from workers.publish import publish

CHAMPION, CHALLENGER = "rel_champion", "rel_challenger"
PRODUCTS = [f"p{number}" for number in range(8)]
USERS = [f"u{number}" for number in range(100)]
SHARE = 0.3
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=5)
"""When the experiments of these tests are said to have begun, once they run."""
WINDOW_S = 3600
FILL = """
UNWIND range(0, size($products) - 1) AS i CREATE (:Product {id: $products[i], index: i})
WITH count(*) AS _
UNWIND range(0, size($users) - 1) AS i CREATE (:User {id: $users[i], index: i})
"""
CROWD = """
UNWIND range(0, size($users) - 1) AS i
CREATE (u:User {id: $users[i]})
WITH u, i, $since + duration({seconds: i}) AS at
MATCH (p:Product {id: 'p0'})
CREATE (u)-[:IMPRESSED {release_id: $releases[i], day: date(at), count: 1, min_position: 0, first_at: at,
                        last_at: at}]->(p)
FOREACH (_ IN CASE WHEN $bought[i] THEN [1] ELSE [] END |
  CREATE (u)-[:BOUGHT {event_id: randomUUID(), at: at + duration('PT1M'), amount: 3, quantity: 1}]->(p))
FOREACH (_ IN CASE WHEN $dismissed[i] THEN [1] ELSE [] END |
  CREATE (u)-[:DISMISSED {at: at + duration('PT1M')}]->(p))
"""


@dataclass(frozen=True)
class Lab:
    """An API that serves a champion, with a challenger on disk that is not in the graph yet."""

    client: httpx2.Client
    stack: IngestStack
    secret: str

    @property
    def settings(self) -> Settings:
        return self.stack.settings

    def start(self, **wish: Any) -> dict[str, Any]:
        """An experiment whose challenger is shown."""
        body = {"challenger_id": CHALLENGER, "share": SHARE, "window_s": WINDOW_S, **wish}
        answer = self.client.post("/v1/experiments", json=body)
        assert answer.status_code == 201, answer.text
        check_experiments(self.settings)
        return self.get(answer.json()["id"])

    def get(self, experiment_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/v1/experiments/{experiment_id}").json()
        return found

    def began(self, experiment_id: str, at: datetime) -> None:
        """Say that the experiment began then: no test waits for a window to be over."""
        with Session(self.stack.engine) as session, session.begin():
            session.execute(update(Experiment).where(Experiment.id == experiment_id).values(started_at=at))

    def look(self, experiment_id: str) -> dict[str, Any]:
        check_experiments(self.settings)
        return self.get(experiment_id)

    def serves(self, user_id: str, release_id: str) -> bool:
        return bool(fetch(self.client, user_id)["release_id"] == release_id)

    def pointers(self) -> dict[str, Any]:
        return read_rows(self.stack.driver, "recommendations/active_release")[0]

    def audited(self) -> list[tuple[str, str]]:
        with Session(self.stack.engine) as session:
            records = session.scalars(select(AuditRecord).order_by(AuditRecord.id))
            return [(record.action, record.key_id) for record in records]


@contextmanager
def experiment_lab(settings: Settings, driver: neo4j.Driver, log: redis.Redis, secret: str) -> Iterator[Lab]:
    """The lab, in an empty graph and ledger."""
    driver.execute_query(FILL, products=PRODUCTS, users=USERS)
    with ingest_stack(settings, driver, log) as stack:
        with Session(stack.engine) as session, session.begin():
            for release_id, product_ids in ((CHAMPION, PRODUCTS[:4]), (CHALLENGER, PRODUCTS[4:])):
                write_artifact(
                    settings.artifacts_path / release_id,
                    dict.fromkeys(USERS, product_ids),
                    products=PRODUCTS,
                    popular=product_ids,
                )
                session.add(record_of(release_id))
        publish(driver, open_artifact(settings.artifacts_path / CHAMPION))
        with (
            run_api(settings) as url,
            httpx2.Client(base_url=url, headers=bearer(secret), timeout=30) as client,
        ):
            wait_until(lambda: fetch(client, "u0")["release_id"] == CHAMPION, timeout_s=30)
            yield Lab(client, stack, secret)
    shutil.rmtree(settings.artifacts_path)


def record_of(release_id: str) -> ReleaseRecord:
    return ReleaseRecord(
        id=release_id,
        training_id=f"trn_{release_id}",
        model="cosine-gcn",
        metrics={},
        counts={"users": len(USERS)},
        snapshot_sha256="",
        created_at=utc_now(),
    )


def crowd(lab: Lab, experiment_id: str, *, buys: tuple[int, int], dismisses: tuple[int, int]) -> None:
    """2,000 more users with an impression, of each arm in turn; one in so many of an arm buys, or dismisses.

    A crowd of whoever comes would split as the experiment's new id happens to split it.
    """
    lab.began(experiment_id, NOON)
    arms: tuple[list[str], list[str]] = ([], [])
    for number in range(4_000):
        user_id = f"crowd-{number}"
        arms[sees_challenger(experiment_id, user_id, 0.5)].append(user_id)
    places = [(place, arm) for place in range(1_000) for arm in (0, 1)]
    lab.stack.driver.execute_query(
        CROWD,
        users=[arms[arm][place] for place, arm in places],
        since=NOON,
        releases=[(CHAMPION, CHALLENGER)[arm] for _, arm in places],
        bought=[place % buys[arm] == 0 for place, arm in places],
        dismissed=[place % dismisses[arm] == 0 for place, arm in places],
    )
