"""The benchmark of the model's quality writes the figures that it promises."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.quality import Measured, gains, mean_of, measured, train_by_paper
from bench.small_market import small_sets
from tests.unit.bench.test_layout import TABLES, write
from workers.training.evaluation import popularity_scorer
from workers.training.progress import Progress

ROOT = Path(__file__).parents[3]
LIST_FIGURES = {"auc", "mrr", "ndcg@10", "ndcg@50", "recall@10", "recall@50"}
FULL_RANKING_FIGURES = {"recall@20", "ndcg@20"}


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "bench/model.py", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def figures_with_intervals(of_object: dict[str, Any]) -> set[str]:
    """The names of the figures with an interval, which must be around them."""
    names = {name.removesuffix("_interval") for name in of_object if name.endswith("_interval")}
    for name in names:
        low, high = of_object[f"{name}_interval"]
        assert low <= of_object[name] <= high
    return names


@pytest.mark.slow
def test_a_quick_run_writes_all_figures_with_their_intervals(tmp_path: Path) -> None:
    path = tmp_path / "out" / "model.json"
    done = run("--quick", "--baselines", "--seeds", "2", "--json", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(path.read_text())
    assert set(figures) == {"small", "small-split"}
    assert figures_with_intervals(figures["small"]) == LIST_FIGURES | {"gain"}
    assert figures_with_intervals(figures["small-split"]) == FULL_RANKING_FIGURES
    assert {f"val_{name}" for name in LIST_FIGURES} <= set(figures["small"])
    without = figures["small"]["without_follows_sells"]
    assert figures_with_intervals(without) == LIST_FIGURES | {f"{name}_gain" for name in LIST_FIGURES}
    gain = figures["small"]["ndcg@10"] - without["ndcg@10"]
    assert without["ndcg@10_gain"] == pytest.approx(gain, abs=1e-12)
    assert figures["small"]["gain"] == without["ndcg@10_gain"]
    assert figures["small"]["gain_interval"] == without["ndcg@10_gain_interval"]
    assert figures["small"]["gain_share"] == pytest.approx(gain / without["ndcg@10"])
    assert not {"gain", "without_follows_sells"} & set(figures["small-split"])
    assert figures["small"]["ndcg@10"] > figures["small"]["popularity"]["ndcg@10"]
    assert figures["small"]["seconds"] > 0
    assert "| item-knn |" in done.stdout
    assert "seed 1 took" in done.stderr


@pytest.mark.slow
def test_a_set_that_misses_a_table_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    write(tmp_path / "whole", TABLES)
    write(tmp_path / "broken", {name: text for name, text in TABLES.items() if name != "train/item"})
    done = run("--data", str(tmp_path))
    assert done.returncode == 1
    assert "There is no item.tsv" in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout


@pytest.mark.slow
def test_without_data_the_help_says_what_to_give() -> None:
    done = run()
    assert done.returncode == 2
    assert "--data DIR, or --quick" in done.stderr


def of_one_figure(*values: float) -> Measured:
    return Measured({"ndcg@10": np.array(values)}, {}, seconds=2.0)


def test_the_interval_is_over_users_of_their_mean_over_trainings() -> None:
    both = mean_of([of_one_figure(0.1, 0.5, 0.9), of_one_figure(0.3, 0.7, 1.0)])
    users = np.array([0.2, 0.6, 0.95])
    error = 1.96 * users.std(ddof=1) / 3**0.5
    summary = both.summary()
    assert summary["ndcg@10"] == pytest.approx(users.mean())
    assert summary["ndcg@10_interval"] == pytest.approx(
        [users.mean() - error, users.mean() + error], abs=1e-4
    )
    assert summary["seconds"] == 2.0


def test_a_gain_that_all_users_share_is_sure_though_they_differ() -> None:
    users = np.random.default_rng(0).random(200)
    gain = gains(of_one_figure(*(users + 0.01)), of_one_figure(*users))
    assert gain["ndcg@10_gain"] == pytest.approx(0.01)
    assert gain["ndcg@10_gain_interval"] == pytest.approx([0.01, 0.01])


def test_each_protocol_is_measured_as_the_set_has_it() -> None:
    listed, plain = small_sets()
    both = [measured(popularity_scorer(data.train), data, seconds=0.0) for data in (listed, plain)]
    assert [set(result.test) for result in both] == [LIST_FIGURES, FULL_RANKING_FIGURES]
    assert [set(result.val) for result in both] == [LIST_FIGURES, set()]
    assert listed.test is not None
    assert plain.test_pairs is not None
    assert len(both[0].test["auc"]) == len(listed.test)
    assert len(both[1].test["ndcg@20"]) == len(np.unique(plain.test_pairs.sources))


@pytest.mark.slow
def test_a_training_as_the_papers_ends_when_its_time_is_over_with_the_best_of_it() -> None:
    told: list[Progress] = []
    data = small_sets()[0]
    result = train_by_paper(
        data,
        "lightgcn",
        minutes=1e-9,
        device=torch.device("cpu"),
        overrides={"num_steps": 50, "validate_every": 10},
        on_progress=told.append,
    )
    assert [progress.message.split(",")[0] for progress in told] == ["step 1"]
    assert f"best {result.val['ndcg@10'].mean():.4f}" in told[0].message
