"""Whether ledger and graph have the schema of this version."""

import alembic.config
import neo4j
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from neo4j_python_migrations.executor import Executor
from sqlalchemy import Engine

from lsec.core.inspections import Finding, broken, ok
from workers.migrate import MIGRATIONS_DIR, ROOT

LEDGER, GRAPH = "schema.ledger", "schema.graph"
MIGRATE = "Stop what runs, then `lsec migrate`; `lsec up` does it by itself."
NEWER = "Run the version of lsec that made it, or restore a backup of before it: a migration has no way back."


def ledger_schema(engine: Engine) -> Finding:
    """Whether the ledger's tables are those of this version."""
    scripts = ScriptDirectory.from_config(alembic.config.Config(str(ROOT / "alembic.ini")))
    with engine.connect() as connection:
        heads = MigrationContext.configure(connection).get_current_heads()
    known = {script.revision for script in scripts.walk_revisions()}
    return judge_ledger(heads, scripts.get_current_head() or "", known)


def judge_ledger(heads: tuple[str, ...], wanted: str, known: set[str]) -> Finding:
    """Of the revisions that the ledger is at, what they mean where `wanted` is the newest of the known."""
    if heads == (wanted,):
        return ok(LEDGER, f"It is at revision {wanted}.")
    if not heads:
        return broken(LEDGER, f"It has no tables; this version wants revision {wanted}.", remedy=MIGRATE)
    at = ", ".join(heads)
    if not known.issuperset(heads):
        return broken(LEDGER, f"It is at revision {at}, which this version does not know.", remedy=NEWER)
    return broken(LEDGER, f"It is at revision {at}; this version wants {wanted}.", remedy=MIGRATE)


def graph_schema(driver: neo4j.Driver) -> Finding:
    """Whether the graph's constraints and indexes are those of this version, and can be used."""
    executor = Executor(driver, MIGRATIONS_DIR)
    analysis = executor.analyze()
    if analysis.invalid_versions:
        named = ", ".join(
            f"V{each.version} ({each.status.name.lower()})" for each in analysis.invalid_versions
        )
        return broken(GRAPH, f"Its migrations are not those of this version: {named}.", remedy=NEWER)
    if analysis.pending_migrations:
        num_pending = len(analysis.pending_migrations)
        return broken(GRAPH, f"{num_pending} migrations are not applied yet.", remedy=MIGRATE)
    rows, _, _ = driver.execute_query(
        "SHOW INDEXES YIELD name, state WHERE state <> 'ONLINE' RETURN name, state ORDER BY name"
    )
    if rows:
        named = ", ".join(f"{row['name']} ({row['state'].lower()})" for row in rows)
        remedy = "Wait while they are populating; one that failed: drop it, and make it by its migration."
        return broken(GRAPH, f"{len(rows)} indexes are not online: {named}.", remedy=remedy)
    return ok(GRAPH, f"It is at V{analysis.latest_applied_version}, and its indexes are online.")
