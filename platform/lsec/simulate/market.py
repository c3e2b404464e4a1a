"""The market's people and goods: who likes what, who sells what, and the law by which they buy.

Every user u, product i and streamer s has a taste vector of unit length, t_u, v_i and w_s. Categories
have centres; a product lies near the centre of its category, a streamer near its specialty, a user near
a mixture of a few categories. With σ the logistic function and b the appeal (log popularity, skewed):

    user u follows s from the start     by a draw without replacement, weights exp(4 t_u·w_s + b_s)
    user u joins a stream of s          σ(−4.2 + 2.5 t_u·w_s + 2 F_us + log a_u), a_u the user's activity
    a viewer of s opens a shown i       σ(−1.6 + 2 t_u·v_i)
    user u buys an opened product i     σ(−3.2 + τ t_u·v_i + .3 b_i + φ F_ui + ω W_ui)

F_us is 1 when u follows s; F_ui is 1 when u follows a streamer who sells i; W_ui is 1 when u saw i shown
in a stream on the same or the previous day. Follows count as of the day's start. φ (`follow_effect`) and
ω (`watch_effect`) are the planted causal effects on the log odds of buying: a twin market with φ = ω = 0
is what would have happened without the streamers. They are confounded by taste, as in life: whoever follows
a streamer likes the streamer's goods anyway.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

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
STREAMER_NAMES = (
    "Ada",
    "Bo",
    "Cem",
    "Dana",
    "Emre",
    "Fay",
    "Gus",
    "Hana",
    "Ivo",
    "Jun",
    "Kim",
    "Lea",
    "Mei",
    "Nils",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """What decides a market: the same values give the same events, byte for byte."""

    seed: int = 7
    num_users: int = 400
    num_streamers: int = 30
    num_products: int = 600
    num_days: int = 14
    start_at: datetime = datetime(2025, 6, 2, tzinfo=UTC)
    currency: str = "USD"
    taste_effect: float = 4.0
    follow_effect: float = 0.7
    watch_effect: float = 0.9

    def __post_init__(self) -> None:
        for name in ("num_users", "num_streamers", "num_products", "num_days"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, and is {self.seed}")
        if self.start_at.tzinfo is None:
            raise ValueError("start_at needs a time zone")

    @property
    def fingerprint(self) -> str:
        """Eight hex digits of all values; part of every event id, so that two markets never share one."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class World:
    """What stays as it is over the market's days; rows are users, products and streamers."""

    user_taste: Floats
    user_activity: Floats
    user_interest: Floats
    """[U, C], cumulative over the categories: where a user browses."""
    product_taste: Floats
    product_appeal: Floats
    product_category: Ints
    category_members: list[Ints]
    category_cumulative: list[Floats]
    """Per category, the cumulative chance of its members to be come across."""
    streamer_taste: Floats
    catalogue: Ints
    """[S, K] product rows that a streamer sells."""
    sells: Flags
    """[S, P], the same as a mask."""


@dataclass(slots=True)
class State:
    """What changes from day to day."""

    follows: Flags
    price: Ints
    """Per product, in minor units."""
    shown_before: Ints
    """Sorted keys (user times P plus product) of what users saw shown on the previous day."""


def build_world(market: Market, rng: np.random.Generator) -> tuple[World, State]:
    """The world of the market, and its state on the morning of the first day."""
    num_categories = min(len(CATEGORIES), market.num_products)
    centres = _unit(rng.normal(size=(num_categories, DIMENSIONS)))
    category = np.arange(market.num_products, dtype=np.int64) % num_categories
    product_taste = _near(centres[category], 0.5, rng)
    appeal = rng.gumbel(0.0, 0.4, size=market.num_products)
    mixture = rng.dirichlet(np.full(num_categories, 0.15), size=market.num_users)
    streamer_taste = _near(centres[np.arange(market.num_streamers) % num_categories], 0.4, rng)
    members = [np.flatnonzero(category == index) for index in range(num_categories)]
    catalogue = _catalogue(streamer_taste @ product_taste.T + 0.1 * appeal, rng)
    sells = np.zeros((market.num_streamers, market.num_products), dtype=np.bool_)
    np.put_along_axis(sells, catalogue, True, axis=1)
    world = World(
        user_taste=_near(mixture @ centres, 0.2, rng),
        user_activity=rng.lognormal(-0.12, 0.5, size=market.num_users),
        user_interest=np.cumsum(0.9 * mixture + 0.1 / num_categories, axis=1),
        product_taste=product_taste,
        product_appeal=appeal,
        product_category=category,
        category_members=members,
        category_cumulative=[_cumulative(np.exp(appeal[rows])) for rows in members],
        streamer_taste=streamer_taste,
        catalogue=catalogue,
        sells=sells,
    )
    price = rng.lognormal(7.6, 0.7, size=market.num_products).astype(np.int64) // 50 * 50 + 99
    return world, State(_first_follows(world, rng), price, np.empty(0, dtype=np.int64))


def buys(
    market: Market,
    world: World,
    state: State,
    user: Ints,
    product: Ints,
    saw_shown: Flags,
    rng: np.random.Generator,
) -> Flags:
    """Whether each user buys the product opened, by the law of the module's docstring."""
    follows_seller = (state.follows[user] & world.sells[:, product].T).any(axis=1)
    logit = (
        -3.2
        + market.taste_effect * taste_match(world.user_taste[user], world.product_taste[product])
        + 0.3 * world.product_appeal[product]
        + market.follow_effect * follows_seller
        + market.watch_effect * saw_shown
    )
    return rng.random(len(user)) < sigmoid(logit)


def taste_match(left: Floats, right: Floats) -> Floats:
    """Cosines of left[N, d] and right[N, d], row by row."""
    cosines: Floats = np.einsum("nd,nd->n", left, right)
    return cosines


def sigmoid(logit: Floats) -> Floats:
    """The logistic function."""
    return 1.0 / (1.0 + np.exp(-logit))


def _unit(rows: Floats) -> Floats:
    unit: Floats = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def _near(centres: Floats, spread: float, rng: np.random.Generator) -> Floats:
    """Unit vectors around each of centres[N, d]."""
    return _unit(centres + spread * _unit(rng.normal(size=centres.shape)))


def _cumulative(weights: Floats) -> Floats:
    cumulative: Floats = np.cumsum(weights / weights.sum())
    return cumulative


def _catalogue(affinity: Floats, rng: np.random.Generator) -> Ints:
    """[S, K] products of each streamer, drawn without replacement by exp(8 affinity) (Gumbel top-k)."""
    size = min(max(10, affinity.shape[1] // 20), affinity.shape[1])
    keys = 8.0 * affinity + rng.gumbel(size=affinity.shape)
    return np.sort(np.argsort(-keys, axis=1)[:, :size], axis=1).astype(np.int64)


def _first_follows(world: World, rng: np.random.Generator) -> Flags:
    num_users, num_streamers = len(world.user_taste), len(world.streamer_taste)
    appeal = rng.gumbel(0.0, 0.8, size=num_streamers)
    keys = (
        4.0 * world.user_taste @ world.streamer_taste.T + appeal + rng.gumbel(size=(num_users, num_streamers))
    )
    rank = np.argsort(np.argsort(-keys, axis=1), axis=1)
    wanted: Flags = rank < rng.poisson(3.0, size=num_users)[:, None]
    return wanted
