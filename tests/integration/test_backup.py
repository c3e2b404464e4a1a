"""A real embedded stack is backed up, restored to another folder, and goes on there where it was."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import select
from sqlalchemy.orm import Session

from graph_schema.events import Event, UserBought, UserFollowed
from lsec.api.stores.keys import KeyStore
from lsec.api.stores.ledger import open_ledger
from lsec.core.errors import StackError
from lsec.core.event_log import APPEND_SCRIPT, LogKeys, append_arguments, parse_append_reply
from lsec.core.ledger import ApiKey, Scope
from lsec.core.settings import Settings
from lsec.local import DATABASES, running_stack
from lsec.local.backup import back_up, restore
from tests.integration.graph_dump import dump_graph
from tests.integration.ingest_stack import IngestStack, ingest_stack
from tests.unit.ingest.expected_graph import Graph
from workers.graph import open_driver
from workers.migrate import migrate

KEYS = LogKeys(0)
AT = datetime(2026, 6, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class State:
    """All that a stack holds, to compare."""

    graph: Graph
    offset: dict[str, Any]
    epoch: bytes
    entries: list[Any]
    committed: dict[bytes, bytes]
    ids: list[bytes]
    keys: list[tuple[str, str]]


def state_of(stack: IngestStack) -> State:
    records, _, _ = stack.driver.execute_query("MATCH (o:IngestOffset) RETURN properties(o) AS offset")
    with Session(stack.engine) as session:
        keys = [(key.name, key.secret_sha256) for key in session.scalars(select(ApiKey))]
    return State(
        graph=dump_graph(stack.driver),
        offset=records[0]["offset"],
        epoch=stack.client.get(KEYS.epoch),
        entries=stack.client.xrange(KEYS.log),
        committed=stack.client.hgetall(KEYS.committed),
        ids=sorted(stack.client.scan_iter(KEYS.id_prefix + "*")),
        keys=keys,
    )


def events(first: int, num: int) -> list[Event]:
    made: list[Event] = []
    for n in range(first, first + num):
        at, user = AT + timedelta(seconds=n), f"u{n % 7}"
        made.append(UserFollowed(event_id=f"f{n}", at=at, user_id=user, streamer_id="s"))
        bought = UserBought(
            event_id=f"b{n}", at=at, user_id=user, product_id=f"p{n % 5}", quantity=1, amount=100
        )
        made.append(bought)
    return made


def append(stack: IngestStack, some: list[Event]) -> int:
    """One request's events; how many were new. Their ids outlast this test, however slow it is."""
    keys, arguments = append_arguments(some, shard=0, window_s=3600)
    return parse_append_reply(
        stack.client.register_script(APPEND_SCRIPT)(keys=keys, args=arguments)
    ).num_accepted


def small(data_dir: Path) -> Settings:
    return Settings(data_dir=data_dir, bolt_port=0, valkey_port=0, neo4j_heap_mb=512, neo4j_page_cache_mb=128)


async def create_key(settings: Settings) -> None:
    async with open_ledger(settings) as ledger:
        await KeyStore(ledger).create("shop", Scope.INGEST)


@pytest.mark.slow
def test_a_restored_stack_holds_all_and_goes_on_where_it_was(tmp_path: Path) -> None:
    file = tmp_path / "stack.backup"
    with running_stack(small(tmp_path / "first"), services=DATABASES) as running:
        settings = running.settings
        migrate(settings)
        asyncio.run(create_key(settings))
        with (
            open_driver(settings) as driver,
            redis.Redis.from_url(settings.log_url.get_secret_value()) as client,
            ingest_stack(settings, driver, client) as stack,
        ):
            append(stack, events(0, 50))
            stack.drain()
            # Accepted, and not yet in the graph.
            append(stack, events(50, 50))
            before = state_of(stack)
        with pytest.raises(StackError, match="runs"):
            back_up(settings, file)
    back_up(settings, file)
    restore(file, tmp_path / "second")

    with running_stack(small(tmp_path / "second"), services=DATABASES) as running:
        settings = running.settings
        with (
            open_driver(settings) as driver,
            redis.Redis.from_url(settings.log_url.get_secret_value()) as client,
            ingest_stack(settings, driver, client) as stack,
        ):
            assert state_of(stack) == before
            assert before.entries
            assert before.keys[0][0] == "shop"
            assert len(before.ids) == 200
            # A retry over the backup is recognised; what waited and what is new go in.
            assert append(stack, events(50, 60)) == 20
            stack.drain()
            after = dump_graph(driver)
    bought = {key[1] for key in after if key[0] == "BOUGHT"}
    assert len([key for key in after if key[0] == "BOUGHT"]) == 110
    assert bought == {f"u{n}" for n in range(7)}
