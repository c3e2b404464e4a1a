"""The benchmark of the training's speed writes the figures that it promises."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.authors import (
    GIVEN,
    AuthorsUnavailable,
    environment_folder,
    installed_python,
    train_authors,
    write_layout,
)
from bench.authors_driver import read_val_lists
from bench.default_training import QUICK, reach, train, val_quality
from bench.fresh_process import PartFailed, run_fresh
from bench.layout import DataSet, read_set
from bench.small_market import small_sets
from lsec.core.errors import InvalidInput
from tests.unit.bench.test_layout import ids_of
from workers.training.evaluation import popularity_scorer

ROOT = Path(__file__).parents[3]
PEAK_OF_A_FRESH_PROCESS = "from bench.fresh_process import peak_mb; print(peak_mb())"
FORGETTING = """
import numpy as np
from bench.fresh_process import forget_peak, peak_mb

def hold_for_a_moment():
    assert np.ones(300 << 17).sum() > 0

hold_for_a_moment()
before = peak_mb()
forget_peak()
after = peak_mb()
assert after < before - 200, (before, after)
hold_for_a_moment()
assert peak_mb() > after + 200
"""


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "bench/training.py", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture
def small() -> DataSet:
    return small_sets()[0]


@pytest.mark.bench
def test_a_quick_run_writes_all_figures_and_draws_the_scaling(tmp_path: Path) -> None:
    path, image = tmp_path / "out" / "training.json", tmp_path / "images" / "scaling.svg"
    done = run("--quick", "--json", str(path), "--plot", str(image))
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(path.read_text())
    assert set(figures) == {"machine", "small", "scaling"}
    small = figures["small"]
    assert small["seconds"] > 0
    assert small["peak_mb"] >= small["peak_before_training_mb"] > 0
    assert 0 < small["floor_ms"] == pytest.approx(small["floor_share"] * small["step_ms"])
    assert small["sparse to users, gather and scatter / embedding_bag"] > 0
    assert {"slope", "bytes_per_edge", "machine_max_edges", "step_ms@10000"} <= set(figures["scaling"])
    assert "full batch no longer fits" in " ".join(done.stdout.split())
    assert "<svg" in image.read_text()
    assert "a default training" in done.stderr


@pytest.mark.slow
def test_without_data_the_help_says_what_to_give() -> None:
    done = run()
    assert done.returncode == 2
    assert "--data DIR, or --quick" in done.stderr


@pytest.mark.slow
def test_a_folder_without_data_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    done = run("--data", str(tmp_path))
    assert done.returncode == 1
    assert "There is no data set in" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_default_model_is_as_good_as_asked_at_the_step_that_is_told(small: DataSet) -> None:
    assert small.val is not None
    popular = val_quality(popularity_scorer(small.train), small)
    reached = reach(small, popular, QUICK)
    assert reached.ndcg >= popular
    assert reached.seconds > 0
    best = reach(small, 1.0, QUICK)
    assert best.ndcg < 1
    assert best.ndcg >= reached.ndcg
    assert reached.steps <= best.steps <= QUICK["num_steps"]
    assert reach(small, best.ndcg, QUICK).steps == best.steps


def test_a_training_tells_its_seconds_and_what_it_is_worth(small: DataSet) -> None:
    figures = train(small, QUICK)
    assert figures["steps"] in range(1, QUICK["num_steps"] + 1)
    assert 0 < figures["val_ndcg@10"] <= 1
    assert figures["seconds"] > 0


def test_without_a_val_part_there_is_no_quality_to_reach() -> None:
    plain = small_sets()[1]
    with pytest.raises(InvalidInput, match="no val part"):
        reach(plain, 0.5, QUICK)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of one program")
def test_the_peak_of_a_fresh_process_is_its_own() -> None:
    held = np.ones(400 << 17)
    command = [sys.executable, "-c", PEAK_OF_A_FRESH_PROCESS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert 5 < float(done.stdout) < 200
    assert held[-1] == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_a_forgotten_peak_counts_anew() -> None:
    subprocess.run([sys.executable, "-c", FORGETTING], cwd=ROOT, check=True)


@pytest.mark.slow
def test_a_part_that_fails_is_told_from_one_without_memory() -> None:
    with pytest.raises(PartFailed, match="exit status 1") as failed:
        run_fresh("bench.no_such_part")
    assert not failed.value.is_out_of_memory
    assert PartFailed("bench.step", -9).is_out_of_memory


def test_the_authors_get_the_same_graph_and_lists_by_row(small: DataSet, tmp_path: Path) -> None:
    write_layout(small, tmp_path)
    again = read_set(tmp_path)
    theirs, ours = again.train, small.train
    for relation, sources, targets in (
        ("buys", "user_ids", "product_ids"),
        ("follows", "user_ids", "streamer_ids"),
        ("sells", "streamer_ids", "product_ids"),
    ):
        assert ids_of(
            getattr(theirs, relation), getattr(theirs, sources), getattr(theirs, targets)
        ) == ids_of(getattr(ours, relation), getattr(ours, sources), getattr(ours, targets))
    assert again.test is not None
    assert small.val is not None
    lists = read_val_lists(tmp_path)
    assert np.array_equal(lists.users, small.val.users)
    assert np.array_equal(lists.products, small.val.products)
    assert np.array_equal(lists.is_positive, small.val.is_positive)


def test_where_the_authors_code_cannot_be_installed_a_sentence_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AuthorsUnavailable, match="cannot be installed"):
        installed_python(tmp_path / "file" / "environment")
    assert environment_folder().name.startswith("rechub-0.0.5")
    assert not GIVEN["lastfm"].is_measured


@pytest.mark.slow
@pytest.mark.parametrize("command", ["false", "true"])
def test_a_training_of_theirs_that_tells_nothing_is_unavailable(small: DataSet, command: str) -> None:
    found = shutil.which(command)
    assert found is not None
    with pytest.raises(AuthorsUnavailable, match="ended with status"):
        train_authors(small, minutes=0.01, max_threads=1, python=Path(found))
