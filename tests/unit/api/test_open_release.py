"""One release that cannot be served leaves the one before where it is."""

from pathlib import Path

import pytest

from lsec.api.stores import open_release
from lsec.api.stores.open_release import OpenRelease
from lsec.core.artifact import Artifact
from tests.integration.small_release import write_artifact


async def test_a_release_that_fails_is_told_of_once_tried_again_later_and_the_one_before_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for release_id in ("good", "odd"):
        write_artifact(tmp_path / release_id, {"u": ["p"]}, products=["p"], popular=["p"])
    tried: list[str] = []
    fails = True

    async def serve(artifact: Artifact | None) -> None:
        assert artifact is not None
        tried.append(artifact.manifest.release_id)
        if fails and artifact.manifest.release_id == "odd":
            raise KeyError("epoch")

    release = OpenRelease(tmp_path, serve, role="active")
    assert await release.show("good")
    for _ in range(2):
        assert not await release.show("odd")
    assert tried == ["good", "odd"]
    assert release.current is not None
    assert release.current.manifest.release_id == "good"
    monkeypatch.setattr(open_release, "RETRY_S", 0)
    release._refused = None
    for _ in range(2):
        assert not await release.show("odd")
    [told] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert told.getMessage() == "release odd is active, but cannot be served"
    fails = False
    assert await release.show("odd")
    assert tried == ["good", "odd", "odd", "odd", "odd"]


async def test_a_damaged_release_is_not_read_again_until_it_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_release, "RETRY_S", 0)
    write_artifact(tmp_path / "damaged", {"u": ["p"]}, products=["p"], popular=["p"])
    manifest = tmp_path / "damaged" / "manifest.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:-9])
    read: list[str] = []

    async def serve(_: Artifact | None) -> None:
        read.append("served")

    release = OpenRelease(tmp_path, serve, role="active")
    for _ in range(2):
        assert not await release.show("damaged")
    assert release._refused is not None
    refused = release._refused
    assert not await release.show("damaged")
    assert release._refused is refused
    manifest.unlink()
    manifest.write_bytes(whole)
    assert await release.show("damaged")
    assert read == ["served"]
