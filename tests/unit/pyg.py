"""PyG's metrics, to compare ours with."""

import warnings
from typing import Any


def pyg_metrics() -> Any:
    """The module, whose first import warns of what torch deprecates."""
    with warnings.catch_warnings():
        # PyG scripts a few functions when it is imported.
        warnings.filterwarnings("ignore", r"`torch\.jit\.script` is ", category=FutureWarning)
        from torch_geometric import metrics
    return metrics
