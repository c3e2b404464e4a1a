"""Whose turn it is: one ad-hoc statement at a time, in all processes of the API, until Neo4j has ended it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import neo4j
import redis.asyncio
from redis.asyncio.lock import Lock
from redis.exceptions import LockError, RedisError

from lsec.core.errors import Forbidden, NotFound, Overloaded

TURN = "lsec:cypher:turn"
WAIT_S = 2.0
"""A statement waits so long for its turn, then it is refused."""
LEASE_S = 15.0
"""The turn of a process that has died ends after so long."""
RENEW_S = 4.0
ENDED_WITHIN_S = 120.0
"""A statement that Neo4j cannot stop keeps its turn, and with it all others out, at most so long."""
POLL_S = 0.1
ASK_TIMEOUT_S = 5.0
MARK, OWNER = "lsec_cypher", "lsec_key"
"""In the metadata of a statement's transaction: its id, and the key that sent it."""
_RUNNING: Any = (
    "SHOW TRANSACTIONS YIELD transactionId, metaData WHERE metaData[$mark] IS NOT NULL "
    "RETURN transactionId AS transaction, metaData[$mark] AS id, metaData[$owner] AS key_id"
)
_TERMINATE: Any = "TERMINATE TRANSACTIONS $transactions"


class Turns:
    """The lock on the log's server, and what Neo4j says is running."""

    def __init__(self, driver: neo4j.AsyncDriver, log_client: redis.asyncio.Redis) -> None:
        self._driver = driver
        self._client = log_client

    @contextlib.asynccontextmanager
    async def turn(self, statement_id: str, *, retry_after_s: int) -> AsyncIterator[None]:
        """The statement's turn until Neo4j runs it no longer; Overloaded if another has it."""
        lock = Lock(
            self._client, TURN, timeout=LEASE_S, sleep=POLL_S, blocking_timeout=WAIT_S, thread_local=False
        )
        busy = Overloaded("Another ad-hoc statement is running.", retry_after_s=retry_after_s)
        if not await lock.acquire():
            raise busy
        renewal = asyncio.create_task(_renew(lock), name=f"turn of {statement_id}")
        try:
            if await self._running():
                raise busy
            try:
                yield
            finally:
                await self._ended(statement_id)
        finally:
            renewal.cancel()
            with contextlib.suppress(LockError, RedisError):
                await lock.release()

    async def cancel(self, statement_id: str, *, key_id: str, of_anyone: bool) -> None:
        """Have Neo4j end the statement; NotFound if it does not run, Forbidden if another key sent it."""
        mine = [each for each in await self._running() if each["id"] == statement_id]
        if not mine:
            raise NotFound(f"No statement {statement_id} is running.")
        if not of_anyone and any(each["key_id"] != key_id for each in mine):
            raise Forbidden("Another key sent this statement.", remedy="Use that key, or one of scope admin.")
        await self._terminate(mine)

    async def _running(self) -> list[dict[str, Any]]:
        return await self._ask(_RUNNING, mark=MARK, owner=OWNER)

    async def _terminate(self, running: list[dict[str, Any]]) -> None:
        await self._ask(_TERMINATE, transactions=[each["transaction"] for each in running])

    async def _ended(self, statement_id: str) -> None:
        """Wait until Neo4j runs the statement no longer, and have it ended if it still does."""
        with contextlib.suppress(neo4j.exceptions.Neo4jError, neo4j.exceptions.DriverError, TimeoutError):
            async with asyncio.timeout(ENDED_WITHIN_S):
                while running := [each for each in await self._running() if each["id"] == statement_id]:
                    await self._terminate(running)
                    await asyncio.sleep(POLL_S)

    async def _ask(self, text: Any, **parameters: Any) -> list[dict[str, Any]]:
        async with self._driver.session() as session:
            result = await session.run(neo4j.Query(text, timeout=ASK_TIMEOUT_S), parameters)
            return await result.data()


async def _renew(lock: Lock) -> None:
    while True:
        await asyncio.sleep(RENEW_S)
        with contextlib.suppress(LockError, RedisError):
            await lock.reacquire()
