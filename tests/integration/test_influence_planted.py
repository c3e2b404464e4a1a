"""The estimates through the graph, of one market each, against the influence that was planted in it.

What holds over many markets is tested on their rows in tests/unit/influence/test_planted.py.
"""

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import islice
from typing import Any

import httpx2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import kendalltau

from graph_schema.events import moment_of
from lsec.api.dependencies import FIRST_MOMENT, LAST_MOMENT
from lsec.api.stores.graph import Graph, open_graph
from lsec.api.stores.touches import Streamers, all_streamers, purchases_and_touches
from lsec.core.settings import Settings
from lsec.influence.exposure import Windows, exposure
from lsec.influence.lift import lift
from lsec.influence.markov import removal_effects
from lsec.influence.rows import Purchases, Touches
from lsec.simulate import Market, Rows, Truth, observe, simulate
from tests.integration.influence_market import ask, ask_table
from tests.integration.ingest_stack import IngestStack
from tests.unit.influence.planted import purchases_of, touches_of, true_gain, windows_of

pytestmark = pytest.mark.slow

SEED = 1
"""The first whose most watched streamer is one of large influence."""
NUM_STREAMERS = 20
KNOWN, PLACEBO, EXPOSED = 11, 2, 2  # days
AT_ONCE = 20_000


@pytest.fixture
def load(stack: IngestStack) -> Iterator[Callable[[Market], None]]:
    """Puts a market's events through the log into the graph."""

    def put(market: Market) -> None:
        events, ingester = simulate(market), stack.ingester()
        for batch in iter(lambda: list(islice(events, AT_ONCE)), []):
            stack.append(batch)
            stack.drain(ingester)

    yield put
    # The next test wipes the graph in one transaction, which has no room for so much.
    with stack.driver.session() as session:
        session.run("MATCH (:User)-[r]->() CALL (r) { DELETE r } IN TRANSACTIONS OF 10000 ROWS").consume()


def by_streamer(rows: list[dict[str, Any]], column: str) -> NDArray[np.float64]:
    """The column [S] of the simulated streamers, 0 for those who are not in the table."""
    found = np.zeros(NUM_STREAMERS)
    for row in rows:
        if row["streamer_id"]:
            found[int(row["streamer_id"].removeprefix("streamer-"))] = row[column]
    return found


def most_watched(rows: Rows, windows: Windows, *, num_users: int) -> int:
    """The streamer whom the most users watched in the window."""
    inside = rows.visits.at >= windows.since
    pairs = np.unique(rows.visits.streamer[inside] * num_users + rows.visits.user[inside])
    return int(np.bincount(pairs // num_users).argmax())


def true_gains(market: Market, rows: Rows, truth: Truth, streamer: int, windows: Windows) -> dict[str, float]:
    """What the streamer added to a compared user, as the lift on the rows compares them."""
    seen = exposure(
        streamer,
        purchases_of(rows),
        touches_of(rows),
        product_category=rows.product_category,
        num_users=market.num_users,
        windows=windows,
    )
    found = lift(seen.is_exposed, seen.purchases, seen.placebo_purchases, seen.covariates)
    compared = seen.is_exposed & found.is_kept
    gain, rate = true_gain(truth, streamer, seen.user[compared], seen.purchases[compared], windows)
    return {"purchases per user": gain, "buy rate": rate}


@pytest.mark.long
def test_of_a_confounded_market_lift_holds_the_truth_where_last_touch_does_not(
    load: Callable[[Market], None], api_client: httpx2.Client
) -> None:
    market = Market(seed=SEED, num_users=700, num_streamers=NUM_STREAMERS, num_days=15)
    load(market)
    rows, truth = observe(market)
    windows = windows_of(rows, placebo=KNOWN, since=KNOWN + PLACEBO, until=KNOWN + PLACEBO + EXPOSED)
    streamer = most_watched(rows, windows, num_users=market.num_users)
    assert truth.effect[streamer] > 1
    table = ask_table(
        api_client,
        "lift",
        streamer_id=f"streamer-{streamer}",
        since=moment_of(windows.since).isoformat(),
        until=moment_of(windows.until).isoformat(),
        known=f"{KNOWN}d",
    )
    found = {(row["period"], row["measure"]): row for row in table["rows"]}
    for measure, true in true_gains(market, rows, truth, streamer, windows).items():
        effect, placebo = found["exposure", measure], found["placebo", measure]
        assert effect["low"] <= true <= effect["high"], (measure, true, effect)
        assert placebo["low"] <= 0 <= placebo["high"], (measure, placebo)
        assert abs(effect["effect"] - true) < abs(effect["naive_effect"] - true)
    # Credit goes to whoever was there: to those who move nobody, and to those who drive buyers away.
    credit = by_streamer(ask(api_client, "attribution", window="24h", models="last_touch"), "purchases")
    assert credit.sum() > 3 * truth.num_incremental_kept.sum()
    assert np.all(credit[truth.effect <= 0] > 0)
    assert np.all(truth.num_incremental_kept[truth.effect < 0] < 0)


@pytest.mark.bench
def test_where_watching_is_by_lot_removal_effects_rank_the_planted_streamers(
    load: Callable[[Market], None], stack_settings: Settings
) -> None:
    market = Market(
        seed=SEED, num_users=400, num_streamers=NUM_STREAMERS, num_days=28, confounding=0.0, bots=0.0
    )
    load(market)

    async def read() -> tuple[Streamers, Purchases, Touches]:
        async with open_graph(stack_settings) as driver:
            graph = Graph(driver)
            streamers = await all_streamers(graph)
            rows = await purchases_and_touches(
                graph,
                streamers,
                since=FIRST_MOMENT,
                until=LAST_MOMENT,
                touches_since=FIRST_MOMENT,
                follows_since=FIRST_MOMENT,
            )
            return streamers, *rows

    streamers, purchases, touches = asyncio.run(read())
    effects = removal_effects(purchases, touches, window=timedelta(hours=3))
    indexes = [streamers.indexes[f"streamer-{n}"] for n in range(NUM_STREAMERS)]
    effect = effects.of(np.array(indexes))
    _, truth = observe(market)
    is_planted = truth.effect != 0
    assert kendalltau(effect[is_planted], truth.num_incremental[is_planted])[0] >= 0.7
    assert kendalltau(effect, truth.num_incremental)[0] >= 0.6
