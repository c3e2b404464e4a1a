"""The Celery application: tasks by name, redelivery of what a lost worker held."""

import logging
import sys

from celery import Celery
from celery.signals import setup_logging, worker_ready, worker_shutting_down

from lsec.core.jobs import ERASE_JOB, PRUNE_JOB, REQUEUE_JOB, TRAIN_JOB, TRAIN_QUEUE, UPKEEP_QUEUE
from lsec.core.logs import configure_logging
from lsec.core.settings import Settings, load_settings
from workers.ledger import lost_trainings, open_ledger
from workers.run import STOPPING
from workers.trainings import run_training
from workers.upkeep.jobs import continue_erasures, prune_for_a_while

VISIBILITY_TIMEOUT_S = 24 * 3600
"""Longer than any training: the broker must not hand a running job to a second worker."""
REQUEUE_EVERY_S = 15.0
ERASE_EVERY_S = 15.0
PRUNE_EVERY_S = 300.0
"""When a day's pruning is done, the rest of its calls find nothing to do."""

log = logging.getLogger(__name__)
settings = load_settings()


def make_app(settings: Settings) -> Celery:
    """A Celery app on the settings' broker, without a result backend: states live in the ledger."""
    app = Celery("lsec", broker=settings.broker_url.get_secret_value())
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        task_default_queue=TRAIN_QUEUE,
        broker_connection_retry_on_startup=True,
        broker_transport_options={"visibility_timeout": VISIBILITY_TIMEOUT_S},
        visibility_timeout=VISIBILITY_TIMEOUT_S,
        worker_hijack_root_logger=False,
        beat_schedule={
            job: {
                "task": job,
                "schedule": every_s,
                # A job that waits longer is a repetition of the next one.
                "options": {"expires": every_s, "queue": UPKEEP_QUEUE},
            }
            for job, every_s in (
                (REQUEUE_JOB, REQUEUE_EVERY_S),
                (ERASE_JOB, ERASE_EVERY_S),
                (PRUNE_JOB, PRUNE_EVERY_S),
            )
        },
    )
    return app


app = make_app(settings)


@app.task(name=TRAIN_JOB)  # type: ignore[untyped-decorator]  # celery ships no types
def train(training_id: str) -> None:
    """Run one training; a duplicate delivery finds it claimed and does nothing."""
    status = run_training(settings, training_id)
    log.info("training %s: %s", training_id, status or "nothing to do")


@app.task(name=REQUEUE_JOB)  # type: ignore[untyped-decorator]  # celery ships no types
def requeue_lost_trainings(*, at_start: bool = False) -> None:
    """Send the jobs of runs that no worker holds again; the claim makes a duplicate harmless."""
    engine = open_ledger(settings)
    try:
        for training_id in lost_trainings(engine, at_start=at_start):
            # It expires, so that jobs do not pile up behind a long training: the next beat sends anew.
            app.send_task(TRAIN_JOB, args=[training_id], queue=TRAIN_QUEUE, expires=REQUEUE_EVERY_S)
    finally:
        engine.dispose()


@app.task(name=ERASE_JOB)  # type: ignore[untyped-decorator]  # celery ships no types
def erase() -> None:
    """Bring the open erasures on."""
    continue_erasures(settings)


@app.task(name=PRUNE_JOB)  # type: ignore[untyped-decorator]  # celery ships no types
def prune() -> None:
    """Delete some of what is past the retention."""
    prune_for_a_while(settings)


@setup_logging.connect  # type: ignore[untyped-decorator]  # celery ships no types
def _log_like_the_others(**_: object) -> None:
    # A worker's name is what its --hostname begins with.
    names = [argument.partition("@")[0] for argument in sys.argv if "@" in argument]
    configure_logging(settings, process=names[0] if names else "beat")


@worker_ready.connect  # type: ignore[untyped-decorator]  # celery ships no types
def _requeue_at_start(**_: object) -> None:
    requeue_lost_trainings(at_start=True)


@worker_shutting_down.connect  # type: ignore[untyped-decorator]  # celery ships no types
def _give_runs_back(**_: object) -> None:
    STOPPING.set()
