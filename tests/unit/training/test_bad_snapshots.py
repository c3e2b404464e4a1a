"""A bad snapshot gets a clear error, a poor one a sensible model; neither a crash in the middle."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lsec.core.artifact import Artifact, open_artifact
from lsec.core.errors import Untrainable
from tests.unit.training.markets import write_edges, write_snapshot
from workers.training.data import COLUMNS
from workers.training.run import run

FEW_STEPS = {"dimensions": 8, "num_steps": 6, "validate_every": 3}
NOTHING: list[tuple[int, int]] = []
Spoil = Callable[[Path], None]


def run_folder(folder: Path) -> Path:
    """A run of a healthy small market, to be spoilt."""
    write_snapshot(folder / "snapshot", num_users=12, num_products=8, num_streamers=3, num_buys=60)
    job = {
        "training_id": "trn_1",
        "release_id": "rel_1",
        "model": "cosine-gcn",
        "seed": 3,
        "device": "cpu",
        "threads": 1,
        "slate_length": 4,
        "hyperparameters": FEW_STEPS,
    }
    (folder / "job.json").write_text(json.dumps(job))
    return folder


def trained(folder: Path) -> Artifact:
    run(folder)
    return open_artifact(folder / "artifact", verify=True)


def rewrite(name: str, change: Callable[[pa.Table], pa.Table]) -> Spoil:
    """Puts a changed table in the place of a file's."""

    def spoil(snapshot: Path) -> None:
        path = snapshot / f"{name}.parquet"
        pq.write_table(change(pq.read_table(path)), path)

    return spoil


def with_column(name: str, column: str, values: Callable[[int], pa.Array]) -> Spoil:
    """Puts other values in the place of a column's."""

    def change(table: pa.Table) -> pa.Table:
        place = table.column_names.index(column)
        return table.set_column(place, column, values(table.num_rows))

    return rewrite(name, change)


def without_rows(name: str) -> Spoil:
    return rewrite(name, lambda table: table.slice(0, 0))


def manifest(text: str) -> Spoil:
    def spoil(snapshot: Path) -> None:
        (snapshot / "manifest.json").write_text(text)

    return spoil


def cut_off(snapshot: Path) -> None:
    path = snapshot / "buys.parquet"
    path.write_bytes(path.read_bytes()[:100])


BAD: dict[str, tuple[Spoil, str]] = {
    "no users": (without_rows("users"), r"names a user row that does not exist"),
    "no products": (without_rows("products"), r"names a product row that does not exist"),
    "no streamers, but followings": (without_rows("streamers"), r"names a streamer row that does not exist"),
    "no purchases": (without_rows("buys"), r"no purchases.*Widen"),
    "an id named twice": (
        with_column("users", "id", lambda n: pa.array(["u0"] * n)), r"users.*names an id twice",
    ),
    "an id that is missing": (
        with_column("products", "id", lambda n: pa.array([None] * n, pa.string())), r"products.*no value.*id",
    ),
    "ids that are no text": (
        with_column("users", "id", lambda n: pa.array([1.5] * n)), r"users.*cannot be read",
    ),
    "an edge past the last row": (
        with_column("buys", "user", lambda n: pa.array([10**6] * n)), r"buys.*names a user row",
    ),
    "an edge before the first row": (
        with_column("sells", "product", lambda n: pa.array([-1] * n)), r"sells.*names a product row",
    ),
    "an edge without an end": (
        with_column("buys", "product", lambda n: pa.array([None] * n, pa.int32())),
        r"buys.*no value.*product",
    ),
    "an edge to a fraction": (
        with_column("buys", "user", lambda n: pa.array([0.5] * n)), r"buys.*cannot be read",
    ),
    "an edge to a word": (
        with_column("follows", "user", lambda n: pa.array(["u"] * n)), r"follows.*cannot be read",
    ),
    "a file that is cut off": (cut_off, r"buys.*cannot be read"),
    "a manifest that is no JSON": (manifest("{"), r"manifest cannot be read"),
    "a manifest that is no object": (manifest("[]"), r"manifest is not a JSON object"),
    "positions that lack something": (manifest('{"positions": [{"shard": 0}]}'), r"positions .* cannot"),
    "a manifest without a version": (manifest("{}"), r"version None"),
    "a snapshot of another version": (manifest('{"version": 99, "sha256": "x"}'), r"version 99"),
}  # fmt: skip
for table in ("users", "products", "streamers", *COLUMNS):
    BAD[f"without {table}"] = (
        lambda snapshot, table=table: (snapshot / f"{table}.parquet").unlink(),  # type: ignore[misc]  # bound now
        rf"{table}.*cannot be read",
    )
