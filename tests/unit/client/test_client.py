"""The client against a real server that is busy, breaks off and answers nonsense."""

import socket
from datetime import UTC, datetime
from typing import Any

import pytest

from graph_schema.events import UserFollowed
from lsec.client import ApiError, AsyncClient, Client, NotCommitted, Unreachable
from lsec.client.answers import Table
from lsec.client.sending import SendTotals
from lsec.core.errors import InvalidInput
from tests.unit.client.conftest import MoodyApi

AT = datetime(2026, 1, 1, tzinfo=UTC)


def follows(num: int) -> list[UserFollowed]:
    return [UserFollowed(event_id=f"e{n}", at=AT, user_id=f"u{n}", streamer_id="s") for n in range(num)]


def test_events_go_in_batches_with_the_key_and_the_totals_add_up(api: MoodyApi) -> None:
    seen: list[int] = []
    with Client(api.url, "lsec_secret") as client:
        totals = client.send_events(
            iter(follows(25)), batch=10, on_progress=lambda so_far: seen.append(so_far.sent)
        )
    assert totals == SendTotals(sent=25, accepted=25)
    assert seen == [10, 20, 25]
    assert api.seen_ids == [f"e{n}" for n in range(25)]
    assert {request.headers["authorization"] for request in api.requests} == {"Bearer lsec_secret"}


def test_a_busy_api_is_asked_again_no_sooner_than_it_says(api: MoodyApi) -> None:
    api.moods = ["busy", "well"]
    with Client(api.url) as client:
        totals = client.send_events(follows(3))
    assert totals == SendTotals(sent=3, accepted=3, retries=1)
    assert api.request_times[1] - api.request_times[0] >= 1.0


def test_a_batch_whose_answer_was_lost_is_sent_again_and_counts_once(api: MoodyApi) -> None:
    api.moods = ["lose the answer"]
    with Client(api.url) as client:
        totals = client.send_events(follows(3))
    assert api.seen_ids == ["e0", "e1", "e2"]
    assert (totals.accepted, totals.duplicates, totals.retries) == (0, 3, 1)


def test_a_refusal_is_not_tried_again_and_carries_the_problem(api: MoodyApi) -> None:
    api.moods = ["refuse"]
    with Client(api.url) as client, pytest.raises(ApiError) as caught:
        client.send_events(follows(3))
    assert (caught.value.status, caught.value.title, caught.value.detail) == (403, "Not allowed", "no")
    assert caught.value.remedy == "Ask for a key."
    assert caught.value.problem["status"] == 403
    assert len(api.requests) == 1


def test_rejections_carry_the_index_in_all_that_was_sent(api: MoodyApi) -> None:
    lines = [b'{"event_id":"a"}', b'{"event_id":"b"}', b"{broken", b"{}", b'{"event_id":"c"}']
    with Client(api.url) as client:
        totals = client.send_events(lines, batch=2)
    assert [(bad.index, bad.field) for bad in totals.rejected] == [(2, "event_id"), (3, "event_id")]
    assert api.seen_ids == ["a", "b", "c"]


def test_of_a_batch_that_is_too_large_only_the_event_that_is_too_large_is_lost(api: MoodyApi) -> None:
    lines = [b'{"event_id":"%d"}' % n for n in range(8)]
    lines[5] = b'{"event_id":"%s"}' % (b"x" * 5_000)
    with Client(api.url) as client:
        totals = client.send_events(lines)
    assert api.seen_ids == ["0", "1", "2", "3", "4", "6", "7"]
    assert [(bad.index, bad.reason) for bad in totals.rejected] == [(5, "past 4000 bytes")]
    assert totals.sent == 8


def test_an_api_that_stays_away_is_given_up_with_a_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with Client(url) as client, pytest.raises(Unreachable) as caught:
            client.send_events(follows(1), patience_s=0.5)
    assert "LSEC_URL" in caught.value.remedy


def test_waiting_ends_when_the_graph_holds_what_was_in_the_log(api: MoodyApi) -> None:
    backlog: list[int] = []
    with Client(api.url) as client:
        lag = client.wait_until_committed(on_progress=lambda now: backlog.append(now.backlog_events))
    assert lag.backlog_events == 0
    assert backlog == [5, 3, 1]


