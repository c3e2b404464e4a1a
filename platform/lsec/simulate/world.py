"""The market's people and goods: who likes what, who sells what, and what is planted in whom."""

from dataclasses import dataclass

import numpy as np

from lsec.simulate.market import Floats, Ints, Market, Singles, taste_match

DIMENSIONS = 12
CATEGORIES = {
    "beauty": "Lipstick",
    "skincare": "Face cream",
    "fashion": "Jacket",
    "shoes": "Sneaker",
    "kitchen": "Pan",
    "snacks": "Snack box",
    "tea": "Tea",
    "home": "Lamp",
    "toys": "Puzzle",
    "sports": "Yoga mat",
    "gadgets": "Headphones",
    "books": "Novel",
}
"""Category → what its products are called."""
PERSON, WATCHER, FAKER = 0, 1, 2
"""What a user is: a person, a bot that never buys, a bot that buys and has all refunded."""
FAKER_SHARE = 0.3
EFFECT_KINDS = ("large", "zero", "small", "large", "negative", "small", "zero", "large", "small", "zero")
EFFECT_RANGES = {"large": (1.0, 2.0), "small": (0.1, 0.6), "negative": (-0.8, -0.3), "zero": (0.0, 0.0)}
"""The range of each kind's effects on the log odds of buying, drawn from uniformly."""
CATALOGUE_SHARE, CATALOGUE_LEAST, CATALOGUE_MOST = 20, 10, 60
FOLLOW_CANDIDATES = 24
FIRST_FOLLOWS = 3.0
VISIT_TASTE = 2.5
CHUNK = 50_000
"""So many users at a time, to bound the memory of what is drawn for each."""
STREAMER_CHUNK = 64


@dataclass(frozen=True, slots=True)
class World:
    """What stays as it is over the market's days; rows are users, products and streamers."""

    user_taste: Singles
    user_activity: Floats
    user_interest: Floats
    """[U, C], cumulative over the categories: where a user browses."""
    user_kind: Ints
    """PERSON, WATCHER or FAKER."""
    product_taste: Singles
    product_appeal: Floats
    product_category: Ints
    by_category: Ints
    """Product rows, category by category."""
    category_end: Ints
    """Where each category ends in `by_category`."""
    browse_cumulative: Floats
    """Along `by_category`: the category's number plus the cumulative chance to be come across in it."""
    streamer_taste: Singles
    streamer_appeal: Floats
    streamer_effect: Floats
    """What having seen a product shown by the streamer adds to the log odds of buying it."""
    streamer_refund_rate: Floats
    catalogue: Ints
    """[S, K] product rows that a streamer sells."""
    visit_acceptance: float
    """The share of chance meetings of a user and a stream that taste lets become a visit, on average."""
    season_phase: float


@dataclass(slots=True)
class State:
    """What changes from day to day."""

    follows: Ints
    """Sorted keys: user times S plus streamer."""
    price: Ints
    """Per product, in minor units."""
    num_streams: int = 0
    num_purchases: int = 0


def build_world(market: Market, rng: np.random.Generator) -> tuple[World, State]:
    """The world of the market, and its state on the morning of the first day."""
    num_categories = min(len(CATEGORIES), market.num_products)
    centres = _unit(rng.normal(size=(num_categories, DIMENSIONS)).astype(np.float32))
    category = np.arange(market.num_products, dtype=np.int64) % num_categories
    product_taste = _near(centres[category], 0.5, rng)
    appeal = rng.gumbel(0.0, 0.4, size=market.num_products)
    mixture = rng.dirichlet(np.full(num_categories, 0.15), size=market.num_users)
    streamer_taste = _near(centres[np.arange(market.num_streamers) % num_categories], 0.4, rng)
    user_taste = _near(mixture.astype(np.float32) @ centres, 0.2, rng)
    streamer_appeal = np.exp(rng.normal(0.0, 0.5, size=market.num_streamers))
    by_category = np.argsort(category, kind="stable")
    world = World(
        user_taste=user_taste,
        user_activity=rng.lognormal(-0.125, 0.5, size=market.num_users),
        user_interest=np.cumsum(0.9 * mixture + 0.1 / num_categories, axis=1),
        user_kind=_kinds(market, rng),
        product_taste=product_taste,
        product_appeal=appeal,
        product_category=category,
        by_category=by_category,
        category_end=np.cumsum(np.bincount(category)),
        browse_cumulative=_browse_cumulative(category[by_category], np.exp(appeal[by_category])),
        streamer_taste=streamer_taste,
        streamer_appeal=streamer_appeal,
        streamer_effect=_effects(market, rng),
        streamer_refund_rate=rng.beta(2.0, 38.0, size=market.num_streamers),
        catalogue=_catalogue(streamer_taste, product_taste, appeal, rng),
        visit_acceptance=_acceptance(market, user_taste, streamer_taste, streamer_appeal, rng),
        season_phase=float(rng.uniform(0.0, 2.0 * np.pi)),
    )
    price = rng.lognormal(7.6, 0.7, size=market.num_products).astype(np.int64) // 50 * 50 + 99
    return world, State(_first_follows(world, rng), price)