for table, names in COLUMNS.items():
    BAD[f"{table} without {names[-1]}"] = (
        rewrite(table, lambda rows: rows.drop_columns([rows.column_names[-1]])),
        rf"{table}.*cannot be read",
    )


@pytest.mark.parametrize(("spoil", "message"), BAD.values(), ids=BAD)
def test_a_bad_snapshot_is_refused_by_name(tmp_path: Path, spoil: Spoil, message: str) -> None:
    folder = run_folder(tmp_path)
    spoil(folder / "snapshot")
    with pytest.raises(Untrainable, match=message):
        run(folder)
    assert not (folder / "artifact").exists()


def market_of(
    folder: Path,
    buys: list[tuple[int, int]],
    *,
    sizes: tuple[int, int, int],
    follows: list[tuple[int, int]] = NOTHING,
    sells: list[tuple[int, int]] = NOTHING,
) -> Path:
    """A run of exactly this market."""
    run_folder(folder)
    for name, size in zip(("users", "products", "streamers"), sizes, strict=True):
        ids = pa.array([f"{name[0]}{i}" for i in range(size)], pa.string())
        pq.write_table(
            pa.table({"index": list(range(size)), "id": ids}), folder / "snapshot" / f"{name}.parquet"
        )
    relations = {"buys": buys, "follows": follows, "sells": sells, "watched": NOTHING, "viewed": NOTHING}
    for name, pairs in relations.items():
        sources, targets = np.array(pairs, np.int64).reshape(-1, 2).T
        write_edges(folder / "snapshot", name, sources, targets)
    return folder


def test_one_product_is_too_little_to_rank(tmp_path: Path) -> None:
    with pytest.raises(Untrainable, match=r"at least 2 products, the snapshot has 1"):
        run(market_of(tmp_path, [(0, 0), (1, 0)], sizes=(2, 1, 0)))


TINY: dict[str, dict[str, Any]] = {
    "one user, who bought one of two products": {"buys": [(0, 0)], "sizes": (1, 2, 0)},
    "one user, who bought both products": {"buys": [(0, 0), (0, 1)], "sizes": (1, 2, 0)},
    "one user with many products": {"buys": [(0, i) for i in range(6)], "sizes": (1, 9, 1)},
    "users and products without edges": {"buys": [(1, 1), (1, 2), (2, 1)], "sizes": (5, 6, 2)},
    "everybody bought everything": {"buys": [(u, p) for u in range(4) for p in range(3)], "sizes": (4, 3, 0)},
    "nobody bought what another did": {"buys": [(u, u) for u in range(5)], "sizes": (5, 5, 0)},
    "one streamer whom all follow": {
        "buys": [(u, p) for u in range(4) for p in (u % 3, 3)], "sizes": (4, 5, 1),
        "follows": [(u, 0) for u in range(4)], "sells": [(0, p) for p in range(5)],
    },
    "followers who never bought": {
        "buys": [(0, 0), (0, 1), (0, 2)], "sizes": (3, 4, 2), "follows": [(1, 0), (2, 1)],
    },
}  # fmt: skip


@pytest.mark.parametrize("tiny", TINY.values(), ids=TINY)
def test_a_tiny_market_gives_an_artifact_that_serves(tmp_path: Path, tiny: dict[str, Any]) -> None:
    artifact = trained(market_of(tmp_path, **tiny))
    num_users, num_products, num_streamers = tiny["sizes"]
    assert artifact.user_vectors.shape[0] == num_users
    assert artifact.product_vectors.shape[0] == num_products
    assert artifact.streamer_vectors.shape[0] == num_streamers
    for vectors in (artifact.user_vectors, artifact.product_vectors, artifact.streamer_vectors):
        assert np.isfinite(vectors).all()
    bought = {user: {p for u, p in tiny["buys"] if u == user} for user in range(num_users)}
    for user, products in bought.items():
        slate = artifact.slates[user][artifact.slates[user] >= 0].tolist()
        assert not set(slate) & products
        assert len(slate) == (min(4, num_products - len(products)) if products else 0)
    assert artifact.manifest.metrics["stopped_because"]


def test_edges_told_twice_change_nothing(tmp_path: Path) -> None:
    once = trained(run_folder(tmp_path / "once"))
    twice_folder = run_folder(tmp_path / "twice")
    for name in COLUMNS:
        rewrite(name, lambda table: pa.concat_tables([table, table]))(twice_folder / "snapshot")
    twice = trained(twice_folder)
    assert np.array_equal(once.user_vectors, twice.user_vectors)
    assert np.array_equal(once.slates, twice.slates)
