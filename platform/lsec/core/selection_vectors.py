"""What an artifact keeps of the model that was not shown the held-out purchases, to judge the next one by."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lsec.core.artifact import Manifest
from lsec.core.artifact_layout import GATE_ARRAYS, GATE_FILES, check_arrays
from lsec.core.checksums import check_files
from lsec.core.errors import ArtifactError
from lsec.core.tensor_file import RETRAIN, map_tensors


@dataclass(frozen=True, slots=True)
class SelectionVectors:
    """users [U, d], products [P, d] and bias [P] in the artifact's rows; scored as the artifact's own are."""

    users: NDArray[np.float16]
    products: NDArray[np.float16]
    bias: NDArray[np.float32]


def read_selection_vectors(path: Path, manifest: Manifest) -> SelectionVectors | None:
    """Those of the artifact in this folder, memory-mapped; None where it has none.

    Older ones have none, nor has a model that scores by a network, or whose users had nothing to hold out.
    ArtifactError when they are damaged.
    """
    if not manifest.files.keys() >= GATE_FILES.keys():
        return None
    check_files(path, {name: manifest.files[name] for name in GATE_FILES})
    arrays: dict[str, NDArray[Any]] = {}
    for name in GATE_FILES:
        arrays |= map_tensors(path / name)
    try:
        check_arrays(arrays, manifest.counts, GATE_ARRAYS)
    except (LookupError, ValueError) as error:
        raise ArtifactError(f"The artifact in {path} is damaged: {error}.", remedy=RETRAIN) from error
    return SelectionVectors(
        arrays["gate_user_vectors"], arrays["gate_product_vectors"], arrays["gate_product_bias"]
    )
