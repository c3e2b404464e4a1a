"""What a search runs on: the snapshot of a run, or a folder in the layout of the paper's code."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from graph_schema.events import (
    ProductShowcased,
    ProductUpserted,
    StreamerUpserted,
    UserBought,
    UserFollowed,
    UserUpserted,
)
from lsec.client.paper_layout import find_table, read_candidates, read_training_part
from lsec.core.errors import InvalidInput
from lsec.core.metrics import candidate_lists

if TYPE_CHECKING:
    from workers.training.data import Interactions, Pairs
    from workers.training.validation import Validation

Rows = dict[str, int]


def read_data(path: Path, *, runs: Path) -> "tuple[Interactions, Validation | None]":
    """The interactions, and the lists to validate on where the folder has some of its own.

    `path` is a run's folder, its snapshot, a folder with train/ and val/, or the id of a run in `runs`. The
    folder's test/ is never read. InvalidInput for anything else, Untrainable for a bad snapshot.
    """
    from workers.training.data import read_snapshot

    place = path if path.exists() or len(path.parts) > 1 else runs / path
    for folder in (place, place / "snapshot"):
        if (folder / "manifest.json").is_file() and not (folder / "train").is_dir():
            return read_snapshot(folder), None
    if (place / "train").is_dir():
        return _read_layout(place)
    raise InvalidInput(
        f"{place} is neither a run with a snapshot nor a folder with train/ in it.",
        remedy=f"Give a folder, or the id of a run in {runs}.",
    )


def _read_layout(folder: Path) -> "tuple[Interactions, Validation | None]":
    from workers.training.data import Interactions, no_pairs

    ids: dict[str, Rows] = {"user": {}, "product": {}, "streamer": {}}
    edges: dict[str, list[tuple[int, int]]] = {"buys": [], "follows": [], "sells": []}

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
            case UserBought(user_id=user, product_id=product):
                edges["buys"].append((row("user", user), row("product", product)))
            case UserFollowed(user_id=user, streamer_id=streamer):
                edges["follows"].append((row("user", user), row("streamer", streamer)))
            case ProductShowcased(streamer_id=streamer, product_id=product):
                edges["sells"].append((row("streamer", streamer), row("product", product)))
    users, products, streamers = (
        np.array([name.encode() for name in rows], np.bytes_) if rows else np.empty(0, "S1")
        for rows in ids.values()
    )
    pairs = {name: _pairs(rows) for name, rows in edges.items()}
    data = Interactions(users, products, streamers, **pairs, watched=no_pairs(), viewed=no_pairs())
    if not len(data.buys):
        raise InvalidInput(f"{folder}/train has no purchases.")
    return data, _read_validation(folder / "val", data, ids)


def _read_validation(folder: Path, data: "Interactions", ids: dict[str, Rows]) -> "Validation | None":
    """The lists of val/ whose users and products train/ knows; None without val/."""
    from workers.training.validation import Validation

    if not folder.is_dir():
        return None
    rows = [
        (ids["user"][each.user_id], ids["product"][each.product_id], each.is_positive)
        for each in read_candidates(find_table(folder, "user-item-buy"))
        if each.user_id in ids["user"] and each.product_id in ids["product"]
    ]
    users, products, labels = np.array(rows, np.int64).reshape(-1, 3).T
    is_positive = labels.astype(np.bool_)
    held_out = _pairs(list(zip(users[is_positive].tolist(), products[is_positive].tolist(), strict=True)))
    return Validation(data, held_out, candidate_lists(users, products, is_positive))


def _pairs(rows: list[tuple[int, int]]) -> "Pairs":
    from workers.training.data import distinct_pairs

    sources, targets = np.array(rows, np.int64).reshape(-1, 2).T
    return distinct_pairs(sources, targets)
