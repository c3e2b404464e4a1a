"""What an ad-hoc Cypher statement may say, judged by its tokens before Neo4j sees it.

Neo4j's EXPLAIN tells what a statement would do to the graph, but neither which functions it calls nor what
they cost, and the commands that it does not plan it cannot show. And Neo4j stops a transaction only between
rows: one expression can keep a processor, or fill the memory, for as long as it likes. So words, functions
and procedures are those of a list, and what multiplies inside an expression is bounded by form.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lsec.core.cypher_growth import check_growth
from lsec.core.cypher_tokens import Kind, Token
from lsec.core.errors import Forbidden

FIRST_WORDS = frozenset({"MATCH", "OPTIONAL", "WITH", "UNWIND", "RETURN", "CALL", "LET", "FILTER"})
_REFUSED_WORDS = (
    "ALTER CREATE CYPHER DEALLOCATE DELETE DENY DETACH DROP DRYRUN ENABLE EXPLAIN FINISH FOREACH GRANT GRAPH "
    "INSERT LOAD MERGE PROFILE REALLOCATE REMOVE RENAME REVOKE SET SHOW START STOP TERMINATE TRANSACTIONS "
    "USE"
)
REFUSED_WORDS = frozenset(_REFUSED_WORDS.split())
_FUNCTIONS = (
    # Of numbers
    "abs ceil floor isnan rand round sign e exp log log10 sqrt acos asin atan atan2 cos cot degrees haversin "
    "pi radians sin tan "
    # Of strings
    "btrim left lower ltrim right rtrim reverse split substring tolower tostring tostringornull toupper trim "
    "upper char_length character_length "
    # Of values
    "coalesce nullif toboolean tobooleanornull tofloat tofloatornull tointeger tointegerornull valuetype "
    "tobooleanlist tofloatlist tointegerlist tostringlist size isempty head last tail range "
    # Of nodes, relationships and paths
    "elementid id keys labels length nodes properties relationships startnode endnode type "
    "shortestpath allshortestpaths "
    # Of rows
    "avg collect count max min percentilecont percentiledisc stdev stdevp sum "
    # Of lists and patterns
    "all any none single exists "
    # Of times and places
    "timestamp date date.truncate datetime datetime.fromepoch datetime.fromepochmillis datetime.truncate "
    "duration duration.between duration.indays duration.inmonths duration.inseconds localdatetime "
    "localdatetime.truncate localtime localtime.truncate time time.truncate point point.distance "
    "point.withinbbox "
    # Of vectors
    "vector.similarity.cosine vector.similarity.euclidean"
)
FUNCTIONS = frozenset(_FUNCTIONS.split())
PROCEDURES = frozenset({"db.labels", "db.relationshipTypes", "db.propertyKeys", "db.schema.visualization"})
_BEFORE_PARENTHESES = (
    "ALL AND ANY AS ASC BY CALL CASE CONTAINS DESC DISTINCT ELSE ENDS FILTER GROUPS IN IS LIMIT MATCH NOT OF "
    "OFFSET OR ORDER PATHS RETURN SHORTEST SKIP THEN TO WALK WHEN WHERE WITH XOR"
)
WORDS_BEFORE_PARENTHESES = frozenset(_BEFORE_PARENTHESES.split())
"""Of Cypher itself: after them a parenthesis is a pattern or an expression."""
MAX_DEPTH = 24
MAX_PREFIXES = 4
MAX_OPERATORS = {
    "XOR": 4,
    "NOT": 16,
    "AND": 48,
    "OR": 48,
    "CASE": 16,
    "UNION": 16,
    "+": 64,
    "||": 16,
    "=": 64,
}
"""How often a statement may say each; Neo4j's planner takes minutes over more, and cannot be stopped."""


def check_statement(tokens: Sequence[Token], parameters: Mapping[str, Any]) -> None:
    """Forbidden with what is not allowed, and what to do instead."""
    if tokens and not tokens[0].is_word(*FIRST_WORDS):
        raise refused(
            f"A statement may not begin with {tokens[0].text[:40]}.",
            f"Begin with {', '.join(sorted(FIRST_WORDS))}; for a plan set `mode` to explain or profile.",
        )
    for place in range(len(tokens)):
        _check_word(tokens, place)
        if _text(tokens, place) == "(":
            _check_call(tokens, place)
    _check_size(tokens)
    check_growth(tokens, parameters)


