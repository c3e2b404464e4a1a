"""Names and payloads of the jobs that the API sends to the workers by name."""

import secrets
import time

TRAIN_JOB = "lsec.train"
"""Celery task name; its one argument is the training's id."""
TRAIN_QUEUE = "trainings"
REQUEUE_JOB = "lsec.requeue_lost_trainings"
"""Celery task name: sends the jobs of runs that no worker holds again."""
MODEL_NAMES = ("lightgcn",)
DEFAULT_MODEL = "lightgcn"


def new_id(prefix: str) -> str:
    """A fresh id that sorts by time: `trn_…` for trainings, `rel_…` for releases."""
    return f"{prefix}_{int(time.time() * 1000):011x}{secrets.token_hex(5)}"
