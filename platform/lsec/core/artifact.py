"""A trained model on disk: memory-mapped tensors beside a manifest, read without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from lsec.core.artifact_layout import ARRAYS, FILES, GATE_FILES, check_arrays
from lsec.core.checksums import check_files
from lsec.core.errors import ArtifactError
from lsec.core.half_precision import inner_products, to_single
from lsec.core.id_index import IdIndex, ids_of
from lsec.core.log_positions import LogPosition
from lsec.core.tensor_file import RETRAIN, map_tensors

ARTIFACT_VERSION = 3
MANIFEST = "manifest.json"
PAIRS_PER_CHUNK = 100_000
BUYS_PER_CHUNK = 4_000_000
NO_ROWS: NDArray[np.integer[Any]] = np.empty(0, np.int64)
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
    positions: list[LogPosition] | None
    scope: Any
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class Artifact:
    """U users, P products, S streamers with vectors of d numbers; slates are K long, −1 pads.

    A user u's score of product i is user_vectors[u]·product_vectors[i] / temperature + product_bias[i],
    unless the manifest's scoring is "mlp". Vectors are in half precision, and are summed up in single. The
    bought lists are CSR rows as of the snapshot; `degrees` [P] are each product's buyers in them; `popular`
    are product rows, most bought first.
    """

    manifest: Manifest
    users: IdIndex
    products: IdIndex
    streamers: IdIndex
    user_vectors: NDArray[np.float16]
    product_vectors: NDArray[np.float16]
    product_bias: NDArray[np.float32]
    streamer_vectors: NDArray[np.float16]
    slates: NDArray[np.int32]
    slate_scores: NDArray[np.float32]
    bought_indptr: NDArray[np.int64]
    bought_indices: NDArray[np.int32]
    popular: NDArray[np.int32]
    degrees: NDArray[np.int32]
    _popular_ids: tuple[str, ...]

    @classmethod
    def from_arrays(cls, manifest: Manifest, arrays: dict[str, NDArray[Any]]) -> Self:
        """The artifact of the arrays by their names, with ids in place of their bytes.

        ValueError or IndexError if a product is bought or popular that is not there.
        """
        named: dict[str, Any] = {
            f"{kind}s": IdIndex(arrays[f"{kind}_ids"], arrays[f"{kind}_order"]) for kind in ID_KINDS
        }
        named |= {name: arrays[name] for name in ARRAYS if not name.endswith(("_ids", "_order"))}
        popular_ids = arrays["product_ids"][arrays["popular"]].tolist()
        return cls(
            manifest,
            **named,
            degrees=_degrees(arrays["bought_indices"], len(arrays["product_ids"])),
            _popular_ids=tuple(id_.decode() for id_ in popular_ids),
        )

    def hash_ids(self) -> None:
        """Make one id be found sooner, for who looks up many; see `IdIndex.hash`."""
        for index in (self.users, self.products, self.streamers):
            index.hash()

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
        scores = self.vector_scores(self.user_vector(user_row), rows[known])
        return {product_ids[i]: score for i, score in zip(known.tolist(), scores.tolist(), strict=True)}

    def pair_scores(
        self, user_rows: NDArray[np.integer], product_rows: NDArray[np.integer]
    ) -> NDArray[np.float32]:
        """Scores [N] of each user_rows[N] for its product_rows[N]; ArtifactError if a network makes them."""
        self.require_vectors()
        scores = np.empty(len(user_rows), np.float32)
        for start in range(0, len(user_rows), PAIRS_PER_CHUNK):
            chunk = slice(start, start + PAIRS_PER_CHUNK)
            users, products = user_rows[chunk], product_rows[chunk]
            vectors = to_single(self.user_vectors[users]), to_single(self.product_vectors[products])
            scores[chunk] = np.einsum("nd,nd->n", *vectors)
            scores[chunk] /= self.manifest.temperature
            scores[chunk] += self.product_bias[products]
        return scores

    def user_vector(self, user_row: int) -> NDArray[np.float32]:
        """The user's vector [d], in single precision."""
        return to_single(self.user_vectors[user_row])

    def vector_scores(
        self, vector: NDArray[np.float32], rows: NDArray[np.integer] | None = None
    ) -> NDArray[np.float32]:
        """Scores of all products [P], or of those in rows, by the vector [d] of a user, who may be folded in.

        ArtifactError if a network makes them.
        """
        self.require_vectors()
        vectors, bias = self.product_vectors, self.product_bias
        if rows is not None:
            vectors, bias = vectors[rows], bias[rows]
        scores = inner_products(vectors, vector)
        scores /= self.manifest.temperature
        scores += bias
        return scores

    def top(
        self, vector: NDArray[np.float32], k: int, excluded_rows: NDArray[np.integer] = NO_ROWS
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Rows and scores of the k best products but the excluded, best first, a tie to the lower row.

        There are fewer when no more are left. ArtifactError if a network makes the scores.
        """
        scores = self.vector_scores(vector)
        scores[excluded_rows] = -np.inf
        if not 0 < k < len(scores):
            best = np.arange(len(scores) if k > 0 else 0)
        else:
            best = np.flatnonzero(scores >= np.partition(scores, -k)[-k])
        best = best[scores[best] > -np.inf]
        best = best[np.argsort(-scores[best], kind="stable")[:k]]
        return best, scores[best]

    def require_vectors(self) -> None:
        """ArtifactError unless scores come from the vectors."""
        if self.manifest.scoring == "mlp":
            raise ArtifactError(
                f"The scores of release {self.manifest.release_id} are a network's, which is not in it.",
                remedy="Use its slates, or train a model that scores by its vectors.",
            )


ID_KINDS = ("user", "product", "streamer")


def open_artifact(path: Path, *, verify: bool = False) -> Artifact:
    """The artifact in this folder, memory-mapped.

    ArtifactError when it is missing, of another version, or damaged, by its hashes too. Those are compared
    once, by whoever opens it first: mostly the worker that is about to publish it. Whoever opens it later
    relies on that for files that have not changed since; `verify` reads all of it anew, with the files of
    the gate that are never opened here.
    """
    manifest = _read_manifest(path)
    hashes = {name: manifest.files.get(name, "") for name in FILES}
    if verify:
        hashes |= {name: manifest.files[name] for name in GATE_FILES if name in manifest.files}
    check_files(path, hashes, anew=verify)
    arrays: dict[str, NDArray[Any]] = {}
    for name, held in FILES.items():
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


def _degrees(bought_indices: NDArray[np.int32], num_products: int) -> NDArray[np.int32]:
    """How many users bought each product; in chunks, as the count wants its own copy in 64 bits."""
    degrees = np.zeros(num_products, np.int32)
    for start in range(0, len(bought_indices), BUYS_PER_CHUNK):
        degrees += np.bincount(bought_indices[start : start + BUYS_PER_CHUNK], minlength=num_products)
    return degrees
