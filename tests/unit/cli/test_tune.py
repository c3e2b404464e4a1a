"""`lsec tune` and what `lsec train` takes of it, on data that a test writes."""

import gzip
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from lsec.cli.hyperparameters import parse_settings
from lsec.cli.main import app
from lsec.cli.tune_data import read_data
from lsec.core.errors import InvalidInput
from tests.unit.training.markets import write_snapshot
from workers.training.presets import read_preset

QUICK = (
    "--set",
    "dimensions=8",
    "--set",
    "num_steps=6",
    "--set",
    "validate_every=3",
    "--search",
    "temperature",
)


def lsec(folder: Path, *arguments: str | Path) -> Result:
    env = {"LSEC_DATA_DIR": str(folder / "data"), "LSEC_TRAIN_THREADS": "1", "LSEC_DEVICE": "cpu"}
    nothing = {"LSEC_URL": None, "LSEC_API_KEY": None, "COLUMNS": "200"}
    return CliRunner().invoke(app, [str(each) for each in arguments], env=nothing | env)


def write_layout(folder: Path, *, seed: int = 0) -> Path:
    """A small folder in the paper's layout: 30 users, 20 products, lists of 6 with two that were bought."""
    rng = np.random.default_rng(seed)

    def write(part: str, name: str, header: str, rows: Sequence[tuple[object, ...]]) -> None:
        path = folder / part / f"{name}.tsv.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [header.replace(" ", "\t"), *("\t".join(map(str, row)) for row in rows)]
        path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))

    write("train", "user", "user", [(f"u{i}",) for i in range(30)])
    write("train", "item", "item", [(f"p{i}",) for i in range(20)])
    write("train", "streamer", "streamer", [(f"s{i}",) for i in range(3)])
    buys, lists = [], []
    for user in range(30):
        products = rng.permutation(20)
        buys += [(f"u{user}", f"p{p}") for p in products[:6]]
        lists += [(f"u{user}", f"p{p}", int(place < 2)) for place, p in enumerate(products[6:12])]
    lists.append(("stranger", "p1", 1))
    write("train", "user-item-buy", "user item", buys)
    write("train", "user-streamer-follow", "user streamer", [(f"u{i}", f"s{i % 3}") for i in range(30)])
    write("train", "streamer-item-sell", "streamer item", [(f"s{i % 3}", f"p{i}") for i in range(20)])
    write("val", "user-item-buy", "user item value", lists)
    return folder


def test_a_search_on_a_run_leaves_a_preset_and_goes_on(tmp_path: Path) -> None:
    write_snapshot(tmp_path / "data" / "runs" / "trn_1" / "snapshot")
    first = lsec(tmp_path, "tune", "trn_1", "--trials", "2", *QUICK, "--save-as", "spring", "--json")
    assert first.exit_code == 0, first.output
    answer = msgspec.json.decode(first.stdout)
    assert answer["study"].endswith("data/studies/trn_1-cosine-gcn.journal")
    assert [each["number"] for each in answer["trials"]] == [0, 1]
    best = max(each["value"] for each in answer["trials"])
    assert answer["best"]["found"]["validation_ndcg@10"] == best
    preset = read_preset(tmp_path / "data" / "presets", "spring")
    assert asdict(preset) == answer["best"]
    assert preset.model == "cosine-gcn"
    assert preset.hyperparameters.keys() == {"dimensions", "num_steps", "validate_every", "temperature"}
    second = lsec(tmp_path, "tune", "trn_1", "--trials", "3", *QUICK)
    assert second.exit_code == 0, second.output
    assert "Going on after 2 trials" in second.output
    assert "All 3 trials are done" in second.output
    assert "validation NDCG@10" in second.output


