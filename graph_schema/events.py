"""The events that producers send: one flat envelope, one struct a type, and their decoding."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Annotated, Any, get_args

import msgspec
from msgspec import Meta

from graph_schema.vocabulary import MAX_ID_LENGTH, NO_STREAM

EVENTS_VERSION = 1
MAX_CLOCK_AHEAD = timedelta(minutes=10)
EARLIEST_AT = datetime(2000, 1, 1, tzinfo=UTC)
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

# Said in the schema, and looked at by `field_of_bad_id`: checked by the decoder, it would be most of
# what decoding costs, at the door and again where the log is read.
_ID_PATTERN = r"^[^\s\x00-\x1f\x7f]+$(?!\n)"
_OPTIONAL_ID_PATTERN = r"^[^\s\x00-\x1f\x7f]*$(?!\n)"
_NOT_IN_IDS = re.compile(r"[\s\x00-\x1f\x7f]")
Id = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_ID_LENGTH,
        extra_json_schema={"pattern": _ID_PATTERN},
        description=f"1 to {MAX_ID_LENGTH} characters, no white space",
    ),
]
OptionalId = Annotated[
    str,
    Meta(
        max_length=MAX_ID_LENGTH,
        extra_json_schema={"pattern": _OPTIONAL_ID_PATTERN},
        description="an id, or '' for none",
    ),
]
At = Annotated[datetime, Meta(tz=True, description="RFC 3339 time with an offset")]
Text = Annotated[str, Meta(max_length=500)]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Quantity = Annotated[int, Meta(ge=1, le=1_000_000)]
MinorUnits = Annotated[int, Meta(ge=0, le=10**12, description="integer minor units, e.g. cents")]
Seconds = Annotated[int, Meta(ge=1, le=86_400, description="seconds watched since the last event")]
Currency = Annotated[str, Meta(pattern=r"^([A-Z]{3})?$", description="ISO 4217 code")]


def epoch_ms(moment: datetime) -> int:
    """Milliseconds since 1970, the graph's resolution of time."""
    return (moment - _UNIX_EPOCH) // _MILLISECOND


def moment_of(ms: int) -> datetime:
    """The moment so many milliseconds after 1970."""
    return _UNIX_EPOCH + ms * _MILLISECOND


