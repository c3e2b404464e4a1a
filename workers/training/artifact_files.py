"""The files of an artifact, written so that they are on the disk when their hashes are known."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from lsec.core.artifact import MANIFEST, Manifest
from lsec.core.artifact_layout import FILES, GATE_FILES
from lsec.core.id_index import tensor_of
from workers.training.model_card import CARD, model_card


def write_arrays(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """Writes each file whose arrays are there, ids as their bytes; the files' SHA-256."""
    hashes = {}
    for file_name, held in (FILES | GATE_FILES).items():
        if set(held) <= set(arrays):
            path = folder / file_name
            save_file({name: _tensor(arrays[name]) for name in held}, path)
            hashes[file_name] = sha256_on_disk(path)
    return hashes


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest, and the model card that is made of it."""
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2))
    (folder / CARD).write_text(model_card(manifest), encoding="utf-8")
    for name in (MANIFEST, CARD):
        sha256_on_disk(folder / name)


def sha256_on_disk(path: Path) -> str:
    """The file's hash, once the file is safe on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tensor(array: NDArray[Any]) -> NDArray[Any]:
    # The library writes the memory from an array's first number on, whatever its strides.
    return np.ascontiguousarray(tensor_of(array) if array.dtype.kind == "S" else array)
