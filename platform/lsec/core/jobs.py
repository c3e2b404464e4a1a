"""Names and payloads of the jobs that the API sends to the workers by name."""

import secrets
import time

TRAIN_JOB = "lsec.train"
"""Celery task name; its one argument is the training's id."""
TRAIN_QUEUE = "trainings"
UPKEEP_QUEUE = "upkeep"
"""Of a worker of its own: short jobs that must not wait behind a training."""
REQUEUE_JOB = "lsec.requeue_lost_trainings"
"""Celery task name: sends the jobs of runs that no worker holds again."""
ERASE_JOB = "lsec.continue_erasures"
"""Celery task name: brings the open erasures on, and to their end."""
PRUNE_JOB = "lsec.prune"
"""Celery task name: deletes some of what is past the retention."""
MODEL_NAMES = ("lightgcn",)
DEFAULT_MODEL = "lightgcn"


def new_id(prefix: str) -> str:
    """A fresh id that sorts by time: `trn_…` for trainings, `rel_…` for releases, `era_…` for erasures."""
    return f"{prefix}_{int(time.time() * 1000):011x}{secrets.token_hex(5)}"
