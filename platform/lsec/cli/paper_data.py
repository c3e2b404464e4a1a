"""The paper's table of a folder in the layout of the paper's code, in the form of the API's answer."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graph_schema.events import (
    ProductShowcased,
    ProductUpserted,
    StreamerUpserted,
    UserBought,
    UserFollowed,
    UserUpserted,
)
from lsec.client.answers import Table
from lsec.client.paper_layout import find_table, read_candidates, read_training_part
from lsec.influence.paper import Tripartite
from lsec.influence.paper_table import COLUMNS, named_rows, paper_table

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


def paper_of_folder(
    folder: Path, *, neighbours: int | None, max_followed_sellers: int, min_purchases: int
) -> Table:
    """The table of the purchases in test/, explained by train/. InvalidInput for a bad folder."""
    found = paper_table(
        read_tripartite(folder),
        neighbours=neighbours,
        max_followed_sellers=max_followed_sellers,
        min_purchases=min_purchases,
    )
    parameters = {
        "data": str(folder),
        "neighbours": neighbours,
        "max_followed_sellers": max_followed_sellers,
        "min_purchases": min_purchases,
    }
    return Table(query="paper", columns=list(COLUMNS), rows=named_rows(found), parameters=parameters)


def read_tripartite(folder: Path) -> Tripartite:
    """All of train/, and the purchases of test/ as those after it. InvalidInput for a bad folder."""
    ids: dict[str, dict[str, int]] = {"user": {}, "product": {}, "streamer": {}}
    follows, sells, before = (dict[tuple[int, int], None]() for _ in range(3))

    def row(kind: str, name: str) -> int:
        return ids[kind].setdefault(name, len(ids[kind]))

    for event in read_training_part(folder):
        match event:
            case UserUpserted(user_id=user):
                row("user", user)
            case ProductUpserted(product_id=product):
                row("product", product)
            case StreamerUpserted(streamer_id=streamer):
                row("streamer", streamer)
            case UserFollowed(user_id=user, streamer_id=streamer):
                follows[row("user", user), row("streamer", streamer)] = None
            case ProductShowcased(streamer_id=streamer, product_id=product):
                sells[row("streamer", streamer), row("product", product)] = None
            case UserBought(user_id=user, product_id=product):
                before[row("user", user), row("product", product)] = None
    after = {
        (row("user", each.user_id), row("product", each.product_id)): None
        for each in read_candidates(find_table(folder / "test", "user-item-buy"))
        if each.is_positive
    }
    return Tripartite(
        num_users=len(ids["user"]),
        num_streamers=len(ids["streamer"]),
        num_products=len(ids["product"]),
        follows=_columns(follows),
        sells=_columns(sells),
        before=_columns(before),
        after=_columns(after),
    )


def _columns(pairs: Iterable[tuple[int, int]]) -> Pairs:
    sources, targets = np.array(list(pairs), np.int64).reshape(-1, 2).T
    return sources, targets
