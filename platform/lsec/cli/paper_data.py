"""The paper's table of a folder in the layout of the paper's code, in the form of the API's answer."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lsec.client.answers import Table
from lsec.client.paper_layout import find_table, read_candidates
from lsec.client.paper_rows import read_training_rows
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
    rows = read_training_rows(folder)
    after = [
        (rows.row("user", each.user_id), rows.row("product", each.product_id))
        for each in read_candidates(find_table(folder / "test", "user-item-buy"))
        if each.is_positive
    ]
    return Tripartite(
        num_users=len(rows.ids["user"]),
        num_streamers=len(rows.ids["streamer"]),
        num_products=len(rows.ids["product"]),
        follows=_columns(rows.follows),
        sells=_columns(rows.sells),
        before=_columns(rows.buys),
        after=_columns(after),
    )


def _columns(pairs: Iterable[tuple[int, int]]) -> Pairs:
    """The distinct pairs in their order."""
    sources, targets = np.array(list(dict.fromkeys(pairs)), np.int64).reshape(-1, 2).T
    return sources, targets
