"""All that is held about a person, in one document, and nothing of anybody else's."""

import shutil
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import msgspec
import pytest
from sqlalchemy.orm import Session

from graph_schema import events as ev
from lsec.core.artifact import open_artifact
from lsec.core.erasures import user_hash
from lsec.core.event_log import encode_chunk
from lsec.core.ledger import AuditRecord, DeadLetter, Scope, dead_letter_id
from tests.integration.conftest import bearer
from tests.integration.ingest_stack import KEYS, IngestStack
from tests.integration.small_release import write_artifact
from workers.publish import publish

USER, OTHER, ODD = "person-1", "person-12", "team/ü?#"
AT = datetime(2026, 6, 1, 12, tzinfo=UTC)
PLACES = [
    "user_id",
    "record",
    "relationships",
    "refunds",
    "slates",
    "tombstone",
    "events",
    "dead_letters",
    "erasures",
    "artifacts",
    "snapshots",
]


def sent(user_id: str, *, prefix: str = "") -> list[ev.Event]:
    """One event of each type that is about a user, but for the erasure."""
    named: list[tuple[type[Any], dict[str, Any]]] = [
        (ev.UserUpserted, {"name": "Ann"}),
        (ev.UserFollowed, {"streamer_id": "s1"}),
        (ev.UserUnfollowed, {"streamer_id": "s2"}),
        (ev.UserWatched, {"streamer_id": "s1", "stream_id": "t1", "seconds": 9}),
        (ev.UserEngaged, {"streamer_id": "s1", "likes": 2}),
        (ev.UserViewed, {"product_id": "p1"}),
        (ev.UserCarted, {"product_id": "p1"}),
        (ev.UserBought, {"product_id": "p1", "amount": 5}),
        (ev.UserRefunded, {"purchase_event_id": f"{prefix}7"}),
        (ev.UserRefunded, {"purchase_event_id": f"{prefix}unknown"}),
        (ev.UserImpressed, {"product_id": "p2", "release_id": "rel_1", "position": 3}),
        (ev.UserDismissed, {"product_id": "p2"}),
    ]
    return [
        cls(event_id=f"{prefix}{number}", at=AT, user_id=user_id, **fields)
        for number, (cls, fields) in enumerate(named)
    ]


def fetch(client: httpx2.Client, user_id: str) -> dict[str, Any]:
    quoted = user_id.replace("/", "%2F").replace("?", "%3F").replace("#", "%23")
    answer = client.get(f"/v1/users/{quoted}/data")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert list(found) == PLACES
    return found


def test_the_document_is_complete(stack: IngestStack, api_client: httpx2.Client) -> None:
    stack.append(sent(USER) + sent(OTHER, prefix="o"))
    stack.drain()
    letter = ev.UserViewed(event_id="d", at=AT, user_id=USER, product_id="p9")
    foreign = ev.UserViewed(event_id="d", at=AT, user_id=OTHER, product_id="p9")
    with Session(stack.engine) as session, session.begin():
        for position, payload in enumerate([*map(msgspec.msgpack.encode, (letter, foreign))]):
            place: dict[str, Any] = {"epoch": "e", "shard": 0, "entry_id": "1-0", "position": position}
            row = DeadLetter(id=dead_letter_id(**place), event_id="d", payload=payload, reason="r", **place)
            session.add(row)
    folder = stack.settings.artifacts_path / "rel_1"
    write_artifact(folder, {USER: ["p1"], OTHER: ["p2"]}, products=["p1", "p2"], popular=["p2"])
    publish(stack.driver, open_artifact(folder))
    (stack.settings.runs_path / "trn_1" / "snapshot").mkdir(parents=True)
    try:
        found = fetch(api_client, USER)
    finally:
        shutil.rmtree(stack.settings.artifacts_path)
        shutil.rmtree(stack.settings.runs_path)

    at = "2026-06-01T12:00:00"
    assert found["user_id"] == USER
    assert {name: found["record"][name] for name in ("id", "name", "record_event_id")} == {
        "id": USER,
        "name": "Ann",
        "record_event_id": "0",
    }
    acts = {row["type"]: row for row in found["relationships"]}
    assert len(acts) == len(found["relationships"])
    assert {name: (row["label"], row["id"]) for name, row in acts.items()} == {
        "FOLLOWS": ("Streamer", "s1"),
        "UNFOLLOWED": ("Streamer", "s2"),
        "WATCHED": ("Streamer", "s1"),
        "ENGAGED": ("Streamer", "s1"),
        "VIEWED": ("Product", "p1"),
        "CARTED": ("Product", "p1"),
        "BOUGHT": ("Product", "p1"),
        "IMPRESSED": ("Product", "p2"),
        "DISMISSED": ("Product", "p2"),
    }
    assert (acts["WATCHED"]["properties"]["seconds"], acts["WATCHED"]["properties"]["day"]) == (9, at[:10])
    assert acts["BOUGHT"]["properties"]["refunded_at"].startswith(at)
    assert {refund["purchase_event_id"] for refund in found["refunds"]} == {"7", "unknown"}
    assert [(slate["release_id"], slate["product_ids"]) for slate in found["slates"]] == [("rel_1", ["p1"])]
    events = [msgspec.convert(each["event"], ev.Event) for each in found["events"]]
    assert events == sent(USER)
    assert [msgspec.convert(each["event"], ev.Event) for each in found["dead_letters"]] == [letter]
    assert found["artifacts"] == [
        {
            "release_id": "rel_1",
            "slate": [{"product_id": "p1", "score": 10.0}],
            "bought": [],
            "vector": [1.0],
        }
    ]
    assert (found["tombstone"], found["erasures"], found["snapshots"]) == (None, [], ["trn_1"])
    assert OTHER not in msgspec.json.encode(found).decode()
    with Session(stack.engine) as session:
        [record] = session.query(AuditRecord)
        assert (record.action, record.target) == ("user.data", user_hash(USER))


