"""What becomes of a day's needs: where each is met, whether it is bought, and what influence changed."""

from dataclasses import dataclass, replace

import numpy as np

from lsec.simulate.audience import Seen
from lsec.simulate.columns import NONE, Changes, Purchases, Views, join, keep
from lsec.simulate.market import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    SECOND_MS,
    Flags,
    Floats,
    Ints,
    Market,
    sigmoid,
    taste_match,
)
from lsec.simulate.needs import Hits, Met, Needs, shift_of
from lsec.simulate.world import FAKER, PERSON, WATCHER, State, World

COMES_BACK = 0.25
BASE_LOGIT, APPEAL_EFFECT, SEASON_EFFECT = -4.6, 0.3, 0.5
FAKER_BUYS = 0.15
REFUNDED_SHARE = 0.04
TWO_SHARE = 0.08
CARTED, CARTED_LEFT, CARTED_LOOK = 0.6, 0.12, 0.06
LOOKS_BASE, LOOKS_TASTE, BOT_LOOKS = -3.0, 2.0, 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """The chance in each need, each [N]: the same whatever the influence is."""

    first: Floats
    second: Floats
    """Uniform: bought at first, and on coming back, if below the probability to buy."""
    comes_back: Flags
    back_after: Ints
    pause: Ints
    """Between opening and cart, and again to the purchase."""
    cart: Floats
    quantity: Ints
    refund: Floats
    refund_after: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Bought:
    """What a need came to, each [N]: bought at first, on coming back, not at all."""

    first: Flags
    later: Flags


def draw_chance(needs: Needs, rng: np.random.Generator) -> Draws:
    """Everything that chance decides about the needs once they are there."""
    num = len(needs.user)
    return Draws(
        first=rng.random(num),
        second=rng.random(num),
        comes_back=rng.random(num) < COMES_BACK,
        back_after=rng.integers(20 * MINUTE_MS, 20 * HOUR_MS, size=num),
        pause=rng.integers(5 * SECOND_MS, 60 * SECOND_MS, size=num),
        cart=rng.random(num),
        quantity=1 + (rng.random(num) < TWO_SHARE).astype(np.int64),
        refund=rng.random(num),
        refund_after=rng.integers(DAY_MS, 5 * DAY_MS, size=num),
    )


def base_logit(market: Market, world: World, user: Ints, product: Ints, season: float) -> Floats:
    """The log odds that each user buys the product considered, without any influence."""
    match = taste_match(world.user_taste[user], world.product_taste[product]).astype(np.float64)
    logit = BASE_LOGIT + market.taste_effect * match + APPEAL_EFFECT * world.product_appeal[product]
    return logit + SEASON_EFFECT * season


def decide(world: World, needs: Needs, draws: Draws, logit: Floats) -> Bought:
    """Who buys at these log odds; bots have a law of their own."""
    chance = sigmoid(logit)
    kind = world.user_kind[needs.user]
    if (kind != PERSON).any():
        chance = np.where(kind == WATCHER, 0.0, np.where(kind == FAKER, FAKER_BUYS, chance))
    first = draws.first < chance
    return Bought(first, ~first & draws.comes_back & (draws.second < chance))


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """A day's openings, carts and purchases, and what influence changed."""

    views: Views
    carts: Views
    purchases: Purchases
    changes: Changes


def settle(
    market: Market,
    world: World,
    state: State,
    needs: Needs,
    hits: Hits,
    met: Met,
    season: float,
    rng: np.random.Generator,
) -> Outcome:
    """Decides every need, and again for each streamer who might have changed it, without that streamer."""
    draws = draw_chance(needs, rng)
    logit = base_logit(market, world, needs.user, needs.product, season)
    logit += shift_of(hits, world.streamer_effect, len(logit))
    bought = decide(world, needs, draws, logit)
    nowhere = np.full(len(needs.user), NONE)
    here = Views(needs.user, met.product, met.streamer, met.stream, met.at)
    back = Views(needs.user, met.product, nowhere, nowhere, met.at + draws.back_after)
    refunds = _refunds(world, needs, met, draws)
    returns = draws.comes_back & ~bought.first
    carted = draws.cart < np.where(bought.first, CARTED, CARTED_LEFT)
    carted_later = returns & (draws.cart < np.where(bought.later, CARTED, CARTED_LEFT))
    purchases = [
        _purchases(here, draws, state.price, refunds.first, bought.first),
        _purchases(back, draws, state.price, refunds.later, bought.later),
    ]
    return Outcome(
        views=join(Views, [here, keep(back, returns)]),
        carts=join(Views, [later(here, draws.pause, carted), later(back, draws.pause, carted_later)]),
        purchases=_numbered(join(Purchases, purchases), state),
        changes=_changes(world, needs, met, hits, draws, logit, bought, (here.at, back.at), refunds),
    )


