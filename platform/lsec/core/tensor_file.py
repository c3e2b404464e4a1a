"""Tensors of a safetensors file as views of its mapped bytes, so that processes share the pages.

A file is the header's length in 8 bytes (little-endian), the header in JSON, and the tensors' bytes without
gaps. Source: https://github.com/huggingface/safetensors#format
"""

import math
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from lsec.core.errors import ArtifactError

LENGTH_BYTES = 8
MAX_HEADER_BYTES = 100_000_000
"""The format's own limit."""
METADATA = "__metadata__"
DTYPES: dict[str, np.dtype[Any]] = {
    "U8": np.dtype("u1"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
}
RETRAIN = "Train again, or restore the folder from a backup."


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tensor in the header; data_offsets count its first byte and the one after its last from there."""

    dtype: Literal["U8", "I32", "I64", "F16", "F32"]
    shape: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]
    data_offsets: tuple[int, int]

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * DTYPES[self.dtype].itemsize


def map_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """The file's tensors by name, read-only; ArtifactError when it is missing or damaged."""
    views = _views(path, mmap.ACCESS_READ)[1]
    # Other writers may not pad their header: reading unaligned numbers costs more than a copy, once.
    return {name: view if view.flags.aligned else view.copy() for name, view in views.items()}


@contextmanager
def edited_tensors(path: Path) -> Iterator[dict[str, NDArray[Any]]]:
    """The file's tensors by name, to be changed in place; ArtifactError when it is missing or damaged."""
    mapped, views = _views(path, mmap.ACCESS_WRITE)
    yield views
    mapped.flush()


def _views(path: Path, access: int) -> tuple[mmap.mmap, dict[str, NDArray[Any]]]:
    try:
        with path.open("rb" if access == mmap.ACCESS_READ else "r+b") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=access)
        start = _data_start(mapped)
        entries = _entries(mapped[LENGTH_BYTES:start], num_data_bytes=len(mapped) - start)
        views = {
            name: np.ndarray(entry.shape, DTYPES[entry.dtype], mapped, start + entry.data_offsets[0])
            for name, entry in entries.items()
        }
    except (ArithmeticError, OSError, RecursionError, TypeError, ValueError, msgspec.MsgspecError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}.", remedy=RETRAIN) from error
    return mapped, views


def _data_start(mapped: mmap.mmap) -> int:
    """Where the tensors' bytes begin."""
    if len(mapped) < LENGTH_BYTES:
        raise ValueError(f"it has {len(mapped)} bytes, fewer than its header's length takes")
    num_header_bytes = int.from_bytes(mapped[:LENGTH_BYTES], "little")
    if num_header_bytes > min(len(mapped) - LENGTH_BYTES, MAX_HEADER_BYTES):
        raise ValueError(f"it has {len(mapped)} bytes, and says that its header has {num_header_bytes}")
    return LENGTH_BYTES + num_header_bytes


def _entries(header: bytes, *, num_data_bytes: int) -> dict[str, _Entry]:
    """The header's tensors; ValueError unless they fill the bytes, each once."""
    parts = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
    parts.pop(METADATA, None)
    entries = {name: msgspec.json.decode(part, type=_Entry) for name, part in parts.items()}
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        if entry.data_offsets != (end, end + entry.num_bytes):
            raise ValueError(
                f"{name} of shape {entry.shape} cannot lie at the offsets {entry.data_offsets}, "
                f"where {end} is the next free one"
            )
        end += entry.num_bytes
    if end != num_data_bytes:
        raise ValueError(f"its tensors have {end} bytes, of {num_data_bytes} that there are")
    return entries
