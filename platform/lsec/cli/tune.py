"""The command that searches for better hyperparameters, and keeps the best as a preset."""

import re
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lsec.cli.hyperparameters import MODEL_PANEL, Set, parse_settings
from lsec.cli.options import Json, extra
from lsec.cli.output import err, out, print_json, print_mapping, shown
from lsec.core.errors import LsecError
from lsec.core.jobs import DEFAULT_MODEL
from lsec.core.settings import Settings, load_settings

if TYPE_CHECKING:
    from workers.training.presets import Preset
    from workers.training.tune import Question, Search, Trial

Data = Annotated[
    Path,
    typer.Argument(help="A snapshot or a run, by id or folder, or a folder with train/ (and val/) in it."),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        help="Vary only this hyperparameter; may be repeated.",
        show_default="all it can",
        rich_help_panel=MODEL_PANEL,
    ),
]
StudyName = Annotated[str | None, typer.Option(help="Which search to go on with.", show_default="DATA-MODEL")]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        rich_help_panel="Models",
        epilog="Examples: lsec tune trn_… --trials 40 --save-as spring · lsec tune data/lastfm --minutes 10 "
        "--search temperature --search follow_weight · lsec train --preset spring",
    )(tune)


def tune(
    data: Data,
    *,
    trials: Annotated[int, typer.Option(min=1, help="Stop at so many trials, earlier ones too.")] = 30,
    minutes: Annotated[float, typer.Option(min=0, help="Stop after so many minutes.")] = 30.0,
    save_as: Annotated[str | None, typer.Option(help="Keep the best as the preset of this name.")] = None,
    model: Annotated[str, typer.Option(help="Which model.", rich_help_panel=MODEL_PANEL)] = DEFAULT_MODEL,
    search: Only = None,
    settings: Set = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the search, and of a trial's first training.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, max=20, help="Mean of so many trainings a trial.")] = 1,
    study: StudyName = None,
    as_json: Json = False,
) -> None:
    """Search for better hyperparameters, by validation lists only; a search that stopped goes on."""
    with extra("workers"):
        from workers.training.presets import presets_folder, require_name, save_preset
        from workers.training.tune import open_search
    platform = load_settings()
    name = study or _study_name(data, model)
    require_name(name)
    require_name(save_as or name)
    fixed = parse_settings(settings or ())
    question = _question(
        data, platform, model=model, only=search or (), fixed=fixed, seed=seed, num_seeds=seeds
    )
    path = platform.data_dir / "studies" / f"{name}.journal"
    with open_search(path, question, threads=platform.train_threads) as opened:
        stopped_because = _run(opened, num_trials=trials, minutes=minutes, is_shown=not as_json)
        preset = _preset(opened, question, stopped_because, source=f"{name} on {data.resolve().name}")
        tried = opened.trials
    if save_as:
        save_preset(presets_folder(platform.data_dir), save_as, preset)
    if as_json:
        print_json(_as_json(preset, tried) | {"study": str(path), "stopped_because": stopped_because})
    else:
        out.print(f"{stopped_because}; the trials are in {path}.", markup=False, soft_wrap=True)
        _show(preset, save_as)


def _preset(search: "Search", question: "Question", stopped_because: str, *, source: str) -> "Preset":
    """The best trial as a preset; LsecError when none ran to its end."""
    from workers.training.presets import Preset

    best = search.best
    if best is None:
        raise LsecError(f"No trial ran to its end. {stopped_because}.", remedy="Give it more minutes.")
    found = {
        "study": source,
        "trial": best.number,
        "num_trials": len(search.trials),
        "num_seeds": question.num_seeds,
        "num_validation_users": search.num_validation_users,
        "validation_ndcg@10": best.value,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return Preset(question.model, {**question.fixed, **best.hyperparameters}, found)


def _as_json(preset: "Preset", trials: "list[Trial]") -> dict[str, Any]:
    return {"best": asdict(preset), "trials": [asdict(each) for each in trials]}


def _show(preset: "Preset", name: str | None) -> None:
    found = preset.found
    title = f"Best: trial {found['trial']}, validation NDCG@10 {found['validation_ndcg@10']:.4f}"
    print_mapping(title, preset.hyperparameters)
    if name:
        out.print(f"Saved: lsec train --preset {name}", markup=False)


def _study_name(data: Path, model: str) -> str:
    name = re.sub(r"[^a-z0-9._-]+", "-", f"{data.resolve().name}-{model}".lower())
    return name.strip("-._")[-64:].strip("-._")


def _question(
    data: Path,
    settings: Settings,
    *,
    model: str,
    only: "list[str] | tuple[str, ...]",
    fixed: dict[str, Any],
    seed: int,
    num_seeds: int,
) -> "Question":
    from lsec.cli.tune_data import read_data
    from workers.training.model_hyperparameters import hyperparameters_of
    from workers.training.run import chosen_device
    from workers.training.search_space import search_space
    from workers.training.tune import Question

    space = search_space(hyperparameters_of(model, fixed), only=only, fixed=fixed)
    interactions, validation = read_data(data, runs=settings.runs_path, snapshots=settings.snapshots_path)
    return Question(
        interactions,
        model,
        space,
        fixed=fixed,
        seed=seed,
        num_seeds=num_seeds,
        device=chosen_device(settings.device),
        validation=validation,
    )


def _run(search: "Search", *, num_trials: int, minutes: float, is_shown: bool) -> str:
    """Runs the search, a line a trial; why it stopped."""
    show = out.print if is_shown else err.print
    num_before = len(search.trials)
    if num_before:
        show(f"Going on after {num_before} trials.")
    show(f"{'trial':>5}  {'NDCG@10':>7}  {'best':>7}  {'seconds':>7}  hyperparameters")
    try:
        for trial in search.run(num_trials=num_trials, minutes=minutes):
            best = search.best
            show(_line(trial, None if best is None else best.value), markup=False, soft_wrap=True)
    except KeyboardInterrupt:
        return "Interrupted; the same command goes on"
    if len(search.trials) >= num_trials:
        return f"All {num_trials} trials are done"
    return f"The {minutes:g} minutes are over; the same command goes on"


def _line(trial: "Trial", best: float | None) -> str:
    value = f"{trial.value:.4f}" if trial.value is not None else trial.outcome
    values = ", ".join(f"{name} {shown(each)}" for name, each in trial.hyperparameters.items())
    why = f" ({trial.reason})" if trial.outcome != "complete" else ""
    best_shown = "-" if best is None else f"{best:.4f}"
    return f"{trial.number:>5}  {value:>7}  {best_shown:>7}  {trial.seconds:>7.1f}  {values}{why}"