def refused(detail: str, remedy: str) -> Forbidden:
    """The error of a statement that may not run."""
    return Forbidden(detail, remedy=remedy, field="statement")


def _check_word(tokens: Sequence[Token], place: int) -> None:
    token = tokens[place]
    if token.text in (";", "=~", "@"):
        remedy = "Use CONTAINS, STARTS WITH and ENDS WITH." if token.text == "=~" else "Send one statement."
        raise refused(f"{token.text} is not allowed.", remedy)
    if token.text == "." and place and tokens[place - 1].kind is Kind.NUMBER:
        raise refused("A number may not end with a dot.", "Write 1.0 for 1.")
    # After a dot or a colon a word names a property or a label, before a colon a key of a map.
    is_name = _text(tokens, place - 1) in (".", ":", "|", "&") or _text(tokens, place + 1) == ":"
    if token.is_word(*REFUSED_WORDS) and not is_name:
        raise refused(
            f"{token.text.upper()} is not allowed: statements here only read the graph.",
            "If it is a name, put it in backticks.",
        )
    if token.is_word("CALL") and not is_name and _text(tokens, place + 1) not in ("{", "("):
        name = _dotted_from(tokens, place + 1)
        if name not in PROCEDURES:
            raise refused(
                f"The procedure {name[:80]} is not allowed.", f"These are: {', '.join(sorted(PROCEDURES))}."
            )


def _check_size(tokens: Sequence[Token]) -> None:
    """Forbidden for what Neo4j's parser would take minutes over."""
    said = Counter(token.text.upper() for token in tokens if token.kind in (Kind.WORD, Kind.SIGN))
    for text, most in MAX_OPERATORS.items():
        if said[text] > most:
            raise refused(
                f"{text} is said more than {most} times.", "Use lists with IN, or several statements."
            )
    depth = num_prefixes = 0
    for token in tokens:
        is_sign = token.kind is Kind.SIGN
        depth += (is_sign and token.text in "([{") or token.is_word("CASE")
        depth -= (is_sign and token.text in ")]}") or (depth > 0 and token.is_word("END"))
        num_prefixes = num_prefixes + 1 if token.is_word("NOT") or token.text in ("+", "-", "!") else 0
        if depth > MAX_DEPTH or num_prefixes > MAX_PREFIXES:
            raise refused(
                f"Brackets go deeper than {MAX_DEPTH}, or more than {MAX_PREFIXES} signs follow each other.",
                "Write it in several steps, with WITH.",
            )


def _check_call(tokens: Sequence[Token], place: int) -> None:
    """Check what stands before a parenthesis, if it calls a function."""
    before = tokens[place - 1] if place else None
    if before is None or not before.name:
        return
    name, start = before.name, place - 1
    while _text(tokens, start - 1) == "." and start >= 2 and tokens[start - 2].name:
        name, start = f"{tokens[start - 2].name}.{name}", start - 2
    if tokens[max(start - 1, 0)].is_word("CALL") and start:
        return  # a procedure, which _check_word has looked at
    if before.is_word(*WORDS_BEFORE_PARENTHESES) and start == place - 1:
        return
    if name.lower() not in FUNCTIONS:
        raise refused(
            f"The function {name[:80]} is not allowed.",
            "Only functions that read values are; docs/cypher.md lists them.",
        )


def _dotted_from(tokens: Sequence[Token], place: int) -> str:
    name = tokens[place].name if place < len(tokens) else ""
    while _text(tokens, place + 1) == "." and place + 2 < len(tokens):
        place += 2
        name = f"{name}.{tokens[place].name}"
    return name


def _text(tokens: Sequence[Token], place: int) -> str:
    return tokens[place].text if 0 <= place < len(tokens) and tokens[place].kind is Kind.SIGN else ""
