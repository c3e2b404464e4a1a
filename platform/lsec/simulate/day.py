"""What happens in the market on one day, as columns: streams, visits, openings, purchases."""

from dataclasses import dataclass

import numpy as np

from lsec.simulate.market import (
    Flags,
    Floats,
    Ints,
    Market,
    State,
    World,
    buys,
    sigmoid,
    taste_match,
)

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
SHOWCASES_PER_STREAM = 10
NOWHERE = -1
"""The stream row of what happens outside a stream."""


@dataclass(frozen=True, slots=True)
class Streams:
    """The day's live streams; times in ms since the day's start."""

    streamer: Ints
    start: Ints
    length: Ints
    shown: Ints
    """[N, K] product rows, in the order of showing."""
    shown_at: Ints


@dataclass(frozen=True, slots=True)
class Visits:
    """Who watched which stream (row in `Streams`), from when, for how long."""

    user: Ints
    stream: Ints
    join: Ints
    watched: Ints


@dataclass(frozen=True, slots=True)
class Shown:
    """Which users saw which products shown today: sorted keys user × P + product, and when first."""

    keys: Ints
    first_at: Ints

    def before(self, keys: Ints, at: Ints) -> Flags:
        """Whether each of the keys was seen before its time."""
        if not len(self.keys):
            return np.zeros(len(keys), dtype=np.bool_)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        seen: Flags = (self.keys[place] == keys) & (self.first_at[place] < at)
        return seen


@dataclass(frozen=True, slots=True)
class Openings:
    """Products that users opened, in a stream or outside, and whether they carted and bought them."""

    user: Ints
    product: Ints
    stream: Ints
    at: Ints
    carted: Flags
    bought: Flags


def draw_streams(world: World, rng: np.random.Generator) -> Streams:
    """About half of the streamers go live for one to two and a half hours, and end before midnight."""
    streamer = np.flatnonzero(rng.random(len(world.streamer_taste)) < 0.5)
    num = len(streamer)
    length = rng.integers(60, 150, size=num) * MINUTE_MS
    start = rng.integers(9 * 60, 21 * 60, size=num) * MINUTE_MS
    num_shown = min(SHOWCASES_PER_STREAM, world.catalogue.shape[1])
    order = np.argsort(rng.random((num, world.catalogue.shape[1])), axis=1)[:, :num_shown]
    shown = np.take_along_axis(world.catalogue[streamer], order, axis=1)
    step = length[:, None] * (np.arange(num_shown) + rng.uniform(0.1, 0.5, size=(num, num_shown))) / num_shown
    return Streams(streamer, start, length, shown, start[:, None] + step.astype(np.int64))


def draw_visits(world: World, state: State, streams: Streams, rng: np.random.Generator) -> Visits:
    """Users join by taste, following and activity; they stay about a quarter of an hour."""
    match = world.user_taste @ world.streamer_taste[streams.streamer].T
    logit = -4.2 + 2.5 * match + 2.0 * state.follows[:, streams.streamer]
    joins = rng.random(match.shape) < sigmoid(logit + np.log(world.user_activity)[:, None])
    user, stream = np.nonzero(joins)
    length = streams.length[stream]
    join = (length * rng.uniform(0.0, 0.85, size=len(user))).astype(np.int64)
    wanted = (rng.exponential(900.0, size=len(user)) + 20.0).astype(np.int64) * SECOND_MS
    return Visits(user, stream, streams.start[stream] + join, np.minimum(wanted, length - join))


def draw_stream_openings(
    market: Market, world: World, state: State, streams: Streams, visits: Visits, rng: np.random.Generator
) -> tuple[Openings, Shown]:
    """What viewers open of what they see shown; and all that they saw."""
    shown, shown_at = streams.shown[visits.stream], streams.shown_at[visits.stream]
    seen = (shown_at >= visits.join[:, None]) & (shown_at < (visits.join + visits.watched)[:, None])
    visit, slot = np.nonzero(seen)
    user, product = visits.user[visit], shown[visit, slot]
    match = taste_match(world.user_taste[user], world.product_taste[product])
    opened = rng.random(len(user)) < sigmoid(-1.6 + 2.0 * match)
    at = shown_at[visit, slot]
    keys = user * len(world.product_taste) + product
    in_time = np.argsort(at, kind="stable")
    keys, first = np.unique(keys[in_time], return_index=True)
    seen_by = Shown(keys, at[in_time][first])
    user, product, visit, slot = user[opened], product[opened], visit[opened], slot[opened]
    at = shown_at[visit, slot] + rng.integers(2, 40, size=len(user)) * SECOND_MS
    bought = buys(market, world, state, user, product, np.ones(len(user), dtype=np.bool_), rng)
    carted = rng.random(len(user)) < np.where(bought, 0.6, 0.15)
    return Openings(user, product, visits.stream[visit], at, carted, bought), seen_by