def test_an_erased_user_is_held_by_a_tombstone_and_the_erasure_alone(
    stack: IngestStack, api_client: httpx2.Client
) -> None:
    stack.append(sent(USER))
    stack.drain()
    erasure_id = api_client.delete(f"/v1/users/{USER}").json()["id"]
    stack.drain()
    stack.client.xtrim("lsec:{0}:log", maxlen=0)
    found = fetch(api_client, USER)
    assert found["tombstone"] == {"until": datetime.now(UTC).date().isoformat()}
    assert [(each["id"], each["state"]) for each in found["erasures"]] == [(erasure_id, "accepted")]
    rest = set(PLACES) - {"user_id", "tombstone", "erasures"}
    assert not any(found[place] for place in rest)


def test_ids_may_hold_anything(stack: IngestStack, api_client: httpx2.Client) -> None:
    stack.append(sent(ODD))
    found = fetch(api_client, ODD)
    assert len(found["events"]) == len(sent(ODD))
    erasure = api_client.delete("/v1/users/team%2F%C3%BC%3F%23").json()
    assert erasure["user_id"] == ODD


def test_a_document_of_many_rows_is_whole(stack: IngestStack, api_client: httpx2.Client) -> None:
    views = [
        ev.UserViewed(event_id=f"v{n}", at=AT - timedelta(days=n % 50), user_id=USER, product_id=f"p{n}")
        for n in range(3000)
    ]
    stack.append(views)
    stack.drain()
    found = fetch(api_client, USER)
    assert len({row["id"] for row in found["relationships"]}) == 3000
    assert len(found["events"]) == 3000


def test_a_damaged_entry_of_the_log_hides_nothing_beside_it(
    stack: IngestStack, api_client: httpx2.Client
) -> None:
    seen, bought = sent(USER)[:2]
    stack.append([seen])
    stack.client.xadd(KEYS.log, {"n": "many", "t": 1, "c": encode_chunk([bought])})
    stack.append_raw(2, encode_chunk([bought]) + encode_chunk([seen]).replace(b"user.", b"usar."))
    told = [each["event"]["event_id"] for each in fetch(api_client, USER)["events"]]
    assert told == [seen.event_id, bought.event_id]


def test_nothing_is_held_about_an_unknown_user(stack: IngestStack, api_client: httpx2.Client) -> None:
    answer = api_client.get("/v1/users/nobody/data")
    assert answer.status_code == 404
    assert "nobody" not in answer.text


@pytest.mark.parametrize("scope", [Scope.ANALYST, Scope.READ, Scope.INGEST])
def test_only_admins_may_ask(api_client: httpx2.Client, keys: dict[Scope, str], scope: Scope) -> None:
    headers = bearer(keys[scope])
    assert api_client.get(f"/v1/users/{USER}/data", headers=headers).status_code == 403
    assert api_client.delete(f"/v1/users/{USER}", headers=headers).status_code == 403
    assert api_client.get("/v1/erasures", headers=headers).status_code == 403
