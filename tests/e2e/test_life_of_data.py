"""A person's data as an admin meets it: shown, erased by the running stack, and pruned."""

import json
from pathlib import Path

import redis

from graph_schema.events import UserUpserted
from lsec.core.event_log import LogKeys
from lsec.core.ledger import utc_now
from lsec.core.settings import Settings
from tests.e2e.conftest import Lsec
from tests.integration.api_server import wait_until

USER = "person/1"
STATE_TIMEOUT_S = 120.0


def record(path: Path) -> str:
    """A file with one event about the user."""
    event = UserUpserted(event_id="life-1", at=utc_now(), user_id=USER, name="Ann")
    fields = {"event_id": event.event_id, "at": event.at.isoformat(), "user_id": USER, "name": event.name}
    path.write_text(json.dumps({"type": "user.upserted", **fields}) + "\n")
    return str(path)


def test_a_user_is_shown_and_erased_to_the_end(lsec: Lsec, full_stack: Settings, tmp_path: Path) -> None:
    lsec.run("ingest", record(tmp_path / "events.ndjson"))
    wait_until(lambda: json.loads(lsec.run("users", "data", USER))["record"] is not None, timeout_s=30)
    refused = lsec.run("users", "erase", USER, code=1)
    assert "Erase all data" in refused
    erasure = lsec.json("users", "erase", USER, "--yes")
    assert erasure["user_id"] == USER
    wait_until(
        lambda: lsec.json("users", "erasures", erasure["id"])["state"] == "in_graph",
        timeout_s=STATE_TIMEOUT_S,
    )
    assert json.loads(lsec.run("users", "data", USER))["record"] is None
    # What the time does to the log and to the stream of changes.
    with redis.Redis.from_url(full_stack.log_url.get_secret_value()) as client:
        for stream in (LogKeys(0).log, LogKeys(0).changes):
            client.xtrim(stream, maxlen=0)
    done = lsec.json("users", "erase", USER, "--yes", "--wait", "--timeout-s", str(STATE_TIMEOUT_S))
    assert (done["state"], done["id"], done["user_id"]) == ("done", erasure["id"], None)
    assert erasure["id"] in lsec.run("users", "erasures")


def test_pruning_is_counted_before_it_is_done(lsec: Lsec) -> None:
    assert "LSEC_RETENTION_DAYS" in lsec.run("prune", code=1)
    assert lsec.json("prune", "--days", "36000", "--dry-run")["acts"] == 0
    assert lsec.json("prune", "--days", "36000", "--yes")["dry_run"] is False
