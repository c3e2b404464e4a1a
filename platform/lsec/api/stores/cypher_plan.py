"""What Neo4j's plan of an ad-hoc statement must be: reads alone, and no product of large labels."""

import re
from collections.abc import Iterator
from typing import Any

from lsec.core.cypher_rules import PROCEDURES, refused

MAX_PRODUCT_ROWS = 1_000_000
"""Rows that a Cartesian product may be estimated to have."""
LARGE_SCAN_ROWS = 100
_ARGUMENTS = ("Details", "EstimatedRows", "Rows", "DbHits", "Memory", "Time", "Order")
OPERATORS = re.compile(
    r"[A-Za-z]*(Scan|Seek|SeekByRange|CountFromCountStore)"
    r"|(Anti|Semi|Conditional|Let|Select|Or|RollUp)*Apply"
    r"|(Optional|VarLength|PruningVarLength|BFSPruningVarLength)*Expand\([A-Za-z,]+\)"
    r"|(Node|Value|LeftOuter|RightOuter)HashJoin|CartesianProduct|Triadic(Build|Filter|Selection)"
    r"|(Stateful)?ShortestPath(\([A-Za-z]+\))?|Repeat\([A-Za-z]+\)|PathPropagatingBFS"
    r"|(Ordered|Eager)?(Aggregation|Distinct)|(Ordered)?Union|(Partial)?(Sort|Top)|Top1WithTies|Limit|Skip"
    r"|Argument|ArgumentTracker|AssertSame(Node|Relationship)|CacheProperties|Eager|EmptyRow|EmptyResult"
    r"|Filter|Optional|PreserveOrder|ProjectEndpoints|Projection|ProcedureCall|ProduceResults|Unwind"
)
"""Operators that read; whatever else a plan holds is refused."""


def check_plan(query_type: str | None, plan: dict[str, Any] | None) -> None:
    """Forbidden unless the plan only reads, calls allowed procedures, and multiplies no large labels."""
    if query_type != "r" or plan is None:
        raise refused("The statement would do more than read the graph.", "Events change the graph.")
    for operator in _operators(plan):
        name, details = _name(operator), str(operator["args"].get("Details", ""))
        if OPERATORS.fullmatch(name) is None:
            raise refused(
                f"The statement needs {name}, which is not allowed.", "Statements here only read the graph."
            )
        if name == "ProcedureCall" and not details.startswith(tuple(f"{each}(" for each in PROCEDURES)):
            raise refused(
                f"The procedure {details.partition('(')[0][:80]} is not allowed.",
                f"These are: {', '.join(sorted(PROCEDURES))}.",
            )
        _check_product(operator)


def _check_product(operator: dict[str, Any]) -> None:
    """Forbidden for a product of two sides that are large and have nothing to do with each other."""
    rows = float(operator["args"].get("EstimatedRows", 0.0))
    is_product = _name(operator) == "CartesianProduct" or (
        _name(operator) == "Apply" and _scanned_rows(operator["children"][-1]) >= LARGE_SCAN_ROWS
    )
    if is_product and rows > MAX_PRODUCT_ROWS:
        raise refused(
            f"The statement pairs everything with everything: about {rows:,.0f} rows of a Cartesian product.",
            "Join the parts of the pattern by a relationship, or narrow each to a few nodes first.",
        )


def _scanned_rows(operator: dict[str, Any]) -> float:
    """Rows of the scan that the branch of the plan begins with; 0 if it begins with what it is given."""
    while children := operator.get("children"):
        operator = children[0]
    is_scan = _name(operator).endswith("Scan") or "Unwind" in _name(operator)
    return float(operator["args"].get("EstimatedRows", 0.0)) if is_scan else 0.0


def shown_plan(plan: dict[str, Any]) -> dict[str, Any]:
    """The plan as the answer shows it: operators with what they were estimated to do, or did."""
    arguments = {name: plan["args"][name] for name in _ARGUMENTS if name in plan["args"]}
    return {
        "operator": _name(plan),
        **{_snake(name): value for name, value in arguments.items()},
        "children": [shown_plan(child) for child in plan.get("children", ())],
    }


def _operators(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    waiting = [plan]
    while waiting:
        operator = waiting.pop()
        waiting += operator.get("children", ())
        yield operator


def _name(operator: dict[str, Any]) -> str:
    return str(operator["operatorType"]).partition("@")[0]


def _snake(name: str) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name).lstrip("_")
