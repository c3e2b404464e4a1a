"""What can go wrong with a batch: its data, another writer, or a service that is away."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import neo4j.exceptions
import redis.exceptions
import sqlalchemy.exc

from lsec.core.errors import LsecError

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 5.0
LOG_EVERY_S = 30.0
OUTAGES = (
    neo4j.exceptions.Neo4jError,
    neo4j.exceptions.DriverError,
    redis.exceptions.RedisError,
    sqlalchemy.exc.OperationalError,
    OSError,
)
_NODES_CHANGED = frozenset(
    ("Neo.ClientError.Schema.ConstraintValidationFailed", "Neo.ClientError.Statement.EntityNotFound")
)
"""It is there already, or gone since it was found: a pruning may delete at any time."""
_TOO_LARGE = frozenset(
    f"Neo.TransientError.General.{name}"
    for name in ("MemoryPoolOutOfMemoryError", "TransactionMemoryLimit", "OutOfMemoryError")
)
_DATA_FAULTS = frozenset(
    f"Neo.ClientError.Statement.{name}" for name in ("ArgumentError", "ArithmeticError", "TypeError")
)


class DataFault(LsecError):
    """The graph refuses a batch for what is in it."""


class BatchTooLarge(LsecError):
    """Neo4j has not the memory for a transaction of this size: a smaller one may fit."""


class PositionMoved(LsecError):
    """Another ingester moved the shard's position, or an earlier commit of this one did."""


class NodesChanged(LsecError):
    """Nodes that were known are gone, or new ones are there already: look them up again."""


class Stopped(LsecError):
    """The ingester was told to stop while it waited for a service."""


def fault_of(error: neo4j.exceptions.Neo4jError) -> LsecError | None:
    """What the batch's own fault is, or None when Neo4j itself failed and it may be tried again.

    Only what a statement meets in its values comes from data. Any other client error, such as that
    of a broken statement or of access, would hit every event: waiting loses none of them.
    """
    code = error.code or ""
    message = (error.message or code)[:500]
    if code in _NODES_CHANGED:
        return NodesChanged(message)
    if code in _TOO_LARGE:
        return BatchTooLarge(message)
    return DataFault(message) if code in _DATA_FAULTS else None


def _is_passing(error: neo4j.exceptions.ClientError) -> bool:
    """Whether Neo4j ended the transaction by itself or was told to, which says nothing of what it asked."""
    return (error.code or "").startswith("Neo.ClientError.Transaction.")


def keep_trying(action: Callable[[], Result], *, pause: Callable[[float], bool]) -> Result:
    """The action's result, however long the services it needs are away.

    `pause` waits for some seconds and tells whether to stop, which raises Stopped.
    """
    wait_s, logged_at = FIRST_WAIT_S, -LOG_EVERY_S
    while True:
        try:
            return action()
        except OUTAGES as error:
            if time.monotonic() - logged_at >= LOG_EVERY_S:
                logged_at = time.monotonic()
                # Such an error ends only by a change of the configuration, the graph or this program.
                refused = isinstance(error, neo4j.exceptions.ClientError) and not _is_passing(error)
                logger.log(
                    logging.ERROR if refused else logging.WARNING,
                    "%s: %s: %s",
                    "Neo4j refuses what the ingester asks; trying on" if refused else "Waiting for a service",
                    type(error).__name__,
                    str(error)[:300],
                )
        if pause(wait_s):
            raise Stopped("Told to stop while a service was away.")
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)
