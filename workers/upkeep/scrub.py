"""Taking users out of an artifact: their rows stay, and nothing of them is left in these.

The scrubbed artifact is written beside the old one and takes its place by two renames; `recover` ends what
a kill between them left.
"""

import hashlib
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lsec.core import durable
from lsec.core.artifact import ERASED_ID, MANIFEST, Artifact, open_artifact

ROWS: dict[str, Any] = {
    "user_ids": ERASED_ID.encode(),
    "user_vectors": 0.0,
    "slates": -1,
    "slate_scores": -np.inf,
}
"""Arrays with a row a user, and what an erased user's row holds."""


def scrub(folder: Path, user_ids: Sequence[str]) -> bool:
    """Take these users out of the artifact; whether any was in it. ArtifactError if it is damaged."""
    artifact = open_artifact(folder)
    found = [row for user_id in user_ids if (row := artifact.user_row(user_id)) is not None]
    if not found:
        return False
    partial = _beside(folder, "scrubbed.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    changed = _write_changed(artifact, folder, partial, np.array(sorted(found)))
    for path in folder.iterdir():
        if path.name not in changed and path.name != MANIFEST:
            _link(path, partial / path.name)
    hashes = {name: _sha256(partial / name) for name in changed}
    manifest = msgspec.structs.replace(
        artifact.manifest,
        files=artifact.manifest.files | hashes,
        counts=artifact.manifest.counts
        | {"buys": len(np.load(partial / "bought_indices.npy", mmap_mode="r"))},
    )
    (partial / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2))
    for path in (*partial.iterdir(), partial):
        durable.sync(path)
    partial.rename(_beside(folder, "scrubbed"))
    _swap(folder)
    return True


def recover(artifacts_path: Path) -> None:
    """End a swap that was cut off: the artifact is in its place, and nothing is beside it."""
    for scrubbed in artifacts_path.glob(".*.scrubbed"):
        folder = artifacts_path / scrubbed.name.removeprefix(".").removesuffix(".scrubbed")
        if folder.exists():
            # It was not swapped in: it is made anew.
            shutil.rmtree(scrubbed)
        else:
            scrubbed.rename(folder)
    for left in (*artifacts_path.glob(".*.before"), *artifacts_path.glob(".*.scrubbed.partial")):
        shutil.rmtree(left)
    if artifacts_path.exists():
        durable.sync(artifacts_path)


def _swap(folder: Path) -> None:
    before = _beside(folder, "before")
    shutil.rmtree(before, ignore_errors=True)
    folder.rename(before)
    _beside(folder, "scrubbed").rename(folder)
    durable.sync(folder.parent)
    shutil.rmtree(before)


def _write_changed(
    artifact: Artifact, folder: Path, target: Path, rows: NDArray[np.int64]
) -> tuple[str, ...]:
    """Write the arrays that change without the users of `rows`; the names of their files."""
    for name, nothing in ROWS.items():
        path = target / f"{name}.npy"
        shutil.copyfile(folder / path.name, path)
        array = np.load(path, mmap_mode="r+")
        array[rows] = nothing
        array.flush()
        if name == "user_ids":
            np.save(target / "user_order.npy", np.argsort(array))
    lengths = np.diff(artifact.bought_indptr)
    is_kept = np.repeat(~np.isin(np.arange(len(lengths)), rows), lengths)
    lengths[rows] = 0
    np.save(target / "bought_indptr.npy", np.concatenate([[0], np.cumsum(lengths)]))
    np.save(target / "bought_indices.npy", artifact.bought_indices[is_kept])
    return tuple(f"{name}.npy" for name in (*ROWS, "user_order", "bought_indptr", "bought_indices"))


def _link(source: Path, target: Path) -> None:
    with suppress(OSError):
        os.link(source, target)
        return
    shutil.copyfile(source, target)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _beside(folder: Path, suffix: str) -> Path:
    return folder.with_name(f".{folder.name}.{suffix}")
