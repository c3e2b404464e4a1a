"""Finding the events that the graph refuses."""

from collections.abc import Callable, Sequence

from graph_schema.events import Event
from workers.ingest.entries import LoggedEvent
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
