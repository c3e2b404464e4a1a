"""Snapshots are read as they are, or refused with a reason."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lsec.core.errors import Untrainable
from tests.unit.training.markets import market, write_snapshot
from workers.training.data import read_snapshot
from workers.training.hyperparameters import Hyperparameters


def test_repeated_purchases_collapse_into_their_count(tmp_path: Path) -> None:
    folder = write_snapshot(tmp_path / "s", num_users=2, num_products=3)
    table = pa.table({"user": [1, 0, 1, 1], "product": [2, 1, 2, 0], "at_ms": [1, 2, 3, 4]})
    pq.write_table(table, folder / "buys.parquet")
    data = read_snapshot(folder)
    assert data.buys.sources.tolist() == [0, 1, 1]
    assert data.buys.targets.tolist() == [1, 0, 2]
    assert data.buys.counts.tolist() == [1, 1, 2]
    assert data.popular_order().tolist() == [2, 0, 1]


def test_ids_beyond_ascii_survive(tmp_path: Path) -> None:
    folder = write_snapshot(tmp_path / "s", num_streamers=1, num_follows=0)
    pq.write_table(pa.table({"index": [0], "id": ["主播 é"]}), folder / "streamers.parquet")
    assert read_snapshot(folder).streamer_ids.tolist() == ["主播 é".encode()]


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [({"num_buys": 0}, "no purchases"), ({"num_products": 1}, "at least 2 products")],
)
def test_too_little_to_learn_from_is_refused(tmp_path: Path, sizes: dict[str, int], reason: str) -> None:
    with pytest.raises(Untrainable, match=reason):
        market(tmp_path, **sizes)


def test_a_row_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    folder = write_snapshot(tmp_path / "s")
    pq.write_table(pa.table({"user": [0], "product": [40], "at_ms": [0]}), folder / "buys.parquet")
    with pytest.raises(Untrainable, match="product row that does not exist"):
        read_snapshot(folder)


def test_a_damaged_or_newer_snapshot_is_refused(tmp_path: Path) -> None:
    folder = write_snapshot(tmp_path / "s")
    (folder / "buys.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(Untrainable, match=r"buys\.parquet"):
        read_snapshot(folder)
    (folder / "manifest.json").write_text(json.dumps({"version": 1}))
    with pytest.raises(Untrainable, match="version 1"):
        read_snapshot(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(Untrainable, match="manifest"):
        read_snapshot(folder)


@pytest.mark.parametrize(
    "overrides",
    [
        {"dimension": 3},
        {"dimensions": 0},
        {"dimensions": 1.5},
        {"num_steps": True},
        {"layer_weights": []},
        {"validation_split": "weekly"},
    ],
)
def test_a_hyperparameter_out_of_bounds_is_refused(overrides: dict[str, object]) -> None:
    with pytest.raises(Untrainable, match=next(iter(overrides))):
        Hyperparameters.from_mapping(overrides)


def test_hyperparameters_survive_json() -> None:
    values = Hyperparameters.from_mapping({"dimensions": 16, "layer_weights": [1, 0.5]})
    assert Hyperparameters.from_mapping(json.loads(json.dumps(values.to_dict()))) == values
