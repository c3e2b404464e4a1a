"""A folder that looks like a stack's at rest, small and without a database in it."""

import sqlite3
from contextlib import closing
from pathlib import Path

TEXTS = {
    "neo4j/data/databases/neo4j/store.db": "graph" * 10_000,
    "neo4j/logs/debug.log": "noise",
    "valkey/appendonlydir/log.aof": "events",
    "artifacts/rel_1/manifest.json": "{}",
    "runs/trn_1/snapshot": "large",
    "logs/api.log": "noise",
    "neo4j-password": "secret",
    "stack-version.json": "{}",
    "beat-schedule.db": "noise",
}


def make_stack_folder(folder: Path) -> Path:
    """The folder, filled."""
    for name, text in TEXTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "neo4j-password").chmod(0o600)
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("PRAGMA journal_mode=WAL")
        ledger.execute("CREATE TABLE keys (name TEXT)")
        ledger.execute("INSERT INTO keys VALUES ('k1')")
    return folder
