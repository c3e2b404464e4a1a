"""The Cypher statements, each in its own file, loaded by name with a checked header."""

import itertools
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, LiteralString, cast

QUERIES_DIR = Path(__file__).parent / "queries"

_HEADER_FIELD = re.compile(r"^//\s*(mode|params|columns):\s*(.*?)\s*$")
_PARAMETER = re.compile(r"\$(\w+)")
_WRITE_CLAUSE = re.compile(r"\b(CREATE|MERGE|SET|DELETE|REMOVE|DETACH)\b", re.IGNORECASE)
_STRING = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")
_COMMENT = re.compile(r"//[^\n]*")


class QueryHeaderError(ValueError):
    """A query file's header does not say what its text does."""


@dataclass(frozen=True, slots=True)
class Query:
    """One Cypher statement with what its header declares."""

    name: str
    text: LiteralString
    doc: str
    mode: Literal["read", "write"]
    parameters: tuple[str, ...]
    columns: tuple[str, ...]


def query_names() -> list[str]:
    """The names of all queries, `group/name`, sorted."""
    return sorted(str(p.relative_to(QUERIES_DIR).with_suffix("")) for p in QUERIES_DIR.rglob("*.cypher"))


@cache
def load_query(name: str) -> Query:
    """The query of that name; QueryHeaderError if its header and text disagree, KeyError if unknown."""
    path = QUERIES_DIR / f"{name}.cypher"
    if not path.is_file():
        raise KeyError(f"no query {name!r} in {QUERIES_DIR.name}/")
    return parse_query(name, path.read_text(encoding="utf-8"))


def parse_query(name: str, source: str) -> Query:
    """The query of a file's text; QueryHeaderError if its header and text disagree."""
    doc: list[str] = []
    fields: dict[str, str] = {}
    lines = source.splitlines()
    header = list(itertools.takewhile(lambda line: line.startswith("//"), lines))
    for line in header:
        if match := _HEADER_FIELD.match(line):
            fields[match[1]] = match[2]
        else:
            doc.append(line.removeprefix("//").strip())
    if missing := {"mode", "params", "columns"} - fields.keys():
        raise QueryHeaderError(f"{name}: the header lacks {', '.join(sorted(missing))}")
    if not doc:
        raise QueryHeaderError(f"{name}: the header does not say what the query does")
    # The text comes from a file of this package: nothing is interpolated into it.
    text: LiteralString = "\n".join(lines[len(header) :]).strip()
    _check(
        name, text, mode=fields["mode"], params=_names(fields["params"]), columns=_names(fields["columns"])
    )
    return Query(
        name=name,
        text=text,
        doc=" ".join(doc),
        mode=cast(Literal["read", "write"], fields["mode"]),
        parameters=_names(fields["params"]),
        columns=_names(fields["columns"]),
    )


def _names(value: str) -> tuple[str, ...]:
    return () if value == "-" else tuple(part.strip() for part in value.split(","))


def _check(name: str, text: str, *, mode: str, params: tuple[str, ...], columns: tuple[str, ...]) -> None:
    code = _STRING.sub("''", _COMMENT.sub("", text))
    if mode not in ("read", "write"):
        raise QueryHeaderError(f"{name}: mode is {mode!r}, not read or write")
    writes = _WRITE_CLAUSE.search(code) is not None
    if writes != (mode == "write"):
        raise QueryHeaderError(
            f"{name}: declared mode {mode}, but the text {'writes' if writes else 'only reads'}"
        )
    used = set(_PARAMETER.findall(code))
    if used != set(params):
        raise QueryHeaderError(f"{name}: declares parameters {sorted(params)}, uses {sorted(used)}")
    returned = _returned_columns(code)
    if returned != columns:
        raise QueryHeaderError(f"{name}: declares columns {list(columns)}, returns {list(returned)}")


def _returned_columns(code: str) -> tuple[str, ...]:
    """Names of the last RETURN's columns: `expr AS name`, or the variable itself."""
    parts = re.split(r"\bRETURN\b", code, flags=re.IGNORECASE)
    if len(parts) == 1:
        return ()
    last = parts[-1]
    if _WRITE_CLAUSE.search(last) or "}" in _balanced_rest(last):
        return ()  # that RETURN belongs to a subquery
    last = re.split(r"\b(?:ORDER\s+BY|SKIP|LIMIT)\b", last, flags=re.IGNORECASE)[0]
    last = re.sub(r"^\s*DISTINCT\b", "", last, flags=re.IGNORECASE).rstrip().rstrip(";")
    return tuple(_column_name(item) for item in _split_top_level(last) if item.strip())


def _balanced_rest(text: str) -> str:
    """`text` without its balanced braces: a lone `}` left over closes an outer subquery."""
    previous = None
    while previous != text:
        previous, text = text, re.sub(r"\{[^{}]*\}", "", text)
    return text


def _split_top_level(text: str) -> list[str]:
    items, depth, start = [], 0, 0
    for position, char in enumerate(text):
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif char == "," and depth == 0:
            items.append(text[start:position])
            start = position + 1
    items.append(text[start:])
    return items


def _column_name(item: str) -> str:
    match = re.search(r"\bAS\s+(\w+)\s*$", item, flags=re.IGNORECASE)
    return match[1] if match else item.strip()
