"""The streamers to choose for a product: candidates of some audience, and the users worth reaching."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lsec.influence.pairs import distinct
from lsec.influence.rows import Bool, Int64, Touches, TouchKind
from lsec.influence.seeds import Reach, Seeds, choose_seeds, reach_of_touches

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ProductSeeds:
    """The seeds, as rows of streamers, and of each [k] the users in its audience and its reach alone.

    Both count users who are worth reaching; num_candidates are the streamers chosen among.
    """

    seeds: Seeds
    streamers: Int64
    audiences: Int64
    reach_alone: Floats
    num_candidates: int


def product_seeds(
    touches: Touches,
    streams: tuple[Int64, Int64],
    *,
    is_candidate: Bool,
    is_wanted: Bool,
    costs: Floats,
    max_seeds: int,
    budget: float | None = None,
    min_audience: int = 1,
) -> ProductSeeds:
    """The best set of candidates[S] for reaching the wanted users[U], from who follows and watched whom.

    streams are the (streamers[N], streams[N]) that there were to watch; those that were watched count beside
    them. costs[S] are above 0. A candidate has min_audience wanted users who follow or watched. InvalidInput
    as of `choose_seeds`.
    """
    num_streamers, num_users = len(is_candidate), len(is_wanted)
    reach = reach_of_touches(touches, _num_streams(touches, streams, num_streamers), num_users=num_users)
    is_near = is_wanted[reach.users]
    audiences = np.bincount(reach.streamers[is_near], minlength=num_streamers)
    chosen_among = np.flatnonzero(is_candidate & (audiences >= min_audience))
    place = np.full(num_streamers, -1)
    place[chosen_among] = np.arange(len(chosen_among))
    kept = is_near & (place[reach.streamers] >= 0)
    among = Reach(
        len(chosen_among),
        num_users,
        place[reach.streamers[kept]],
        reach.users[kept],
        reach.probabilities[kept],
    )
    alone = np.bincount(among.streamers, among.probabilities, minlength=len(chosen_among)).astype(np.float64)
    seeds = choose_seeds(among, max_seeds=max_seeds, costs=costs[chosen_among], budget=budget)
    rows = chosen_among[seeds.streamers]
    return ProductSeeds(seeds, rows, audiences[rows], alone[seeds.streamers], len(chosen_among))


def _num_streams(touches: Touches, streams: tuple[Int64, Int64], num_streamers: int) -> Int64:
    """How many streams [S] each streamer had: those listed, and any other that was watched."""
    watched = (touches.kind == TouchKind.WATCH) & (touches.stream >= 0)
    of_streamers = np.concatenate([streams[0], touches.streamer[watched]])
    rows = np.concatenate([streams[1], touches.stream[watched]])
    size = int(rows.max(initial=0)) + 1
    return np.bincount(distinct(of_streamers * size + rows) // size, minlength=num_streamers)
