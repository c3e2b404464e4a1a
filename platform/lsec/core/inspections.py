"""What an inspection of the installation finds: each finding has a state, figures in words, and a remedy."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

INSPECT_EVERY_S = 300.0
LISTED = 3
"""Names that a sentence holds before it only counts."""


class FindingState(StrEnum):
    """States of what was looked at, the best first."""

    OK = "ok"
    WARNING = "warning"
    """It works, but will not for long, or something is left over."""
    BROKEN = "broken"
    """It does not work, or what must hold does not."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `remedy` is a command, a setting or a statement, '' where all is well."""

    name: str
    state: FindingState
    detail: str
    remedy: str = ""


def ok(name: str, detail: str) -> Finding:
    """That all is well with it."""
    return Finding(name, FindingState.OK, detail)


def warning(name: str, detail: str, *, remedy: str) -> Finding:
    """That it needs somebody, but not at once."""
    return Finding(name, FindingState.WARNING, detail, remedy)


def broken(name: str, detail: str, *, remedy: str) -> Finding:
    """That it does not work."""
    return Finding(name, FindingState.BROKEN, detail, remedy)


def is_broken(findings: Iterable[Finding]) -> bool:
    """Whether one of them is."""
    return any(finding.state == FindingState.BROKEN for finding in findings)


def listed(names: Sequence[str]) -> str:
    """The names, of many the first ones and the number of the others."""
    shown = ", ".join(names[:LISTED])
    return shown if len(names) <= LISTED else f"{shown} and {len(names) - LISTED} more"
