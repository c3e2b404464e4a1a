"""What Neo4j does for an influence query: the work, counted in database hits, and the plan in short."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import neo4j

from bench.influence_asks import Ask, route_of
from bench.influence_rows import asked_of
from graph_schema.queries import load_query
from lsec.api.dependencies import FIRST_MOMENT
from lsec.api.stores.touches import STREAMERS_AT_ONCE, USERS_AT_ONCE
from lsec.api.tables import duration_of

BY_USER = tuple(f"touches/{name}" for name in ("purchases", "follows", "watched", "viewed", "engaged"))
ALL_TOUCHES = (*BY_USER[:3], "touches/viewed_with", BY_USER[4])
STREAMERS = "touches/streamers"
ESTIMATES = {
    "attribution": ALL_TOUCHES,
    "attribution by last touch": BY_USER,
    "lift": BY_USER,
    "audience overlap": (STREAMERS, "audience/members"),
    "audience nearest": (STREAMERS, "audience/watchers"),
    "audience buyers": (STREAMERS, "audience/purchases"),
    "audience at risk": (STREAMERS, "audience/watching"),
    "seeds": (STREAMERS, "seeds/product", "audience/followers", "touches/watched", "seeds/streams"),
    "paper": ("audience/followers", "paper/purchases", "paper/sells", "paper/products"),
}
"""The statements that fetch an estimate's rows, many a part at a time; others have one of their name."""
PLAIN = {
    *("ProduceResults", "Projection", "Argument", "Apply", "Filter", "CacheProperties", "EagerAggregation"),
    *("Distinct", "Union", "SelectOrSemiApply", "SemiApply", "LetSemiApply", "Limit", "Optional", "Unwind"),
}
"""Operators that say nothing of how a query finds its way."""
DEFAULTS: dict[str, Any] = {
    "start": 0,
    "stop": USERS_AT_ONCE,
    "min_buyers": 1,
    "min_purchases": 0,
    "min_shared": 1,
    "limit": 21,
    "after": None,
    "users": None,
    "in_stream": False,
    "in_shop": False,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """Database hits, and the operators that find their way, with how many of each."""

    db_hits: int
    operators: str


def plan_of(driver: neo4j.Driver, name: str, ask: Ask) -> Plan:
    """The plan of a request, profiled; of rows that come by parts one is fetched, and its work scaled up."""
    hits = 0
    operators: Counter[str] = Counter()
    for statement, asked in _fetches(name, ask):
        found = list(operators_of(profile(driver, statement, statement_parameters(name, statement, asked))))
        hits += _num_parts(driver, statement) * sum(each["args"].get("DbHits", 0) for each in found)
        operators.update(each["operatorType"].partition("@")[0] for each in found)
    shown = {name: num for name, num in operators.items() if name not in PLAIN}
    return Plan(hits, ", ".join(f"{num} {name}" if num > 1 else name for name, num in shown.items()))


def _fetches(name: str, ask: Ask) -> Iterator[tuple[str, Ask]]:
    """The statements of a request, each with what it asks: members are those of one streamer at a time."""
    for statement in ESTIMATES.get(name, (statement_of(name),)):
        yield statement, ask
        if statement == "audience/members":
            yield statement, ask | {"streamer_id": ask["other_id"]}


def statement_of(name: str) -> str:
    """The statement of a query that has one."""
    return f"influence/{route_of(name).replace('-', '_')}"


def profile(driver: neo4j.Driver, statement: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """The profile of a named query."""
    with driver.session(default_access_mode=neo4j.READ_ACCESS) as session:
        summary = session.run("PROFILE " + load_query(statement).text, parameters).consume()
    assert summary.profile is not None
    return summary.profile


def operators_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The operators, what comes first before what is done with it."""
    for child in plan.get("children", ()):
        yield from operators_of(child)
    yield plan


def statement_parameters(name: str, statement: str, ask: Ask) -> dict[str, Any]:
    """The parameters of a query's statement for a request, and for the first part of an estimate's rows."""
    known = DEFAULTS | asked_of(ask)
    match route_of(name):
        case "attribution" | "lift":
            known["since"] = fetched_since(statement, ask)
            known["in_shop"] = "known" in ask
        case "audience":
            known |= {"first": ask["streamer_id"], "second": ask.get("other_id")}
        case "seeds":
            known["in_stream"] = True
        case "paper" if statement != "paper/purchases":
            known["until"] = known["since"]
    if statement == "audience/watching":
        known["followed_until"] = known["since"]
        known["since"] -= known["until"] - known["since"]
    if statement == "touches/viewed_with":
        known["stop"] = STREAMERS_AT_ONCE
    return {name: known[name] for name in load_query(statement).parameters}


def fetched_since(statement: str, ask: Ask) -> datetime:
    """From when on the rows of an estimate are fetched."""
    since = datetime.fromisoformat(ask["since"])
    if "known" in ask:
        is_follow = statement.endswith("follows")
        return FIRST_MOMENT if is_follow else since - duration_of(ask["placebo"]) - duration_of(ask["known"])
    return since if statement.endswith("purchases") else since - duration_of(ask["window"])


def _num_parts(driver: neo4j.Driver, statement: str) -> int:
    """How many parts a statement's rows come in: one, unless they are of a range."""
    if "start" not in load_query(statement).parameters:
        return 1
    is_by_streamer = statement == "touches/viewed_with"
    label, at_once = ("Streamer", STREAMERS_AT_ONCE) if is_by_streamer else ("User", USERS_AT_ONCE)
    found, _, _ = driver.execute_query(
        "MATCH (c:IndexCounter {label: $label}) RETURN c.next AS num", label=label
    )
    return int(-(-found[0]["num"] // at_once))
