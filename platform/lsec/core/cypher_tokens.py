r"""The tokens of a Cypher statement: its words, names, strings and signs, with its comments blanked.

It reads what Neo4j's own lexer reads alike in every version of Cypher, and refuses the rest, so that no
statement means one thing here and another there: escapes of the form `\u0041`, which Cypher 5 replaces
before it looks for strings and comments, and characters beyond ASCII outside of strings and backticks.
"""

import re
from dataclasses import dataclass
from enum import Enum

from lsec.core.errors import InvalidInput

MAX_STATEMENT_CHARS = 8_000
_TOKEN = re.compile(
    r"(?P<space>[ \t\n]+)"
    r"|(?P<comment>//[^\n]*|/\*.*?\*/)"
    r"|(?P<string>'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")"
    r"|(?P<quoted>`(?:``|[^`])*`)"
    r"|(?P<parameter>\$(?:[A-Za-z_]\w*|[0-9]+|`(?:``|[^`])*`))"
    r"|(?P<number>0[xXoO][0-9A-Fa-f_]+|(?:[0-9][0-9_]*(?:\.[0-9][0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<sign>\.\.|\|\||=~|<=|>=|<>|[-+*/%^=<>!?&|:;,.()\[\]{}@])",
    re.DOTALL | re.ASCII,
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


class Kind(Enum):
    """What a token is."""

    WORD = "word"
    QUOTED = "quoted"
    STRING = "string"
    NUMBER = "number"
    PARAMETER = "parameter"
    SIGN = "sign"


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it stands in the statement; `name` is a word or quoted name without its backticks."""

    kind: Kind
    text: str
    start: int

    @property
    def name(self) -> str:
        """The name, or '' for what is none."""
        if self.kind is Kind.QUOTED:
            return self.text[1:-1].replace("``", "`")
        return self.text if self.kind is Kind.WORD else ""

    @property
    def parameter(self) -> str:
        """The name of the parameter, or '' for what is none."""
        return self.text[1:].strip("`") if self.kind is Kind.PARAMETER else ""

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these upper-case words, without backticks."""
        return self.kind is Kind.WORD and self.text.upper() in words


def normal_text(statement: str) -> str:
    """The statement with line ends as one character and without white space or `;` around it.

    InvalidInput if it is empty, too long, or has characters that lexers may disagree about.
    """
    text = statement.replace("\r\n", "\n").strip(" \t\n").removesuffix(";").rstrip(" \t\n")
    if not text:
        raise _bad("The statement is empty.")
    if len(text) > MAX_STATEMENT_CHARS:
        raise _bad(f"The statement is longer than {MAX_STATEMENT_CHARS:,} characters.")
    if _CONTROL.search(text) or any("\ud800" <= char <= "\udfff" for char in text):
        raise _bad("The statement has control characters.")
    if "\\u" in text or "\\U" in text:
        raise _bad(
            "Escapes such as \\u0041 are not allowed in a statement.",
            remedy="Write the character itself, or pass the text as a parameter.",
        )
    return text


def tokens_of(text: str) -> list[Token]:
    """The tokens of a normal text, without comments; InvalidInput where it cannot be read."""
    tokens, place = [], 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None or text.startswith(("/*", "//"), place) != (match.lastgroup == "comment"):
            shown = text[place : place + 20]
            raise _bad(
                f"The statement cannot be read at character {place + 1}: {shown!r}.",
                remedy="Close strings, backticks and comments; put names beyond ASCII in backticks.",
            )
        assert match.lastgroup is not None
        if match.lastgroup not in ("space", "comment"):
            tokens.append(Token(Kind(match.lastgroup), match.group(), place))
        place = match.end()
    return tokens


def without_comments(text: str, tokens: list[Token]) -> str:
    """The text with comments as spaces: what is sent to Neo4j is what was looked at, place by place."""
    chars = [char if char == "\n" else " " for char in text]
    for token in tokens:
        chars[token.start : token.start + len(token.text)] = token.text
    return "".join(chars)


def without_values(tokens: list[Token]) -> str:
    """The statement for a record that must hold nobody's data: no strings, numbers, names in backticks."""
    hidden = (Kind.STRING, Kind.NUMBER, Kind.QUOTED)
    return " ".join("?" if token.kind in hidden else token.text for token in tokens)


def _bad(detail: str, *, remedy: str = "") -> InvalidInput:
    return InvalidInput(detail, remedy=remedy, field="statement")
