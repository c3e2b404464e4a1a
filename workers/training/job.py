"""What a training run is asked to do: its `job.json`."""

import json
from dataclasses import dataclass
from pathlib import Path

from lsec.core.errors import Untrainable
from lsec.core.jobs import MODEL_NAMES
from workers.training.hyperparameters import Hyperparameters

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True, slots=True)
class Job:
    """A checked job; `threads` 0 means all cores."""

    training_id: str
    release_id: str
    model: str
    seed: int
    device: str
    threads: int
    slate_length: int
    hyperparameters: Hyperparameters


def read_job(path: Path) -> Job:
    """The job of this file; Untrainable names what is wrong with it."""
    try:
        values = json.loads(path.read_bytes())
        job = Job(
            training_id=str(values["training_id"]),
            release_id=str(values["release_id"]),
            model=str(values["model"]),
            seed=int(values["seed"]),
            device=str(values["device"]),
            threads=int(values["threads"]),
            slate_length=int(values["slate_length"]),
            hyperparameters=Hyperparameters.from_mapping(values.get("hyperparameters", {})),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Untrainable(f"{path.name} cannot be read: {error!r}.") from error
    if job.model not in MODEL_NAMES:
        raise Untrainable(f"There is no model {job.model!r}, only {', '.join(MODEL_NAMES)}.")
    if job.device not in DEVICES:
        raise Untrainable(f"There is no device {job.device!r}, only {', '.join(DEVICES)}.")
    if job.slate_length < 1 or job.threads < 0 or not 0 <= job.seed < 2**31:
        raise Untrainable("slate_length must be at least 1, threads at least 0, seed from 0 to 2^31 - 1.")
    return job
