"""Which nodes are in the graph, so that most events need no look-up."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from graph_schema.vocabulary import Label

MAX_KNOWN = 1_000_000
"""Ids that are kept; past it all are forgotten, which costs look-ups and nothing else."""

RunQuery = Callable[..., list[Any]]


@dataclass(frozen=True, slots=True)
class KnownNodes:
    """Ids known to be in the graph by label, and the last erased day of users; as of a commit."""

    ids: dict[Label, set[str]] = field(
        default_factory=lambda: {
            label: set() for label in (Label.USER, Label.STREAMER, Label.PRODUCT, Label.STREAM)
        }
    )
    erased: dict[str, date] = field(default_factory=dict)
    max_known: int = MAX_KNOWN

    def forget(self) -> None:
        """Know nothing: after another writer, or when a transaction found that this is wrong."""
        for known in self.ids.values():
            known.clear()
        self.erased.clear()

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


@dataclass(frozen=True, slots=True)
class NodeChanges:
    """What a transaction found out about nodes; it counts only if that commits."""

    found: dict[Label, set[str]] = field(default_factory=dict)
    erased: dict[str, date] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)


def user_hash(user_id: str) -> str:
    """What a tombstone keeps of a user."""
    return hashlib.sha256(user_id.encode()).hexdigest()


def find_erased(
    run: RunQuery, user_ids: Iterable[str], known: KnownNodes, changes: NodeChanges
) -> dict[str, date]:
    """The last erased day of those users who erased their data before."""
    users = set(user_ids)
    unknown = sorted(users - known.ids[Label.USER])
    new: set[str] = set()
    if unknown:
        rows = [{"id": user_id, "user_hash": user_hash(user_id)} for user_id in unknown]
        for row in run("ingest/new_or_erased_users", rows=rows):
            if not row["is_known"]:
                new.add(row["id"])
            if row["erased_until"] is not None:
                changes.erased[row["id"]] = row["erased_until"].to_native()
    changes.found[Label.USER] = set(unknown) - new
    erased = {user_id: known.erased[user_id] for user_id in users & known.erased.keys()}
    return erased | changes.erased


def make_users(run: RunQuery, user_ids: set[str], known: KnownNodes, changes: NodeChanges) -> None:
    """Create the users that are not in the graph; `find_erased` was asked about all of them before."""
    present = (known.ids[Label.USER] | changes.found[Label.USER]) - changes.removed
    new = sorted(user_ids - present)
    _create(run, Label.USER, new)
    changes.found[Label.USER] |= user_ids
    changes.removed.difference_update(user_ids)


def make_nodes(run: RunQuery, label: Label, ids: set[str], known: KnownNodes, changes: NodeChanges) -> None:
    """Create the nodes of a label that are not in the graph."""
    unknown = sorted(ids - known.ids[label])
    if unknown:
        new = [row["id"] for row in run(f"ingest/new_{label.lower()}s", ids=unknown)]
        _create(run, label, sorted(new))
    changes.found[label] = set(unknown)


def _create(run: RunQuery, label: Label, ids: list[str]) -> None:
    if not ids:
        return
    if label is Label.STREAM:
        run("ingest/create_streams", ids=ids)
        return
    (taken,) = run("ingest/take_indexes", label=label, count=len(ids))
    rows = [{"id": node_id, "index": index} for index, node_id in enumerate(ids, start=taken["first"])]
    run(f"ingest/create_{label.lower()}s", rows=rows)
