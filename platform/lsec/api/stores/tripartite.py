"""The tripartite graph of users, streamers and products, parted at a moment, for the paper's table."""

from datetime import datetime

import numpy as np

from lsec.api.stores.audiences import columns_by_users
from lsec.api.stores.graph import ANALYSIS_TIMEOUT_S, Graph
from lsec.api.stores.touches import num_users
from lsec.influence.paper import Tripartite
from lsec.influence.paper_table import restricted


async def tripartite(graph: Graph, *, window: dict[str, datetime], category: str) -> Tripartite:
    """Purchases within the window and before it, with the follows and offers that there were when it began.

    Refunded purchases and ended follows are out; with a category, so are all other products.
    """
    since = window["since"]
    follows = await columns_by_users(graph, "audience/followers", until=since)
    bought = await columns_by_users(
        graph, "paper/purchases", category=category, since=since, until=window["until"]
    )
    sells = await graph.lists("paper/sells", timeout_s=ANALYSIS_TIMEOUT_S, until=since)
    products = await graph.lists("paper/products", timeout_s=ANALYSIS_TIMEOUT_S, category=category)
    sellers = np.array(sells["streamer"], np.int64)
    is_after = bought["is_after"] > 0
    whole = Tripartite(
        num_users=await num_users(graph),
        num_streamers=int(max(sellers.max(initial=-1), follows["streamer"].max(initial=-1))) + 1,
        num_products=max(products["product"], default=-1) + 1,
        follows=(follows["user"], follows["streamer"]),
        sells=(sellers, np.array(sells["product"], np.int64)),
        before=(bought["user"][~is_after], bought["product"][~is_after]),
        after=(bought["user"][is_after], bought["product"][is_after]),
    )
    return restricted(whole, np.sort(np.array(products["product"], np.int64)))
