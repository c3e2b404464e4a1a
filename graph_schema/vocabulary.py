"""Names that the graph, the events and the queries share."""

from enum import StrEnum

MAX_ID_LENGTH = 128
NO_STREAM = ""
"""The `stream_id` of what happened outside a live stream: MERGE refuses null."""


class Label(StrEnum):
    """Node labels. The first five have a unique `id`."""

    USER = "User"
    STREAMER = "Streamer"
    PRODUCT = "Product"
    STREAM = "Stream"
    CATEGORY = "Category"
    MINUTE = "Minute"
    REFUND = "Refund"
    TOMBSTONE = "Tombstone"
    INGEST_OFFSET = "IngestOffset"
    INDEX_COUNTER = "IndexCounter"
    RETENTION = "Retention"
    RELEASE = "Release"
    ACTIVE_POINTER = "ActivePointer"
    SLATE = "Slate"
    VECTOR = "Vector"


class Relationship(StrEnum):
    """Relationship types, as `docs/graph.md` describes them."""

    BOUGHT = "BOUGHT"
    FOLLOWS = "FOLLOWS"
    UNFOLLOWED = "UNFOLLOWED"
    SELLS = "SELLS"
    WATCHED = "WATCHED"
    ENGAGED = "ENGAGED"
    VIEWED = "VIEWED"
    CARTED = "CARTED"
    IMPRESSED = "IMPRESSED"
    DISMISSED = "DISMISSED"
    HOSTED = "HOSTED"
    SHOWCASED = "SHOWCASED"
    HAS_MINUTE = "HAS_MINUTE"
    IN = "IN"
    HAS_SLATE = "HAS_SLATE"
    ACTIVE = "ACTIVE"


INDEXED_LABELS = (Label.USER, Label.STREAMER, Label.PRODUCT)
"""Labels whose nodes carry a dense integer `index`, given by the ingester, for the export."""
