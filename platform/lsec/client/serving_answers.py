"""What the API recommends, as typed values; unknown fields are read over.

`degraded` names what was away when an answer was made: `graph`, `log`, or `user` where the user's latest
events are not in it.
"""

import msgspec


class PathNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node of a path; another user has no id."""

    label: str
    id: str | None = None
    name: str | None = None


class PathRelationship(msgspec.Struct, frozen=True, kw_only=True):
    """A relationship of a path; `source` and `target` are places in its nodes, counted from 0."""

    type: str
    source: int = msgspec.field(name="from")
    target: int = msgspec.field(name="to")


class Path(msgspec.Struct, frozen=True, kw_only=True):
    """What leads, in the graph, from the user to what is recommended."""

    nodes: list[PathNode]
    relationships: list[PathRelationship]


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why something is recommended, in words and, for most kinds, by a path.

    Of a product `kind` is followed_streamers, watched_streamers, users_alike, taste or popular; of a streamer
    sells_bought, watched, taste or popular.
    """

    kind: str
    text: str
    streamers: list[str] = []
    products: list[str] = []
    num_users: int | None = None
    minutes: int | None = None
    path: Path | None = None


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """One product; `source` says where it comes from, `score` is 0 where no model scored it."""

    product_id: str
    score: float | None = None
    source: str = ""
    reason: Reason | None = None


class Recommendations(msgspec.Struct, frozen=True, kw_only=True):
    """What a user should see; `source` is that of the first product."""

    user_id: str
    source: str
    products: list[Recommendation]
    release_id: str | None = None
    degraded: tuple[str, ...] = ()


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What each of some users should see, in their order."""

    recommendations: list[Recommendations]
    degraded: tuple[str, ...] = ()


class SimilarProducts(msgspec.Struct, frozen=True, kw_only=True):
    """Products like one; a score is the cosine of the two vectors."""

    product_id: str
    source: str
    products: list[Recommendation]
    release_id: str | None = None
    degraded: tuple[str, ...] = ()


class NamedStreamer(msgspec.Struct, frozen=True, kw_only=True):
    """A streamer whom a user might follow."""

    streamer_id: str
    score: float
    source: str
    num_followers: int | None = None
    reason: Reason | None = None


class StreamersToFollow(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a user might follow, best first."""

    user_id: str
    source: str
    streamers: list[NamedStreamer]
    release_id: str | None = None
    degraded: tuple[str, ...] = ()


class ScoredUser(msgspec.Struct, frozen=True, kw_only=True):
    """A user with the score of a product."""

    user_id: str
    score: float


class ProductAudience(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to tell of a product, best first."""

    product_id: str
    source: str
    users: list[ScoredUser]
    release_id: str | None = None
    degraded: tuple[str, ...] = ()


class ShowcaseNext(msgspec.Struct, frozen=True, kw_only=True):
    """What a host should show next; `num_present` users watched lately."""

    stream_id: str
    streamer_id: str
    source: str
    products: list[Recommendation]
    num_present: int = 0
    release_id: str | None = None
    degraded: tuple[str, ...] = ()


class SessionEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a visitor did with a product or a streamer.

    `type` is user.viewed, user.carted, user.bought, user.watched, user.followed or user.dismissed.
    """

    type: str
    product_id: str = ""
    streamer_id: str = ""
    seconds: int = 60
