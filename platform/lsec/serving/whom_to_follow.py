"""Streamers for a user: by the model's second task, else by what they sell."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lsec.core.artifact import Artifact
from lsec.core.half_precision import inner_products
from lsec.serving.answer import Ranking
from lsec.serving.likeness import best_places
from lsec.serving.shelf import Shelf
from lsec.serving.tags import Rows

StreamerSource = Literal["folded_in", "slate", "sellers", "most_followed"]
"""Where a streamer comes from: the user's vector as of their last event or as the release has it, beside the
streamer's; who sells most of what the user would be shown; or who has most followers."""


def knows_streamers(artifact: Artifact) -> bool:
    """Whether the release was trained on follows: without them its vectors of streamers say nothing."""
    manifest = artifact.manifest
    weighs = float(manifest.hyperparameters.get("follow_weight") or 0) > 0
    return weighs and manifest.counts.get("follows", 0) > 0


def liked_streamers(artifact: Artifact, ranking: Ranking, k: int) -> tuple[Rows, NDArray[np.float32]]:
    """The rows of the k streamers whom a user would follow soonest, with their scores, best first."""
    scores = inner_products(artifact.streamer_vectors, ranking.vector(artifact))
    scores /= artifact.manifest.temperature
    best = best_places(scores, k)
    return best, scores[best]


def sellers_of_ranking(shelf: Shelf, ranking: Ranking, k: int) -> list[str]:
    """The ids of the k streamers who sell most of what a user would be shown, most first.

    A product counts by its place, as in the discounted gain.
    Source: Järvelin & Kekäläinen 2002, eq. 2.
    """
    sellers = shelf.catalog.sellers
    sums: dict[int, float] = {}
    for place, row in enumerate(ranking.rows.tolist()):
        for number in sellers.of(row):
            sums[number] = sums.get(number, 0.0) + 1 / np.log2(place + 2)
    names = sellers.names()
    return [names[number] for number in sorted(sums, key=lambda number: (-sums[number], number))[:k]]
