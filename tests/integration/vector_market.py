"""A market of random vectors behind an API, with a way to its graph that can be cut; and brute force."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import neo4j
import numpy as np
import redis

from lsec.core.artifact import Artifact
from lsec.core.event_log import LogKeys, encode_changes
from lsec.core.settings import Settings
from tests.integration.api_server import run_api, wait_until
from tests.integration.relay import Relay, relay_to
from tests.integration.vector_release import Sizes, all_scores, fill_graph, write_release

RELEASE = "rel_first"
SIZES = Sizes(users=60, products=40, streamers=5)
DEGRADED = "X-LSEC-Degraded"

STREAMS = """
MATCH (s:Streamer {id: 's1'})
CREATE (s)-[:HOSTED]->(live:Stream {id: 'live', started_at: datetime()}),
  (s)-[:HOSTED]->(:Stream {id: 'over', started_at: datetime(), ended_at: datetime('2026-01-02T03:04:05Z')}),
  (s)-[:HOSTED]->(:Stream {id: 'empty', started_at: datetime()}), (:Stream {id: 'nobodys'})
WITH s, live
UNWIND [['u1', 1], ['u2', 2], ['u3', 0], ['u4', 60]] AS row
MATCH (u:User {id: row[0]})
CREATE (u)-[:WATCHED {stream_id: 'live', day: date(), seconds: 9,
  last_at: datetime() - duration({minutes: row[1]})}]->(s)
WITH DISTINCT live
UNWIND [['p6', 5], ['p11', 120]] AS row
MATCH (p:Product {id: row[0]})
CREATE (live)-[:SHOWCASED {count: 1, last_at: datetime() - duration({minutes: row[1]})}]->(p)
"""
"""A stream of s1 that goes on, with users who watched it lately; one that is over; some that are empty."""


@dataclass(frozen=True)
class VectorMarket:
    """A graph with a release, and a client of an API that serves it."""

    driver: neo4j.Driver
    log: redis.Redis
    artifact: Artifact
    client: httpx2.Client
    url: str
    key: str
    way_to_graph: Relay

    def change(self, statement: str, *changed: tuple[str, str], **parameters: Any) -> None:
        """Change the graph, and say what has changed as an ingester does: (kind, id)."""
        self.driver.execute_query(statement, **parameters)
        if changed:
            self.log.xadd(LogKeys(0).changes, {"p": "1-0", "c": encode_changes(list(changed))})

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """The body of the first whole answer: on a busy machine a query may come too late at first."""
        answers: list[httpx2.Response] = []

        def is_whole() -> bool:
            answers.append(self.client.get(path, params=params or None))
            return DEGRADED not in answers[-1].headers

        wait_until(is_whole, timeout_s=60)
        answer = answers[-1]
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def scores(self) -> np.ndarray:
        """Every user's score of every product, by brute force."""
        names = ("user_vectors", "product_vectors", "product_bias")
        return all_scores({name: getattr(self.artifact, name) for name in names})


@contextmanager
def vector_market(
    settings: Settings, driver: neo4j.Driver, log: redis.Redis, key: str
) -> Iterator[VectorMarket]:
    """A market of random vectors, served to an admin's key."""
    artifact = write_release(settings.artifacts_path / RELEASE, SIZES)
    try:
        fill_graph(driver, artifact, SIZES)
        with (
            relay_to(settings.neo4j_url) as relay,
            run_api(settings.model_copy(update={"neo4j_url": f"bolt://127.0.0.1:{relay.port}"})) as url,
            httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30) as client,
        ):
            market = VectorMarket(driver, log, artifact, client, url, key, relay)
            wait_until(
                lambda: market.get("/v1/users/u1/recommendations")["release_id"] == RELEASE, timeout_s=60
            )
            yield market
    finally:
        shutil.rmtree(settings.artifacts_path)


def cosines(artifact: Artifact, product: int) -> dict[str, float]:
    """The cosine of a product and each of the others, by brute force."""
    vectors = artifact.product_vectors.astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return {f"p{row}": float(c) for row, c in enumerate(vectors @ vectors[product]) if row != product}


def by_score(scores: dict[str, float]) -> list[str]:
    return sorted(scores, key=lambda id_: -scores[id_])


def ids(found: dict[str, Any], what: str) -> list[str]:
    return [each[f"{what}_id"] for each in found[f"{what}s"]]