def test_it_reads_the_papers_layout_with_the_lists_of_val_and_never_those_of_test(tmp_path: Path) -> None:
    folder = write_layout(tmp_path / "tiny")
    (folder / "test").mkdir()
    (folder / "test" / "user-item-buy.tsv").write_text("not a table")
    data, validation = read_data(folder, runs=tmp_path, snapshots=tmp_path)
    assert validation is not None
    assert (data.num_users, data.num_products, data.num_streamers) == (30, 20, 3)
    assert (len(data.buys), len(data.follows), len(data.sells)) == (180, 30, 20)
    assert (len(validation.lists), len(validation.held_out)) == (30, 60)
    assert validation.lists.products.shape == (30, 6)
    result = lsec(tmp_path, "tune", folder, "--trials", "1", *QUICK)
    assert result.exit_code == 0, result.output


def test_what_cannot_be_tuned_on_is_named(tmp_path: Path) -> None:
    nowhere = lsec(tmp_path, "tune", tmp_path / "nowhere")
    assert (nowhere.exit_code, "neither a snapshot, nor a run with one" in nowhere.output) == (1, True)
    unknown = lsec(tmp_path, "tune", tmp_path, "--set", "wings=2")
    assert (unknown.exit_code, "Unknown hyperparameters: wings" in unknown.output) == (1, True)
    name = lsec(tmp_path, "tune", tmp_path, "--save-as", "../x")
    assert (name.exit_code, "no name of a preset" in name.output) == (1, True)
    model = lsec(tmp_path, "tune", tmp_path, "--model", "oracle")
    assert (model.exit_code, "no model 'oracle'" in model.output) == (1, True)
    write_snapshot(tmp_path / "empty", num_buys=0)
    empty = lsec(tmp_path, "tune", tmp_path / "empty")
    assert (empty.exit_code, "no purchases" in empty.output) == (1, True)
    write_snapshot(tmp_path / "some")
    late = lsec(tmp_path, "tune", tmp_path / "some", "--minutes", "0", *QUICK)
    assert (late.exit_code, "No trial ran to its end" in late.output) == (1, True)


def test_an_interrupt_ends_it_in_order(tmp_path: Path) -> None:
    write_snapshot(tmp_path / "some")
    endless = ("tune", tmp_path / "some", "--set", "num_steps=1000000", "--set", "patience=1000000")
    journal = tmp_path / "data" / "studies" / "some-cosine-gcn.journal"

    def interrupt_the_first_trial() -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if journal.exists() and b'"hyperparameters"' in journal.read_bytes():
                break
            time.sleep(0.05)
        signal.raise_signal(signal.SIGINT)

    watcher = threading.Thread(target=interrupt_the_first_trial)
    watcher.start()
    interrupted = lsec(tmp_path, *endless, "--minutes", "5")
    watcher.join()
    assert interrupted.exit_code == 1
    assert "Interrupted; the same command goes on" in interrupted.output
    again = lsec(tmp_path, *endless, "--minutes", "0")
    assert (again.exit_code, "No trial ran to its end" in again.output) == (1, True)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=0.3", 0.3), ("a=3", 3), ("a=1e-3", 0.001), ("a=.5,1,1", [0.5, 1, 1]), ("a=[0.5, 1]", [0.5, 1]),
        ("a=[1]", [1]), ("a = inner_product", "inner_product"),
    ],
)  # fmt: skip
def test_a_setting_is_read(text: str, value: object) -> None:
    [(name, read)] = parse_settings([text]).items()
    assert (name, read) == ("a", value)
    assert type(read) is type(value)


@pytest.mark.parametrize("texts", [["a"], ["=1"], ["a="], ["a=1", "a=2"], ["a=nan"], ["a=1,inf"]])
def test_a_setting_that_is_none_is_refused(texts: list[str]) -> None:
    with pytest.raises(InvalidInput):
        parse_settings(texts)


def test_the_command_line_starts_without_torch_and_optuna() -> None:
    program = "import sys, lsec.cli.main; sys.exit(any(n in sys.modules for n in ('torch', 'optuna')))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
