"""Writes a finished training as an artifact folder, which appears whole or not at all."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lsec.core import durable
from lsec.core.artifact import ARTIFACT_VERSION, Manifest, Scoring
from workers.training.artifact_files import write_arrays, write_manifest
from workers.training.data import Interactions, read_manifest, snapshot_sha256
from workers.training.job import Job
from workers.training.ranking import top_products
from workers.training.selection_model import arrays_of, in_half_precision
from workers.training.trainer import Trained

MAX_POPULAR = 1000


def write_artifact(
    folder: Path,
    trained: Trained,
    data: Interactions,
    *,
    job: Job,
    snapshot: Path,
    scoring: Scoring = "cosine",
) -> None:
    """Writes under a temporary name and renames; what an earlier attempt left is removed."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    hashes = write_arrays(partial, artifact_arrays(trained, data, slate_length=job.slate_length))
    source = read_manifest(snapshot)
    manifest = Manifest(
        version=ARTIFACT_VERSION,
        release_id=job.release_id,
        training_id=job.training_id,
        model=job.model,
        scoring=scoring,
        temperature=trained.temperature,
        seed=job.seed,
        created_at=datetime.now(UTC).isoformat(),
        hyperparameters=job.hyperparameters.to_dict(),
        metrics=trained.metrics,
        counts={
            "users": data.num_users,
            "products": data.num_products,
            "streamers": data.num_streamers,
            "buys": len(data.buys),
            "follows": len(data.follows),
            "views": len(data.viewed),
        },
        snapshot_sha256=snapshot_sha256(snapshot),
        positions=source.get("positions"),
        scope=source.get("scope"),
        files=hashes,
    )
    write_manifest(partial, manifest)
    durable.sync(partial)
    partial.rename(folder)
    durable.sync(folder.parent)


def artifact_arrays(trained: Trained, data: Interactions, *, slate_length: int) -> dict[str, NDArray[Any]]:
    """Every array of the artifact by its name.

    A user without purchases has an empty slate: the model knows nothing of their taste in products, and
    serving falls back to the popular ones.
    """
    buys = data.buys
    indptr = buys.indptr(data.num_users)
    slates = np.full((data.num_users, slate_length), -1, np.int32)
    slate_scores = np.full((data.num_users, slate_length), -np.inf, np.float32)
    buyers = np.flatnonzero(np.diff(indptr))
    slates[buyers], slate_scores[buyers] = top_products(trained.scorer, buyers, buys, k=slate_length)
    vectors = trained.vectors
    arrays: dict[str, NDArray[Any]] = {
        "user_ids": data.user_ids,
        "product_ids": data.product_ids,
        "streamer_ids": data.streamer_ids,
        "user_order": np.argsort(data.user_ids),
        "product_order": np.argsort(data.product_ids),
        "streamer_order": np.argsort(data.streamer_ids),
        "user_vectors": in_half_precision(vectors.users),
        "product_vectors": in_half_precision(vectors.products),
        "product_bias": trained.bias.cpu().numpy(),
        "streamer_vectors": in_half_precision(vectors.streamers),
        "slates": slates,
        "slate_scores": slate_scores,
        "bought_indptr": indptr,
        "bought_indices": buys.targets.astype(np.int32),
        "popular": data.popular_order()[:MAX_POPULAR].astype(np.int32),
    }
    return arrays | arrays_of(trained.selection)
