"""What the influence benchmark asks for: some of the largest of a market, and some by lot."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.market_rows import Columns, MarketRows
from graph_schema.events import moment_of
from lsec.simulate.columns import NONE
from lsec.simulate.market import DAY_MS, Ints, product_id, stream_id, streamer_id, user_id

Ask = dict[str, Any]
"""Query parameters of a request."""

MOST_ROWS = 1000
EXPOSURE_DAYS, PLACEBO_DAYS, KNOWN_DAYS = 2, 2, 4
RISK_DAYS, NEW_DAYS = 4, 2
"""Those in which followers may slip away, and those whose purchases are explained."""
MIN_SECONDS = 60
"""Users of the market are there on few days."""
NUM_SEEDS = 10


@dataclass(frozen=True, slots=True)
class Sizes:
    """A market, the purchases to attribute, and requests of each query."""

    num_users: int
    num_streamers: int
    num_products: int
    num_attributed: int
    num_requests: int = 40
    num_long: int = 5
    num_days: int = 11
    users_each: int = 4


FULL = Sizes(num_users=50_000, num_streamers=2_000, num_products=20_000, num_attributed=100_000)
QUICK = Sizes(num_users=5_000, num_streamers=200, num_products=2_000, num_attributed=10_000)


def asks_of(market: MarketRows, sizes: Sizes) -> dict[str, list[Ask]]:
    """The requests of each query; half of the products, users and streams are the largest, half by lot."""
    rng = np.random.default_rng(1)
    bought = market.whole["BOUGHT"]
    num = sizes.num_requests

    products = [{"product_id": product_id(row)} for row in _chosen(bought["product"], num, rng)]
    users = [{"user_id": user_id(row)} for row in _chosen(bought["user"], num, rng)]
    minutes = np.concatenate([day["Minute"]["stream"] for day in market.days])
    since = np.sort(bought["at"])[-min(sizes.num_attributed, len(bought["at"]))]
    attribution = {"since": _moment(since), "window": "7d", "limit": MOST_ROWS}
    return {
        "leaderboard": [{}] * num,
        "leaderboard of a category": [{"category": _category(market)}] * num,
        "leaderboard of a day": [
            {"since": _moment(day), "until": _moment(day + DAY_MS)} for day in _days(market)
        ],
        "spread": [product | {"limit": MOST_ROWS} for product in products],
        "product-streamers": products,
        "funnel": [
            {"stream_id": stream_id(market.prefix, row), "limit": MOST_ROWS}
            for row in _chosen(minutes, num, rng)
        ],
        "influencers": [user | {"limit": MOST_ROWS} for user in users],
        "paths": [ask | {"limit": MOST_ROWS} for ask in _pairs(bought, num, rng)],
        "attribution": [attribution] * sizes.num_long,
        "attribution by last touch": [attribution | {"models": "last_touch"}] * sizes.num_long,
        "lift": _lifts(market, sizes.num_long),
        **_audiences(market, sizes, rng),
        "seeds": [
            {"product_id": product_id(row), "k": NUM_SEEDS}
            for row in _chosen(bought["product"], sizes.num_long, rng)
        ],
        "paper": [_last_days(market, NEW_DAYS)] * sizes.num_long,
    }


def route_of(name: str) -> str:
    """The route of a query: the first word of its name."""
    return name.partition(" ")[0]


def _chosen(rows: Ints, num: int, rng: np.random.Generator) -> list[int]:
    """Half of them those that come most often, half by lot."""
    counts = np.bincount(rows)
    largest = np.argsort(-counts)[: num // 2]
    return [*largest.tolist(), *rng.choice(np.flatnonzero(counts), num - len(largest)).tolist()]


def _pairs(bought: Columns, num: int, rng: np.random.Generator) -> list[Ask]:
    """Users and products, half of them with a purchase."""
    rows = rng.choice(len(bought["at"]), num)
    others = np.where(np.arange(num) % 2, rows, rng.permutation(rows))
    pairs = zip(bought["user"][rows].tolist(), bought["product"][others].tolist(), strict=True)
    return [{"user_id": user_id(user), "product_id": product_id(product)} for user, product in pairs]


def _lifts(market: MarketRows, num: int) -> list[Ask]:
    """The streamers with most viewers on the last days."""
    asked = _last_days(market, EXPOSURE_DAYS) | {"placebo": f"{PLACEBO_DAYS}d", "known": f"{KNOWN_DAYS}d"}
    largest = np.argsort(-np.bincount(_watched(market, EXPOSURE_DAYS)))[:num]
    return [{"streamer_id": streamer_id(row)} | asked for row in largest.tolist()]


def _audiences(market: MarketRows, sizes: Sizes, rng: np.random.Generator) -> dict[str, list[Ask]]:
    """The views of an audience; two streamers are of about one size."""
    num, watched, bought_of = sizes.num_requests, _watched(market), market.whole["BOUGHT"]["streamer"]
    at_risk = _last_days(market, RISK_DAYS) | {"min_seconds": MIN_SECONDS, "limit": MOST_ROWS}
    return {
        "audience overlap": _two_streamers(watched, num, rng),
        "audience nearest": [
            {"streamer_id": streamer_id(row), "limit": MOST_ROWS}
            for row in _chosen(watched, sizes.num_long, rng)
        ],
        "audience buyers": [
            ask | {"view": "buyers"} for ask in _two_streamers(bought_of[bought_of != NONE], num, rng)
        ],
        "audience at risk": [
            {"streamer_id": streamer_id(row), "view": "at_risk"} | at_risk
            for row in _chosen(watched, num, rng)
        ],
    }


def _two_streamers(rows: Ints, num: int, rng: np.random.Generator) -> list[Ask]:
    """Streamers beside the next ones by how often they come, half of them the first, half by lot."""
    counts = np.bincount(rows)
    order = np.argsort(-counts)[: np.count_nonzero(counts)]
    firsts = np.arange(len(order) - 1)
    places = [*firsts[: num // 2].tolist(), *rng.choice(firsts, num - num // 2).tolist()]
    return [
        {"streamer_id": streamer_id(int(order[place])), "other_id": streamer_id(int(order[place + 1]))}
        for place in places
    ]


def _watched(market: MarketRows, num_days: int | None = None) -> Ints:
    """The streamers who were watched, each once for a user and a stream, on the last days or on all."""
    days = market.days if num_days is None else market.days[-num_days:]
    return np.concatenate([day["WATCHED"]["streamer"] for day in days])


def _last_days(market: MarketRows, num: int) -> Ask:
    """The window of the last days."""
    until = _days(market)[-1] + DAY_MS
    return {"since": _moment(until - num * DAY_MS), "until": _moment(until)}


def _category(market: MarketRows) -> str:
    (category,) = next(each.categories for each in market.records.values() if hasattr(each, "categories"))
    return str(category)


def _days(market: MarketRows) -> list[int]:
    """The midnights of the days of which there are counters."""
    firsts = [day["VIEWED"]["first_at"] for day in market.days]
    return [int(first[0]) // DAY_MS * DAY_MS for first in firsts if len(first)]


def _moment(at_ms: Any) -> str:
    return moment_of(int(at_ms)).isoformat()


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
