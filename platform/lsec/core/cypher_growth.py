"""Bounds on what one expression of an ad-hoc Cypher statement can make or go through.

Neo4j looks whether a transaction should end between rows, not inside an expression, and counts the memory
of rows, not of values that share parts. A list of 10^9 numbers is one word; ten lists of ten lists of … are a
short statement. So lists to go through are short by their kind, `range` only feeds UNWIND, and a value
may be named only so often on its way to the result.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lsec.core.cypher_tokens import Kind, Token
from lsec.core.errors import Forbidden

MAX_LOOPS = 8
MAX_MEMBERSHIPS = 16
MAX_GROWTH = 64
MAX_GROWTH_OF_COLLECTED = 16
"""What is collected may be large already."""
SHORT_LISTS = frozenset({"nodes", "relationships", "labels", "keys"})
"""Functions whose lists are short, so that an expression may go through them."""
_PREDICATES = ("ALL", "ANY", "NONE", "SINGLE")
_PROJECTIONS = ("WITH", "RETURN", "UNWIND", "LET")
_CLAUSES = (
    "MATCH",
    "OPTIONAL",
    "WHERE",
    "ORDER",
    "SKIP",
    "OFFSET",
    "LIMIT",
    "CALL",
    "UNION",
    "FILTER",
    "NEXT",
)
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")


def check_growth(tokens: Sequence[Token], parameters: Mapping[str, Any]) -> None:
    """Forbidden if an expression could be large or long beyond what Neo4j's limits hold."""
    num_loops, num_memberships = 0, 0
    values = _values(tokens)
    for place, token in enumerate(tokens):
        if (
            token.name.upper() == "RANGE"
            and _text(tokens, place + 1) == "("
            and not _feeds_unwind(tokens, place)
        ):
            raise _too_large("A range may only follow UNWIND", "Write UNWIND range(…) AS i.")
        if (_text(tokens, place + 1) == "{" and token.is_word("COLLECT")) or _is_pattern_list(tokens, place):
            raise _too_large(
                "Rows may be collected by collect() alone, not by COLLECT { } or [pattern | value]",
                "Write CALL (…) { MATCH … RETURN collect(…) AS xs }.",
            )
        if not token.is_word("IN") or _text(tokens, place - 1) in (".", ":") or place < 1:
            continue
        if _is_loop(tokens, place):
            num_loops += 1
            _check_loop(tokens, place, parameters, values)
        else:
            num_memberships += 1
    if num_loops > MAX_LOOPS or num_memberships > MAX_MEMBERSHIPS:
        raise _too_large(
            f"There are more than {MAX_LOOPS} expressions over lists or {MAX_MEMBERSHIPS} times IN",
            "UNWIND the lists, and filter the rows.",
        )
    _check_projections(tokens, parameters, values)


def _feeds_unwind(tokens: Sequence[Token], place: int) -> bool:
    end = _end_of_bracket(tokens, place + 1)
    return (
        place > 0 and tokens[place - 1].is_word("UNWIND") and end < len(tokens) and tokens[end].is_word("AS")
    )


def _is_loop(tokens: Sequence[Token], place: int) -> bool:
    """Whether the IN at `place` is one of `[x IN …` or of `any(x IN …`."""
    if place < 2:
        return False
    opening = _text(tokens, place - 2)
    is_predicate = opening == "(" and place >= 3 and tokens[place - 3].name.upper() in _PREDICATES
    return bool(tokens[place - 1].name) and (opening == "[" or is_predicate)


def _is_pattern_list(tokens: Sequence[Token], place: int) -> bool:
    """Whether a list of a pattern's matches begins here: `[(a)--(b) | a.x]`, `[p = (a)--(b) | p]`."""
    is_named = place + 1 < len(tokens) and tokens[place + 1].name and _text(tokens, place + 2) == "="
    if _text(tokens, place) != "[" or not (is_named or _text(tokens, place + 1) == "("):
        return False
    depth = 0
    for inner in range(place, _end_of_bracket(tokens, place)):
        text = _text(tokens, inner)
        depth += (text in _OPENING and text != "") - (text in _CLOSING and text != "")
        if depth == 1 and text == "|":
            return True
    return False


