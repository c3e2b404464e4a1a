"""A day's streams and their audience: who is live, what is shown, who watches, who follows."""

from dataclasses import dataclass

import numpy as np

from lsec.simulate.columns import Engagements, Follows, Showcases, Streams, Visits, keep
from lsec.simulate.market import DAY_MS, MINUTE_MS, SECOND_MS, Flags, Ints, Market, sigmoid, taste_match
from lsec.simulate.world import CHUNK, PERSON, VISIT_TASTE, State, World, draw_by_weight

SHELF = 8
"""Products that a stream shows, over and over."""
ROUNDS = 5
VISITS_A_DAY = 1.0
FOLLOWED_SHARE = 0.25
"""Of the streams of those whom they follow, users of average activity join so many in an average season."""
BOT_VISITS = 8.0
WATCHED_S = 900.0
ENGAGED_SHARE = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Live:
    """The day's streams, the first of which is the market's stream number `first`, and what they show."""

    midnight: int
    first: int
    streams: Streams
    shown: Ints
    """[N, ROUNDS times SHELF] product rows, in the order of showing."""
    shown_at: Ints

    def showcases(self) -> Showcases:
        """The showings as columns."""
        row = np.repeat(np.arange(len(self.shown)), self.shown.shape[1])
        return Showcases(
            self.streams.streamer[row], self.first + row, self.shown.ravel(), self.shown_at.ravel()
        )


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Which users saw which products shown by whom, sorted by `key`, which is user times P plus product."""

    key: Ints
    streamer: Ints
    stream: Ints
    at: Ints


def draw_live(
    market: Market, world: World, state: State, number: int, midnight: int, rng: np.random.Generator
) -> Live:
    """On one of two days every streamer is live, for one to two and a half hours, up to midnight."""
    first_of_two = (
        np.random.default_rng([market.seed, 2, number // 2]).random(len(world.streamer_taste)) < 0.5
    )
    streamer = np.flatnonzero(first_of_two == (number % 2 == 0))
    num = len(streamer)
    length = rng.integers(60, 150, size=num) * MINUTE_MS
    start = midnight + rng.integers(9 * 60, 21 * 60, size=num) * MINUTE_MS
    order = np.argsort(rng.random((num, world.catalogue.shape[1])), axis=1)[:, :SHELF]
    shown = np.tile(np.take_along_axis(world.catalogue[streamer], order, axis=1), (1, ROUNDS))
    steps = shown.shape[1]
    into = length[:, None] * (np.arange(steps) + rng.uniform(0.1, 0.5, size=(num, steps))) / steps
    first, state.num_streams = state.num_streams, state.num_streams + num
    return Live(
        midnight,
        first,
        Streams(streamer, start, start + length),
        shown,
        start[:, None] + into.astype(np.int64),
    )


def draw_visits(
    market: Market, world: World, state: State, live: Live, season: float, rng: np.random.Generator
) -> Visits:
    """Users join streams by appeal, taste, activity, season and following; they stay a quarter of an hour."""
    num_streams = len(live.streams.streamer)
    keys = [np.empty(0, dtype=np.int64)]
    if num_streams:
        starts = range(0, len(world.user_taste), CHUNK)
        keys.extend(_chance_visits(market, world, live, season, first, rng) for first in starts)
        keys.append(_follower_visits(market, world, state, live, season, rng))
    user, row = np.divmod(np.unique(np.concatenate(keys)), max(1, num_streams))
    length = (live.streams.ended_at - live.streams.started_at)[row]
    join_at = (length * rng.uniform(0.0, 0.85, size=len(user))).astype(np.int64)
    stay = np.where(world.user_kind[user] == PERSON, WATCHED_S, 2.0 * WATCHED_S)
    seconds = (stay * rng.standard_exponential(size=len(user)) + 20.0).astype(np.int64)
    return Visits(
        user=user,
        streamer=live.streams.streamer[row],
        stream=live.first + row,
        at=live.streams.started_at[row] + join_at,
        seconds=np.minimum(seconds, (length - join_at) // SECOND_MS),
    )


def _chance_visits(
    market: Market, world: World, live: Live, season: float, first: int, rng: np.random.Generator
) -> Ints:
    """Keys user times N plus row: chance meetings of some users with streams, of which taste lets some be."""
    users = np.arange(first, min(first + CHUNK, len(world.user_taste)))
    is_person = world.user_kind[users] == PERSON
    kappa = market.confounding
    rate = VISITS_A_DAY * world.user_activity[users] ** kappa * np.exp(kappa * season)
    rate = np.where(is_person, rate / world.visit_acceptance, VISITS_A_DAY * BOT_VISITS)
    user = np.repeat(users, rng.poisson(rate))
    row = draw_by_weight(world.streamer_appeal[live.streams.streamer] ** kappa, rng.random(len(user)))
    match = taste_match(world.user_taste[user], world.streamer_taste[live.streams.streamer[row]])
    chance = np.exp(VISIT_TASTE * kappa * (match - 1.0))
    joins = (rng.random(len(user)) < chance) | (world.user_kind[user] != PERSON)
    keys: Ints = user[joins] * len(live.streams.streamer) + row[joins]
    return keys


def _follower_visits(
    market: Market, world: World, state: State, live: Live, season: float, rng: np.random.Generator
) -> Ints:
    """Keys user times N plus row: visits of followers, as the streamer's start calls them."""
    user, streamer = np.divmod(state.follows, len(world.streamer_taste))
    row_of = np.full(len(world.streamer_taste), -1)
    row_of[live.streams.streamer] = np.arange(len(live.streams.streamer))
    kappa = market.confounding
    chance = kappa * FOLLOWED_SHARE * world.user_activity[user] ** kappa * np.exp(kappa * season)
    joins = (rng.random(len(user)) < np.minimum(chance, 0.9)) & (row_of[streamer] >= 0)
    keys: Ints = user[joins] * len(live.streams.streamer) + row_of[streamer[joins]]
    return keys


