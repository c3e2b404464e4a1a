"""What users need on a day: which product each considers, and when; none of it depends on what they watch."""

from dataclasses import dataclass

import numpy as np

from lsec.simulate.audience import Live, Seen
from lsec.simulate.columns import NONE
from lsec.simulate.market import DAY_MS, SECOND_MS, Flags, Floats, Ints
from lsec.simulate.world import CHUNK, PERSON, World

NEEDS_A_DAY = 3.5
BOT_NEEDS = 12.0
DEAL_SHARE = 0.5
"""Of the needs so many are for a product that some stream shows that day, watched or not."""
CANDIDATES = 6
PICKY = 8.0
OPEN_SHARE = 0.6
LAST_SHOWN = 6
"""An open need met in a stream turns to one of the last so many products that the user saw shown."""
LEAST_WATCHED_MS = 6 * SECOND_MS
"""A showing works from so long on after it began."""


@dataclass(frozen=True, slots=True, eq=False)
class Needs:
    """Who considers which product when, each [N]."""

    user: Ints
    product: Ints
    at: Ints
    is_open: Flags
    """Whether the user takes something else for it that a stream shows."""


@dataclass(frozen=True, slots=True, eq=False)
class Met:
    """Where each need is met: for which product and when, each [N]; NONE outside a stream."""

    product: Ints
    streamer: Ints
    stream: Ints
    at: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """Whose influence is at work in which need, each pair once."""

    need: Ints
    streamer: Ints


def draw_needs(world: World, live: Live, season: float, rng: np.random.Generator) -> Needs:
    """A day's needs: of a few products come across, the best match."""
    rate = NEEDS_A_DAY * world.user_activity * np.exp(season)
    rate = np.where(world.user_kind == PERSON, rate, BOT_NEEDS)
    user = np.repeat(np.arange(len(world.user_taste)), rng.poisson(rate))
    product = np.empty(len(user), dtype=np.int64)
    for first in range(0, len(user), CHUNK):
        some = user[first : first + CHUNK]
        met = _come_across(world, live, some, rng)
        chosen = best_match(world, some, met, rng)
        product[first : first + CHUNK] = met[np.arange(len(some)), chosen]
    at = live.midnight + (DAY_MS * rng.beta(3.0, 1.8, size=len(user))).astype(np.int64)
    return Needs(user, product, at, rng.random(len(user)) < OPEN_SHARE)


def _come_across(world: World, live: Live, user: Ints, rng: np.random.Generator) -> Ints:
    """[N, CANDIDATES] products: of a category of interest by popularity, or of all that is shown today."""
    category = (rng.random((len(user), 1)) > world.user_interest[user]).sum(axis=1)
    category = np.minimum(category, len(world.category_end) - 1)
    draws = category[:, None] + rng.random((len(user), CANDIDATES))
    place = np.searchsorted(world.browse_cumulative, draws, side="right")
    met: Ints = world.by_category[np.minimum(place, world.category_end[category][:, None] - 1)]
    is_deal = rng.random(len(user)) < DEAL_SHARE
    shown = live.shown.ravel()
    if len(shown):
        met[is_deal] = shown[rng.integers(0, len(shown), size=(int(is_deal.sum()), CANDIDATES))]
    return met


def best_match(world: World, user: Ints, met: Ints, rng: np.random.Generator) -> Ints:
    """Which of the products met[N, M] each user turns to, from 0 to M - 1: a draw by exp(8 match)."""
    match = np.einsum("nd,nmd->nm", world.user_taste[user], world.product_taste[met])
    luck = np.log(rng.standard_exponential(size=match.shape, dtype=np.float32) + np.float32(1e-30))
    chosen: Ints = np.argmax(np.float32(PICKY) * match - luck, axis=1)
    return chosen


def meet(world: World, needs: Needs, live: Live, seen: Seen, rng: np.random.Generator) -> Met:
    """Open needs that come after a showing seen today are met in the stream instead, at the last of them.

    The user then turns to the best match of the last products seen shown. This moves a purchase, from one
    product to another and to an earlier hour of the day, and neither makes nor prevents one.
    """
    num = len(needs.user)
    met = Met(needs.product.copy(), np.full(num, NONE), np.full(num, NONE), needs.at.copy())
    after = rng.integers(LEAST_WATCHED_MS, 40 * SECOND_MS, size=num)
    user, shown = np.divmod(seen.key, len(world.product_taste))
    order = np.lexsort((seen.at, user))
    user, shown, seen_at = user[order], shown[order], seen.at[order]
    moment = user * DAY_MS + seen_at - live.midnight
    deadline = needs.user * DAY_MS + np.maximum(0, needs.at - live.midnight - LEAST_WATCHED_MS)
    need = np.flatnonzero(needs.is_open)
    last = np.searchsorted(moment, deadline[need], side="right") - 1
    oldest = np.searchsorted(user, needs.user[need])
    need, last, oldest = need[last >= oldest], last[last >= oldest], oldest[last >= oldest]
    place = np.maximum(last[:, None] - np.arange(LAST_SHOWN), oldest[:, None])
    place = place[np.arange(len(need)), best_match(world, needs.user[need], shown[place], rng)]
    met.product[need], met.at[need] = shown[place], np.minimum(seen_at[place] + after[need], needs.at[need])
    met.streamer[need], met.stream[need] = seen.streamer[order][place], seen.stream[order][place]
    return met


def find_hits(world: World, needs: Needs, met: Met, live: Live, seen: Seen) -> Hits:
    """Influence in a stream is that of all whom the user saw show something today before the need.

    Outside it is that of all who showed the needed product to the user today or yesterday, before the need.
    """
    num_products, num_streamers = len(world.product_taste), len(world.streamer_taste)
    today = seen.stream >= live.first
    user, streamer, at = seen.key[today] // num_products, seen.streamer[today], seen.at[today]
    order = np.argsort(user, kind="stable")
    inside, place = _pairs(needs.user, user[order], np.flatnonzero(met.stream != NONE))
    place = order[place]
    in_time = at[place] + LEAST_WATCHED_MS <= needs.at[inside]
    pairs = inside[in_time] * num_streamers + streamer[place[in_time]]
    key = needs.user * num_products + needs.product
    outside, place = _pairs(key, seen.key, np.flatnonzero(met.stream == NONE))
    in_time = seen.at[place] + LEAST_WATCHED_MS <= needs.at[outside]
    pairs = np.unique(
        np.concatenate([pairs, outside[in_time] * num_streamers + seen.streamer[place[in_time]]])
    )
    return Hits(*np.divmod(pairs, num_streamers))


def _pairs(keys: Ints, among: Ints, which: Ints) -> tuple[Ints, Ints]:
    """For the chosen keys every place among the sorted ones that holds the same: rows of keys, and places."""
    left = np.searchsorted(among, keys[which], side="left")
    num = np.searchsorted(among, keys[which], side="right") - left
    row = np.repeat(np.arange(len(which)), num)
    place = np.arange(len(row)) - np.repeat(np.cumsum(num) - num, num) + left[row]
    return which[row], place


def shift_of(hits: Hits, effect: Floats, num_needs: int) -> Floats:
    """By how much the streamers' effects shift the log odds of each need's purchase, in all."""
    return np.bincount(hits.need, weights=effect[hits.streamer], minlength=num_needs).astype(np.float64)
