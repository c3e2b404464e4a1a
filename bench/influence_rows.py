"""The rows of a statement of the influence benchmark as the plain driver gives them, one by one."""

from datetime import datetime
from typing import Any

import neo4j
import numpy as np

from bench.influence_asks import Ask
from lsec.api.dependencies import FIRST_MOMENT, LAST_MOMENT

Rows = list[dict[str, Any]]


def asked_of(ask: Ask) -> dict[str, Any]:
    """What a request asks, with moments in place of their texts and what it leaves out."""
    known = {"since": FIRST_MOMENT, "until": LAST_MOMENT, "category": ""} | ask
    for name in {"since", "until"} & ask.keys():
        known[name] = datetime.fromisoformat(ask[name])
    return known


def plain(statement: str, driver: neo4j.Driver, ask: Ask) -> Rows:
    """The rows of a statement for a request."""
    return rows_of(driver, statement, {"limit": 20} | asked_of(ask))


def rows_of(driver: neo4j.Driver, statement: str, parameters: dict[str, Any]) -> Rows:
    """The rows of a statement, with those of its parameters that it has."""
    used = {name: value for name, value in parameters.items() if f"${name}" in statement}
    with driver.session(default_access_mode=neo4j.READ_ACCESS) as session:
        return [record.data() for record in session.run(statement, used)]


def columns_of(rows: Rows) -> dict[str, Any]:
    """The rows' columns."""
    return {name: np.array([row[name] for row in rows], dtype=np.int64) for name in rows[0]}