def _check_loop(
    tokens: Sequence[Token], place: int, parameters: Mapping[str, Any], values: frozenset[str]
) -> None:
    variable = tokens[place - 1].name
    source = tokens[place + 1] if place + 1 < len(tokens) else None
    start = place + 2
    is_short = source is not None and source.kind is Kind.PARAMETER
    if source is not None and source.name.lower() in SHORT_LISTS and _text(tokens, place + 2) == "(":
        is_short, start = True, _end_of_bracket(tokens, place + 2)
    following = tokens[start] if start < len(tokens) else None
    if following is None or not (following.is_word("WHERE") or following.text in ("|", "]", ")")):
        is_short = False
    if not is_short:
        raise _too_large(
            "An expression may go through the lists of nodes(), relationships(), labels(), keys() and of "
            "parameters, no others",
            "UNWIND the list, and filter and collect the rows.",
        )
    end = _end_of_bracket(tokens, place - 2)
    for inner in range(start, end):
        token = tokens[inner]
        if token.is_word("IN") and _text(tokens, inner - 1) != ".":
            raise _too_large("An expression over a list may hold no IN", "UNWIND the list.")
        if _is_long(parameters.get(token.parameter)):
            raise _too_large("A parameter inside an expression over a list is long", "UNWIND the list.")
        is_other = _is_name(tokens, inner) and (token.name in values or not token.is_word(*_WORDS))
        if is_other and token.name != variable:
            raise _too_large(
                f"An expression over a list may name only its own variable, {variable[:40]}, and parameters",
                "UNWIND the list, and filter the rows.",
            )


def _values(tokens: Sequence[Token]) -> frozenset[str]:
    """Names of what may be more than a node or a relationship."""
    return frozenset(
        token.name
        for place, token in enumerate(tokens)
        if token.name
        and place
        and (tokens[place - 1].is_word("AS", "LET") or _text(tokens, place + 1) == "=")
    )


def _check_projections(
    tokens: Sequence[Token], parameters: Mapping[str, Any], values: frozenset[str]
) -> None:
    """Bound how often values are named from one WITH to the next: each time they may grow."""
    growth, is_projection = 1, False
    whole, parts = Counter[str](), Counter[tuple[str, str]]()
    for place, token in enumerate(tokens):
        if token.is_word(*_PROJECTIONS, *_CLAUSES) and _text(tokens, place - 1) not in (".", ":"):
            growth *= _most_used(whole, parts)
            whole.clear()
            parts.clear()
            is_projection = token.is_word(*_PROJECTIONS)
        elif not is_projection or (place and tokens[place - 1].is_word("AS")):
            continue
        elif _is_long(parameters.get(token.parameter)):
            whole[token.text] += 1
        elif token.name in values and _is_name(tokens, place):
            # Two properties of a map share nothing that the map has not twice.
            if _text(tokens, place + 1) == "." and place + 2 < len(tokens):
                parts[token.name, tokens[place + 2].name] += 1
            else:
                whole[token.name] += 1
    growth *= _most_used(whole, parts)
    is_collecting = any(token.name.upper() == "COLLECT" for token in tokens)
    if growth > (MAX_GROWTH_OF_COLLECTED if is_collecting else MAX_GROWTH):
        raise _too_large(
            "Values are named too often from one WITH to the next, so they could grow without end",
            "Name a value once a clause, or take what you need of it first.",
        )


def _most_used(whole: Counter[str], parts: Counter[tuple[str, str]]) -> int:
    most_of = Counter[str]()
    for (name, _), uses in parts.items():
        most_of[name] = max(most_of[name], uses)
    return max((whole + most_of).values(), default=1)


def _is_long(value: object) -> bool:
    return isinstance(value, list | dict | str) and len(value) > MAX_GROWTH


def _is_name(tokens: Sequence[Token], place: int) -> bool:
    """Whether the token may name a variable: it is no property, label, key of a map, or function."""
    if not tokens[place].name or _text(tokens, place - 1) in (".", ":"):
        return False
    namespace = _text(tokens, place + 1) == "." and _text(tokens, place + 3) == "("
    return not namespace and _text(tokens, place + 1) not in (":", "(")


def _end_of_bracket(tokens: Sequence[Token], opening: int) -> int:
    """The place after the bracket that closes the one at `opening`."""
    depth = 0
    for place in range(opening, len(tokens)):
        text = _text(tokens, place)
        depth += (text in _OPENING and text != "") - (text in _CLOSING and text != "")
        if depth == 0:
            return place + 1
    return len(tokens)


def _too_large(what: str, remedy: str) -> Forbidden:
    return Forbidden(f"{what}: Neo4j cannot stop it.", remedy=remedy, field="statement")


def _text(tokens: Sequence[Token], place: int) -> str:
    return tokens[place].text if 0 <= place < len(tokens) and tokens[place].kind is Kind.SIGN else ""


_EXPRESSION_WORDS = (
    "AND AS ASC BY CASE CONTAINS DESC DISTINCT ELSE END ENDS FALSE IN IS NOT NULL OR STARTS THEN TRUE WHEN "
    "WHERE WITH XOR"
)
_WORDS = tuple(_EXPRESSION_WORDS.split())