def later(views: Views, pause: Ints, which: Flags) -> Views:
    """Of the views the chosen, that much later."""
    return replace(keep(views, which), at=(views.at + pause)[which])


def _purchases(views: Views, draws: Draws, price: Ints, refunded_at: Ints, which: Flags) -> Purchases:
    """The purchases, without their numbers."""
    chosen = later(views, 2 * draws.pause, which)
    return Purchases(
        number=np.full(len(chosen.user), NONE),
        user=chosen.user,
        product=chosen.product,
        streamer=chosen.streamer,
        stream=chosen.stream,
        at=chosen.at,
        quantity=draws.quantity[which],
        amount=draws.quantity[which] * price[chosen.product],
        refunded_at=refunded_at[which],
    )


def _numbered(purchases: Purchases, state: State) -> Purchases:
    """The purchases with the next numbers of the market."""
    first, state.num_purchases = state.num_purchases, state.num_purchases + len(purchases.number)
    return replace(purchases, number=np.arange(first, state.num_purchases))


@dataclass(frozen=True, slots=True, eq=False)
class Refunds:
    """When the purchase of each need would be refunded, bought at first or on coming back; NONE if never."""

    first: Ints
    later: Ints


def _refunds(world: World, needs: Needs, met: Met, draws: Draws) -> Refunds:
    always = world.user_kind[needs.user] == FAKER
    rate = np.where(met.streamer == NONE, REFUNDED_SHARE, world.streamer_refund_rate[met.streamer])
    first_at = met.at + 2 * draws.pause + draws.refund_after
    return Refunds(
        first=np.where((draws.refund < rate) | always, first_at, NONE),
        later=np.where((draws.refund < REFUNDED_SHARE) | always, first_at + draws.back_after, NONE),
    )


def _changes(
    world: World,
    needs: Needs,
    met: Met,
    hits: Hits,
    draws: Draws,
    logit: Floats,
    bought: Bought,
    viewed_at: tuple[Ints, Ints],
    refunds: Refunds,
) -> Changes:
    """The purchases that are there, or not, only because of a streamer's effect."""
    which = np.flatnonzero(world.streamer_effect[hits.streamer] != 0.0)
    need, streamer = hits.need[which], hits.streamer[which]
    without_logit = logit[need] - world.streamer_effect[streamer]
    without = decide(world, keep(needs, need), keep(draws, need), without_logit)
    parts = []
    for name, at in zip(("first", "later"), viewed_at, strict=True):
        change = getattr(bought, name)[need].astype(np.int64) - getattr(without, name)
        rows = np.flatnonzero(change)
        chosen = need[rows]
        parts.append(
            Changes(
                user=needs.user[chosen],
                streamer=streamer[rows],
                product=met.product[chosen],
                at=at[chosen] + 2 * draws.pause[chosen],
                change=change[rows],
                refunded_at=getattr(refunds, name)[chosen],
            )
        )
    return join(Changes, parts)


def draw_looks(world: World, seen: Seen, rng: np.random.Generator) -> tuple[Views, Views]:
    """What viewers open of what they see without a need: views, and a few carts that stay as they are."""
    user, product = np.divmod(seen.key, len(world.product_taste))
    match = taste_match(world.user_taste[user], world.product_taste[product]).astype(np.float64)
    chance = sigmoid(LOOKS_BASE + LOOKS_TASTE * match)
    chance = np.where(world.user_kind[user] == PERSON, chance, BOT_LOOKS)
    looks = np.flatnonzero(rng.random(len(user)) < chance)
    at = seen.at[looks] + rng.integers(6 * SECOND_MS, 40 * SECOND_MS, size=len(looks))
    views = Views(user[looks], product[looks], seen.streamer[looks], seen.stream[looks], at)
    carted = rng.random(len(looks)) < CARTED_LOOK
    pause = rng.integers(5 * SECOND_MS, 60 * SECOND_MS, size=len(looks))
    return views, later(views, pause, carted)