def what_was_seen(world: World, live: Live, visits: Visits) -> Seen:
    """What was shown while each viewer watched."""
    row = visits.stream - live.first
    shown_at = live.shown_at[row]
    end = visits.at + visits.seconds * SECOND_MS
    visit, slot = np.nonzero((shown_at >= visits.at[:, None]) & (shown_at < end[:, None]))
    key = visits.user[visit] * len(world.product_taste) + live.shown[row[visit], slot]
    order = np.argsort(key, kind="stable")
    visit, slot = visit[order], slot[order]
    return Seen(key[order], visits.streamer[visit], visits.stream[visit], shown_at[visit, slot])


def draw_engagements(visits: Visits, rng: np.random.Generator) -> Engagements:
    """Some viewers comment, like, give and share, half-way through their visit."""
    acts = rng.poisson([0.5, 2.0, 0.1, 0.1], size=(len(visits.user), 4))
    acts[rng.random(len(visits.user)) >= ENGAGED_SHARE] = 0
    who = np.flatnonzero(acts.any(axis=1))
    at = visits.at[who] + visits.seconds[who] * SECOND_MS // 2
    return Engagements(visits.user[who], visits.streamer[who], visits.stream[who], at, *acts[who].T)


def draw_new_follows(world: World, state: State, visits: Visits, rng: np.random.Generator) -> Follows:
    """Visits that end in a new follow: the better the match, the likelier."""
    match = taste_match(world.user_taste[visits.user], world.streamer_taste[visits.streamer])
    wants = rng.random(len(match)) < sigmoid(-3.4 + 2.0 * match.astype(np.float64))
    key = visits.user * len(world.streamer_taste) + visits.streamer
    new = wants & ~is_in(key, state.follows)
    return Follows(visits.user[new], visits.streamer[new], visits.at[new] + visits.seconds[new] * SECOND_MS)


def draw_unfollows(world: World, state: State, midnight: int, rng: np.random.Generator) -> Follows:
    """The follows that end today: the worse the match, the likelier."""
    user, streamer = np.divmod(state.follows, len(world.streamer_taste))
    match = taste_match(world.user_taste[user], world.streamer_taste[streamer])
    ends = rng.random(len(user)) < 0.012 * np.exp(-2.0 * match)
    at = midnight + rng.integers(0, DAY_MS, size=len(user))
    return keep(Follows(user, streamer, at), ends)


def is_in(keys: Ints, among: Ints) -> Flags:
    """Whether each key is among the sorted ones."""
    if not len(among):
        return np.zeros(len(keys), dtype=np.bool_)
    found: Flags = among[np.minimum(np.searchsorted(among, keys), len(among) - 1)] == keys
    return found
