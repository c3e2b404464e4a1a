"""The search for hyperparameters: bounded, kept, resumed, and no worse than the default."""

import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lsec.core.errors import Conflict, InvalidInput, Untrainable
from tests.unit.training.markets import interactions, market
from workers.training.data import Interactions
from workers.training.hyperparameters import Hyperparameters
from workers.training.model_hyperparameters import hyperparameters_of
from workers.training.search_space import Choice, Range, search_space
from workers.training.tune import Question, Trial, open_search

pytestmark = pytest.mark.slow

FIXED = {"dimensions": 8, "num_steps": 9, "validate_every": 3}
ONLY = ("temperature", "layer_weights")
ENDLESS = 60.0


def question(data: Interactions, **changes: object) -> Question:
    space = search_space(hyperparameters_of("cosine-gcn", FIXED), only=ONLY, fixed=FIXED)
    return replace(Question(data, "cosine-gcn", space, fixed=FIXED), **changes)  # type: ignore[arg-type]  # as given


def tried(path: Path, asked: Question, *, num_trials: int, minutes: float = ENDLESS) -> list[Trial]:
    with open_search(path, asked, threads=1) as search:
        return list(search.run(num_trials=num_trials, minutes=minutes))


def settings_of(trials: list[Trial]) -> list[tuple[dict[str, object], float | None]]:
    return [(each.hyperparameters, each.value) for each in trials]


def test_the_best_is_no_worse_than_the_default_which_is_tried_first(tmp_path: Path) -> None:
    path = tmp_path / "s.journal"
    trials = tried(path, question(market(tmp_path)), num_trials=4)
    assert len(trials) == 4
    defaults = Hyperparameters()
    assert trials[0].hyperparameters == {
        "temperature": defaults.temperature, "layer_weights": list(defaults.layer_weights)
    }  # fmt: skip
    with open_search(path, question(market(tmp_path / "again")), threads=1) as search:
        best = search.best
    assert best is not None
    values = [each.value for each in trials if each.value is not None]
    assert best.value == max(values)
    assert all(0 <= value <= 1 for value in values)


def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    data = market(tmp_path)
    at_once = tried(tmp_path / "once.journal", question(data), num_trials=5)
    path = tmp_path / "twice.journal"
    first = tried(path, question(data), num_trials=2)
    second = tried(path, question(data), num_trials=5)
    assert (len(first), len(second)) == (2, 3)
    assert settings_of(first + second) == settings_of(at_once)
    assert tried(path, question(data), num_trials=5) == []


def test_time_bounds_it_and_what_it_breaks_off_is_tried_again(tmp_path: Path) -> None:
    data, path = market(tmp_path), tmp_path / "s.journal"
    assert tried(path, question(data), num_trials=3, minutes=0) == []
    endless = question(data, fixed=FIXED | {"num_steps": 10**6, "patience": 10**6})
    started = time.monotonic()
    assert tried(tmp_path / "e.journal", endless, num_trials=3, minutes=0.005) == []
    assert time.monotonic() - started < 20
    [first] = tried(path, question(data), num_trials=1)
    assert first.hyperparameters["temperature"] == Hyperparameters().temperature


def search_until_killed(path: Path, asked: Question) -> None:
    tried(path, asked, num_trials=1000)


def test_a_search_that_was_killed_goes_on(tmp_path: Path) -> None:
    data, path = market(tmp_path), tmp_path / "s.journal"
    process = multiprocessing.get_context("spawn").Process(
        target=search_until_killed, args=(path, question(data))
    )
    process.start()
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (
        not path.exists() or path.read_bytes().count(b'"hyperparameters"') < 3
    ):
        time.sleep(0.05)
    assert process.pid is not None
    with pytest.raises(Conflict, match="Another process"), open_search(path, question(data), threads=1):
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with path.open("ab") as file:
        file.write(b'{"op_code": 4, "half a li')
    with open_search(path, question(data), threads=1) as search:
        num_before = len(search.trials)
        assert num_before >= 2
        [next_trial] = search.run(num_trials=num_before + 1, minutes=ENDLESS)
    at_once = tried(tmp_path / "once.journal", question(data), num_trials=num_before + 1)
    assert settings_of([next_trial]) == settings_of(at_once[-1:])


def test_a_study_of_another_question_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.journal"
    tried(path, question(market(tmp_path)), num_trials=1)
    with pytest.raises(InvalidInput, match="other data"):
        tried(path, question(market(tmp_path / "other", seed=1)), num_trials=2)
    with pytest.raises(InvalidInput, match="other data"):
        tried(path, question(market(tmp_path / "same"), num_seeds=2), num_trials=2)


def test_what_cannot_learn_is_a_failed_trial_with_its_reason(tmp_path: Path) -> None:
    default = Hyperparameters().bias_learning_rate
    half_bad = question(market(tmp_path), space={"bias_learning_rate": Choice((default, 5.0))})
    trials = tried(tmp_path / "s.journal", half_bad, num_trials=6)
    assert len(trials) == 6
    failed = [each for each in trials if each.outcome == "failed"]
    assert failed
    assert all(each.value is None and "bias_learning_rate must be" in each.reason for each in failed)


def test_several_seeds_are_averaged(tmp_path: Path) -> None:
    data = market(tmp_path)
    singles = [
        tried(tmp_path / f"{seed}.journal", question(data, seed=seed), num_trials=1)[0].value
        for seed in (0, 1)
    ]
    [both] = tried(tmp_path / "both.journal", question(data, num_seeds=2), num_trials=1)
    assert None not in singles
    assert both.value == pytest.approx(sum(value or 0 for value in singles) / 2)


def test_data_that_leaves_nothing_to_validate_on_is_refused(tmp_path: Path) -> None:
    alone = interactions([(0, 0), (1, 1)], num_users=2, num_products=3)
    with pytest.raises(Untrainable, match="purchases to hold out"):
        tried(tmp_path / "s.journal", question(alone), num_trials=1)


def test_a_bad_trial_is_pruned(tmp_path: Path) -> None:
    data = market(tmp_path, num_users=100, num_products=60, num_buys=900)
    fixed = FIXED | {"num_steps": 40, "validate_every": 5, "patience": 100}
    wide = question(data, fixed=fixed, space={"learning_rate": Range(1e-7, 0.05, log=True)})
    trials = tried(tmp_path / "s.journal", wide, num_trials=14)
    pruned = [each for each in trials if each.outcome == "pruned"]
    assert pruned
    assert all("below the median" in each.reason and each.value is None for each in pruned)


def test_the_space_holds_the_default_and_keeps_to_the_bounds() -> None:
    space = search_space(hyperparameters_of("cosine-gcn", {"temperature": 3.0, "dimensions": 7}))
    assert isinstance(space["temperature"], Range)
    assert space["temperature"].high == 3.0
    assert isinstance(space["dimensions"], Choice)
    assert 7 in space["dimensions"].values
    for name, dimension in search_space(hyperparameters_of("het-gcn", {})).items():
        values = dimension.values if isinstance(dimension, Choice) else (dimension.low, dimension.high)
        for value in values:
            hyperparameters_of("het-gcn", {name: json.loads(json.dumps(value))})
    with pytest.raises(InvalidInput, match="no search over num_steps, wings"):
        search_space(Hyperparameters(), only=("wings", "num_steps"))
    with pytest.raises(InvalidInput, match="Nothing is left"):
        search_space(Hyperparameters(), only=("temperature",), fixed={"temperature": 1})
