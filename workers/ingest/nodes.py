"""Which nodes are in the graph, so that most events need no look-up."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from graph_schema.vocabulary import Label
from lsec.core.erasures import user_hash

MAX_KNOWN = 1_000_000
"""Ids that are kept; past it all are forgotten, which costs look-ups and nothing else."""

RunQuery = Callable[..., list[Any]]


@dataclass(slots=True)
class KnownNodes:
    """Ids known to be in the graph by label, and the last erased day of users; as of a commit.

    A user among them is known to be erased or not, too. Only this writer erases users of its shard.
    """

    ids: dict[Label, set[str]] = field(
        default_factory=lambda: {
            label: set() for label in (Label.USER, Label.STREAMER, Label.PRODUCT, Label.STREAM)
        }
    )
    erased: dict[str, date] = field(default_factory=dict)
    has_tombstones: bool | None = None
    """Whether any user was ever erased; None if not asked yet."""
    max_known: int = MAX_KNOWN

    def forget(self) -> None:
        """Know nothing: after another writer, or when a transaction found that this is wrong."""
        for known in self.ids.values():
            known.clear()
        self.erased.clear()
        self.has_tombstones = None

    def learn(self, changes: "NodeChanges") -> None:
        """Take over what a transaction found and did, once it is committed."""
        if len(self.erased) + sum(map(len, self.ids.values())) > self.max_known:
            # The transaction relied on what was known before, erased days too: all of it goes.
            self.forget()
            return
        for label, found in changes.found.items():
            self.ids[label] |= found
        for user_id, until in changes.erased.items():
            self.erased[user_id] = until
        self.ids[Label.USER] -= changes.removed


@dataclass(slots=True)
class NodeChanges:
    """What a transaction found out about nodes; it counts only if that commits. `seq` is its number."""

    seq: int = 0
    found: dict[Label, set[str]] = field(default_factory=dict)
    erased: dict[str, date] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)


def find_erased(
    run: RunQuery, user_ids: Iterable[str], known: KnownNodes, changes: NodeChanges
) -> dict[str, date]:
    """The last erased day of those users who erased their data before."""
    users = set(user_ids)
    unknown = users - known.ids[Label.USER]
    if unknown and known.has_tombstones is None:
        (counted,) = run("ingest/count_tombstones")
        known.has_tombstones = counted["num"] > 0
    if unknown and known.has_tombstones:
        hashes = {user_hash(user_id): user_id for user_id in unknown}
        for row in run("ingest/find_tombstones", batch={"hashes": sorted(hashes)}):
            changes.erased[hashes[row["user_hash"]]] = row["until"].to_native()
    erased = {user_id: known.erased[user_id] for user_id in users & known.erased.keys()}
    return erased | changes.erased


def make_nodes(run: RunQuery, label: Label, ids: set[str], known: KnownNodes, changes: NodeChanges) -> None:
    """Create the nodes of a label that are not in the graph."""
    unknown = sorted((ids - known.ids[label]) | (ids & changes.removed if label is Label.USER else set()))
    if unknown:
        run(f"ingest/create_{label.lower()}s", batch={"ids": unknown})
    changes.found[label] = set(unknown)
    if label is Label.USER:
        changes.removed.difference_update(ids)
