"""A release's artifact in memory, as benchmarks and tests want it, without a training's folder."""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from lsec.core.artifact import ARTIFACT_VERSION, Artifact, Manifest

MANIFEST: dict[str, Any] = {
    "version": ARTIFACT_VERSION,
    "release_id": "bench",
    "training_id": "bench",
    "model": "cosine-gcn",
    "scoring": "cosine",
    "temperature": 0.2,
    "seed": 0,
    "created_at": "2026-01-01T00:00:00+00:00",
    "hyperparameters": {},
    "metrics": {},
    "counts": {},
    "snapshot_sha256": "",
    "positions": [],
    "scope": None,
    "files": {},
}


def manifest(**fields: Any) -> Manifest:
    """A manifest with these fields."""
    return msgspec.convert(MANIFEST | fields, Manifest)


def artifact_in_memory(arrays: Mapping[str, np.ndarray], **fields: Any) -> Artifact:
    """The artifact of these arrays by their names; its manifest has these fields, and counts them."""
    counts = {f"{kind}s": len(arrays[f"{kind}_ids"]) for kind in ("user", "product", "streamer")}
    counts |= {"buys": len(arrays["bought_indices"])} | fields.pop("counts", {})
    return Artifact.from_arrays(manifest(counts=counts, **fields), dict(arrays))
