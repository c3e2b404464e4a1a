"""Files of tensors are mapped as the format says, or refused."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from safetensors.numpy import load, save, save_file

from lsec.core.errors import ArtifactError
from lsec.core.tensor_file import DTYPES, edited_tensors, map_tensors


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=5).filter(lambda name: name[:2] != "__"),
        npst.arrays(st.sampled_from(list(DTYPES.values())), npst.array_shapes(min_dims=0, min_side=0)),
        min_size=1,
        max_size=4,
    )
)
def test_what_the_library_writes_is_read_as_views(
    tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, Any]
) -> None:
    file = tmp_path_factory.mktemp("tensors") / "t.safetensors"
    save_file(arrays, file, {"made of": "numbers"})
    found = map_tensors(file)
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()
        assert not found[name].flags.owndata


def test_an_unaligned_tensor_is_copied(tmp_path: Path) -> None:
    file = tmp_path / "t.safetensors"
    header = {"a": entry("U8", [1], 0, 1), "b": entry("I64", [2], 1, 17)}
    file.write_bytes(packed(header, b"\x07" + np.arange(2).tobytes()))
    assert load(file.read_bytes())["b"].tolist() == map_tensors(file)["b"].tolist() == [0, 1]
    assert map_tensors(file)["b"].flags.aligned
    assert not map_tensors(file)["a"].flags.owndata
    with edited_tensors(file) as tensors:
        tensors["b"][:] = 5
    assert map_tensors(file)["b"].tolist() == [5, 5]


def entry(dtype: str, shape: list[int], start: int, stop: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def packed(header: Mapping[str, Any] | bytes, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


WHOLE = save({"a": np.arange(4, dtype=np.float32), "b": np.arange(4, dtype=np.uint8)})
DAMAGED = {
    "nothing": b"",
    "half a length": b"\1\0",
    "a header beyond the file": (2**63).to_bytes(8, "little") + WHOLE[8:],
    "no JSON": packed(b"a", b""),
    "no UTF-8": packed(b'{"\xff": 1}', b""),
    "a list": packed(b"[]", b""),
    "lists without end": packed(b'{"a": ' + b"[" * 100_000, b""),
    "a number as tensor": packed({"a": 1}, b""),
    "an unknown type": packed({"a": entry("F8", [1], 0, 1)}, b"a"),
    "an unknown field": packed({"a": entry("U8", [1], 0, 1) | {"order": "C"}}, b"a"),
    "a shape below 0": packed({"a": entry("U8", [-1], 0, -1)}, b""),
    "a shape that is more than the offsets": packed({"a": entry("F32", [1], 0, 1)}, b"a"),
    "too many axes": packed({"a": entry("U8", [1] * 100, 0, 1)}, b"a"),
    "an axis that no array has": packed({"a": entry("U8", [0, 2**70], 0, 0)}, b""),
    "offsets beyond the file": packed({"a": entry("U8", [9], 0, 9)}, b"a"),
    "offsets before the file": packed({"a": entry("U8", [2], -1, 1)}, b"a"),
    "offsets that overlap": packed({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 1, 3)}, b"abc"),
    "a gap": packed({"a": entry("U8", [1], 0, 1), "b": entry("U8", [1], 2, 3)}, b"abc"),
    "bytes behind": WHOLE + b"a",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=list(DAMAGED))
def test_a_damaged_file_is_refused_with_a_remedy(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "t.safetensors"
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"t\.safetensors cannot be read") as caught:
        map_tensors(file)
    assert caught.value.remedy


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(ArtifactError):
            map_tensors(path)


def test_every_cut_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "t.safetensors"
    for length in range(len(WHOLE)):
        file.write_bytes(WHOLE[:length])
        with pytest.raises(ArtifactError):
            map_tensors(file)


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_a_changed_byte_is_refused_or_leaves_arrays_that_can_be_read(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int
) -> None:
    file = tmp_path_factory.mktemp("tensors") / "t.safetensors"
    file.write_bytes(WHOLE[:at] + bytes([byte]) + WHOLE[at + 1 :])
    found: dict[str, Any] = {}
    with suppress(ArtifactError):
        found = map_tensors(file)
    assert sum(len(array.tobytes()) for array in found.values()) in (0, 20)