class Envelope(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What every event carries beside its own fields."""

    event_id: Id
    at: At

    @property
    def shard_key(self) -> str:
        """The id that decides the shard: the user, else the streamer, else the product."""
        return (
            getattr(self, "user_id", "")
            or getattr(self, "streamer_id", "")
            or getattr(self, "product_id", "")
        )

    @property
    def at_ms(self) -> int:
        """`at` as milliseconds since 1970, the graph's resolution."""
        return epoch_ms(self.at)


class UserFollowed(Envelope, frozen=True, kw_only=True, tag_field="type", tag="user.followed"):
    """A user follows a streamer."""

    user_id: Id
    streamer_id: Id
    stream_id: OptionalId = NO_STREAM


class UserUnfollowed(Envelope, frozen=True, kw_only=True, tag_field="type", tag="user.unfollowed"):
    """A user no longer follows a streamer."""

    user_id: Id
    streamer_id: Id
    stream_id: OptionalId = NO_STREAM


class StreamStarted(Envelope, frozen=True, kw_only=True, tag_field="type", tag="stream.started"):
    """A streamer goes live."""

    streamer_id: Id
    stream_id: Id


class StreamEnded(Envelope, frozen=True, kw_only=True, tag_field="type", tag="stream.ended"):
    """A live stream ends."""

    streamer_id: Id
    stream_id: Id


class ProductShowcased(Envelope, frozen=True, kw_only=True, tag_field="type", tag="product.showcased"):
    """A streamer offers a product, in a stream or outside one."""

    streamer_id: Id
    product_id: Id
    stream_id: OptionalId = NO_STREAM


class UserWatched(Envelope, frozen=True, kw_only=True, tag_field="type", tag="user.watched"):
    """A user watched a streamer for some more seconds (a heartbeat's increment)."""

    user_id: Id
    streamer_id: Id
    seconds: Seconds
    stream_id: OptionalId = NO_STREAM


class UserViewed(Envelope, frozen=True, kw_only=True, tag_field="type", tag="user.viewed"):
    """A user looked at a product."""

    user_id: Id
    product_id: Id
    streamer_id: OptionalId = NO_STREAM
    stream_id: OptionalId = NO_STREAM


class UserCarted(Envelope, frozen=True, kw_only=True, tag_field="type", tag="user.carted"):
    """A user put a product into the cart."""

    user_id: Id
    product_id: Id
    streamer_id: OptionalId = NO_STREAM
    stream_id: OptionalId = NO_STREAM


class UserBought(Envelope, frozen=True, kw_only=True, tag_field="type", tag="user.bought"):
    """A user bought a product; `event_id` names the purchase for ever."""

    user_id: Id
    product_id: Id
    quantity: Quantity = 1
    amount: MinorUnits = 0
    currency: Currency = ""
    streamer_id: OptionalId = NO_STREAM
    stream_id: OptionalId = NO_STREAM


class UserRefunded(Envelope, frozen=True, kw_only=True, tag_field="type", tag="user.refunded"):
    """A purchase was refunded; it may come before the purchase itself."""

    user_id: Id
    purchase_event_id: Id


class UserEngaged(Envelope, frozen=True, kw_only=True, tag_field="type", tag="user.engaged"):
    """A user commented, liked, gave or shared, as increments."""

    user_id: Id
    streamer_id: Id
    comments: Count = 0
    likes: Count = 0
    gifts: Count = 0
    shares: Count = 0
    stream_id: OptionalId = NO_STREAM


class UserImpressed(Envelope, frozen=True, kw_only=True, tag_field="type", tag="user.impressed"):
    """A recommendation was shown to a user at a position, counted from 0."""

    user_id: Id
    product_id: Id
    release_id: Id
    position: Count
    stream_id: OptionalId = NO_STREAM


class UserDismissed(Envelope, frozen=True, kw_only=True, tag_field="type", tag="user.dismissed"):
    """A user does not want to see a product again."""

    user_id: Id
    product_id: Id


class UserErased(Envelope, frozen=True, kw_only=True, tag_field="type", tag="user.erased"):
    """A user's data is to go: all up to the end of the UTC day of `at`."""

    user_id: Id


class ProductUpserted(Envelope, frozen=True, kw_only=True, tag_field="type", tag="product.upserted"):
    """The whole record of a product; the latest `at` wins."""

    product_id: Id
    name: Text = ""
    price: MinorUnits = 0
    currency: Currency = ""
    categories: Annotated[tuple[Id, ...], Meta(max_length=50)] = ()
    in_stock: bool = True
    hidden: bool = False
    expires_at: At | None = None


class UserUpserted(Envelope, frozen=True, kw_only=True, tag_field="type", tag="user.upserted"):
    """The whole record of a user; the latest `at` wins."""

    user_id: Id
    name: Text = ""


class StreamerUpserted(Envelope, frozen=True, kw_only=True, tag_field="type", tag="streamer.upserted"):
    """The whole record of a streamer; the latest `at` wins."""

    streamer_id: Id
    name: Text = ""


Event = (
    UserFollowed
    | UserUnfollowed
    | StreamStarted
    | StreamEnded
    | ProductShowcased
    | UserWatched
    | UserViewed
    | UserCarted
    | UserBought
    | UserRefunded
    | UserEngaged
    | UserImpressed
    | UserDismissed
    | UserErased
    | ProductUpserted
    | UserUpserted
    | StreamerUpserted
)

EVENT_CLASSES: tuple[type[Envelope], ...] = get_args(Event)
EVENT_TYPES: tuple[str, ...] = tuple(str(cls.__struct_config__.tag) for cls in EVENT_CLASSES)

_ID_FIELDS: dict[type, tuple[str, ...]] = {
    cls: tuple(field.name for field in msgspec.structs.fields(cls) if field.type in (Id, OptionalId))
    for cls in EVENT_CLASSES
}
_ids_of: dict[type, Callable[[Any], tuple[str, ...]]] = {
    cls: attrgetter(*names) for cls, names in _ID_FIELDS.items()
}


def field_of_bad_id(event: Event) -> str | None:
    """The field with an id that has white space or control characters; decoding does not look for them."""
    ids = _ids_of[type(event)](event)
    if _NOT_IN_IDS.search("".join(ids)):
        names = _ID_FIELDS[type(event)]
        return next(name for name, id_ in zip(names, ids, strict=True) if _NOT_IN_IDS.search(id_))
    if isinstance(event, ProductUpserted) and _NOT_IN_IDS.search("".join(event.categories)):
        return "categories"
    return None
