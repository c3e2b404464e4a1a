"""A small release with its catalog, in memory."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.memory_release import artifact_in_memory
from lsec.core.artifact import Artifact
from lsec.core.id_index import IdIndex
from lsec.serving.catalog import Catalog, ProductState
from lsec.serving.shelf import Shelf

SLATE_LENGTH = 8
NOW_MS = 1_000_000


def index(ids: Sequence[str]) -> IdIndex:
    packed = np.array([id_.encode() for id_ in ids] or [], dtype=np.bytes_)
    found = IdIndex(packed, np.argsort(packed))
    found.hash()
    return found


def product(
    product_id: str,
    *,
    categories: Sequence[str] = (),
    sellers: Sequence[str] = (),
    in_stock: bool = True,
    is_hidden: bool = False,
    expires_ms: int | None = None,
) -> ProductState:
    return ProductState(product_id, is_hidden, in_stock, expires_ms, categories, sellers)


def artifact(
    products: Sequence[str],
    *,
    bought: Mapping[str, Sequence[int]],
    slates: Mapping[str, Sequence[int]] | None = None,
    streamers: Sequence[str] = ("s1", "s2"),
    dimensions: int = 8,
    seed: int = 0,
) -> Artifact:
    """Users are those who bought product rows; vectors are random; slates are scored 10, 9, 8…"""
    rng = np.random.default_rng(seed)
    users = list(bought)
    slate_rows = np.full((len(users), SLATE_LENGTH), -1, np.int32)
    scores = np.full((len(users), SLATE_LENGTH), -np.inf, np.float32)
    for row, user in enumerate(users):
        slate = list((slates or {}).get(user, ()))
        slate_rows[row, : len(slate)], scores[row, : len(slate)] = slate, 10 - np.arange(len(slate))
    counts = [len(rows) for rows in bought.values()]
    buys = np.array([row for rows in bought.values() for row in rows], np.int32)
    degrees = np.bincount(buys, minlength=len(products))

    def vectors(num: int) -> Any:
        drawn = rng.normal(size=(num, dimensions))
        return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float16)

    ids = {"user": users, "product": list(products), "streamer": list(streamers)}
    arrays: dict[str, Any] = {}
    for kind, names in ids.items():
        found = index(names)
        arrays[f"{kind}_ids"], arrays[f"{kind}_order"] = found.ids, found.order
        arrays[f"{kind}_vectors"] = vectors(len(names))
    arrays |= {
        "product_bias": np.zeros(len(products), np.float32),
        "slates": slate_rows,
        "slate_scores": scores,
        "bought_indptr": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        "bought_indices": buys,
        "popular": np.argsort(-degrees, kind="stable").astype(np.int32),
    }
    return artifact_in_memory(arrays, release_id="rel_1", training_id="trn_1")


def shelf(released: Artifact, states: Sequence[ProductState]) -> Shelf:
    catalog = Catalog(released.products)
    catalog.fill(states, now_ms=NOW_MS)
    shelf = Shelf(released, catalog)
    shelf.take_in_new()
    return shelf
