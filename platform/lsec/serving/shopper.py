"""What one user has done lately, as the graph has it now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

FATIGUE_DAYS = 7


@dataclass(frozen=True, slots=True)
class Shopper:
    """A user's live state by ids; the newest first in each sequence.

    `bought` leaves out what was given back; `viewed` and `watched` are of the last 30 days, `impressed` says
    how often a product was shown in the last seven and never clicked since. `has_slate` is False once the
    user was erased. `newest_ms` is the latest moment, since 1970, of a follow, view or watch.
    """

    bought: Sequence[str] = ()
    followed: Sequence[str] = ()
    viewed: Mapping[str, int] = field(default_factory=dict)
    watched: Mapping[str, int] = field(default_factory=dict)
    dismissed: frozenset[str] = frozenset()
    impressed: Mapping[str, int] = field(default_factory=dict)
    has_slate: bool = False
    newest_ms: int = 0

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The state that one row of `serving/shopper` holds."""
        return cls(
            bought=row["bought"],
            followed=row["followed"],
            viewed=dict(row["viewed"]),
            watched=dict(row["watched"]),
            dismissed=frozenset(row["dismissed"]),
            impressed=dict(row["impressed"]),
            has_slate=row["has_slate"],
            newest_ms=row["newest_ms"],
        )

    @property
    def has_taste(self) -> bool:
        """Whether there is anything that a vector can be made of."""
        return bool(self.bought or self.followed or self.viewed or self.watched)

    @property
    def taste(self) -> tuple[Any, ...]:
        """What the user's vector depends on: equal tastes have equal vectors."""
        return (
            tuple(self.bought),
            tuple(self.followed),
            tuple(self.viewed.items()),
            tuple(self.watched.items()),
        )
