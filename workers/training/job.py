"""What a training run is asked to do: its `job.json`."""

import json
from dataclasses import dataclass
from pathlib import Path

from lsec.core.errors import Untrainable
from workers.training.model_hyperparameters import AnyHyperparameters, hyperparameters_of

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True, slots=True)
class Job:
    """A checked job; `threads` 0 means all cores.

    `champion` is the folder of the artifact that was served when the job was made, None if there was none;
    with `warm_start` the training starts from it.
    """

    training_id: str
    release_id: str
    model: str
    seed: int
    device: str
    threads: int
    slate_length: int
    hyperparameters: AnyHyperparameters
    champion: Path | None = None
    warm_start: bool = False
    checkpoint_every_s: float = 30.0


def read_job(path: Path) -> Job:
    """The job of this file; Untrainable names what is wrong with it."""
    try:
        values = json.loads(path.read_bytes())
        model = str(values["model"])
        job = Job(
            training_id=str(values["training_id"]),
            release_id=str(values["release_id"]),
            model=model,
            seed=int(values["seed"]),
            device=str(values["device"]),
            threads=int(values["threads"]),
            slate_length=int(values["slate_length"]),
            hyperparameters=hyperparameters_of(model, values.get("hyperparameters", {})),
            champion=Path(values["champion"]) if values.get("champion") else None,
            warm_start=bool(values.get("warm_start", False)),
            checkpoint_every_s=float(values.get("checkpoint_every_s", 30.0)),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Untrainable(f"{path.name} cannot be read: {error!r}.") from error
    if job.device not in DEVICES:
        raise Untrainable(f"There is no device {job.device!r}, only {', '.join(DEVICES)}.")
    if job.slate_length < 1 or job.threads < 0 or not 0 <= job.seed < 2**31:
        raise Untrainable("slate_length must be at least 1, threads at least 0, seed from 0 to 2^31 - 1.")
    return job
