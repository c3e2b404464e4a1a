"""Runs the influence queries as they are written first, and checks that they give the platform's answers."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import neo4j
import numpy as np

from bench import influence_statements as statements
from bench.influence_asks import Ask
from bench.influence_plans import fetched_since
from graph_schema.events import epoch_ms
from lsec.api.dependencies import FIRST_MOMENT, LAST_MOMENT
from lsec.api.tables import duration_of
from lsec.influence.exposure import Windows, compared_users
from lsec.influence.rows import Purchases, Touches, TouchKind
from lsec.influence.streamer_lift import streamer_lift

Rows = list[dict[str, Any]]
TOLERANCE = 1e-6
KINDS = {
    "follows": TouchKind.FOLLOW,
    "watched": TouchKind.WATCH,
    "viewed": TouchKind.VIEW,
    "engaged": TouchKind.ENGAGE,
}


def plain(statement: str, driver: neo4j.Driver, ask: Ask) -> Rows:
    """The rows of a statement for a request."""
    known = {"since": FIRST_MOMENT, "until": LAST_MOMENT, "category": "", "limit": 20} | ask
    for name in {"since", "until"} & ask.keys():
        known[name] = datetime.fromisoformat(ask[name])
    return rows_of(driver, statement, known)


def last_touch(driver: neo4j.Driver, ask: Ask) -> Rows:
    """The purchases that each streamer was the last to touch."""
    since = datetime.fromisoformat(ask["since"])
    return rows_of(driver, statements.LAST_TOUCH, {"since": since, "window": duration_of(ask["window"])})


def lift(driver: neo4j.Driver, ask: Ask) -> Rows:
    """The effects of a streamer, by the platform's estimate on rows that come one by one.

    All rows come, and those of the users whom the platform compares are kept.
    """
    since, until = (datetime.fromisoformat(ask[name]) for name in ("since", "until"))
    known = {"since": fetched_since("", ask), "until": until}
    bought = columns_of(rows_of(driver, statements.LIFT["purchases"], known))
    touched = []
    for name, kind in KINDS.items():
        columns = columns_of(rows_of(driver, statements.LIFT[name], known))
        touched.append(columns | {"kind": np.full(len(columns["at"]), kind, np.int8)})
    touches = {name: np.concatenate([each[name] for each in touched]) for name in touched[0]}
    (of_streamer,) = rows_of(driver, statements.STREAMER, {"id": ask["streamer_id"]})
    row = of_streamer["row"]
    watched = (touches["streamer"] == row) & (touches["kind"] == TouchKind.WATCH)
    (counted,) = rows_of(driver, statements.NUM_USERS, {})
    users = compared_users(np.unique(touches["user"][watched]), counted["num"], seed=row)
    bought, touches = of_users(bought, users), of_users(touches, users)
    none = np.full(len(bought["at"]), -1)
    found = streamer_lift(
        row,
        Purchases(**bought, stream=none, is_refunded=np.zeros(len(none), dtype=np.bool_)),
        Touches(**touches, stream=np.full(len(touches["at"]), -1)),
        product_category=categories(driver),
        num_users=len(users),
        windows=Windows.before(
            epoch_ms(since),
            epoch_ms(until),
            known=duration_of(ask["known"]),
            placebo=duration_of(ask["placebo"]),
        ),
    ).lift
    return [
        {"period": "exposure", "measure": "purchases per user", "effect": found.purchases.att.mean},
        {"period": "placebo", "measure": "purchases per user", "effect": found.placebo_purchases.att.mean},
    ]


def of_users(columns: dict[str, Any], users: Any) -> dict[str, Any]:
    """The rows of these users, ascending indexes, with their places among them."""
    kept = {name: values[np.isin(columns["user"], users)] for name, values in columns.items()}
    return kept | {"user": np.searchsorted(users, kept["user"])}


def categories(driver: neo4j.Driver) -> Any:
    """The row of each product's category, by the product's row."""
    found = rows_of(driver, statements.CATEGORIES, {})
    ids = sorted({each["category"] for each in found})
    return np.array([ids.index(each["category"]) for each in found])


def rows_of(driver: neo4j.Driver, statement: str, parameters: dict[str, Any]) -> Rows:
    """The rows of a statement, with those of its parameters that it has."""
    used = {name: value for name, value in parameters.items() if f"${name}" in statement}
    with driver.session(default_access_mode=neo4j.READ_ACCESS) as session:
        return [record.data() for record in session.run(statement, used)]


def columns_of(rows: Rows) -> dict[str, Any]:
    """The rows' columns."""
    return {name: np.array([row[name] for row in rows], dtype=np.int64) for name in rows[0]}


NAIVE: dict[str, Callable[[neo4j.Driver, Ask], Rows]] = {
    "leaderboard": partial(plain, statements.LEADERBOARD),
    "spread": partial(plain, statements.SPREAD),
    "product-streamers": partial(plain, statements.PRODUCT_STREAMERS),
    "funnel": partial(plain, statements.FUNNEL),
    "influencers": partial(plain, statements.INFLUENCERS),
    "paths": partial(plain, statements.PATHS),
    "attribution": last_touch,
    "lift": lift,
}
"""By route."""


def check_same(route: str, ask: Ask, rows: Rows, naive: Rows) -> None:
    """SystemExit unless a request's rows are those of the naive statement."""
    match route:
        case "attribution":
            held = {row["streamer_id"]: row["purchases"] for row in naive}
            rows = [row for row in rows if row["model"] == "last_touch" and row["streamer_id"] is not None]
            pairs = [(row["purchases"], held.get(row["streamer_id"], 0)) for row in rows]
        case "lift":
            held = {(row["period"], row["measure"]): row["effect"] for row in naive}
            pairs = [
                (row["effect"], held.get((row["period"], row["measure"]), row["effect"])) for row in rows
            ]
        case "paths":
            # Which of the products in common stands for them is left open.
            ours, theirs = (sorted(map(_path, each), key=str) for each in (rows, naive))
            pairs = [(len(ours), len(theirs)), *zip(ours, theirs, strict=False)]
        case _:
            both = zip(rows, naive, strict=False)
            pairs = [(len(rows), len(naive)), *((a[name], b[name]) for a, b in both for name in a)]
    for one, other in pairs:
        is_near = isinstance(one, float) and other is not None and abs(one - other) <= TOLERANCE
        if one != other and not is_near:
            raise SystemExit(f"{route} of {ask}: {one!r}, and {other!r} as first written")


def _path(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["path"], row["nodes"][0], row["nodes"][-2:], row["strength"]
