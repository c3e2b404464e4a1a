"""Taking users out of an artifact: their rows stay, and nothing of them is left in these.

The scrubbed artifact is written beside the old one and takes its place by two renames; `recover` ends what
a kill between them left.
"""

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
from lsec.core.artifact import MANIFEST, Artifact, open_artifact
from lsec.core.artifact_layout import FILES, GATE_FILES
from lsec.core.id_index import ids_of
from lsec.core.selection_vectors import read_selection_vectors
from lsec.core.tensor_file import edited_tensors
from workers.training.artifact_files import sha256_on_disk, write_arrays, write_manifest
from workers.training.model_card import CARD

ROWS: dict[str, Any] = {
    "user_ids": 0,
    "user_vectors": 0.0,
    "gate_user_vectors": 0.0,
    "slates": -1,
    "slate_scores": -np.inf,
}
"""Arrays with a row a user, and what an erased user's row holds; no bytes are the id ERASED_ID."""


def scrub(folder: Path, user_ids: Sequence[str]) -> bool:
    """Take these users out of the artifact; whether any was in it. ArtifactError if it is damaged."""
    artifact = open_artifact(folder)
    found = [row for user_id in user_ids if (row := artifact.user_row(user_id)) is not None]
    if not found:
        return False
    # Read for its check alone: what is damaged must not be given a hash that says it is sound.
    read_selection_vectors(folder, artifact.manifest)
    partial = _beside(folder, "scrubbed.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    hashes, num_buys = _write_changed(artifact, folder, partial, np.array(sorted(found)))
    for path in folder.iterdir():
        if path.name not in {*hashes, MANIFEST, CARD}:
            _link(path, partial / path.name)
    manifest = msgspec.structs.replace(
        artifact.manifest,
        files=artifact.manifest.files | hashes,
        counts=artifact.manifest.counts | {"buys": num_buys},
    )
    write_manifest(partial, manifest)
    # As it is on the disk, and so that nobody who serves it has to compare it.
    open_artifact(partial)
    read_selection_vectors(partial, manifest)
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
) -> tuple[dict[str, str], int]:
    """Write the files that change without the users of `rows`; their hashes, and the purchases left."""
    hashes = {}
    for name, held in (FILES | GATE_FILES).items():
        if ROWS.keys().isdisjoint(held) or (name in GATE_FILES and name not in artifact.manifest.files):
            continue
        shutil.copyfile(folder / name, target / name)
        with edited_tensors(target / name) as tensors:
            for array in ROWS.keys() & tensors.keys():
                tensors[array][rows] = ROWS[array]
            if "user_ids" in tensors:
                tensors["user_order"][:] = np.argsort(ids_of(tensors["user_ids"]))
        hashes[name] = sha256_on_disk(target / name)
    lengths = np.diff(artifact.bought_indptr)
    is_kept = np.repeat(~np.isin(np.arange(len(lengths)), rows), lengths)
    lengths[rows] = 0
    bought = {
        "bought_indptr": np.concatenate([[0], np.cumsum(lengths)]),
        "bought_indices": artifact.bought_indices[is_kept],
    }
    return hashes | write_arrays(target, bought), len(bought["bought_indices"])


def _link(source: Path, target: Path) -> None:
    with suppress(OSError):
        os.link(source, target)
        return
    shutil.copyfile(source, target)


def _beside(folder: Path, suffix: str) -> Path:
    return folder.with_name(f".{folder.name}.{suffix}")
