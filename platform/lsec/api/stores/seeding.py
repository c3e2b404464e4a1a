"""What choosing streamers for a product reads: who follows and watched whom, and who need not be reached."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from lsec.api.stores.audiences import columns_by_users
from lsec.api.stores.graph import ANALYSIS_TIMEOUT_S, Graph
from lsec.api.stores.touches import Rows
from lsec.influence.rows import Int64, Touches, TouchKind


@dataclass(frozen=True, slots=True)
class ProductSides:
    """The users who bought a product and the streamers who sell it, by their dense indexes."""

    is_known: bool
    buyers: Int64
    sellers: Int64


async def sides_of_product(graph: Graph, product_id: str) -> ProductSides:
    """Both sides of a product; of an unknown one they are empty."""
    found = await graph.lists("seeds/product", timeout_s=ANALYSIS_TIMEOUT_S, product_id=product_id)
    sides = (np.array(found[name], np.int64) for name in ("buyer", "seller"))
    return ProductSides(bool(found["is_known"]), *sides)


async def interested_users(graph: Graph, category: str, *, window: dict[str, datetime]) -> Int64:
    """The users who opened, carted or bought a product of the category within the window, by dense index."""
    found = await graph.lists("seeds/interested", timeout_s=ANALYSIS_TIMEOUT_S, category=category, **window)
    return np.array(found["user"], np.int64)


async def follows_and_visits(
    graph: Graph, *, window: dict[str, datetime], num_streamers: int
) -> tuple[Touches, tuple[Int64, Int64]]:
    """The follows of now that began before the window's end, the visits to streams in it, and its streams.

    Streams are (streamers[N], streams[N]), with rows as the touches have them. Streamers past num_streamers,
    who came just now, are left out.
    """
    rows = Rows()
    follows = await columns_by_users(graph, "audience/followers", until=window["until"])
    visits = await columns_by_users(
        graph, "touches/watched", streams=rows, users=None, in_stream=True, **window
    )
    found = await graph.lists("seeds/streams", timeout_s=ANALYSIS_TIMEOUT_S, **window)
    follows, visits, hosted = (
        {name: column[columns["streamer"] < num_streamers] for name, column in columns.items()}
        for columns in (
            follows,
            visits,
            {"streamer": np.array(found["streamer"], np.int64), "stream": rows.of(found["stream"])},
        )
    )
    num = len(follows["user"])
    none = np.full(num, -1)
    touches = Touches(
        user=np.concatenate([follows["user"], visits["user"]]),
        streamer=np.concatenate([follows["streamer"], visits["streamer"]]),
        kind=np.repeat(np.array([TouchKind.FOLLOW, TouchKind.WATCH], np.int8), (num, len(visits["at"]))),
        at=np.concatenate([np.zeros(num, np.int64), visits["at"]]),
        product=np.concatenate([none, visits["product"]]),
        stream=np.concatenate([none, visits["stream"]]),
    )
    return touches, (hosted["streamer"], hosted["stream"])
