"""The key store on a real SQLite file."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import event

from lsec.api.stores.keys import CACHE_S, REFRESH_S, Caller, KeyStore
from lsec.api.stores.ledger import Ledger, open_ledger
from lsec.core.errors import NotFound
from lsec.core.ledger import Scope
from lsec.core.settings import Settings
from workers.migrate import migrate_ledger


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    settings = Settings(data_dir=tmp_path)
    await asyncio.to_thread(migrate_ledger, settings)
    async with open_ledger(settings) as ledger:
        yield ledger


async def test_only_the_hash_of_a_secret_is_kept(ledger: Ledger, tmp_path: Path) -> None:
    key, secret = await KeyStore(ledger).create("shop", Scope.READ)
    assert secret.startswith("lsec_")
    assert len(secret) >= 5 + 43
    assert key.secret_sha256 == hashlib.sha256(secret.encode()).hexdigest()
    files = await asyncio.to_thread(lambda: [path.read_bytes() for path in tmp_path.iterdir()])
    assert not any(secret.encode() in content for content in files)


async def test_a_secret_names_its_caller_and_another_none(ledger: Ledger) -> None:
    store = KeyStore(ledger)
    key, secret = await store.create("shop", Scope.INGEST)
    assert await store.authenticate(secret) == Caller(key.id, Scope.INGEST)
    assert await store.authenticate(secret + "x") is None
    assert await store.authenticate("") is None


async def test_a_revoked_key_ends_within_the_memory_s_time_and_stays_listed(ledger: Ledger) -> None:
    store, elsewhere = KeyStore(ledger), KeyStore(ledger)
    key, secret = await store.create("shop", Scope.READ)
    assert await store.authenticate(secret) is not None
    await elsewhere.revoke(key.id)
    await elsewhere.revoke(key.id)
    await asyncio.sleep(CACHE_S)
    assert await store.authenticate(secret) is None
    (listed,) = await store.list()
    assert listed.revoked_at is not None
    assert CACHE_S < 1


async def test_an_unknown_key_cannot_be_revoked(ledger: Ledger) -> None:
    with pytest.raises(NotFound, match="key_none"):
        await KeyStore(ledger).revoke("key_none")


async def test_a_burst_of_requests_is_one_lookup_that_outlives_who_leaves(ledger: Ledger) -> None:
    store = KeyStore(ledger)
    _, secret = await store.create("shop", Scope.READ)
    leaver = asyncio.create_task(store.authenticate(secret))
    await asyncio.sleep(0)
    others = [asyncio.create_task(store.authenticate(secret)) for _ in range(500)]
    leaver.cancel()
    assert all(caller is not None for caller in await asyncio.gather(*others))


async def test_writers_at_the_same_time_wait_for_each_other(ledger: Ledger) -> None:
    store = KeyStore(ledger)
    await asyncio.gather(*(store.create(f"key {number}", Scope.READ) for number in range(40)))
    assert len(await store.list()) == 40


async def test_no_request_waits_while_a_known_key_is_looked_up_again(ledger: Ledger) -> None:
    store = KeyStore(ledger)
    _, secret = await store.create("shop", Scope.READ)
    assert await store.authenticate(secret) is not None
    until = time.monotonic() + 4 * CACHE_S
    while time.monotonic() < until:
        # Known answers come without a turn of the event loop.
        asked = store.authenticate(secret)
        with pytest.raises(StopIteration) as answered:
            asked.send(None)
        assert answered.value.value is not None
        await asyncio.sleep(0.01)


async def test_keys_in_use_are_looked_up_again_together(ledger: Ledger) -> None:
    store = KeyStore(ledger)
    secrets = [(await store.create(f"key {number}", Scope.READ))[1] for number in range(5)]
    revoked, unused = await store.create("revoked", Scope.READ), await store.create("unused", Scope.READ)
    for secret in (*secrets, revoked[1], unused[1]):
        assert await store.authenticate(secret) is not None
    await KeyStore(ledger).revoke(revoked[0].id)
    num_queries = 0
    never_again = store._lookups[hashlib.sha256(unused[1].encode()).hexdigest()]

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        nonlocal num_queries
        num_queries += "FROM api_key" in statement

    event.listen(ledger._engine.sync_engine, "before_cursor_execute", count)
    began = time.monotonic()
    while time.monotonic() < began + 4 * CACHE_S:
        assert None not in [await store.authenticate(secret) for secret in secrets]
        if time.monotonic() < began + CACHE_S:
            await store.authenticate(revoked[1])
        await asyncio.sleep(0.01)
    assert never_again in store._lookups.values()
    assert await store.authenticate(revoked[1]) is None
    # One each REFRESH_S, where each key would have one of its own.
    assert 0 < num_queries <= 1.5 * (time.monotonic() - began) / REFRESH_S
