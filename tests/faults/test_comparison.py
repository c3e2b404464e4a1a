"""The check itself: it tells what was lost from what was counted twice, and nothing escapes it."""

from datetime import UTC, datetime

from graph_schema import events as ev
from tests.faults.comparison import Difference, compare
from tests.faults.ledger import make_ledger
from tests.unit.ingest.expected_graph import expected_graph

AT = datetime(2026, 6, 1, 12, tzinfo=UTC)


def views(*seconds: int) -> list[ev.Event]:
    return [
        ev.UserViewed(event_id=f"v{second}", at=AT.replace(second=second), user_id="u", product_id="p")
        for second in seconds
    ]


def found(events: list[ev.Event], expected: list[ev.Event]) -> tuple[int, int]:
    outcome = compare(expected_graph(expected), expected_graph(events).items())
    return outcome.lost, outcome.duplicated


def test_counts_differ_by_events() -> None:
    assert found(views(1, 2, 3), views(1, 2, 3)) == (0, 0)
    assert found(views(1), views(1, 2, 3)) == (2, 0)
    assert found(views(1, 1, 2, 3, 3), views(1, 2, 3)) == (0, 2)


def test_a_sum_a_time_and_a_record_that_are_wrong_count_too() -> None:
    watched: list[ev.Event] = [
        ev.UserWatched(event_id="w", at=AT, user_id="u", streamer_id="s", seconds=5, stream_id="t")
    ]
    assert found(watched * 2, watched) == (0, 1)
    assert found(views(1, 1), views(1, 2)) == (1, 0)
    graph = expected_graph(watched)
    assert compare(graph, [*graph.items(), *graph.items()]).duplicated == len(graph)
    assert compare(graph, []).lost == len(graph)


def test_each_event_of_a_ledger_that_matters_is_missed() -> None:
    ledger = make_ledger(300, prefix="x-", opened_at=AT)
    assert {type(event) for event in ledger.events} == set(ev.EVENT_CLASSES)
    graph = expected_graph(ledger.events)
    for place in range(len(ledger.events)):
        without = expected_graph(ledger.events[:place] + ledger.events[place + 1 :])
        assert (compare(graph, without.items()) == Difference()) == (without == graph)


def test_a_ledger_is_sent_whole_late_shuffled_and_repeated() -> None:
    ledger = make_ledger(2000, prefix="x-", opened_at=AT)
    sent = [event.event_id for request in ledger.requests for event in request]
    ids = [event.event_id for event in ledger.events]
    assert set(sent) == set(ids)
    assert len(set(ids)) == 2000 < len(sent)
    assert list(dict.fromkeys(sent)) != ids
    assert make_ledger(2000, prefix="x-", opened_at=AT) == ledger
