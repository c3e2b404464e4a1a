"""`POST /v1/cypher` on a small graph: answers, limits, ends, the audit."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import neo4j
import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session
from typer.testing import CliRunner, Result

from lsec.cli.main import app
from lsec.client import ApiError, Client
from lsec.client.cypher_routes import CypherHeader, CypherRow, CypherSummary
from lsec.core.ledger import AuditRecord, Scope, sync_url
from lsec.core.settings import Settings
from tests.integration.api_server import wait_until
from tests.integration.conftest import bearer

ENDLESS = "UNWIND range(1, 1000000000000) AS x WITH x WHERE x < 0 RETURN x"
ROWS_WITHOUT_END = (
    "UNWIND range(1, 1000000000000) AS x RETURN x, 'some more text for each of the rows' AS text"
)


@pytest.fixture
def market(neo4j_driver: neo4j.Driver, clean_stack: None) -> None:
    neo4j_driver.execute_query(
        "UNWIND range(1, 1200) AS i CREATE (:User {id: 'u' + i}) CREATE (:Product {id: 'p' + i}) "
        "WITH count(*) AS _ MATCH (u:User {id: 'u1'}), (p:Product {id: 'p1'}) "
        "CREATE (u)-[:BOUGHT {event_id: 'e1', at: datetime('2026-01-05T10:00:00Z'), amount: 7}]->(p)"
    )


@pytest.fixture
def analyst(market: None, api_url: str, keys: dict[Scope, str]) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=api_url, headers=bearer(keys[Scope.ANALYST]), timeout=30) as client:
        yield client


def lines(client: httpx2.Client, statement: str, **body: Any) -> list[Any]:
    answer = client.post("/v1/cypher", json={"statement": statement, **body})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


def audited(settings: Settings) -> list[AuditRecord]:
    engine = create_engine(sync_url(settings.ledger_url))
    with Session(engine) as session:
        records = list(session.scalars(select(AuditRecord).order_by(AuditRecord.id)))
    engine.dispose()
    return [record for record in records if record.action.startswith("cypher.")]


def running(driver: neo4j.Driver) -> int:
    rows = driver.execute_query(
        "SHOW TRANSACTIONS YIELD metaData WHERE metaData['lsec_cypher'] IS NOT NULL RETURN count(*) AS num"
    ).records
    return int(rows[0]["num"])


def test_values_of_every_kind_come_as_json(analyst: httpx2.Client) -> None:
    header, row, last = lines(
        analyst,
        "MATCH path = (u:User)-[b:BOUGHT]->() RETURN u, b, path, date('2026-01-02') AS d, b.at AS at, "
        "duration('P1DT2H') AS t, point({x: 1, y: 2}) AS p, $list AS list, 0.0 / 0 AS nan, null AS nothing",
        parameters={"list": [1, "x", {"a": None}]},
    )
    assert header["columns"] == ["u", "b", "path", "d", "at", "t", "p", "list", "nan", "nothing"]
    u, b, path, d, at, t, p, list_, nan, nothing = row
    assert (u["$type"], u["labels"], u["properties"]) == ("node", ["User"], {"id": "u1"})
    assert (b["type"], b["start"], b["properties"]["amount"]) == ("BOUGHT", u["element_id"], 7)
    assert [node["labels"] for node in path["nodes"]] == [["User"], ["Product"]]
    assert path["relationships"] == [b]
    assert d == {"$type": "date", "value": "2026-01-02"}
    assert (at["$type"], at["value"][:19]) == ("datetime", "2026-01-05T10:00:00")
    assert t == {"$type": "duration", "value": "P1DT2H"}
    assert p == {"$type": "point", "srid": 7203, "coordinates": [1.0, 2.0]}
    assert (list_, nan["value"], nothing) == ([1, "x", {"a": None}], "NaN", None)
    assert last["summary"]["rows"] == 1


def test_a_plan_is_given_without_or_with_rows(analyst: httpx2.Client) -> None:
    statement = "MATCH (u:User) RETURN u.id AS id LIMIT 3"
    _, explained = lines(analyst, statement, mode="explain")
    assert explained["summary"]["plan"]["operator"] == "ProduceResults"
    *rows, profiled = lines(analyst, statement, mode="profile")[1:]
    assert len(rows) == profiled["summary"]["plan"]["rows"] == 3
    assert profiled["summary"]["plan"]["children"][0]["db_hits"] >= 0


def test_rows_and_bytes_are_capped(analyst: httpx2.Client) -> None:
    answer = lines(analyst, "UNWIND range(1, 5) AS x RETURN x", max_rows=3)
    assert (answer[1:4], answer[4]["summary"]["truncated"]) == ([[1], [2], [3]], "rows")
    exact = lines(analyst, "UNWIND range(1, 3) AS x RETURN x", max_rows=3)
    assert exact[-1]["summary"]["truncated"] is None
    last = lines(analyst, "UNWIND range(1, 4000) AS x RETURN [$t, $t] AS t", parameters={"t": "x" * 4000})[-1]
    assert last["summary"]["truncated"] == "bytes"


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"statement": "RETURN"}, 400, "statement"),
        ({"statement": "RETURN $x"}, 400, "statement"),
        ({"statement": "RETURN 1 / 0 AS x"}, 400, "statement"),
        ({"statement": ""}, 422, "statement"),
        ({"statment": "RETURN 1"}, 422, "statement"),
        ({"statement": "RETURN 1", "mode": "write"}, 422, "mode"),
        ({"statement": "RETURN 1", "timeout_s": 3600}, 422, "timeout_s"),
        ({"statement": "RETURN 1", "max_rows": 10**9}, 422, "max_rows"),
        ({"statement": "RETURN $x AS x", "parameters": {"x": 2**70}}, 422, "parameters"),
        ({"statement": "RETURN $x AS x", "parameters": {"x": "x" * 70_000}}, 422, "parameters"),
    ],
)
def test_what_is_wrong_is_named(
    analyst: httpx2.Client, body: dict[str, Any], status: int, field: str
) -> None:
    answer = analyst.post("/v1/cypher", json=body)
    if answer.status_code == 200:
        error = json.loads(answer.text.splitlines()[-1])["error"]
        assert error["status"] == status
    else:
        assert (answer.status_code, answer.json()["field"]) == (status, field), answer.text


def test_a_product_of_large_labels_is_refused_with_a_hint(analyst: httpx2.Client) -> None:
    body = {"statement": "MATCH (u:User), (p:Product) RETURN u.id, p.id"}
    answer = analyst.post("/v1/cypher", json=body)
    assert answer.status_code == 403
    assert "Cartesian product" in answer.json()["detail"]
    assert "relationship" in answer.json()["remedy"]
    few = {"statement": "MATCH (u:User {id: 'u1'}), (p:Product) RETURN count(*) AS num"}
    assert json.loads(analyst.post("/v1/cypher", json=few).text.splitlines()[1]) == [1200]


def test_a_statement_is_stopped_at_its_timeout(analyst: httpx2.Client, neo4j_driver: neo4j.Driver) -> None:
    last = lines(analyst, ENDLESS, timeout_s=0.5)[-1]
    assert last["error"]["title"] == "Timed out"
    assert running(neo4j_driver) == 0


def test_one_statement_runs_at_a_time_and_can_be_ended(
    analyst: httpx2.Client,
    api_url: str,
    keys: dict[Scope, str],
    neo4j_driver: neo4j.Driver,
    stack_settings: Settings,
) -> None:
    with analyst.stream("POST", "/v1/cypher", json={"statement": ENDLESS}) as answer:
        reading = answer.iter_lines()
        statement_id = json.loads(next(reading))["id"]
        busy: list[httpx2.Response] = []
        other = threading.Thread(
            target=lambda: busy.append(
                httpx2.post(
                    f"{api_url}/v1/cypher",
                    json={"statement": "RETURN 1 AS x"},
                    headers=bearer(keys[Scope.ADMIN]),
                    timeout=30,
                )
            )
        )
        other.start()
        other.join()
        assert (busy[0].status_code, busy[0].headers["Retry-After"]) == (503, "6")
        ended = analyst.delete(f"/v1/cypher/{statement_id}")
        assert (ended.status_code, ended.json()) == (200, {"id": statement_id, "cancelled": True})
        assert "cancelled" in json.loads(next(reading))["error"]["detail"]
    wait_until(lambda: running(neo4j_driver) == 0)
    assert analyst.delete(f"/v1/cypher/{statement_id}").status_code == 404
    assert lines(analyst, "RETURN 1 AS x")[1] == [1]


def test_another_analysts_statement_cannot_be_ended(
    analyst: httpx2.Client, api_url: str, keys: dict[Scope, str]
) -> None:
    body, admin = {"statement": ENDLESS, "timeout_s": 3}, bearer(keys[Scope.ADMIN])
    with httpx2.stream("POST", f"{api_url}/v1/cypher", json=body, headers=admin, timeout=30) as answer:
        reading = answer.iter_lines()
        statement_id = json.loads(next(reading))["id"]
        assert analyst.delete(f"/v1/cypher/{statement_id}").status_code == 403


def test_who_leaves_ends_the_statement(
    analyst: httpx2.Client, neo4j_driver: neo4j.Driver, stack_settings: Settings
) -> None:
    for statement in (ENDLESS, ROWS_WITHOUT_END):
        with analyst.stream("POST", "/v1/cypher", json={"statement": statement}) as answer:
            next(answer.iter_lines())
            started = time.monotonic()
        wait_until(lambda: running(neo4j_driver) == 0)
        assert time.monotonic() - started < 4
        wait_until(lambda: audited(stack_settings)[-1].detail["outcome"] != "running")
    assert audited(stack_settings)[-2].detail["outcome"] == "cancelled"


def test_each_statement_is_in_the_audit_without_its_values(
    analyst: httpx2.Client, stack_settings: Settings
) -> None:
    lines(analyst, "MATCH (u:User) WHERE u.id = 'u1' OR u.id = $id RETURN u.id", parameters={"id": "u2"})
    analyst.post("/v1/cypher", json={"statement": "CREATE (:User {id: 'u9'})"})
    lines(analyst, "MATCH (u:User) RETURN u.id", mode="explain")
    wait_until(lambda: all(record.detail["outcome"] != "running" for record in audited(stack_settings)))
    done, refused, explained = audited(stack_settings)
    assert (done.action, done.detail["rows"], done.detail["outcome"]) == ("cypher.run", 2, "done")
    assert done.detail["statement"] == "MATCH ( u : User ) WHERE u . id = ? OR u . id = $id RETURN u . id"
    assert done.detail["parameters"] == ["id"]
    assert (refused.detail["outcome"], refused.detail["rows"]) == ("refused", 0)
    assert explained.action == "cypher.explain"
    assert all(record.key_id.startswith("key") and record.detail["ms"] >= 0 for record in (done, refused))


def test_who_may_only_read_recommendations_may_not_ask(api_url: str, keys: dict[Scope, str]) -> None:
    for scope in (Scope.READ, Scope.INGEST):
        body = {"statement": "RETURN 1 AS x"}
        answer = httpx2.post(f"{api_url}/v1/cypher", json=body, headers=bearer(keys[scope]), timeout=10)
        assert answer.status_code == 403


def test_the_client_gives_header_rows_and_summary(market: None, api_url: str, keys: dict[Scope, str]) -> None:
    with Client(api_url, keys[Scope.ANALYST]) as client:
        header, row, summary = client.cypher("RETURN $x AS x", {"x": [1]})
        assert isinstance(header, CypherHeader)
        assert header.columns == ["x"]
        assert row == CypherRow([[1]])
        assert isinstance(summary, CypherSummary)
        with pytest.raises(ApiError, match="stopped after"):
            list(client.cypher(ENDLESS, timeout_s=0.3))
        with pytest.raises(ApiError, match="No statement"):
            client.cancel_cypher("cy_none")


def test_the_command_prints_rows_or_a_plan(market: None, api_url: str, keys: dict[Scope, str]) -> None:
    environment = {"LSEC_URL": api_url, "LSEC_API_KEY": keys[Scope.ANALYST], "COLUMNS": "200"}

    def lsec(*words: str) -> Result:
        return CliRunner().invoke(app, ["cypher", *words], env=environment)

    statement = "MATCH (u:User) WHERE u.id = $id RETURN u.id AS id, {a: 1} AS m"
    assert '{"a":1}' in lsec(statement, "--param", "id=u1").stdout
    assert json.loads(lsec(statement, "--param", 'id="u1"', "--json").stdout) == {"id": "u1", "m": {"a": 1}}
    assert "ProduceResults" in lsec(statement, "--param", "id=u1", "--explain").stdout
    refused = lsec("MATCH (n) DELETE n")
    assert (refused.exit_code, "DELETE is not allowed" in refused.stderr) == (1, True)
