"""A trained model on disk: memory-mapped tensors beside a manifest, read without torch."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from lsec.core.artifact_layout import ARRAYS, FILES, check_arrays
from lsec.core.errors import ArtifactError
from lsec.core.id_index import IdIndex, ids_of
from lsec.core.tensor_file import RETRAIN, map_tensors

ARTIFACT_VERSION = 2
MANIFEST = "manifest.json"
PAIRS_PER_CHUNK = 100_000
ERASED_ID = ""
"""The id in the row of a user whose data was erased: no user has it."""
Scoring = Literal["cosine", "inner_product", "mlp"]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an artifact is and where it comes from; `files` maps each file of tensors to its SHA-256.

    `scoring` says how a score comes about: from unit vectors, from vectors of any length, or by a network
    that is not in the artifact. `positions` and `scope` are the snapshot's.
    """

    version: int
    release_id: str
    training_id: str
    model: str
    scoring: Scoring
    temperature: Annotated[float, msgspec.Meta(gt=0)]
    seed: int
    created_at: str
    hyperparameters: dict[str, Any]
    metrics: dict[str, Any]
    counts: dict[str, int]
    snapshot_sha256: str
    positions: Any
    scope: Any
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class Artifact:
    """U users, P products, S streamers with vectors of d numbers; slates are K long, −1 pads.

    A user u's score of product i is user_vectors[u]·product_vectors[i] / temperature + product_bias[i],
    unless the manifest's scoring is "mlp". The bought lists are CSR rows as of the snapshot; `popular` are
    product rows, most bought first.
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
    _popular_ids: tuple[str, ...]

    @classmethod
    def from_arrays(cls, manifest: Manifest, arrays: dict[str, NDArray[Any]]) -> Self:
        """The artifact of the arrays by their names, with ids in place of their bytes."""
        named: dict[str, Any] = {
            f"{kind}s": IdIndex(arrays[f"{kind}_ids"], arrays[f"{kind}_order"]) for kind in ID_KINDS
        }
        named |= {name: arrays[name] for name in ARRAYS if not name.endswith(("_ids", "_order"))}
        popular_ids = arrays["product_ids"][arrays["popular"]].tolist()
        return cls(
            manifest,
            **named,
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
        """Scores [N] of each user_rows[N] for its product_rows[N]; ArtifactError if a network makes them."""
        if self.manifest.scoring == "mlp":
            raise ArtifactError(
                f"The scores of release {self.manifest.release_id} are a network's, which is not in it.",
                remedy="Use its slates, or train a model that scores by its vectors.",
            )
        scores = np.empty(len(user_rows), np.float32)
        for start in range(0, len(user_rows), PAIRS_PER_CHUNK):
            chunk = slice(start, start + PAIRS_PER_CHUNK)
            users, products = user_rows[chunk], product_rows[chunk]
            inner = np.einsum("nd,nd->n", self.user_vectors[users], self.product_vectors[products])
            scores[chunk] = inner / self.manifest.temperature + self.product_bias[products]
        return scores


ID_KINDS = ("user", "product", "streamer")


def open_artifact(path: Path, *, verify: bool = False) -> Artifact:
    """The artifact in this folder, memory-mapped; `verify` reads all of it to compare the hashes.

    ArtifactError when it is missing, damaged or of another version.
    """
    manifest = _read_manifest(path)
    arrays: dict[str, NDArray[Any]] = {}
    for name, held in FILES.items():
        if verify:
            _check_hash(path / name, manifest)
        tensors = map_tensors(path / name)
        if set(tensors) != set(held):
            raise ArtifactError(f"{path / name} is damaged: it holds other tensors.", remedy=RETRAIN)
        arrays |= tensors
    try:
        check_arrays(arrays, manifest.counts)
        arrays |= {f"{kind}_ids": ids_of(arrays[f"{kind}_ids"]) for kind in ID_KINDS}
        return Artifact.from_arrays(manifest, arrays)
    except (LookupError, TypeError, ValueError) as error:
        raise ArtifactError(f"The artifact in {path} is damaged: {error}.", remedy=RETRAIN) from error


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
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise ArtifactError(f"The manifest in {path} is damaged: {error}.", remedy=RETRAIN) from error


def _check_hash(path: Path, manifest: Manifest) -> None:
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error}.", remedy=RETRAIN) from error
    if sha256 != manifest.files.get(path.name):
        raise ArtifactError(f"{path} is not what was written.", remedy=RETRAIN)
