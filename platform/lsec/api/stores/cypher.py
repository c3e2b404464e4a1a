"""Ad-hoc Cypher: statements of analysts, which only read, within limits, one at a time, each in the audit.

A statement passes, in this order: the rules on its tokens, its turn, the wait for erasures, Neo4j's plan.
Then it runs in a read transaction with a timeout over a connection of its own, whose end ends it.
"""

import asyncio
import logging
from typing import Any, cast

import neo4j
import orjson
import redis.asyncio
from neo4j.exceptions import DriverError, Neo4jError
from sqlalchemy import update

from lsec.api.stores.cypher_errors import platform_error
from lsec.api.stores.cypher_plan import check_plan, shown_plan
from lsec.api.stores.cypher_relay import Relay, open_relay
from lsec.api.stores.cypher_running import READ_WITHIN_S, Asked, Running
from lsec.api.stores.cypher_turn import MARK, OWNER, Turns
from lsec.api.stores.cypher_values import json_value
from lsec.api.stores.erasures import ErasureStore
from lsec.api.stores.graph import driver_at
from lsec.api.stores.ledger import Ledger
from lsec.core.cypher_rules import check_statement
from lsec.core.cypher_tokens import normal_text, tokens_of, without_comments, without_values
from lsec.core.errors import Conflict, LsecError, Overloaded
from lsec.core.jobs import new_id
from lsec.core.ledger import AuditRecord
from lsec.core.settings import MIB, Settings

GRACE_S = 1.0
"""Past the timeout, before the connection is cut."""
FETCH_ROWS = 200
CHUNK_BYTES = 16 * 1024
RELAY_FACTOR = 2
"""Bytes from Neo4j per byte of an answer at most: both write numbers and names, in their own ways."""
ERASING_RETRY_S = 5
MAX_KEPT_CHARS = 4000
_PREFIXES = {"run": "", "explain": "EXPLAIN ", "profile": "PROFILE "}

log = logging.getLogger(__name__)


