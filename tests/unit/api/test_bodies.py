"""Bodies are decompressed as they were compressed, and never past the limit."""

import contextlib
import gzip
import tracemalloc
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from lsec.api.bodies import ENCODINGS, MAX_MEMBERS, decompress
from lsec.core.errors import BodyTooLarge, InvalidInput

MIB = 1024 * 1024
LIMIT = 4096
BODIES = st.binary(max_size=600) | st.integers(0, LIMIT).map(lambda size: b"a" * size)


def compress(data: bytes, encoding: str, *, level: int = 1) -> bytes:
    if encoding == "gzip":
        return gzip.compress(data, level)
    return zstandard.ZstdCompressor(level=level).compress(data)


def compress_streaming(data: bytes, encoding: str) -> bytes:
    """In many blocks, without the size in the header, as one who does not know it yet."""
    stream = (
        zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
        if encoding == "gzip"
        else zstandard.ZstdCompressor(write_checksum=True).compressobj()
    )
    parts = [stream.compress(data[start : start + 100]) for start in range(0, len(data), 100)]
    return b"".join(parts) + stream.flush()


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(parts=st.lists(BODIES, min_size=1, max_size=4), level=st.integers(1, 9))
def test_a_body_comes_out_as_it_went_in_however_many_parts_it_has(
    encoding: str, parts: list[bytes], level: int
) -> None:
    data = b"".join(compress(part, encoding, level=level) for part in parts)
    assert decompress(data, encoding, max_bytes=4 * LIMIT) == b"".join(parts)
    streamed = b"".join(compress_streaming(part, encoding) for part in parts)
    assert decompress(streamed, encoding, max_bytes=4 * LIMIT) == b"".join(parts)


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(parts=st.lists(BODIES, min_size=1, max_size=3), limit=st.integers(0, LIMIT))
def test_more_than_the_limit_is_never_produced(encoding: str, parts: list[bytes], limit: int) -> None:
    data = b"".join(compress(part, encoding) for part in parts)
    whole = b"".join(parts)
    if len(whole) <= limit:
        assert decompress(data, encoding, max_bytes=limit) == whole
    else:
        with pytest.raises(BodyTooLarge, match="when decompressed"):
            decompress(data, encoding, max_bytes=limit)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_body_of_too_many_members_is_refused(encoding: str) -> None:
    most = compress(b"", encoding) * MAX_MEMBERS
    assert decompress(most, encoding, max_bytes=LIMIT) == b""
    with pytest.raises(InvalidInput, match="more than 1,000 members"):
        decompress(most + compress(b"x", encoding), encoding, max_bytes=LIMIT)


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(body=BODIES.filter(bool), cut=st.integers(1, 600))
def test_a_body_that_is_cut_is_refused(encoding: str, body: bytes, cut: int) -> None:
    data = compress_streaming(body, encoding)
    data = data[: max(1, len(data) - cut)]
    with pytest.raises(InvalidInput, match=f"The {encoding} body ends too early"):
        decompress(data, encoding, max_bytes=LIMIT)


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(data=st.binary(min_size=1, max_size=300))
def test_any_bytes_are_read_or_refused(encoding: str, data: bytes) -> None:
    for text in (data, compress(b"x", encoding) + data):
        with contextlib.suppress(InvalidInput):
            decompress(text, encoding, max_bytes=LIMIT)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_byte_that_has_changed_is_found_by_its_check_sum(encoding: str) -> None:
    data = bytearray(compress_streaming(bytes(range(256)) * 8, encoding))
    data[len(data) // 2] ^= 1
    with pytest.raises(InvalidInput, match="is broken"):
        decompress(bytes(data), encoding, max_bytes=LIMIT)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_bomb_takes_little_memory(encoding: str) -> None:
    bomb = compress(bytes(256 * MIB), encoding, level=9)
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            decompress(bomb, encoding, max_bytes=MIB)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 16 * MIB


def test_a_zstd_window_that_needs_much_memory_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(InvalidInput, match="too much memory"):
        decompress(stream.compress(b"x") + stream.flush(), "zstd", max_bytes=LIMIT)


def test_a_zstd_frame_that_is_to_be_skipped_is_skipped() -> None:
    skipped = b"\x50\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
    frame = zstandard.compress(b"x")
    assert decompress(skipped + frame + skipped + frame, "zstd", max_bytes=LIMIT) == b"xx"
