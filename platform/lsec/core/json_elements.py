"""The elements of a JSON array as text, told apart though some of them cannot be read.

msgspec reads an array whole or not at all. This looks only for where each element ends, and is lenient
inside of it about what writers get wrong in one value: NaN, half of a surrogate pair, bytes that are no
UTF-8, a raw line break in a string. Such an element is lost alone.
"""

import json
import re

from lsec.core.errors import BodyTooLarge, InvalidInput

# `len` in place of the values: nothing of a long body is kept but where its elements end.
_SCANNER = json.JSONDecoder(
    strict=False, object_pairs_hook=len, parse_int=len, parse_float=len, parse_constant=len
)
_SPACE = re.compile(r"[ \t\n\r]*")


def split_array(text: bytes, *, max_elements: int) -> list[bytes]:
    """The elements of the array that the text is; BodyTooLarge past `max_elements`.

    InvalidInput with byte, line and index of the element where it breaks.
    """
    source = _as_text(text)
    elements: list[bytes] = []
    position = _skip_space(source, source.index("[") + 1)
    is_open = source[position : position + 1] != "]"
    while is_open:
        if len(elements) == max_elements:
            raise too_many(max_elements)
        end = _end_of_value(source, position, len(elements))
        elements.append(_as_bytes(source[position:end]))
        position = _skip_space(source, end)
        is_open = source[position : position + 1] == ","
        if is_open:
            position = _skip_space(source, position + 1)
        elif source[position : position + 1] != "]":
            raise _broken(source, position, len(elements) - 1)
    _check_end(source, position + 1)
    return elements


def too_many(limit: int) -> BodyTooLarge:
    """The error of a request with more events than the limit."""
    return BodyTooLarge(
        f"The request has more events than the limit of {limit}.", remedy="Split it into several requests."
    )


def check_value(text: bytes) -> None:
    """InvalidInput with byte and line if the text is not one value, whatever is in it."""
    source = _as_text(text)
    _check_end(source, _end_of_value(source, _skip_space(source, 0), None))


def _end_of_value(source: str, position: int, index: int | None) -> int:
    try:
        return _SCANNER.raw_decode(source, position)[1]
    except RecursionError:
        where = "" if index is None else f" in element {index}"
        remedy = "An event is a flat object."
        raise InvalidInput(f"The JSON is nested too deeply{where}.", remedy=remedy) from None
    except json.JSONDecodeError as error:
        is_cut = error.msg.startswith("Unterminated string")
        raise _broken(source, len(source) if is_cut else error.pos, index) from None


def _check_end(source: str, position: int) -> None:
    end = _skip_space(source, position)
    if end < len(source):
        raise _broken(source, end, None)


def _broken(source: str, position: int, index: int | None) -> InvalidInput:
    what = "ends too early" if position >= len(source.rstrip()) else "is broken"
    byte, line = len(_as_bytes(source[:position])), source.count("\n", 0, position) + 1
    where = "" if index is None else f", in element {index}"
    return InvalidInput(
        f"The JSON {what} at byte {byte}, line {line}{where}.",
        remedy="Nothing was taken. Correct it, or send NDJSON, where only the broken lines are lost.",
        byte=byte,
        line=line,
        **({} if index is None else {"index": index}),
    )


def _skip_space(source: str, position: int) -> int:
    found = _SPACE.match(source, position)
    assert found is not None
    return found.end()


def _as_text(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


def _as_bytes(source: str) -> bytes:
    return source.encode("utf-8", "surrogateescape")
