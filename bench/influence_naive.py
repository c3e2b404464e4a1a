"""Runs the influence queries as they are written first, and checks that they give the platform's answers."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import neo4j
import numpy as np

from bench import influence_audience as audience
from bench import influence_statements as statements
from bench.influence_asks import Ask, route_of
from bench.influence_paper import paper
from bench.influence_plans import fetched_since
from bench.influence_rows import Rows, columns_of, plain, rows_of
from bench.influence_seeds import seeds
from graph_schema.events import epoch_ms
from lsec.api.tables import duration_of
from lsec.influence.exposure import Windows, compared_users
from lsec.influence.rows import Purchases, Touches, TouchKind
from lsec.influence.streamer_lift import streamer_lift

TOLERANCE = 1e-6
KINDS = {
    "follows": TouchKind.FOLLOW,
    "watched": TouchKind.WATCH,
    "viewed": TouchKind.VIEW,
    "engaged": TouchKind.ENGAGE,
}


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


NAIVE: dict[str, Callable[[neo4j.Driver, Ask], Rows]] = {
    "leaderboard": partial(plain, statements.LEADERBOARD),
    "spread": partial(plain, statements.SPREAD),
    "product-streamers": partial(plain, statements.PRODUCT_STREAMERS),
    "funnel": partial(plain, statements.FUNNEL),
    "influencers": partial(plain, statements.INFLUENCERS),
    "paths": partial(plain, statements.PATHS),
    "attribution": last_touch,
    "lift": lift,
    "audience overlap": partial(plain, audience.OVERLAP),
    "audience nearest": partial(plain, audience.NEAREST),
    "audience buyers": partial(plain, audience.BUYERS),
    "audience at risk": audience.at_risk,
    "seeds": seeds,
    "paper": paper,
}
"""By query, or by the route of all its queries."""


def naive_of(name: str) -> Callable[[neo4j.Driver, Ask], Rows]:
    """What answers a query as it is written first."""
    return NAIVE.get(name) or NAIVE[route_of(name)]


def check_same(name: str, ask: Ask, rows: Rows, naive: Rows) -> None:
    """SystemExit, which names the query, unless a request's rows are those of the naive statement."""
    match route_of(name):
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
        case "seeds":
            # Of streamers who add as much, any may be chosen.
            both = zip(rows, naive, strict=False)
            pairs = [(len(rows), len(naive)), *((a[name], b[name]) for a, b in both for name in b)]
        case _:
            both = zip(rows, naive, strict=False)
            pairs = [(len(rows), len(naive)), *((a[name], b[name]) for a, b in both for name in a)]
    for one, other in pairs:
        is_near = isinstance(one, float) and other is not None and abs(one - other) <= TOLERANCE
        if one != other and not is_near:
            raise SystemExit(f"{name}, asked {ask}: {one!r}, and {other!r} as first written")


def _path(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["path"], row["nodes"][0], row["nodes"][-2:], row["strength"]
