"""Whether events get into the graph: each shard's ingester, its log and the memory of that."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import neo4j
import redis

from lsec.core.event_log import SHARDS_KEY, START_POSITION, LogKeys, entry_id_ms, parse_committed
from lsec.core.inspections import Finding, broken, ok, warning
from lsec.core.settings import MIB, Settings
from workers.graph import read_rows
from workers.ingest.entries import REMEDY
from workers.inspection.sources import QUERY_TIMEOUT_S

STALLED_S = 60.0
NEARLY_FULL = 0.9


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard of the log and the graph's place in it; an epoch is '' where there is none."""

    number: int
    log_epoch: str
    graph_epoch: str
    is_held: bool
    """Whether an ingester holds its lease."""
    num_waiting: int
    oldest_age_s: float
    """Of the oldest entry that is not in the graph; 0 if there is none."""
    idle_s: float | None
    """Since the last commit; None before the first."""


def ingestion(settings: Settings, driver: neo4j.Driver | None, client: redis.Redis) -> Iterator[Finding]:
    """Findings on each shard, the number of shards and the memory of the log's server."""
    for number in range(settings.shards):
        yield judge_shard(_shard(number, driver, client))
    yield judge_shards(settings.shards, _number(client.get(SHARDS_KEY)))
    info: Any = client.info("memory")
    yield judge_memory(settings, int(info["used_memory"]), int(info["maxmemory"]))


def _shard(number: int, driver: neo4j.Driver | None, client: redis.Redis) -> Shard:
    keys = LogKeys(number)
    rows: list[dict[str, Any]] = []
    if driver is not None:
        rows = read_rows(driver, "ingest/read_offset", timeout_s=QUERY_TIMEOUT_S, shard=number)
    log_epoch: Any = client.get(keys.epoch)
    fields: Any = client.hgetall(keys.committed)
    committed = parse_committed(fields)
    position = rows[0]["position"] if rows else committed.position
    num_in_graph = rows[0]["num_events"] if rows else committed.total
    # XRANGE's bracket leaves out the position itself.
    waiting: Any = client.xrange(keys.log, min=f"({position or START_POSITION}", count=1)
    now_ms = _now_ms(client)
    return Shard(
        number,
        log_epoch=log_epoch.decode() if log_epoch else "",
        graph_epoch=rows[0]["epoch"] if rows else "",
        is_held=bool(client.exists(keys.ingester)),
        num_waiting=max(0, _number(client.get(keys.appended)) - num_in_graph),
        oldest_age_s=(now_ms - entry_id_ms(waiting[0][0].decode())) / 1000 if waiting else 0.0,
        idle_s=(now_ms - committed.at_ms) / 1000 if committed.at_ms else None,
    )


def _now_ms(client: redis.Redis) -> int:
    seconds, microseconds = client.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


def _number(value: Any) -> int:
    return int(value) if value else 0


def judge_shard(shard: Shard) -> Finding:
    """Whether log and graph belong together, and an ingester brings the one into the other."""
    name = f"ingest.shard-{shard.number}"
    if shard.graph_epoch and shard.graph_epoch != shard.log_epoch:
        detail = f"The graph follows log {shard.graph_epoch}, but the log is {shard.log_epoch or 'empty'}."
        return broken(name, detail, remedy=REMEDY)
    waits = f"{shard.num_waiting} events wait, the oldest for {shard.oldest_age_s:.0f} s"
    if not shard.is_held:
        remedy = (
            f"`lsec up`, or `python -m workers.ingest --shard {shard.number}`; its log says why it ended."
        )
        return broken(name, f"No ingester holds the shard; {waits}.", remedy=remedy)
    if shard.oldest_age_s <= STALLED_S:
        return ok(name, f"Its ingester runs; {waits}.")
    if shard.idle_s is None or shard.idle_s > STALLED_S:
        last = (
            "nothing was committed yet"
            if shard.idle_s is None
            else f"the last commit was {shard.idle_s:.0f} s ago"
        )
        remedy = "What says the ingester's log? `lsec status` names it; Neo4j may lack memory or disk."
        return broken(name, f"The ingester stands still: {waits}, and {last}.", remedy=remedy)
    remedy = "It works, and is behind: more shards (LSEC_SHARDS), or a faster disk and more memory for Neo4j."
    return warning(name, f"The ingester is behind: {waits}.", remedy=remedy)


def judge_shards(wanted: int, found: int) -> Finding:
    """Whether the log is written in as many shards as the settings say; 0 where none was written."""
    name = "ingest.shards"
    if found in (0, wanted):
        return ok(name, f"The log has {found or wanted} of {wanted} shards.")
    detail = f"The log is written in {found} shards, and LSEC_SHARDS is {wanted}."
    remedy = (
        f"Run API and ingesters with LSEC_SHARDS={found} until `lsec lag` shows 0; then set the new number."
    )
    return warning(name, detail, remedy=remedy)


def judge_memory(settings: Settings, used: int, most: int) -> Finding:
    """Whether the log's server has memory left, in bytes, and enough for the bound that the API keeps."""
    name = "valkey.memory"
    bound = settings.max_log_memory_mb * MIB
    used_mb = used // MIB
    setting = f"LSEC_MAX_LOG_MEMORY_MB ({settings.max_log_memory_mb})"
    if used >= bound:
        detail = f"It uses {used_mb} MB, past {setting}: events get 503."
        remedy = "Does the ingester get on (`lsec lag`)? Else raise LSEC_VALKEY_MAX_MEMORY_MB and that bound."
        return broken(name, detail, remedy=remedy)
    if most and bound > most:
        detail = f"Its maxmemory is {most // MIB} MB, less than {setting}."
        remedy = f"Set LSEC_MAX_LOG_MEMORY_MB to {int(most * 0.75) // MIB}, or raise Valkey's maxmemory."
        return broken(name, detail, remedy=remedy)
    if used >= bound * NEARLY_FULL:
        detail = f"It uses {used_mb} of {settings.max_log_memory_mb} MB before events get 503."
        return warning(name, detail, remedy="Does the ingester get on? `lsec lag`")
    return ok(name, f"It uses {used_mb} of {settings.max_log_memory_mb} MB.")
