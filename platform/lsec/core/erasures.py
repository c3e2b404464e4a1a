"""What an erasure is called: the hash that stands for the user, and the event that erases."""

import hashlib

from graph_schema.events import UserErased
from lsec.core.errors import Conflict
from lsec.core.ledger import Erasure


def user_hash(user_id: str) -> str:
    """What is kept of a user who is forgotten: in tombstones, erasures and the audit."""
    return hashlib.sha256(user_id.encode()).hexdigest()


def erasing_event(erasure: Erasure) -> UserErased:
    """The event of an open erasure, the same each time; Conflict if the erasure is done."""
    if erasure.user_id is None:
        raise Conflict(f"Erasure {erasure.id} is done: it knows its user no longer.")
    return UserErased(event_id=erasure.event_id, at=erasure.requested_at, user_id=erasure.user_id)
