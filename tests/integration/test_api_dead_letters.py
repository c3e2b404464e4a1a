"""Dead letters over HTTP: listed, shown, corrected, replayed once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from graph_schema.events import Event, UserBought, UserViewed
from lsec.core.event_log import decode_event, encode_chunk
from lsec.core.event_replay import REPLAY_SCRIPT, replay_arguments
from lsec.core.ledger import AuditRecord
from tests.integration.graph_dump import dump_graph
from tests.integration.ingest_stack import AT, KEYS, MAX_COUNT, IngestStack, views
from workers.ingest.entries import LoggedEvent
from workers.ingest.letters import dead_letter, store_dead_letters

LETTERS = "/v1/dead-letters"


def poison(stack: IngestStack, num: int) -> list[dict[str, Any]]:
    """Letters of events `w0`… of as many users, whose counters the graph cannot raise any more."""
    stack.append(views(num))
    ingester = stack.drain()
    stack.set_view_counts(MAX_COUNT, users=[f"u{i}" for i in range(num)])
    stack.append([*views(num, prefix="w"), *views(num + 1, prefix="good")[num:]])
    stack.drain(ingester)
    return [{"id": letter.id, "event_id": letter.event_id} for letter in stack.dead_letters()]


def damage(stack: IngestStack) -> str:
    """The letter of a chunk that cannot be decoded."""
    entry_id = stack.append_raw(2, b"\xc1 not msgpack")
    stack.drain()
    return next(letter.id for letter in stack.dead_letters() if letter.entry_id == entry_id)


def open_letters(client: httpx2.Client, **params: Any) -> list[dict[str, Any]]:
    return list(client.get(LETTERS, params=params).json()["dead_letters"])


def count_of_views(stack: IngestStack, user_id: str) -> int:
    return int(dump_graph(stack.driver)["VIEWED", user_id, "p", "", "", AT.date()]["count"])


def append_only(stack: IngestStack) -> tuple[Event, str]:
    """The event of the one letter, appended as by a replay that ended before the ledger knew; its marker."""
    (letter,) = stack.dead_letters()
    event = decode_event(letter.payload)
    keys, arguments = replay_arguments(
        event, letter_id=letter.id, set_aside_from=letter.entry_id, shard=0, window_s=60
    )
    stack.client.register_script(REPLAY_SCRIPT)(keys=keys, args=arguments)
    return event, keys[-1]


def json_of(event: Event) -> dict[str, Any]:
    assert isinstance(event, UserViewed)
    return {
        "type": "user.viewed",
        "event_id": event.event_id,
        "at": event.at.isoformat(),
        "user_id": event.user_id,
        "product_id": event.product_id,
    }


def test_a_poison_event_is_shown_corrected_replayed_and_in_the_graph_once(
    api_client: httpx2.Client, stack: IngestStack
) -> None:
    (letter,) = poison(stack, 1)
    assert count_of_views(stack, "u1") == 1
    assert api_client.get("/v1/events/lag").json()["dead_letters"] == 1
    shown = api_client.get(f"{LETTERS}/{letter['id']}").json()
    assert (shown["event_id"], shown["state"], shown["shard"], shown["position"]) == ("w0", "open", 0, 0)
    assert shown["reason"]
    assert shown["event"] | {"at": AT.isoformat()} == json_of(views(1, prefix="w")[0])
    told = {"event_id": "w0", "status": "dead_lettered", "shard": 0, "number": 2}
    assert api_client.get("/v1/events/w0").json() == told | {"dead_letter_id": letter["id"]}

    corrected = shown["event"] | {"user_id": "u9"}
    fixed = api_client.put(f"{LETTERS}/{letter['id']}/event", json=corrected)
    assert (fixed.status_code, fixed.json()["event"]["user_id"]) == (200, "u9")
    assert fixed.json()["fixed_at"]
    replayed = api_client.post(f"{LETTERS}/{letter['id']}/replay")
    assert (replayed.status_code, replayed.json()["state"]) == (200, "replayed")
    told |= {"number": 4, "dead_letter_id": None}
    assert api_client.get("/v1/events/w0").json() == told | {"status": "accepted"}
    assert api_client.post(f"{LETTERS}/{letter['id']}/replay").json() == replayed.json()
    stack.drain()
    assert api_client.get("/v1/events/w0").json() == told | {"status": "committed"}
    assert count_of_views(stack, "u9") == 1
    assert api_client.get("/v1/events/lag").json()["dead_letters"] == 0
    assert open_letters(api_client) == []
    assert [each["id"] for each in open_letters(api_client, state="replayed")] == [letter["id"]]


def test_a_replay_that_was_cut_off_before_the_ledger_knew_is_only_noted(
    api_client: httpx2.Client, stack: IngestStack
) -> None:
    (letter,) = poison(stack, 1)
    stack.set_view_counts(1, users=["u0"])
    event, marker = append_only(stack)
    num_entries = stack.client.xlen(KEYS.log)
    stack.client.delete(KEYS.id_prefix + "w0")
    late = api_client.put(f"{LETTERS}/{letter['id']}/event", json=json_of(event))
    assert (late.status_code, "in the log again" in late.json()["detail"]) == (409, True)
    answer = api_client.post(f"{LETTERS}/{letter['id']}/replay")
    assert (answer.status_code, answer.json()["state"]) == (200, "replayed")
    assert stack.client.xlen(KEYS.log) == num_entries
    assert stack.client.ttl(marker) > 0
    stack.drain()
    assert count_of_views(stack, "u0") == 2


def test_replays_at_the_same_time_append_once(api_client: httpx2.Client, stack: IngestStack) -> None:
    (letter,) = poison(stack, 1)
    stack.set_view_counts(1, users=["u0"])
    num_entries = stack.client.xlen(KEYS.log)
    with ThreadPoolExecutor(8) as pool:
        path = f"{LETTERS}/{letter['id']}/replay"
        answers = list(pool.map(lambda _: api_client.post(path), range(16)))
    assert {answer.status_code for answer in answers} == {200}
    assert stack.client.xlen(KEYS.log) == num_entries + 1
    stack.drain()
    assert count_of_views(stack, "u0") == 2
    with Session(stack.engine) as session:
        audited = list(session.scalars(select(AuditRecord).where(AuditRecord.target == letter["id"])))
    assert [record.action for record in audited] == ["dead_letter.replay"]
    assert audited[0].detail == {"event_id": "w0", "into_shard": 0, "number": 4}


def test_an_event_that_is_refused_again_is_a_new_letter(
    api_client: httpx2.Client, stack: IngestStack
) -> None:
    (letter,) = poison(stack, 1)
    api_client.post(f"{LETTERS}/{letter['id']}/replay")
    stack.drain()
    (again,) = open_letters(api_client)
    assert again["id"] != letter["id"]
    assert again["event_id"] == "w0"
    assert api_client.get("/v1/events/w0").json()["dead_letter_id"] == again["id"]


def test_a_purchase_that_is_in_the_graph_already_is_not_counted_twice_by_a_replay(
    api_client: httpx2.Client, stack: IngestStack
) -> None:
    purchase = UserBought(event_id="b", at=AT, user_id="u", product_id="p")
    result = stack.append([purchase])
    stack.drain()
    logged = LoggedEvent(result.entry_id or "", 0, encode_chunk([purchase]), purchase)
    letter = dead_letter(logged, "no reason", epoch=stack.client.get(KEYS.epoch).decode(), shard=0)
    letter_id = letter.id
    store_dead_letters(stack.engine, [letter])
    assert api_client.post(f"{LETTERS}/{letter_id}/replay").status_code == 200
    stack.drain()
    rows, _, _ = stack.driver.execute_query("MATCH ()-[b:BOUGHT]->() RETURN count(b) AS num")
    assert rows[0]["num"] == 1


def test_a_letter_waits_for_the_graph_and_goes_if_that_takes_the_event(
    api_client: httpx2.Client, stack: IngestStack
) -> None:
    (event,) = views(1)
    result = stack.append([event])
    logged = LoggedEvent(result.entry_id or "", 0, encode_chunk([event]), event)
    letter = dead_letter(logged, "cut off", epoch=stack.client.get(KEYS.epoch).decode(), shard=0)
    letter_id = letter.id
    path = f"{LETTERS}/{letter_id}/replay"
    store_dead_letters(stack.engine, [letter])
    for early in (api_client.post(path), api_client.delete(f"{LETTERS}/{letter_id}")):
        assert (early.status_code, "lsec lag" in early.json()["remedy"]) == (409, True)
    assert api_client.post(f"{LETTERS}:purge", params={"all": True}).json() == {"purged": 0, "kept": 1}
    assert stack.client.exists(KEYS.id_prefix + event.event_id)
    stack.drain()
    # The graph took the event after all: replayed, it would count twice.
    assert api_client.post(path).status_code == 404


def test_many_are_replayed_the_oldest_first_and_what_cannot_be_stays_open(
    api_client: httpx2.Client, stack: IngestStack
) -> None:
    damaged = damage(stack)
    poison(stack, 3)
    stack.set_view_counts(1, users=["u0", "u1", "u2"])
    first = api_client.post(f"{LETTERS}:replay", params={"limit": 2}).json()
    assert (first["replayed"], first["open"]) == (2, 2)
    assert [each["id"] for each in first["refused"]] == [damaged]
    assert "no event that can be read" in first["refused"][0]["reason"]
    second = api_client.post(f"{LETTERS}:replay", params={"shard": 0}).json()
    assert (second["replayed"], second["open"]) == (1, 1)
    assert api_client.post(f"{LETTERS}:replay", params={"shard": 1}).json()["refused"] == []
    stack.drain()
    assert [count_of_views(stack, f"u{i}") for i in range(3)] == [2, 2, 2]


def test_what_cannot_be_decoded_is_shown_in_base64_and_replayed_only_once_it_is_corrected(
    api_client: httpx2.Client, stack: IngestStack
) -> None:
    letter_id = damage(stack)
    shown = api_client.get(f"{LETTERS}/{letter_id}").json()
    assert (shown["event"], shown["position"], shown["event_id"]) == (None, -1, "")
    assert shown["payload_base64"] == "wSBub3QgbXNncGFjaw=="
    refused = api_client.post(f"{LETTERS}/{letter_id}/replay")
    assert (refused.status_code, "Correct it" in refused.json()["remedy"]) == (409, True)
    (event,) = views(1)
    assert api_client.put(f"{LETTERS}/{letter_id}/event", json=json_of(event)).status_code == 200
    assert api_client.post(f"{LETTERS}/{letter_id}/replay").status_code == 200
    stack.drain()
    assert count_of_views(stack, "u0") == 1


@pytest.mark.parametrize(
    ("fault", "field"),
    [
        ({"event_id": "another"}, "event_id"),
        ({"type": "user.teleported"}, "type"),
        ({"product_id": ""}, "product_id"),
        ({"at": "9999-01-01T00:00:00Z"}, "at"),
        ({"colour": "red"}, "colour"),
    ],
    ids=["another id", "unknown type", "no product", "year 9999", "unknown field"],
)
def test_a_correction_that_is_not_valid_names_its_field_and_changes_nothing(
    api_client: httpx2.Client, stack: IngestStack, fault: dict[str, Any], field: str
) -> None:
    (letter,) = poison(stack, 1)
    before = api_client.get(f"{LETTERS}/{letter['id']}").json()
    answer = api_client.put(f"{LETTERS}/{letter['id']}/event", json=before["event"] | fault)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert api_client.get(f"{LETTERS}/{letter['id']}").json() == before


def test_a_correction_that_is_no_one_event_is_refused(api_client: httpx2.Client, stack: IngestStack) -> None:
    (letter,) = poison(stack, 1)
    event = api_client.get(f"{LETTERS}/{letter['id']}").json()["event"]
    path = f"{LETTERS}/{letter['id']}/event"
    assert api_client.put(path, content=b"{", headers={"Content-Type": "application/json"}).status_code == 400
    assert api_client.put(path, json=[event, event]).status_code == 413
    assert api_client.put(path, content=b" " * 300_000).status_code == 413
    assert api_client.put(f"{LETTERS}/dl_none/event", json=event).status_code == 404


def test_letters_are_listed_in_pages_the_newest_first(api_client: httpx2.Client, stack: IngestStack) -> None:
    poison(stack, 5)
    everything = open_letters(api_client)
    assert len({each["id"] for each in everything}) == 5
    assert [each["created_at"] for each in everything] == sorted(
        (each["created_at"] for each in everything), reverse=True
    )
    found: list[dict[str, Any]] = []
    params: dict[str, Any] = {"limit": 2}
    while params.get("cursor", "") is not None:
        page = api_client.get(LETTERS, params=params).json()
        found += page["dead_letters"]
        params["cursor"] = page["next"]
    assert found == everything
    assert [each["event_id"] for each in open_letters(api_client, event_id="w3")] == ["w3"]
    assert open_letters(api_client, shard=1) == []
    hour_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    assert open_letters(api_client, before=hour_ago) == []
    assert api_client.get(LETTERS, params={"cursor": "nonsense"}).json()["field"] == "cursor"
    assert api_client.get(LETTERS, params={"event_id": "\0"}).json()["field"] == "event_id"
