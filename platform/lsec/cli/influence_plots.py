"""Which chart shows which influence query best."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

from lsec.cli.svg import bar_chart, interval_chart, line_chart, stacked
from lsec.client.answers import Table
from lsec.influence.paper_table import RATIO

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


def _audience(table: Table) -> str:
    return _VIEWS[str(table.parameters["view"])](table, str(table.parameters["streamer_id"]))


def _nearest(table: Table, streamer: str) -> str:
    rows, by = table.rows[:MOST_GROUPS], str(table.parameters["by"])
    names = _names(rows)
    of = "embedding" if by == "embedding" else str(table.parameters["audience"])
    series = {by: [float(row["similarity"]) for row in rows]}
    labels = [names[row["streamer_id"]] for row in rows]
    return bar_chart(f"Streamers nearest to {streamer} by {of}", labels, series, unit="similarity")


def _overlap(table: Table, streamer: str) -> str:
    other = table.parameters["other_id"]
    series = {
        f"{streamer} alone": [float(row["users"] - row["shared_users"]) for row in table.rows],
        "both": [float(row["shared_users"]) for row in table.rows],
        f"{other} alone": [float(row["other_users"] - row["shared_users"]) for row in table.rows],
    }
    labels = [str(row["audience"]) for row in table.rows]
    return bar_chart(f"Audiences of {streamer} and {other}", labels, series, unit="users")


def _buyers(table: Table, streamer: str) -> str:
    names = {"first": streamer, "second": str(table.parameters["other_id"])}
    labels = []
    for row in table.rows:
        kind, _, which = str(row["group"]).rpartition("_")
        labels.append(f"{kind.replace('_', ' ')} {names[which]}" if which in names else "both")
    series = {name: [float(row[name]) for row in table.rows] for name in ("buyers", "purchases")}
    title = f"Buyers of {names['first']} and {names['second']}"
    return bar_chart(title, labels, series, unit="buyers or their purchases from the two")


def _at_risk(table: Table, streamer: str) -> str:
    rows = table.rows[:MOST_GROUPS]
    series = {
        name: [row[column] / 60 for row in rows]
        for name, column in (("expected", "seconds_expected"), ("watched", "seconds_recent"))
    }
    num = table.details.get("followers_at_risk", len(table.rows))
    title = f"{num} followers of {streamer} at risk: those who lost the most"
    return bar_chart(title, [str(row["user_id"]) for row in rows], series, unit="minutes in the window")


def _seeds(table: Table) -> str:
    rows = table.rows[: 2 * MOST_GROUPS]
    names = _names(rows)
    series = {
        name: [float(row[column]) for row in rows]
        for name, column in (
            ("all so far", "total_reach"),
            ("added", "marginal_reach"),
            ("alone", "reach_alone"),
        )
    }
    reached, bound = (table.details.get(name, 0.0) for name in ("reach", "upper_bound"))
    title = f"Streamers for {table.parameters['product_id']}: {reached:,.1f} of at most {bound:,.1f} users"
    return bar_chart(
        title, [names[row["streamer_id"]] for row in rows], series, unit="users reached once or more"
    )


def _paper(table: Table) -> str:
    measures = list(dict.fromkeys(str(row["measure"]) for row in table.rows))
    charts = []
    for measure in measures:
        rows = [row for row in table.rows if row["measure"] == measure and row["value"] is not None]
        intervals = [
            (
                str(row["of"]),
                float(row["value"]),
                row["value"] if row["low"] is None else row["low"],
                row["value"] if row["high"] is None else row["high"],
            )
            for row in rows
        ]
        unit = "1 is what popularity alone would make; " if measure == RATIO else ""
        charts.append(
            interval_chart(measure[:1].upper() + measure[1:], intervals, unit=f"{unit}95 % intervals")
        )
    return stacked("Following, selling and purchases", charts)


def _names(rows: Sequence[dict[str, Any]]) -> dict[str | None, str]:
    """What to call each streamer: by name, with the id where two share it or there is no other."""
    names = {row["streamer_id"]: row["name"] or row["streamer_id"] or OUTSIDE for row in rows}
    shared = Counter(names.values())
    return {id_: f"{name} ({id_})" if shared[name] > 1 else name for id_, name in names.items()}


_VIEWS: dict[str, Callable[[Table, str], str]] = {
    "nearest": _nearest,
    "overlap": _overlap,
    "buyers": _buyers,
    "at_risk": _at_risk,
}
_PLOTS: dict[str, Callable[[Table], str]] = {
    "leaderboard": _leaderboard,
    "product-streamers": _product_streamers,
    "influencers": _influencers,
    "attribution": _attribution,
    "lift": _lift,
    "audience": _audience,
    "seeds": _seeds,
    "paper": _paper,
    "spread": _spread,
    "funnel": _funnel,
    "paths": _paths,
}
