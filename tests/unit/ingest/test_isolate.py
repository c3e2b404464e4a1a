"""Isolation finds exactly the events that the graph refuses, alone or together."""

import math
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from graph_schema.events import Event, UserViewed
from lsec.core.event_log import encode_chunk
from workers.ingest.entries import LoggedEvent
from workers.ingest.faults import DataFault
from workers.ingest.isolate import isolate


def logged(num: int) -> list[LoggedEvent]:
    events = [
        UserViewed(event_id=str(i), at=datetime(2026, 1, 1, tzinfo=UTC), user_id="u", product_id="p")
        for i in range(num)
    ]
    return [LoggedEvent("1-0", index, encode_chunk([event]), event) for index, event in enumerate(events)]


class Graph:
    """Refuses some events always, and more than `capacity` of some others together."""

    def __init__(self, refused: set[int], scarce: set[int], capacity: int) -> None:
        self.refused, self.scarce, self.capacity = refused, scarce, capacity
        self.num_rehearsals = 0

    def rehearse(self, events: list[Event]) -> None:
        self.num_rehearsals += 1
        places = {int(event.event_id) for event in events}
        if places & self.refused or len(places & self.scarce) > self.capacity:
            raise DataFault("refused")


@given(st.integers(0, 60), st.sets(st.integers(0, 59)), st.sets(st.integers(0, 59)), st.integers(0, 60))
def test_what_is_left_is_taken_together_and_no_more_is_left_out_than_must_be(
    num: int, refused: set[int], scarce: set[int], capacity: int
) -> None:
    graph = Graph(refused, scarce, capacity)
    good, bad = isolate(logged(num), graph.rehearse)
    assert sorted(each.index for each in good + [each for each, _ in bad]) == list(range(num))
    kept = {each.index for each in good}
    wanted = {i for i in range(num) if i not in refused}
    assert kept == wanted - set(sorted(wanted & scarce)[capacity:])


@given(st.integers(0, 999))
def test_one_offender_among_many_costs_few_rehearsals(place: int) -> None:
    graph = Graph({place}, set(), 0)
    _, bad = isolate(logged(1000), graph.rehearse)
    assert [each.index for each, _ in bad] == [place]
    assert graph.num_rehearsals <= 2 * math.ceil(math.log2(1000)) + 1
