"""Which chart shows which influence query best."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

from lsec.cli.svg import bar_chart, interval_chart, line_chart
from lsec.client.answers import Table

MOST_GROUPS = 12
MOST_LINES = 6
OUTSIDE = "no streamer"
MINUTE = timedelta(minutes=1)


def plot(table: Table) -> str:
    """The chart of a query's answer, as SVG."""
    return _PLOTS[table.query](table)


def _leaderboard(table: Table) -> str:
    return _bars(table, ("buyers", "purchases", "new_followers"), "Streamers by buyers", "users or purchases")


def _product_streamers(table: Table) -> str:
    title = f"Streamers behind {table.parameters['product_id']}"
    return _bars(table, ("buyers", "purchases", "showcases"), title, "users, purchases or showcases")


def _influencers(table: Table) -> str:
    title = f"Streamers behind the purchases of {table.parameters['user_id']}"
    return _bars(table, ("purchases", "views"), title, "purchases or product views")


def _bars(table: Table, columns: Sequence[str], title: str, unit: str) -> str:
    rows = table.rows[:MOST_GROUPS]
    series = {name.replace("_", " "): [float(row[name]) for row in rows] for name in columns}
    names = _names(rows)
    return bar_chart(title, [names[row["streamer_id"]] for row in rows], series, unit=unit)


def _attribution(table: Table) -> str:
    models = list(dict.fromkeys(str(row["model"]) for row in table.rows))
    credits_ = by_streamer(table, "purchases")[: MOST_GROUPS + 1]
    series = {
        model.replace("_", " "): [float(of_model[model]) for _, of_model in credits_] for model in models
    }
    title = f"Purchases credited to streamers, window {table.parameters['window']}"
    names = _names([row for row, _ in credits_])
    labels = [names[row["streamer_id"]] for row, _ in credits_]
    return bar_chart(title, labels, series, unit="purchases, without refunds")


def by_streamer(table: Table, column: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """An attribution by streamer, in order: the first row of each, and the column's value by model."""
    found: dict[Any, tuple[dict[str, Any], dict[str, Any]]] = {}
    for row in table.rows:
        found.setdefault(row["streamer_id"], (row, {}))[1][row["model"]] = row[column]
    return list(found.values())


def _lift(table: Table) -> str:
    rows = [row for row in table.rows if row["exposed"] is not None]
    intervals = [
        (
            f"{row['period']}: {row['measure']}",
            float(row["effect"]),
            row["effect"] if row["low"] is None else row["low"],
            row["effect"] if row["high"] is None else row["high"],
        )
        for row in rows
    ]
    title = f"Lift of {table.parameters['streamer_id']}, and the placebo before it"
    return interval_chart(title, intervals, unit="effect per user, with its 95 % interval")


def _spread(table: Table) -> str:
    column = "purchases" if any(row["purchases"] for row in table.rows) else "views"
    days = sorted({row["day"] for row in table.rows})
    counts: dict[str, dict[str, float]] = {}
    for row in table.rows:
        counts.setdefault(row["streamer_id"], {})[row["day"]] = row[column]
    largest = sorted(counts, key=lambda streamer: -sum(counts[streamer].values()))[:MOST_LINES]
    names = _names(table.rows)
    series = {names[streamer]: [counts[streamer].get(day, 0.0) for day in days] for streamer in largest}
    title = f"{column.capitalize()} of {table.parameters['product_id']} by streamer"
    return line_chart(title, days, series, unit=column, axis="day (UTC)")


def _funnel(table: Table) -> str:
    steps = ("joined", "views", "carts", "purchases")
    by_minute = {datetime.fromisoformat(row["at"]): row for row in table.rows}
    minutes = []
    if by_minute:
        first, last = min(by_minute), max(by_minute)
        minutes = [first + n * MINUTE for n in range((last - first) // MINUTE + 1)]
    nothing = dict.fromkeys(steps, 0)
    series = {
        step: [float(total) for total in accumulate(by_minute.get(at, nothing)[step] for at in minutes)]
        for step in steps
    }
    title = f"Stream {table.parameters['stream_id']}: so many so far"
    return line_chart(title, [f"{at:%H:%M}" for at in minutes], series, unit="so far", axis="minute (UTC)")


def _paths(table: Table) -> str:
    rows = table.rows[:MOST_GROUPS]
    title = f"Paths from {table.parameters['user_id']} to {table.parameters['product_id']}"
    labels = [f"{row['path']}: {' → '.join(row['nodes'][1:-1]) or 'direct'}" for row in rows]
    series = {"strength": [float(row["strength"]) for row in rows]}
    return bar_chart(title, labels, series, unit="purchases, showcases, seconds or shared products")


def _names(rows: Sequence[dict[str, Any]]) -> dict[str | None, str]:
    """What to call each streamer: by name, with the id where two share it or there is no other."""
    names = {row["streamer_id"]: row["name"] or row["streamer_id"] or OUTSIDE for row in rows}
    shared = Counter(names.values())
    return {id_: f"{name} ({id_})" if shared[name] > 1 else name for id_, name in names.items()}


_PLOTS: dict[str, Callable[[Table], str]] = {
    "leaderboard": _leaderboard,
    "product-streamers": _product_streamers,
    "influencers": _influencers,
    "attribution": _attribution,
    "lift": _lift,
    "spread": _spread,
    "funnel": _funnel,
    "paths": _paths,
}
