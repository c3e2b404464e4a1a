"""Which plans of Neo4j may run."""

from typing import Any

import pytest

from lsec.api.stores.cypher_plan import check_plan, shown_plan
from lsec.core.errors import Forbidden


def operator(name: str, *children: dict[str, Any], rows: float = 1.0, details: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {
        "operatorType": f"{name}@neo4j",
        "args": {"EstimatedRows": rows, "Details": details, "planner": "COST"},
    }
    return found | ({"children": list(children)} if children else {})


@pytest.mark.parametrize(
    "name",
    [
        "NodeByLabelScan",
        "Expand(All)",
        "VarLengthExpand(Pruning,BFS)",
        "AntiSemiApply",
        "EagerAggregation",
        "Top",
    ],
)
def test_what_reads_may_run(name: str) -> None:
    check_plan("r", operator("ProduceResults", operator(name)))


WRITING = (
    "Create Merge SetProperty SetLabels RemoveLabels Delete DetachDelete Foreach TransactionForeach "
    "TransactionApply CreateIndex LoadCSV ShowSettings SomethingNew EmptyResultX"
)


@pytest.mark.parametrize("name", WRITING.split())
def test_an_operator_that_is_not_known_to_read_is_refused(name: str) -> None:
    with pytest.raises(Forbidden, match=name):
        check_plan("r", operator("ProduceResults", operator("Filter", operator(name))))


@pytest.mark.parametrize("query_type", ["rw", "w", "s", None])
def test_only_the_type_of_reads_is_allowed(query_type: str | None) -> None:
    with pytest.raises(Forbidden):
        check_plan(query_type, operator("ProduceResults"))


def test_a_procedure_is_known_by_its_whole_name() -> None:
    check_plan("r", operator("ProcedureCall", details="db.labels() :: (label :: STRING)"))
    for name in ("db.labelsAndMore()", "dbms.listConfig()", "x.db.labels()"):
        with pytest.raises(Forbidden, match="procedure"):
            check_plan("r", operator("ProcedureCall", details=name))


def test_only_a_product_of_many_rows_is_refused() -> None:
    sides = operator("AllNodesScan", rows=2000.0), operator("NodeByLabelScan", rows=2000.0)
    check_plan("r", operator("CartesianProduct", *sides, rows=1e6))
    for name in ("CartesianProduct", "Apply"):
        with pytest.raises(Forbidden, match="Cartesian product"):
            check_plan("r", operator(name, *sides, rows=4e6))
    check_plan("r", operator("Apply", sides[0], operator("Argument", rows=2000.0), rows=4e6))


def test_a_plan_is_shown_with_its_figures() -> None:
    plan = operator("ProduceResults", operator("Argument"), rows=3.0, details="x")
    assert shown_plan(plan) == {
        "operator": "ProduceResults",
        "details": "x",
        "estimated_rows": 3.0,
        "children": [{"operator": "Argument", "details": "", "estimated_rows": 1.0, "children": []}],
    }