def draw_returns(
    market: Market, world: World, state: State, openings: Openings, rng: np.random.Generator
) -> Openings:
    """Some who opened a product in a stream and left it come back to it within hours, outside the stream."""
    back = ~openings.bought & (rng.random(len(openings.user)) < 0.25)
    user, product = openings.user[back], openings.product[back]
    at = openings.at[back] + rng.integers(20 * MINUTE_MS, 20 * HOUR_MS, size=len(user))
    bought = buys(market, world, state, user, product, np.ones(len(user), dtype=np.bool_), rng)
    carted = rng.random(len(user)) < np.where(bought, 0.6, 0.1)
    return Openings(user, product, np.full(len(user), NOWHERE), at, carted, bought)


def draw_browsing(
    market: Market, world: World, state: State, shown: Shown, rng: np.random.Generator
) -> Openings:
    """Users browse the shop: a category of interest, some of its popular goods, of these the best match."""
    user = np.repeat(np.arange(len(world.user_taste)), rng.poisson(2.0 * world.user_activity))
    category = (rng.random((len(user), 1)) > world.user_interest[user]).sum(axis=1)
    category = np.minimum(category, len(world.category_members) - 1)
    product = np.empty(len(user), dtype=np.int64)
    for index, members in enumerate(world.category_members):
        rows = np.flatnonzero(category == index)
        draws = np.searchsorted(world.category_cumulative[index], rng.random((len(rows), 12)))
        met = members[np.minimum(draws, len(members) - 1)]
        product[rows] = _best_match(world, user[rows], met, rng)
    at = (DAY_MS * rng.beta(3.0, 1.8, size=len(user))).astype(np.int64)
    keys = user * len(world.product_taste) + product
    saw_shown = np.isin(keys, state.shown_before) | shown.before(keys, at)
    bought = buys(market, world, state, user, product, saw_shown, rng)
    carted = rng.random(len(user)) < np.where(bought, 0.6, 0.1)
    return Openings(user, product, np.full(len(user), NOWHERE), at, carted, bought)


def draw_new_follows(
    world: World, state: State, streams: Streams, visits: Visits, rng: np.random.Generator
) -> Flags:
    """Which visits end in a new follow: the better the match, the likelier."""
    streamer = streams.streamer[visits.stream]
    match = taste_match(world.user_taste[visits.user], world.streamer_taste[streamer])
    wants = rng.random(len(streamer)) < sigmoid(-3.4 + 2.0 * match)
    pair = visits.user * state.follows.shape[1] + streamer
    _, first = np.unique(pair, return_index=True)
    is_first = np.zeros(len(pair), dtype=np.bool_)
    is_first[first] = True
    new: Flags = wants & is_first & ~state.follows[visits.user, streamer]
    return new


def draw_unfollows(world: World, state: State, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Users and streamers of the follows that end today: the worse the match, the likelier."""
    user, streamer = np.nonzero(state.follows)
    match = taste_match(world.user_taste[user], world.streamer_taste[streamer])
    ends = rng.random(len(user)) < 0.012 * np.exp(-2.0 * match)
    return user[ends], streamer[ends]


def _best_match(world: World, user: Ints, met: Ints, rng: np.random.Generator) -> Ints:
    """Of the products met[N, M], one a user: a draw by exp(12 taste match)."""
    match: Floats = np.einsum("nd,nmd->nm", world.user_taste[user], world.product_taste[met])
    best = np.argmax(12.0 * match + rng.gumbel(size=match.shape), axis=1)
    chosen: Ints = met[np.arange(len(user)), best]
    return chosen