class CypherStore:
    """Runs statements; `close` ends those that run."""

    def __init__(
        self,
        driver: neo4j.AsyncDriver,
        log_client: redis.asyncio.Redis,
        ledger: Ledger,
        erasures: ErasureStore,
        settings: Settings,
    ) -> None:
        self.turns = Turns(driver, log_client)
        self._ledger = ledger
        self._settings = settings
        self._erasures = erasures
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, asked: Asked, *, key_id: str) -> Running:
        """The statement once it runs, or why it does not; either way it is in the audit."""
        running = Running(new_id("cy"), asked, key_id)
        try:
            text = normal_text(asked.statement)
            tokens = tokens_of(text)
            running.kept = without_values(tokens)[:MAX_KEPT_CHARS]
            check_statement(tokens, asked.parameters)
        except LsecError:
            running.outcome = "refused"
            await self._audit(running)
            raise
        await self._audit(running)
        running.task = asyncio.create_task(
            self._work(running, without_comments(text, tokens)), name=f"statement {running.id}"
        )
        self._tasks.add(running.task)
        running.task.add_done_callback(self._tasks.discard)
        await asyncio.shield(running.begun)
        return running

    async def close(self) -> None:
        """End what runs."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=GRACE_S)

    async def _work(self, running: Running, text: str) -> None:
        try:
            retry_after_s = int(self._settings.cypher_timeout_s) + 1
            async with self.turns.turn(running.id, retry_after_s=retry_after_s):
                await self._perform(running, text)
        except asyncio.CancelledError:
            running.outcome = "cancelled"
            running.drop()
            if not running.begun.done():
                running.begun.set_exception(Conflict("The statement was cancelled."))
        except Exception as error:
            if running.outcome == "running":
                running.outcome = "refused"
            if not running.begun.done():
                running.begun.set_exception(error)
            else:
                log.exception("statement %s failed", running.id)
        finally:
            # Whoever asked may have left, and then nobody reads the error.
            if running.begun.done():
                running.begun.exception()
            await self._audit_end(running)
            await running.end()

    async def _perform(self, running: Running, text: str) -> None:
        """Run the statement; what fails before its first line is raised, later it is its last line."""
        await self._erasures.refresh()
        self._check_erasures()
        asked = running.asked
        max_bytes = RELAY_FACTOR * self._settings.cypher_max_mb * MIB
        try:
            async with (
                asyncio.timeout(asked.timeout_s + GRACE_S),
                open_relay(self._settings.neo4j_url, max_bytes) as (address, relay),
                driver_at(address, self._settings) as driver,
                driver.session(default_access_mode=neo4j.READ_ACCESS, fetch_size=FETCH_ROWS) as session,
            ):
                try:
                    await self._talk(running, text, session, relay)
                except BaseException:
                    # The driver would first ask Neo4j to end in peace, and wait.
                    relay.close()
                    raise
        except (Neo4jError, DriverError, TimeoutError, OSError) as error:
            await self._fail(running, platform_error(error, timeout_s=asked.timeout_s))
        except LsecError as error:
            await self._fail(running, error)
        await running.end()

    async def _talk(self, running: Running, text: str, session: neo4j.AsyncSession, relay: Relay) -> None:
        asked = running.asked
        explained = await (await self._send(running, session, "EXPLAIN " + text)).consume()
        check_plan(explained.query_type, explained.plan)
        assert explained.plan is not None
        if asked.mode == "explain":
            await self._begin(running, [])
            await self._finish(running, "", shown_plan(explained.plan))
            return
        result = await self._send(running, session, _PREFIXES[asked.mode] + text)
        await self._begin(running, list(result.keys()))
        truncated, plan = "", None
        try:
            truncated = await self._send_rows(running, result)
            summary = await result.consume()
            plan = None if summary.profile is None else shown_plan(summary.profile)
        except (Neo4jError, DriverError, OSError):
            if not relay.is_full:
                raise
            truncated = "bytes"
        await self._finish(running, truncated, plan)

    async def _send(self, running: Running, session: neo4j.AsyncSession, text: str) -> neo4j.AsyncResult:
        query = neo4j.Query(
            cast(Any, text),
            metadata={MARK: running.id, OWNER: running.key_id},
            timeout=running.asked.timeout_s,
        )
        return await session.run(query, running.asked.parameters)

    async def _send_rows(self, running: Running, result: neo4j.AsyncResult) -> str:
        """Send rows up to the limits; which of them was reached, or ''."""
        max_bytes = self._settings.cypher_max_mb * MIB
        waiting, reached = bytearray(), ""
        try:
            async for record in result:
                self._check_erasures()
                line = orjson.dumps([json_value(value) for value in record.values()]) + b"\n"
                if running.num_rows == running.asked.max_rows:
                    reached = "rows"
                elif running.num_bytes + len(line) > max_bytes:
                    reached = "bytes"
                if reached:
                    break
                waiting += line
                running.num_rows += 1
                running.num_bytes += len(line)
                # Together if the reader is slower, each at once if not.
                if len(waiting) > CHUNK_BYTES or running.queue.empty():
                    await running.queue.put(bytes(waiting))
                    waiting.clear()
        except Exception:
            await running.queue.put(bytes(waiting))
            raise
        await running.queue.put(bytes(waiting))
        return reached

    def _check_erasures(self) -> None:
        """Overloaded while the graph holds someone who is to be forgotten: no filter finds all traces."""
        if self._erasures.hidden:
            raise Overloaded(
                "A user is being erased, and the graph holds the user until the ingester has done it.",
                retry_after_s=ERASING_RETRY_S,
            )

    async def _begin(self, running: Running, columns: list[str]) -> None:
        await running.send({"id": running.id, "mode": running.asked.mode, "columns": columns})
        running.begun.set_result(None)

    async def _finish(self, running: Running, truncated: str, plan: dict[str, Any] | None) -> None:
        running.outcome = "truncated" if truncated else "done"
        summary: dict[str, Any] = {"rows": running.num_rows, "truncated": truncated or None, "ms": running.ms}
        await running.send({"summary": summary | ({} if plan is None else {"plan": plan})})

    async def _fail(self, running: Running, error: LsecError) -> None:
        running.outcome = type(error).__name__
        if not running.begun.done():
            # At once, though Neo4j may take its time to end it.
            running.begun.set_exception(error)
            return
        told = {"title": error.title, "status": error.status, "detail": error.detail, "remedy": error.remedy}
        async with asyncio.timeout(READ_WITHIN_S):
            await running.send({"error": told, "rows": running.num_rows, "ms": running.ms})

    async def _audit(self, running: Running) -> None:
        """Write what is to run before it does; without values, which may be someone's data."""
        async with self._ledger.write() as session:
            session.add(
                AuditRecord(
                    key_id=running.key_id,
                    action=f"cypher.{running.asked.mode}",
                    target=running.id,
                    detail=running.detail(),
                )
            )

    async def _audit_end(self, running: Running) -> None:
        try:
            async with self._ledger.write() as session:
                await session.execute(
                    update(AuditRecord)
                    .where(AuditRecord.target == running.id)
                    .values(detail=running.detail())
                )
        except Exception:  # the statement has ended, and its record says that it ran
            log.exception("the end of statement %s is not in the audit", running.id)
