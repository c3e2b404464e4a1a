"""All that is held about a person, found piece by piece wherever the platform keeps it."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import select

from lsec.api.stores.event_log import EventLog
from lsec.api.stores.graph import SERVING_TIMEOUT_S, Graph
from lsec.api.stores.ledger import Ledger
from lsec.api.stores.live_chunks import read_chunk
from lsec.core.artifact import MANIFEST, Artifact, open_artifact
from lsec.core.erasures import user_hash
from lsec.core.errors import ArtifactError
from lsec.core.event_log import decode_event
from lsec.core.ledger import AuditRecord, DeadLetter, Erasure
from lsec.core.settings import Settings

STREAM_TIMEOUT_S = 300.0
"""A reader who takes longer gets a document that breaks off, which is no JSON."""
ROWS_PER_READ = 200

Piece = tuple[str, dict[str, Any]]
"""The name of the place that holds it, and what it holds."""


class PersonalData:
    """Reads what is held about one user: pieces come one by one, so that memory stays bounded."""

    def __init__(self, ledger: Ledger, event_log: EventLog, graph: Graph, settings: Settings) -> None:
        self._ledger = ledger
        self._event_log = event_log
        self._graph = graph
        self._artifacts_path = settings.artifacts_path
        self._runs_path = settings.runs_path
        self._snapshots_path = settings.snapshots_path

    async def audit(self, user_id: str, *, key_id: str) -> None:
        """Write down who asked about whom, before anything is shown."""
        record = AuditRecord(key_id=key_id, action="user.data", target=user_hash(user_id))
        async with self._ledger.write() as session:
            session.add(record)

    async def pieces(self, user_id: str) -> AsyncGenerator[Piece, None]:
        """What is held, in the order of PLACES; nothing for a user of whom nothing is."""
        for row in await self._graph.rows(
            "lookups/user_record", timeout_s=SERVING_TIMEOUT_S, user_id=user_id
        ):
            yield "record", row["record"]
        async for row in self._stream("lookups/user_relationships", user_id=user_id):
            yield "relationships", row
        async for row in self._stream("lookups/user_refunds", user_id=user_id):
            yield "refunds", row["refund"]
        async for row in self._stream("lookups/user_slates", user_id=user_id):
            yield "slates", row["slate"]
        async for row in self._stream("lookups/tombstone", user_hash=user_hash(user_id)):
            yield "tombstone", row
        async for event in self._events(user_id):
            yield "events", event
        async for letter in self._dead_letters(user_id):
            yield "dead_letters", letter
        async for erasure in self._erasures(user_id):
            yield "erasures", erasure
        for folder in await asyncio.to_thread(_artifact_folders, self._artifacts_path):
            if (held := await asyncio.to_thread(_artifact_row, folder, user_id)) is not None:
                yield "artifacts", held

    async def snapshots(self) -> list[str]:
        """The snapshots on disk, by id: copies of purchases and the like as of their time.

        One that lies in the folder of a training, from before they had one of their own, goes by its id.
        """
        return await asyncio.to_thread(_snapshots, self._runs_path, self._snapshots_path)

    def _stream(self, name: str, **parameters: Any) -> AsyncGenerator[dict[str, Any], None]:
        return self._graph.stream(name, timeout_s=STREAM_TIMEOUT_S, **parameters)

    async def _events(self, user_id: str) -> AsyncGenerator[dict[str, Any], None]:
        needle = msgspec.msgpack.encode(user_id)
        async for shard, entry_id, fields in self._event_log.entries():
            chunk = read_chunk(shard, entry_id, fields) if needle in fields.get(b"c", b"") else None
            # What cannot be read is told when it is a dead letter.
            for event in chunk.events if chunk is not None else ():
                if getattr(event, "user_id", "") == user_id:
                    yield {"position": entry_id.decode(), "event": msgspec.to_builtins(event)}

    async def _dead_letters(self, user_id: str) -> AsyncGenerator[dict[str, Any], None]:
        needle = user_id.encode()
        page = select(DeadLetter).order_by(DeadLetter.id).limit(ROWS_PER_READ)
        after = ""
        while True:
            # A session a page: one that stayed open for a slow reader would hold up the ledger.
            async with self._ledger.read() as session:
                letters = (await session.scalars(page.where(DeadLetter.id > after))).all()
            for letter in letters:
                after = letter.id
                if needle in letter.payload and (found := _letter(letter, user_id)) is not None:
                    yield found
            if len(letters) < ROWS_PER_READ:
                break

    async def _erasures(self, user_id: str) -> AsyncGenerator[dict[str, Any], None]:
        query = select(Erasure).where(Erasure.user_hash == user_hash(user_id))
        # They are few, and a session that stayed open for a slow reader would hold up the ledger.
        async with self._ledger.read() as session:
            found = (await session.scalars(query.order_by(Erasure.requested_at))).all()
        for erasure in found:
            yield {
                "id": erasure.id,
                "state": erasure.state,
                "requested_at": erasure.requested_at,
                "done_at": erasure.done_at,
            }


PLACES = (
    "record",
    "relationships",
    "refunds",
    "slates",
    "tombstone",
    "events",
    "dead_letters",
    "erasures",
    "artifacts",
)
"""The places that are looked at, in this order."""
SINGLE = ("record", "tombstone")
"""Places that hold one thing of a user at most."""


def _letter(letter: DeadLetter, user_id: str) -> dict[str, Any] | None:
    """What is told of a dead letter; None for one of another user's."""
    try:
        event = decode_event(letter.payload)
    except ValueError:
        # It holds the id's bytes, and nobody can tell whose they are.
        content: dict[str, Any] = {"payload_hex": letter.payload.hex()}
    else:
        if getattr(event, "user_id", "") != user_id:
            return None
        content = {"event": msgspec.to_builtins(event)}
    return {"id": letter.id, "reason": letter.reason, "created_at": letter.created_at, **content}


def _artifact_folders(path: Path) -> list[Path]:
    """The folders of releases that are kept."""
    return sorted(each.parent for each in path.glob(f"[!.]*/{MANIFEST}"))


def _artifact_row(folder: Path, user_id: str) -> dict[str, Any] | None:
    """What a release's artifact holds of the user."""
    try:
        artifact = open_artifact(folder)
    except ArtifactError:
        return None
    row = artifact.user_row(user_id)
    return None if row is None else _row_json(artifact, row)


def _row_json(artifact: Artifact, row: int) -> dict[str, Any]:
    return {
        "release_id": artifact.manifest.release_id,
        "slate": [{"product_id": product_id, "score": score} for product_id, score in artifact.slate(row)],
        "bought": [artifact.product_id(product) for product in artifact.bought(row).tolist()],
        "vector": artifact.user_vectors[row].tolist(),
    }


def _snapshots(runs: Path, snapshots: Path) -> list[str]:
    of_runs = [each.parent.name for each in runs.glob("*/snapshot") if not each.is_symlink()]
    return sorted(each.name for each in snapshots.glob("snp_*")) + sorted(of_runs)
