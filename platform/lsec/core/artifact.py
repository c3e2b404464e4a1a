"""A trained model on disk: memory-mapped arrays beside a manifest, read without torch."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from lsec.core.errors import ArtifactError
from lsec.core.metrics import candidate_lists, candidate_metrics

ARTIFACT_VERSION = 1
MANIFEST = "manifest.json"
RETRAIN = "Train again, or restore the folder from a backup."
PAIRS_PER_CHUNK = 100_000
ERASED_ID = ""
"""The id in the row of a user whose data was erased: no user has it."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an artifact is and where it comes from; `files` maps each array's file to its SHA-256."""

    version: int
    release_id: str
    training_id: str
    model: str
    seed: int
    created_at: str
    hyperparameters: dict[str, Any]
    metrics: dict[str, Any]
    counts: dict[str, int]
    snapshot_sha256: str
    positions: Any
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class IdIndex:
    """Ids as UTF-8 bytes [N] in row order, and the order [N] that sorts them, for look-up."""

    ids: NDArray[np.bytes_]
    order: NDArray[np.int64]

    def row(self, id_: str) -> int | None:
        """The row of this id."""
        key = id_.encode()
        # numpy drops trailing NULs, and would copy all ids to compare them with a longer key.
        if not len(self.ids) or len(key) > self.ids.itemsize or key.endswith(b"\0"):
            return None
        wanted = np.array(key, dtype=self.ids.dtype)
        place = int(np.searchsorted(self.ids, wanted, sorter=self.order))
        if place == len(self.ids) or self.ids[self.order[place]] != key:
            return None
        return int(self.order[place])

    def rows(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """The rows of these ids, −1 for one that is not there."""
        found = {id_: self.row(id_) for id_ in set(ids)}
        return np.array([-1 if (row := found[id_]) is None else row for id_ in ids], np.int64)


@dataclass(frozen=True, slots=True)
class Artifact:
    """U users, P products, S streamers with unit vectors of d numbers; slates are K long, −1 pads.

    A user u's score of product i is user_vectors[u]·product_vectors[i] / temperature + product_bias[i].
    The bought lists are CSR rows as of the snapshot; `popular` are product rows, most bought first.
    """

    manifest: Manifest
    users: IdIndex
    products: IdIndex
    streamers: IdIndex
    user_vectors: NDArray[np.float32]
    product_vectors: NDArray[np.float32]
    product_bias: NDArray[np.float32]
    streamer_vectors: NDArray[np.float32]
    slates: NDArray[np.int32]
    slate_scores: NDArray[np.float32]
    bought_indptr: NDArray[np.int64]
    bought_indices: NDArray[np.int32]
    popular: NDArray[np.int32]
    temperature: float
    _popular_ids: tuple[str, ...]

    @classmethod
    def from_arrays(cls, manifest: Manifest, arrays: dict[str, NDArray[Any]]) -> Self:
        """The artifact of the arrays by their files' stems."""
        named: dict[str, Any] = {
            f"{kind}s": IdIndex(arrays[f"{kind}_ids"], arrays[f"{kind}_order"]) for kind in ID_KINDS
        }
        named |= {name: arrays[name] for name in ARRAYS if not name.endswith(("_ids", "_order"))}
        popular_ids = arrays["product_ids"][arrays["popular"]].tolist()
        return cls(
            manifest,
            **named,
            temperature=float(manifest.hyperparameters["temperature"]),
            _popular_ids=tuple(id_.decode() for id_ in popular_ids),
        )

    @property
    def user_ids(self) -> NDArray[np.bytes_]:
        """Ids of the users as UTF-8 bytes, in row order."""
        return self.users.ids

    @property
    def product_ids(self) -> NDArray[np.bytes_]:
        """Ids of the products as UTF-8 bytes, in row order."""
        return self.products.ids

    @property
    def streamer_ids(self) -> NDArray[np.bytes_]:
        """Ids of the streamers as UTF-8 bytes, in row order."""
        return self.streamers.ids

    def user_row(self, user_id: str) -> int | None:
        return self.users.row(user_id)

    def product_row(self, product_id: str) -> int | None:
        return self.products.row(product_id)

    def product_id(self, row: int) -> str:
        return bytes(self.product_ids[row]).decode()

    def slate(self, user_row: int) -> list[tuple[str, float]]:
        """The user's products with their scores, best first; empty for a user without purchases."""
        rows = self.slates[user_row]
        length = int(np.count_nonzero(rows >= 0))
        ids = self.product_ids[rows[:length]].tolist()
        scores = self.slate_scores[user_row, :length].tolist()
        return [(id_.decode(), score) for id_, score in zip(ids, scores, strict=True)]

    def bought(self, user_row: int) -> NDArray[np.int32]:
        """Rows of the products that the user had bought when the snapshot was made."""
        return self.bought_indices[self.bought_indptr[user_row] : self.bought_indptr[user_row + 1]]

    def popular_products(self, k: int) -> tuple[str, ...]:
        """At most k product ids by number of purchases, most first."""
        return self._popular_ids[:k]

    def scores(self, user_row: int, product_ids: Sequence[str]) -> dict[str, float]:
        """The user's scores of these products, without those that the model does not know."""
        rows = self.products.rows(product_ids)
        known = np.flatnonzero(rows >= 0)
        scores = self.pair_scores(np.full(len(known), user_row), rows[known])
        return {product_ids[i]: score for i, score in zip(known.tolist(), scores.tolist(), strict=True)}

    def pair_scores(
        self, user_rows: NDArray[np.integer], product_rows: NDArray[np.integer]
    ) -> NDArray[np.float32]:
        """Scores [N] of each user_rows[N] for its product_rows[N]."""
        scores = np.empty(len(user_rows), np.float32)
        for start in range(0, len(user_rows), PAIRS_PER_CHUNK):
            chunk = slice(start, start + PAIRS_PER_CHUNK)
            users, products = user_rows[chunk], product_rows[chunk]
            cosines = np.einsum("nd,nd->n", self.user_vectors[users], self.product_vectors[products])
            scores[chunk] = cosines / self.temperature + self.product_bias[products]
        return scores


ID_KINDS = ("user", "product", "streamer")
ARRAYS: dict[str, tuple[str, ...]] = {
    "user_ids": ("users",),
    "user_order": ("users",),
    "product_ids": ("products",),
    "product_order": ("products",),
    "streamer_ids": ("streamers",),
    "streamer_order": ("streamers",),
    "user_vectors": ("users", ""),
    "product_vectors": ("products", ""),
    "product_bias": ("products",),
    "streamer_vectors": ("streamers", ""),
    "slates": ("users", ""),
    "slate_scores": ("users", ""),
    "bought_indptr": ("",),
    "bought_indices": ("buys",),
    "popular": ("",),
}
"""The arrays by their files' stems: which count each axis has, '' for another length."""


@dataclass(frozen=True, slots=True)
class ListEvaluation:
    """Figures over the lists that could be scored, and what the artifact did not know.

    A user whom it does not know, or who has no purchases in it, is ranked by popularity, as in serving.
    A product that it does not know comes last.
    """

    metrics: dict[str, float]
    num_lists: int
    num_users_by_popularity: int
    num_unknown_products: int


def open_artifact(path: Path, *, verify: bool = False) -> Artifact:
    """The artifact in this folder, memory-mapped; `verify` reads all of it to compare the hashes.

    ArtifactError when it is missing, damaged or of another version.
    """
    manifest = _read_manifest(path)
    try:
        arrays = {name: _open_array(path / f"{name}.npy", manifest, verify=verify) for name in ARRAYS}
        return Artifact.from_arrays(manifest, arrays)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ArtifactError(f"The artifact in {path} is damaged: {error!r}.", remedy=RETRAIN) from error


def evaluate_lists(
    artifact: Artifact, user_ids: Sequence[str], product_ids: Sequence[str], labels: Sequence[bool]
) -> ListEvaluation:
    """Candidate-protocol figures for flat rows of (user, product, whether it was bought)."""
    list_users, users = _numbered(user_ids)
    list_products, products = _numbered(product_ids)
    lists = candidate_lists(users, products, np.asarray(labels, np.bool_))
    user_rows = artifact.users.rows(list_users)[lists.users]
    product_rows = artifact.products.rows(list_products)
    listed = np.where(lists.is_valid, product_rows[lists.products], -1)
    by_popularity = np.array([row < 0 or not len(artifact.bought(row)) for row in user_rows], np.bool_)
    scores = _list_scores(artifact, user_rows, listed, by_popularity)
    return ListEvaluation(
        candidate_metrics(lists, scores),
        len(lists),
        int(by_popularity.sum()),
        int((product_rows[np.unique(lists.products[lists.is_valid])] < 0).sum()),
    )


def _numbered(ids: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """The distinct ids, sorted, and the place of each of ids among them."""
    distinct = sorted(set(ids))
    places = {id_: place for place, id_ in enumerate(distinct)}
    return distinct, np.fromiter((places[id_] for id_ in ids), np.int64, len(ids))


def _list_scores(
    artifact: Artifact,
    user_rows: NDArray[np.int64],
    product_rows: NDArray[np.int64],
    by_popularity: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Scores [L, C] of product_rows[L, C], −inf for an unknown product."""
    purchases = np.bincount(artifact.bought_indices, minlength=len(artifact.product_ids))
    scores = np.full(product_rows.shape, -np.inf)
    is_known = product_rows >= 0
    popular = is_known & by_popularity[:, None]
    scores[popular] = purchases[product_rows[popular]]
    scored = is_known & ~by_popularity[:, None]
    users = np.broadcast_to(user_rows[:, None], product_rows.shape)
    scores[scored] = artifact.pair_scores(users[scored], product_rows[scored])
    return scores


def _read_manifest(path: Path) -> Manifest:
    try:
        data = (path / MANIFEST).read_bytes()
    except OSError as error:
        raise ArtifactError(f"There is no artifact in {path}.", remedy=RETRAIN) from error
    try:
        version = msgspec.json.decode(data, type=dict[str, Any]).get("version")
        if version != ARTIFACT_VERSION:
            raise ArtifactError(
                f"The artifact in {path} has version {version}, this code reads {ARTIFACT_VERSION}.",
                remedy="Train again with this version.",
            )
        return msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as error:
        raise ArtifactError(f"The manifest in {path} is damaged: {error}.", remedy=RETRAIN) from error


def _open_array(path: Path, manifest: Manifest, *, verify: bool) -> NDArray[Any]:
    try:
        if verify:
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            if sha256 != manifest.files.get(path.name):
                raise ArtifactError(f"{path} is not what was written.", remedy=RETRAIN)
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}.", remedy=RETRAIN) from error
    axes = ARRAYS[path.stem]
    expected = [manifest.counts.get(axis) if axis else n for axis, n in zip(axes, array.shape, strict=False)]
    if array.ndim != len(axes) or list(array.shape) != expected:
        raise ArtifactError(f"{path} has shape {array.shape}, not that of its counts.", remedy=RETRAIN)
    # A plain array over the mapped memory: indexing a memmap object costs several times as much.
    return array.view(np.ndarray)
