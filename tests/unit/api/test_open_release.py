"""One release that cannot be served leaves the one before where it is."""

from pathlib import Path

import pytest

from lsec.api.stores.open_release import OpenRelease
from lsec.core.artifact import Artifact
from tests.integration.small_release import write_artifact


async def test_a_release_that_fails_in_an_unforeseen_way_is_told_of_once_and_the_one_before_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for release_id in ("good", "odd"):
        write_artifact(tmp_path / release_id, {"u": ["p"]}, products=["p"], popular=["p"])

    async def serve(artifact: Artifact | None) -> None:
        if artifact is not None and artifact.manifest.release_id == "odd":
            raise KeyError("epoch")

    release = OpenRelease(tmp_path, serve, role="active")
    assert await release.show("good")
    for _ in range(2):
        assert not await release.show("odd")
    assert release.current is not None
    assert release.current.manifest.release_id == "good"
    [told] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert told.getMessage() == "release odd is active, but cannot be served"
