"""What must hold of the served release and the log is broken for real, found, and mended by the remedy."""

import os
import time

import httpx2

from lsec.api.stores.active_release import FOLLOW_EVERY_S
from lsec.core.artifact import open_artifact
from lsec.core.event_log import LogKeys
from lsec.core.inspections import Finding, FindingState
from tests.integration.api_server import wait_until
from tests.integration.inspected import ACTIVE, OLD, Installation, states
from tests.integration.served_market import fetch
from workers.inspection.ingestion import ingestion
from workers.publish import publish

BEGIN_ANOTHER = """
MATCH (a:ActivePointer {name: 'active'}), (r:Release {id: $id})
CREATE (a)-[:ACTIVE {at: datetime() - duration({hours: 1})}]->(r)
"""


def test_an_artifact_with_another_byte_or_without_a_file_is_broken(installation: Installation) -> None:
    assert states(installation.shown(), "artifact.active", "graph.active") == {FindingState.OK}
    path = installation.settings.artifacts_path / ACTIVE / "slates.safetensors"
    whole, before = path.read_bytes(), path.stat()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    found = installation.shown()["artifact.active"]
    assert (found.state, "is not what was written" in found.detail) == (FindingState.BROKEN, True)
    assert "lsec releases rollback" in found.remedy
    path.unlink()
    assert installation.shown()["artifact.active"].state == FindingState.BROKEN
    # What a disk spoils leaves no trace but in the bytes.
    path.write_bytes(whole)
    at = time.time_ns() - 10**9
    os.utime(path, ns=(at, at))
    assert installation.shown()["artifact.active"].state == FindingState.OK
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(bytes([whole[-1] ^ 1]))
    os.utime(path, ns=(at, at))
    assert before.st_size == path.stat().st_size
    assert installation.shown()["artifact.active"].state == FindingState.OK
    assert installation.shown(is_deep=True)["artifact.active"].state == FindingState.BROKEN


def test_slates_that_are_lost_are_told_from_those_of_users_who_are_gone(installation: Installation) -> None:
    driver = installation.driver
    driver.execute_query("MATCH (u:User {id: 'u0'})-[:HAS_SLATE]->(s) DETACH DELETE u, s")
    gone = installation.shown()["graph.active"]
    assert (gone.state, "1 slates fewer" in gone.detail) == (FindingState.OK, True)
    driver.execute_query(
        "MATCH (s:Slate {release_id: $id}) WHERE s.user_id IN ['u1', 'u2'] DETACH DELETE s", id=ACTIVE
    )
    lost = installation.shown()["graph.active"]
    assert (lost.state, "2 of 30 users" in lost.detail) == (FindingState.BROKEN, True)
    # The remedy: another release is shown, this one is written anew.
    publish(driver, open_artifact(installation.settings.artifacts_path / OLD), replaces=ACTIVE)
    installation.follow(lost.remedy)
    publish(driver, open_artifact(installation.settings.artifacts_path / ACTIVE), replaces=OLD)
    assert states(installation.shown(), "release.active", "graph.active") == {FindingState.OK}
    driver.execute_query("MATCH (v:Vector {release_id: $id, item_id: 'p1'}) DELETE v", id=ACTIVE)
    assert "2 of 3 product vectors" in installation.shown()["graph.active"].detail


def test_two_active_releases_are_broken_until_one_is_left(
    installation: Installation, api_client: httpx2.Client
) -> None:
    wait_until(lambda: fetch(api_client, "u1")["release_id"] == ACTIVE, timeout_s=30)
    installation.driver.execute_query(BEGIN_ANOTHER, id=OLD)
    # The API has seen both by then, and serves the newest.
    time.sleep(2 * FOLLOW_EVERY_S)
    assert fetch(api_client, "u1")["release_id"] == ACTIVE
    found = installation.shown()["release.active"]
    assert (found.state, f"{ACTIVE}, {OLD}" in found.detail) == (FindingState.BROKEN, True)
    installation.follow(found.remedy)
    assert installation.shown()["release.active"].detail == f"Release {ACTIVE} is active."
    installation.driver.execute_query("MATCH (:ActivePointer)-[a:ACTIVE]->() DELETE a")
    assert "2 were published" in installation.shown()["release.active"].detail
    installation.driver.execute_query(
        "MATCH (r:Release {id: $id}) CREATE (:ActivePointer {name: 'challenger'})-[:ACTIVE]->(r)", id=OLD
    )
    stray = installation.shown()["release.challenger"]
    assert stray.state == FindingState.BROKEN
    installation.follow(stray.remedy)
    assert installation.shown()["release.challenger"].state == FindingState.OK


def test_a_shard_without_an_ingester_or_of_another_log_is_broken(installation: Installation) -> None:
    client, keys = installation.client, LogKeys(0)

    def shard() -> Finding:
        return next(ingestion(installation.settings, installation.driver, client))

    assert shard().state == FindingState.OK
    client.delete(keys.ingester)
    assert "lsec up" in shard().remedy
    client.set(keys.ingester, "held")
    client.set(keys.epoch, "new")
    client.set(keys.appended, 7)
    client.xadd(keys.log, {"n": 7, "t": 7, "c": b""}, id="1000-0")
    offset = "CREATE (:IngestOffset {shard: 0, epoch: $epoch, position: '0-0', seq: 1, num_events: 2})"
    installation.driver.execute_query(offset, epoch="new")
    assert shard().detail.startswith("The ingester stands still: 5 events wait")
    installation.driver.execute_query("MATCH (o:IngestOffset) SET o.epoch = 'old'")
    assert "--adopt-log" in shard().remedy
