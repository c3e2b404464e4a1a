"""Finding the events that the graph refuses, and keeping them as dead letters."""

from collections.abc import Callable, Sequence

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from graph_schema.events import Event
from graph_schema.vocabulary import MAX_ID_LENGTH
from lsec.core.ledger import DeadLetter
from workers.ingest.entries import Damaged, LoggedEvent
from workers.ingest.faults import DataFault


def isolate(
    events: Sequence[LoggedEvent], rehearse: Callable[[list[Event]], None]
) -> tuple[list[LoggedEvent], list[tuple[LoggedEvent, str]]]:
    """The events that the graph takes together, and the others, each with the graph's reason.

    `rehearse` applies events, rolls back, and raises DataFault if the graph refuses them. An event
    is tried after those that were found good, so the good ones go in as a whole.
    """
    good: list[LoggedEvent] = []
    refused: list[tuple[LoggedEvent, str]] = []
    waiting = [list(events)]
    while waiting:
        part = waiting.pop()
        try:
            rehearse([logged.event for logged in good + part])
        except DataFault as fault:
            if len(part) == 1:
                refused.append((part[0], fault.detail))
            else:
                middle = len(part) // 2
                waiting += [part[middle:], part[:middle]]
        else:
            good += part
    return good, refused


def dead_letter(logged: LoggedEvent, reason: str, *, epoch: str, shard: int) -> DeadLetter:
    """The dead letter of an event that the graph refuses."""
    return DeadLetter(
        epoch=epoch,
        shard=shard,
        entry_id=logged.entry_id,
        position=logged.index,
        event_id=logged.event.event_id[:MAX_ID_LENGTH],
        payload=logged.payload,
        reason=reason,
    )


def damaged_letter(damaged: Damaged, *, epoch: str, shard: int) -> DeadLetter:
    """The dead letter of what cannot be decoded."""
    return DeadLetter(
        epoch=epoch,
        shard=shard,
        entry_id=damaged.entry_id,
        position=damaged.index,
        event_id="",
        payload=damaged.payload,
        reason=damaged.reason,
    )


def store_dead_letters(engine: Engine, letters: Sequence[DeadLetter]) -> None:
    """Write dead letters; one that is there already, from an isolation that was cut off, stays one."""
    with Session(engine) as session, session.begin():
        for letter in letters:
            session.merge(letter)
