"""Which statements may run, by their text alone."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsec.core.cypher_rules import check_statement
from lsec.core.cypher_tokens import normal_text, tokens_of, without_comments, without_values
from lsec.core.errors import Forbidden, InvalidInput

ALLOWED = [
    "MATCH (u:User {id: $id})-[b:BOUGHT]->(p:Product) WHERE b.at >= datetime($since) RETURN p.id, count(*)",
    "MATCH (u:User)-[:FOLLOWS]->(s:Streamer) WITH s, count(u) AS n ORDER BY n LIMIT 10 RETURN s.id, n",
    "MATCH p = (a:User {id: 'u1'})-[*1..3]-(b) RETURN [n IN nodes(p) | n.id] AS ids, length(p)",
    "MATCH p = shortestPath((a:User {id: 'a'})-[*..5]-(b:User {id: 'b'})) WHERE all(r IN relationships(p) "
    "WHERE r.at IS NOT NULL) RETURN p",
    "MATCH (p:Product) WHERE p.id IN $ids AND NOT EXISTS { MATCH (p)<-[:BOUGHT]-() } RETURN p.id",
    "MATCH (u:User) RETURN CASE WHEN u.index > 5 THEN 'late' ELSE 'early' END AS kind, count(*) AS num",
    "UNWIND range(1, 10) AS i RETURN i, date.truncate('month', date()) AS month",
    "CALL db.labels() YIELD label RETURN label",
    "CALL db.labels",
    "MATCH (u:User) CALL (u) { MATCH (u)-[b:BOUGHT]->() RETURN sum(b.amount) AS spent } RETURN u.id, spent",
    "MATCH (n:`Sonderbar ä`) RETURN n.`set`, n.set, {create: 1} AS m // DELETE n",
    "MATCH (n) RETURN 'CREATE (n)' AS text, \"it's /* no comment */\" AS more",
    "RETURN 1 AS x UNION RETURN 2 AS x",
    "MATCH (u)-[:BOUGHT]->(p) WITH u, collect(p.id) AS ids RETURN u.id, size(ids), ids[0..3]",
    "MATCH (a)-[r]->(b) RETURN round(a.x / (b.x + 1.5), 2) AS y, -1 AS z;",
]


def check(statement: str, parameters: dict[str, Any] | None = None) -> None:
    check_statement(tokens_of(normal_text(statement)), parameters or {})


@pytest.mark.parametrize("statement", ALLOWED)
def test_what_analysts_ask_is_allowed(statement: str) -> None:
    check(statement)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("MATCH (n) DELETE n", "DELETE is not allowed"),
        ("SHOW USERS", "may not begin with SHOW"),
        ("RETURN apoc.load.json('x')", "function apoc.load.json"),
        ("RETURN `file`()", "function file"),
        ("CALL dbms.listConfig", "procedure dbms.listConfig"),
        ("CALL `dbms`.listConfig()", "procedure dbms.listConfig"),
        ("RETURN 'a' =~ 'b'", "=~ is not allowed"),
        ("RETURN range(1, 5) AS r", "range may only follow UNWIND"),
        ("UNWIND range(1, 5) + [1] AS r RETURN r", "range may only follow UNWIND"),
        ("WITH [1] AS l RETURN [x IN l | x] AS m", "no others"),
        ("MATCH p = () RETURN [x IN nodes(p) WHERE x IN $l]", "may hold no IN"),
        ("MATCH p = () WITH p, [1] AS end RETURN [x IN nodes(p) WHERE end = end]", "only its own variable"),
        ("WITH [1] AS l " + "WITH [l, l] AS l " * 7 + "RETURN l", "grow without end"),
        ("WITH [1] AS end " + "WITH [end, end] AS end " * 7 + "RETURN end", "grow without end"),
        ("WITH {a: 1} AS m " + "WITH {a: [m.a, m.a]} AS m " * 7 + "RETURN m", "grow without end"),
        ("RETURN COLLECT { MATCH (n) RETURN n } AS ns", "by collect() alone"),
        ("MATCH (a) RETURN [(a)-[:X|Y]->(b) | b.id] AS ids", "by collect() alone"),
        ("MATCH (a) RETURN 1 -[p = (a)--(b) WHERE b.x | p] AS ids", "by collect() alone"),
        ("RETURN 1; RETURN 2", "; is not allowed"),
        ("WITH 1.CREATE (n) RETURN 1", "may not end with a dot"),
    ],
)
def test_what_is_refused_says_why(statement: str, words: str) -> None:
    with pytest.raises(Forbidden, match=re.escape(words)):
        check(statement, {"l": list(range(100))})


@pytest.mark.parametrize(
    "statement",
    [
        "",
        " ; ",
        "RETURN 'a",
        "RETURN `a",
        "RETURN 1 /* a",
        "RETURN '\\u0041'",
        "MATCH (ä) RETURN 1",
        "RETURN 1\r",
        "a\x00",
    ],
)
def test_what_lexers_may_read_in_two_ways_is_not_read(statement: str) -> None:
    with pytest.raises(InvalidInput):
        check(statement)


def test_comments_are_blanked_and_all_else_stays_in_its_place() -> None:
    text = "MATCH (n) /* DELETE n */ RETURN '// no', n // yes\nLIMIT 1"
    sent = without_comments(text, tokens_of(text))
    assert sent == "MATCH (n)" + " " * 16 + "RETURN '// no', n       \nLIMIT 1"


def test_a_record_of_a_statement_holds_no_values() -> None:
    text = normal_text("MATCH (u:User {id: 'ann'}) WHERE u.x = 17 RETURN u.`ann`, $p // ann")
    assert (
        without_values(tokens_of(text)) == "MATCH ( u : User { id : ? } ) WHERE u . x = ? RETURN u . ? , $p"
    )


@given(st.text(alphabet="ab1 '\"`/*\\\n(.)$[]{}|:;,=~+-", max_size=40))
def test_blanking_comments_again_changes_nothing(text: str) -> None:
    try:
        normal = normal_text(text)
        tokens = tokens_of(normal)
    except InvalidInput:
        return
    sent = without_comments(normal, tokens)
    assert len(sent) == len(normal)
    assert [(t.text, t.start) for t in tokens_of(sent)] == [(t.text, t.start) for t in tokens]
