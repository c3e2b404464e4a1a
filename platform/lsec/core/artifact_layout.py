"""Which arrays an artifact has, in which of its files, and how long they are."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

FILES: dict[str, tuple[str, ...]] = {
    "user_ids.safetensors": ("user_ids", "user_order"),
    "user_vectors.safetensors": ("user_vectors",),
    "slates.safetensors": ("slates", "slate_scores"),
    "bought.safetensors": ("bought_indptr", "bought_indices"),
    "items.safetensors": (
        "product_ids", "product_order", "product_vectors", "product_bias", "popular",
        "streamer_ids", "streamer_order", "streamer_vectors",
    ),
}  # fmt: skip
"""Which arrays each file holds: the erasure of a user leaves `items` as it is, and no id is elsewhere."""
GATE_FILES: dict[str, tuple[str, ...]] = {
    "gate_users.safetensors": ("gate_user_vectors",),
    "gate_items.safetensors": ("gate_product_vectors", "gate_product_bias"),
}
"""What the model scores by that was not shown the held-out purchases: the next release is held against it.

Not every artifact has these, serving does not map them, and erasure leaves `gate_items` as it is.
"""
ARRAYS: dict[str, tuple[str, ...]] = {
    "user_ids": ("uint8", "users", ""),
    "user_order": ("int64", "users"),
    "user_vectors": ("float16", "users", "dimensions"),
    "slates": ("int32", "users", "slate"),
    "slate_scores": ("float32", "users", "slate"),
    "bought_indptr": ("int64", "row ends"),
    "bought_indices": ("int32", "buys"),
    "product_ids": ("uint8", "products", ""),
    "product_order": ("int64", "products"),
    "product_vectors": ("float16", "products", "dimensions"),
    "product_bias": ("float32", "products"),
    "popular": ("int32", ""),
    "streamer_ids": ("uint8", "streamers", ""),
    "streamer_order": ("int64", "streamers"),
    "streamer_vectors": ("float16", "streamers", "dimensions"),
}
"""Each array's type, and the axes that must be equally long wherever they are named."""
GATE_ARRAYS: dict[str, tuple[str, ...]] = {
    "gate_user_vectors": ("float16", "users", "dimensions"),
    "gate_product_vectors": ("float16", "products", "dimensions"),
    "gate_product_bias": ("float32", "products"),
}


def check_arrays(
    arrays: Mapping[str, NDArray[Any]],
    counts: Mapping[str, int],
    kinds: Mapping[str, tuple[str, ...]] = ARRAYS,
) -> None:
    """ValueError when a type is not of these kinds, or lengths contradict each other or the counts."""
    lengths = {axis: counts.get(axis, -1) for axis in ("users", "products", "streamers", "buys")}
    lengths["row ends"] = lengths["users"] + 1
    for name, (dtype, *axes) in kinds.items():
        array = arrays[name]
        expected = tuple(
            lengths.setdefault(axis, n) if axis else n for axis, n in zip(axes, array.shape, strict=False)
        )
        if array.dtype != dtype or array.ndim != len(axes) or array.shape != expected:
            raise ValueError(f"{name} has shape {array.shape} of {array.dtype}, not {expected} of {dtype}")