def _unit(rows: Singles) -> Singles:
    unit: Singles = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def _near(centres: Singles, spread: float, rng: np.random.Generator) -> Singles:
    """Unit vectors around each of centres[N, d]."""
    noise = _unit(rng.standard_normal(size=centres.shape, dtype=np.float32))
    return _unit(centres + np.float32(spread) * noise)


def _kinds(market: Market, rng: np.random.Generator) -> Ints:
    draw = rng.random(market.num_users)
    kinds = np.where(draw < FAKER_SHARE * market.bots, FAKER, WATCHER)
    return np.where(draw < market.bots, kinds, PERSON).astype(np.int64)


def _effects(market: Market, rng: np.random.Generator) -> Floats:
    """Every ten streamers have three large effects, three small, one negative and three of zero."""
    place = rng.permutation(market.num_streamers) % len(EFFECT_KINDS)
    ranges = np.array([EFFECT_RANGES[kind] for kind in EFFECT_KINDS])[place]
    effects: Floats = market.influence * rng.uniform(ranges[:, 0], ranges[:, 1])
    effects[list(market.silenced)] = 0.0
    return effects


def _browse_cumulative(category: Ints, weight: Floats) -> Floats:
    total = np.bincount(category, weights=weight)
    cumulative: Floats = np.cumsum(weight / total[category])
    return cumulative  # each category's weights sum to one, so it begins at its own number


def _catalogue(
    streamer_taste: Singles, product_taste: Singles, appeal: Floats, rng: np.random.Generator
) -> Ints:
    """[S, K] products of each streamer, drawn without replacement by exp(8 (match + appeal / 10))."""
    num_products = len(product_taste)
    size = min(max(CATALOGUE_LEAST, num_products // CATALOGUE_SHARE), CATALOGUE_MOST, num_products)
    chosen = np.empty((len(streamer_taste), size), dtype=np.int64)
    lift = (0.8 * appeal).astype(np.float32)
    for first in range(0, len(streamer_taste), STREAMER_CHUNK):
        rows = slice(first, first + STREAMER_CHUNK)
        keys = np.float32(8.0) * (streamer_taste[rows] @ product_taste.T) + lift
        keys -= np.log(rng.standard_exponential(size=keys.shape, dtype=np.float32) + np.float32(1e-30))
        chosen[rows] = np.argpartition(-keys, size - 1, axis=1)[:, :size]
    return np.sort(chosen, axis=1)


def _acceptance(
    market: Market, user_taste: Singles, streamer_taste: Singles, appeal: Floats, rng: np.random.Generator
) -> float:
    """The mean of exp(2.5 κ (match − 1)) over users and streamers by appeal, from a sample of pairs."""
    user = rng.integers(0, len(user_taste), size=8192)
    streamer = draw_by_weight(appeal**market.confounding, rng.random(8192))
    match = taste_match(user_taste[user], streamer_taste[streamer])
    return float(np.exp(VISIT_TASTE * market.confounding * (match.astype(np.float64) - 1.0)).mean())


def draw_by_weight(weight: Floats, uniform: Floats) -> Ints:
    """A row for each uniform draw, by the weights."""
    cumulative = np.cumsum(weight)
    place = np.searchsorted(cumulative, uniform * cumulative[-1], side="right")
    rows: Ints = np.minimum(place, len(weight) - 1)
    return rows


def _first_follows(world: World, rng: np.random.Generator) -> Ints:
    """Keys of the follows from the start: some of a few candidates each, by exp(4 match)."""
    num_users, num_streamers = len(world.user_taste), len(world.streamer_taste)
    keys = [np.empty(0, dtype=np.int64)]
    for first in range(0, num_users, CHUNK):
        user = np.arange(first, min(first + CHUNK, num_users))
        if num_streamers <= FOLLOW_CANDIDATES:
            met = np.broadcast_to(np.arange(num_streamers), (len(user), num_streamers))
        else:
            met = draw_by_weight(world.streamer_appeal, rng.random((len(user), FOLLOW_CANDIDATES)))
        liking = 4.0 * np.einsum("nd,nmd->nm", world.user_taste[user], world.streamer_taste[met])
        liking = liking + rng.gumbel(size=liking.shape)
        order = np.argsort(-liking, axis=1)
        wanted = np.arange(met.shape[1])[None, :] < rng.poisson(FIRST_FOLLOWS, size=len(user))[:, None]
        chosen = np.take_along_axis(met, order, axis=1)
        keys.append((user[:, None] * num_streamers + chosen)[wanted])
    return np.unique(np.concatenate(keys))
