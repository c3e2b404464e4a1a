"""How well the platform's model ranks, with intervals, beside plain baselines and the paper's models.

`python bench/model.py --data DIR [--set NAME] [--seeds N] [--json FILE]` trains the default model with its
default setting on every data set in DIR, or on the one, N times by seeds 0 to N-1, and evaluates on the
test part. A set is a folder in the paper's layout (train/, val/, test/ with tab-separated tables, plain or
gzip) or a plain split (train.tsv and test.tsv with `user item` rows). DIR may be a set itself.

A set with candidate lists gives auc, mrr, ndcg@10, ndcg@50, recall@10 and recall@50 over its lists; a plain
split gives recall@20 and ndcg@20 among all products but those bought in the train part. Training sees the
train part alone: it holds a tenth of it out to find the number of steps, and then trains on all of it.

The JSON has an object for each set. A figure is the mean over users and trainings, and its sibling
`…_interval` is [low, high], the 95 % interval over users: mean ± 1.96 standard errors of the users' means
over the trainings. `val_…` are the same figures on the val part, by which nothing is chosen but, as in the
paper, the end of its own models; `seconds` is a training's wall time. Baselines, models of the paper and
`without_…` are objects within the set's.

Where a set has follows or sells, the same trainings are run without both: `gain` is the NDCG@10 that they
give, over the same users and lists, `gain_interval` its 95 % interval by a paired bootstrap, and `gain_share`
the gain over what there is without them. After the sets in DIR comes `market`, a simulated market with
planted influence, split by time (`bench/market_set.py`).

    python bench/model.py --quick
    python bench/model.py --data ../shared/data --seeds 3 --json model.json
    python bench/model.py --data ../shared/data --set ciao --without follows
    python bench/model.py --data ../shared/data --set market --baselines
    python bench/model.py --data ../shared/data --set ciao --paper het-gcn --seeds 1 --no-gain
    python bench/model.py --data ../shared/data --table --minutes 20      (hours)
"""

import argparse
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bench.baselines import baselines_for
from bench.fresh_process import tell
from bench.layout import DataSet, data_sets, read_set
from bench.market_set import market_set
from bench.quality import Measured, Summary, gains, measured, train_by_paper, train_by_platform
from bench.report import Json, parser, show, write_json
from bench.small_market import small_sets
from lsec.core.errors import LsecError
from lsec.core.jobs import DEFAULT_MODEL, MODEL_NAMES, PAPER_MODELS
from lsec.core.metrics import means
from workers.training.data import no_pairs
from workers.training.memory import prepare_memory
from workers.training.progress import OnProgress, Progress

RELATIONS = ("follows", "sells", "watched", "viewed")
TRIPARTITE = ("follows", "sells")
"""What makes the graph more than one of users and products."""
MARKET = "market"
PROGRESS_EVERY_S = 10.0
LIST_FIGURES = {
    "auc": "AUC",
    "mrr": "MRR",
    "ndcg@10": "NDCG@10",
    "ndcg@50": "NDCG@50",
    "recall@10": "Recall@10",
    "recall@50": "Recall@50",
}
"""The table's columns, by figure."""
FULL_RANKING_FIGURES = {"recall@20": "Recall@20", "ndcg@20": "NDCG@20"}
QUICK = {"num_steps": 20, "validate_every": 10}


def main() -> None:
    """Runs set after set; what is known is written in any case."""
    options = arguments()
    chosen = options.parse_args()
    if not (chosen.data or chosen.quick):
        options.error("give --data DIR, or --quick for a small made-up market")
    prepare_memory()
    figures: dict[str, Json] = {}
    try:
        for data in chosen_sets(chosen):
            of_set: dict[str, Json] = {}
            figures[data.name] = of_set
            run(data, chosen, of_set)
    except LsecError as error:
        sys.exit(f"{error.title}: {error}")
    finally:
        write_json(figures, chosen.json)


def arguments() -> argparse.ArgumentParser:
    options = parser(__doc__)
    options.add_argument("--data", type=Path, metavar="DIR", help="folder with data sets, or a data set")
    options.add_argument("--set", default="", metavar="NAME", help="only this set")
    options.add_argument("--seeds", type=positive, default=3, metavar="N", help="trainings (default 3)")
    options.add_argument(
        "--model", choices=MODEL_NAMES, default=DEFAULT_MODEL, help="with its preset (default %(default)s)"
    )
    options.add_argument("--baselines", action="store_true", help="the plain baselines too")
    options.add_argument(
        "--paper",
        choices=PAPER_MODELS,
        action="append",
        default=[],
        help="this model of the paper too, chosen by the val part; give it again for more",
    )
    options.add_argument("--table", action="store_true", help="baselines and all the paper's models: long")
    options.add_argument(
        "--minutes",
        type=float,
        default=20.0,
        metavar="M",
        help="of each model of the paper by --paper or --table (default 20)",
    )
    options.add_argument(
        "--without",
        choices=RELATIONS,
        action="append",
        default=[],
        help="train also without this relation, for the paired gain from it; give it again to take out more "
        "(default: follows and sells)",
    )
    options.add_argument("--device", type=torch.device, default="cpu", help="to train on (cuda; default cpu)")
    options.add_argument("--no-gain", action="store_true", help="train with all relations alone")
    return options


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def chosen_sets(chosen: argparse.Namespace) -> list[DataSet]:
    """All sets, read before the first training, so that a damaged one ends the run at once."""
    if chosen.quick:
        return small_sets()
    if chosen.set == MARKET:
        return [market_set()]
    in_folder = [read_set(folder) for folder in data_sets(chosen.data, chosen.set)]
    return in_folder if chosen.set else [*in_folder, market_set()]