def test_waiting_too_long_is_an_error_that_says_how_much_is_left(api: MoodyApi) -> None:
    with Client(api.url) as client, pytest.raises(NotCommitted, match="5 events"):
        client.wait_until_committed(timeout_s=0)


def test_a_progress_stream_that_breaks_is_opened_again_until_the_training_is_final(api: MoodyApi) -> None:
    with Client(api.url) as client:
        states = list(client.training_progress("trn_1"))
    assert [(state.status, state.percent) for state in states] == [("running", 10), ("succeeded", 100)]
    assert states[-1].is_final
    assert api.progress_streams == 2


def test_slates_come_one_by_one(api: MoodyApi) -> None:
    with Client(api.url) as client:
        slates = list(client.slates("r"))
    assert [(slate.user_id, len(slate.products)) for slate in slates] == [("u1", 1), ("u2", 0)]


def test_slates_that_break_off_are_an_error_and_not_a_short_list(api: MoodyApi) -> None:
    api.moods = ["break off"]
    with Client(api.url) as client, pytest.raises(Unreachable):
        list(client.slates("r"))


def test_an_id_is_quoted_whatever_it_holds(api: MoodyApi) -> None:
    with Client(api.url) as client:
        answer = client.recommendations("a/b?c#d%2Fé", k=3)
    assert answer.user_id == "a/b?c#d%2Fé"
    assert dict(api.requests[0].query_params) == {"k": "3", "include_bought": "false", "explain": "true"}
    assert answer.products[0].reason is not None
    assert answer.products[0].reason.num_users == 3


def test_a_read_is_tried_again_when_the_api_is_away_for_a_moment(api: MoodyApi) -> None:
    api.moods = ["away"]
    with Client(api.url) as client:
        assert client.recommendations("u").source == "slate"


def test_an_answer_that_is_no_json_is_an_error(api: MoodyApi) -> None:
    with Client(api.url) as client, pytest.raises(ApiError, match="cannot be read"):
        client.health()


def test_an_address_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(InvalidInput, match="no address"):
        Client("localhost:8000")


async def test_the_asynchronous_client_holds_the_same_conversations(api: MoodyApi) -> None:
    api.moods = ["busy", "lose the answer"]
    async with AsyncClient(api.url) as client:
        totals = await client.send_events(follows(3))
        lag = await client.wait_until_committed()
        states = [state.status async for state in client.training_progress("trn_1")]
        slates = [slate.user_id async for slate in client.slates("r")]
    assert (totals.duplicates, totals.retries) == (3, 2)
    assert lag.backlog_events == 0
    assert states == ["running", "succeeded"]
    assert slates == ["u1", "u2"]


def test_an_influence_query_is_a_frame_of_its_columns(api: MoodyApi) -> None:
    with Client(api.url) as client:
        sold = client.product_streamers("p2").frame()
        nothing = client.leaderboard().frame()
        asked = client.seeds("p2", k=3, costs={"s=1": 2.5, "s2": 1}, since=AT)
    assert (sold.columns, sold.rows()) == (["streamer_id", "showcases"], [("s1", 4)])
    assert sold.schema["showcases"].is_integer()
    assert (nothing.columns, nothing.height) == (["streamer_id", "showcases"], 0)
    # What is left out is not sent; a list is sent again and again.
    assert dict(api.requests[-1].query_params.multi_items()) | {"cost": ""} == {
        "product_id": "p2",
        "k": "3",
        "cost": "",
        "default_cost": "1",
        "among": "all",
        "min_audience": "1",
        "since": AT.isoformat(),
    }
    assert api.requests[-1].query_params.getlist("cost") == ["s=1=2.5", "s2=1"]
    assert asked.query == "seeds"


def test_a_table_keeps_lists_and_what_is_missing_in_its_frame() -> None:
    rows: list[dict[str, Any]] = [
        {"nodes": ["u", "p"], "value": 1},
        {"nodes": [], "value": None},
        {"nodes": ["u"], "value": 2.5},
    ]
    frame = Table(query="paths", columns=["value", "nodes"], rows=rows).frame()
    assert frame.rows() == [(1.0, ["u", "p"]), (None, []), (2.5, ["u"])]


def test_both_clients_have_the_same_methods() -> None:
    def methods(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert methods(Client) == methods(AsyncClient)
