"""The statements of docs/releases.md, run as an analyst would on a published release."""

import re
from pathlib import Path
from typing import Any

import httpx2
import neo4j
import orjson
import pytest

from lsec.core.artifact import open_artifact
from lsec.core.ledger import Scope
from tests.integration.conftest import bearer
from tests.integration.small_release import write_artifact
from workers.publish import publish

DOCS = Path(__file__).parents[2] / "docs" / "releases.md"
EXAMPLES = re.findall(r"```cypher\n(.*?)```", DOCS.read_text(), re.DOTALL)
PRODUCTS = ["p0", "p1", "p2", "p3"]
# Ann sells p0 and p2, Ben p2 and p3; u1 follows Ann, u2 nobody.
MARKET = """
UNWIND ['p0', 'p1', 'p2', 'p3'] AS id CREATE (:Product {id: id})
WITH count(*) AS _
CREATE (u1:User {id: 'u1'}), (:User {id: 'u2'}), (ann:Streamer {id: 'ann'}), (ben:Streamer {id: 'ben'}),
  (u1)-[:FOLLOWS]->(ann)
WITH ann, ben
MATCH (p:Product) WHERE p.id IN ['p0', 'p2', 'p3']
FOREACH (_ IN CASE WHEN p.id <> 'p3' THEN [1] ELSE [] END | CREATE (ann)-[:SELLS]->(p))
FOREACH (_ IN CASE WHEN p.id <> 'p0' THEN [1] ELSE [] END | CREATE (ben)-[:SELLS]->(p))
"""
FOUND: list[list[list[Any]]] = [
    [[2, "p2", 9.0, ["ann"]], [3, "p0", 8.0, ["ann"]]],
    [["u1", 2, 9.0, True], ["u2", 1, 10.0, False]],
    [["p0", 2, 1], ["p1", 1, 0], ["p2", 1, 2], ["p3", 1, 1]],
    [["rel_1", "p3", 10.0], ["rel_2", "p1", 10.0]],
]
"""What each example answers, in the order of the document."""


@pytest.fixture
def analyst(
    api_client: httpx2.Client, keys: dict[Scope, str], neo4j_driver: neo4j.Driver, tmp_path: Path
) -> httpx2.Client:
    neo4j_driver.execute_query(MARKET)
    old, new = {"u1": ["p3"], "u2": ["p0"]}, {"u1": ["p1", "p2", "p0"], "u2": ["p0", "p3"]}
    for release_id, slates in (("rel_1", old), ("rel_2", new)):
        write_artifact(tmp_path / release_id, slates, products=PRODUCTS, popular=PRODUCTS)
        publish(neo4j_driver, open_artifact(tmp_path / release_id))
    api_client.headers.update(bearer(keys[Scope.ANALYST]))
    return api_client


def test_each_example_answers_what_it_says(analyst: httpx2.Client) -> None:
    assert len(EXAMPLES) == len(FOUND)
    for statement, expected in zip(EXAMPLES, FOUND, strict=True):
        parameters = {"user_id": "u1", "streamer_id": "ann"}
        named = {name: value for name, value in parameters.items() if f"${name}" in statement}
        answer = analyst.post("/v1/cypher", json={"statement": statement, "parameters": named})
        assert answer.status_code == 200, answer.text
        _, *rows, last = map(orjson.loads, answer.text.splitlines())
        assert "summary" in last, last
        assert rows == expected, statement
