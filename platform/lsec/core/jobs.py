"""Names and payloads of the jobs that the API sends to the workers by name."""

import secrets
import time
from collections.abc import Mapping
from typing import Any

TRAIN_JOB = "lsec.train"
"""Celery task name; its one argument is the training's id."""
EXPORT_JOB = "lsec.export"
"""Celery task name; its one argument is the snapshot's id."""
TRAIN_QUEUE = "trainings"
GPU_QUEUE = "trainings-gpu"
"""Of trainings that need a GPU: a worker with one listens to it."""
UPKEEP_QUEUE = "upkeep"
"""Of a worker of its own: short jobs that must not wait behind a training."""
REQUEUE_JOB = "lsec.requeue_lost_trainings"
"""Celery task name: sends the jobs of runs that no worker holds again."""
ERASE_JOB = "lsec.continue_erasures"
"""Celery task name: brings the open erasures on, and to their end."""
PRUNE_JOB = "lsec.prune"
"""Celery task name: deletes some of what is past the retention."""
SNAPSHOTS_JOB = "lsec.keep_snapshots_in_order"
"""Celery task name: sends lost exports again, and deletes snapshots that nobody needs."""
WATCH_JOB = "lsec.watch_retraining"
"""Celery task name: puts the policy's times into the schedule, and asks for a run that is due."""
RETRAIN_JOB = "lsec.retrain"
"""Celery task name: asks for the policy's training, at its fixed times."""
BEAT_LOCK = "redbeat::lock"
"""In the broker's database: held by the beat that sends, while another may stand by."""
LEASE_S = 20.0
"""A running training without a heartbeat for so long has lost its worker."""
INSPECT_JOB = "lsec.inspect"
"""Celery task name: looks at the installation and puts what it finds on record."""
PUBLISH_JOB = "lsec.publish"
"""Celery task name; its one argument is the id of a release that a promotion is asked for."""
RELEASES_JOB = "lsec.keep_releases_in_order"
"""Celery task name: goes on with promotions whose job was lost, collects and deletes old releases."""
EXPERIMENTS_JOB = "lsec.check_experiments"
"""Celery task name: works out the figures of the experiment that runs, and keeps its guards."""
DEFAULT_MODEL = "cosine-gcn"
PAPER_MODELS = ("ncf", "gcn", "lightgcn", "gat", "het-gcn", "het-lightgcn", "het-gat")
"""Those of the LSEC-GNN paper (Yu et al. 2021, arXiv 2106.03415), to compare with."""
MODEL_NAMES = (DEFAULT_MODEL, *PAPER_MODELS)
PUBLISHABLE_SCORINGS = ("cosine", "inner_product")
"""Ways of scoring that serving can do from vectors and a bias, as an artifact's manifest names them."""
WHY_UNPUBLISHED = "its scores come from a network of pairs, which serving cannot compute"
HOW_TO_PUBLISH = (
    "Train it without publishing, or (all but ncf) with the hyperparameter predictor set to inner_product."
)


def can_be_published(model: str, hyperparameters: Mapping[str, Any] | None = None) -> bool:
    """Whether the model scores by vectors and a bias; the paper's do only if their predictor is told to."""
    predictor = (hyperparameters or {}).get("predictor", "mlp")
    return model == DEFAULT_MODEL or (model != "ncf" and predictor in PUBLISHABLE_SCORINGS)


def new_id(prefix: str) -> str:
    """A fresh id that sorts by time: `trn_…` for trainings, `rel_…` for releases, `snp_…` for snapshots."""
    return f"{prefix}_{int(time.time() * 1000):011x}{secrets.token_hex(5)}"
