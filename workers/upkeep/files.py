"""Files of runs and artifacts of releases that hold people."""

import json
import mmap
import shutil
from collections.abc import Collection
from pathlib import Path

from lsec.core.artifact import MANIFEST
from lsec.core.errors import ArtifactError
from lsec.core.settings import Settings
from workers.upkeep.scrub import recover, scrub
from workers.upkeep.snapshot_cleaning import holds

SNAPSHOT = "snapshot"
MADE_OF_IT = ("checkpoint.pt", "artifact")
"""What else of a run is of no use once that is over, but as a look at how it went."""
PARTS = ("snapshot.partial", "artifact.partial", "checkpoint.partial")


def clean_run(folder: Path, user_ids: Collection[str]) -> None:
    """Delete what a run that is over holds of these users: its snapshot, and what was made of it.

    The snapshot goes last: as long as it is there, a run that was cleaned half-way is found again. One that
    lies elsewhere is `clean_snapshots`' to clean, after the runs.
    """
    for name in PARTS:
        _delete(folder / name)
    snapshot = folder / SNAPSHOT
    if not snapshot.exists() or holds(snapshot, user_ids):
        for name in MADE_OF_IT:
            _delete(folder / name)
        if not snapshot.is_symlink():
            _delete(snapshot)


def clean_artifacts(
    settings: Settings, user_ids: Collection[str], *, under_way: Collection[str] = ()
) -> list[str]:
    """Take these users out of every artifact; what cannot be cleaned, and why, in words.

    What the runs that are under way move here is left alone.
    """
    path = settings.artifacts_path
    moving = [f".{_release_of(settings.runs_path / training_id)}.partial" for training_id in under_way]
    failed = []
    try:
        recover(path)
        for part in path.glob(".*.partial"):
            # A run that died while it moved its artifact here, from another file system.
            if part.name not in moving and _holds_ids(part, user_ids):
                shutil.rmtree(part)
        folders = sorted(each.parent for each in path.glob(f"[!.]*/{MANIFEST}"))
    except OSError as error:
        return [f"the folder of artifacts: {error}"]
    for folder in folders:
        try:
            if fault := _clean_artifact(folder, user_ids):
                failed.append(f"the artifact of release {folder.name}, to be deleted by hand: {fault}")
        except OSError as error:
            failed.append(f"the artifact of release {folder.name}: {error}")
    return failed


def _clean_artifact(folder: Path, user_ids: Collection[str]) -> str:
    """Take these users out of an artifact; if it holds one and is damaged, how."""
    try:
        scrub(folder, sorted(user_ids))
    except ArtifactError as error:
        return error.detail if _holds_ids(folder, user_ids) else ""
    return ""


def _release_of(run: Path) -> str:
    """The release that a run makes; '' for one that has not got so far, or could not go on."""
    try:
        return str(json.loads((run / "job.json").read_text())["release_id"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def _holds_ids(artifact: Path, user_ids: Collection[str]) -> bool:
    """Whether an artifact's file of user ids, of this version or an older one, holds one of these."""
    return any(_has_bytes(path, user_ids) for path in artifact.glob("user_ids.*"))


def _has_bytes(path: Path, user_ids: Collection[str]) -> bool:
    """Whether a file's bytes hold an id, be the file whole or not."""
    if not path.is_file() or not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return any(content.find(user_id.encode()) >= 0 for user_id in user_ids)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
