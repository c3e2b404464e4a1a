"""What a search runs on: a snapshot, that of a run, or a folder in the layout of the paper's code."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lsec.client.paper_layout import find_table, read_candidates
from lsec.client.paper_rows import TrainingRows, read_training_rows
from lsec.core.errors import InvalidInput
from lsec.core.metrics import candidate_lists

if TYPE_CHECKING:
    from workers.training.data import Interactions, Pairs
    from workers.training.validation import Validation


def read_data(path: Path, *, runs: Path, snapshots: Path) -> "tuple[Interactions, Validation | None]":
    """The interactions, and the lists to validate on where the folder has some of its own.

    `path` is a run's folder, a snapshot, a folder with train/ and val/, or the id of a run in `runs` or of a
    snapshot in `snapshots`. The folder's test/ is never read. InvalidInput for anything else, Untrainable for
    a bad snapshot.
    """
    from workers.training.data import read_snapshot

    place = path
    if not path.exists() and len(path.parts) == 1:
        place = (snapshots if path.name.startswith("snp_") else runs) / path
    for folder in (place, place / "snapshot"):
        if (folder / "manifest.json").is_file() and not (folder / "train").is_dir():
            return read_snapshot(folder), None
    if (place / "train").is_dir():
        return _read_layout(place)
    raise InvalidInput(
        f"{place} is neither a snapshot, nor a run with one, nor a folder with train/ in it.",
        remedy=f"Give a folder, or the id of a run in {runs} or of a snapshot in {snapshots}.",
    )


def _read_layout(folder: Path) -> "tuple[Interactions, Validation | None]":
    from workers.training.data import Interactions, no_pairs

    rows = read_training_rows(folder)
    users, products, streamers = (
        np.array([name.encode() for name in ids], np.bytes_) if ids else np.empty(0, "S1")
        for ids in rows.ids.values()
    )
    pairs = {"buys": _pairs(rows.buys), "follows": _pairs(rows.follows), "sells": _pairs(rows.sells)}
    data = Interactions(users, products, streamers, **pairs, watched=no_pairs(), viewed=no_pairs())
    if not len(data.buys):
        raise InvalidInput(f"{folder}/train has no purchases.")
    return data, _read_validation(folder / "val", data, rows)


def _read_validation(folder: Path, data: "Interactions", known: TrainingRows) -> "Validation | None":
    """The lists of val/ whose users and products train/ knows; None without val/."""
    from workers.training.validation import Validation

    if not folder.is_dir():
        return None
    user_rows, product_rows = known.ids["user"], known.ids["product"]
    rows = [
        (user_rows[each.user_id], product_rows[each.product_id], each.is_positive)
        for each in read_candidates(find_table(folder, "user-item-buy"))
        if each.user_id in user_rows and each.product_id in product_rows
    ]
    users, products, labels = np.array(rows, np.int64).reshape(-1, 3).T
    is_positive = labels.astype(np.bool_)
    held_out = _pairs(list(zip(users[is_positive].tolist(), products[is_positive].tolist(), strict=True)))
    return Validation(data, held_out, candidate_lists(users, products, is_positive))


def _pairs(rows: list[tuple[int, int]]) -> "Pairs":
    from workers.training.data import distinct_pairs

    sources, targets = np.array(rows, np.int64).reshape(-1, 2).T
    return distinct_pairs(sources, targets)