def run(data: DataSet, chosen: argparse.Namespace, figures: dict[str, Json]) -> None:
    """Prints a row for each model of a set as it is done, and fills the figures in."""
    overrides = QUICK if chosen.quick else {}
    rows = Rows(data)
    if chosen.baselines or chosen.table:
        for name, make in baselines_for(data.train).items():
            started = time.monotonic()
            ranker = make()
            result = measured(ranker, data, seconds=time.monotonic() - started)
            figures[name] = rows.add(name, result)
    of_paper = PAPER_MODELS if chosen.table else chosen.paper
    if of_paper and data.val is None:
        tell(f"{data.name} has no val part: without the paper's models, which are chosen by it")
        of_paper = ()
    for model in of_paper:
        result = train_by_paper(
            data,
            model,
            minutes=chosen.minutes,
            device=chosen.device,
            overrides=overrides,
            on_progress=told_as(f"{data.name}, {model}"),
        )
        figures[model] = rows.add(f"paper's {model}", result)
    ours = train(data, chosen, "", overrides)
    summary = rows.add(f"{chosen.model}, trainings: {chosen.seeds}", ours)
    figures.update(summary)
    show_intervals(f"{data.name}: {chosen.model}, test part", summary)
    if not chosen.no_gain:
        figures |= without(data, chosen, ours, overrides, rows)


def without(
    data: DataSet, chosen: argparse.Namespace, ours: Measured, overrides: Mapping[str, int], rows: "Rows"
) -> dict[str, Json]:
    """The figures of trainings without the chosen relations, and what these gain; {} if the set has none."""
    relations = chosen.without or TRIPARTITE
    label = " and ".join(relations)
    if not any(len(getattr(data.train, name)) for name in relations):
        tell(f"{data.name} has no {label}: nothing to compare")
        return {}
    taken_out: dict[str, Any] = {name: no_pairs() for name in relations}
    less = replace(data, train=replace(data.train, **taken_out))
    result = train(less, chosen, f"without {label}", overrides)
    rows.add(f"without {label}", result)
    gain = gains(ours, result)
    show_intervals(f"{data.name}: gain from {label}, paired", gain)
    found: dict[str, Json] = {f"without_{'_'.join(relations)}": result.summary() | gain}
    return found | (gain_of(gain, result) if set(relations) == set(TRIPARTITE) else {})


def gain_of(gain: Summary, result: Measured) -> dict[str, Json]:
    """The gain in NDCG@10 with its interval, and over what there is without the relations."""
    figure = next(name for name in ("ndcg@10", "ndcg@20") if name in result.test)
    difference, without_them = gain[f"{figure}_gain"], means(result.test)[figure]
    assert isinstance(difference, float), "a mean has one number"
    found: dict[str, Json] = {"gain": difference, "gain_interval": gain[f"{figure}_gain_interval"]}
    return found | ({"gain_share": difference / without_them} if without_them else {})


def train(data: DataSet, chosen: argparse.Namespace, label: str, overrides: Mapping[str, int]) -> Measured:
    """The chosen model's trainings, told of as they go."""
    name = ", ".join(part for part in (data.name, chosen.model, label) if part)

    def on_run(seed: int, result: Measured) -> None:
        shown = ", ".join(f"{figure} {value:.4f}" for figure, value in means(result.test).items())
        tell(f"{name}: seed {seed} took {result.seconds:.1f} s: {shown}")

    return train_by_platform(
        data,
        chosen.model,
        seeds=chosen.seeds,
        device=chosen.device,
        overrides=overrides,
        on_progress=told_as(name),
        on_run=on_run,
    )


class Rows:
    """The table of a set's models, in which a row is printed as soon as it is known, after the head."""

    def __init__(self, data: DataSet) -> None:
        self._name = data.name
        self._figures = LIST_FIGURES if data.test_pairs is None else FULL_RANKING_FIGURES
        self._has_val = data.val is not None
        self._has_head = False

    def add(self, label: str, result: Measured) -> Summary:
        """Prints the row, and returns the figures."""
        if not self._has_head:
            head = [*self._figures.values(), *(["val NDCG@10"] if self._has_val else []), "seconds"]
            print(f"\n| {self._name} | {' | '.join(head)} |\n{'|---' * (len(head) + 1)}|")
            self._has_head = True
        test = means(result.test)
        values = [test[name] for name in self._figures]
        if self._has_val:
            values.append(means(result.val)["ndcg@10"])
        cells = [*map(decimals, values), f"{result.seconds:.1f}"]
        print(f"| {label} | {' | '.join(cells)} |", flush=True)
        return result.summary()


def decimals(value: float) -> str:
    """Four decimals, without a leading zero."""
    return f"{value:.4f}".replace("0.", ".", 1)


def show_intervals(title: str, summary: Summary) -> None:
    """Prints each figure that has an interval with it."""
    figures = {}
    for name, mean in summary.items():
        interval = summary.get(f"{name}_interval")
        if isinstance(interval, list) and isinstance(mean, float):
            figures[name] = {"mean": mean, "95 % from": interval[0], "to": interval[1]}
    show(title, figures, rows_are_objects=True)


def told_as(label: str) -> OnProgress:
    """Prints a training's progress on stderr, not more often than `PROGRESS_EVERY_S` but for news."""
    last = 0.0

    def on_progress(progress: Progress) -> None:
        nonlocal last
        if progress.is_news or time.monotonic() - last > PROGRESS_EVERY_S:
            last = time.monotonic()
            tell(f"{label}: {progress.message}")

    return on_progress


if __name__ == "__main__":
    main()
