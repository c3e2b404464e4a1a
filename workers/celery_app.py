"""The Celery application: tasks by name, redelivery of what a lost worker held."""

import logging
import sys
from collections.abc import Mapping

from celery import Celery, Task
from celery.signals import setup_logging, worker_ready, worker_shutting_down
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from lsec.core.inspections import INSPECT_EVERY_S
from lsec.core.jobs import (
    BEAT_LOCK,
    ERASE_JOB,
    EXPERIMENTS_JOB,
    EXPORT_JOB,
    INSPECT_JOB,
    PRUNE_JOB,
    PUBLISH_JOB,
    RELEASES_JOB,
    REQUEUE_JOB,
    RETRAIN_JOB,
    SNAPSHOTS_JOB,
    TRAIN_JOB,
    TRAIN_QUEUE,
    UPKEEP_QUEUE,
    WATCH_JOB,
)
from lsec.core.ledger import Training
from lsec.core.logs import configure_logging
from lsec.core.settings import Settings, load_settings
from workers.experiments import check_experiments
from workers.exports import run_export
from workers.inspection.inspect import inspect_and_record
from workers.ledger import end_cancelled, give_back, lost_trainings, open_ledger, queued_in_scope
from workers.releases import keep_releases_in_order, publish_for_a_while
from workers.retraining import read_policy, retrain, watch
from workers.run import STOPPING
from workers.schedule import reconcile
from workers.trainings import run_training
from workers.upkeep.jobs import continue_erasures, delete_runs, prune_for_a_while
from workers.upkeep.snapshots import keep_in_order

BEAT_LOCK_S = 15
"""A second beat stands by, and takes over when the first has not renewed its lock for so long."""
BEAT_EVERY_S = 3
BROKER_RETRIES = 20
"""Of what beat asks of Valkey, up to 2 s apart: it outlives a restart."""
REQUEUE_EVERY_S = 15.0
ERASE_EVERY_S = 15.0
RELEASES_EVERY_S = 30.0
SNAPSHOTS_EVERY_S = 30.0
WATCH_EVERY_S = 60.0
EXPERIMENTS_EVERY_S = 60.0
PRUNE_EVERY_S = 300.0
"""When a day's pruning is done, the rest of its calls find nothing to do."""

log = logging.getLogger(__name__)
settings = load_settings()


def make_app(settings: Settings) -> Celery:
    """A Celery app on the settings' broker, without a result backend: states live in the ledger."""
    app = Celery("lsec", broker=settings.broker_url.get_secret_value())
    # Shorter than a training it hands the job to a second worker, which finds it claimed.
    visibility_s = settings.broker_visibility_s
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        task_default_queue=TRAIN_QUEUE,
        broker_connection_retry_on_startup=True,
        broker_transport_options={"visibility_timeout": visibility_s},
        visibility_timeout=visibility_s,
        worker_hijack_root_logger=False,
        beat_scheduler="redbeat.RedBeatScheduler",
        beat_max_loop_interval=BEAT_EVERY_S,
        redbeat_redis_url=settings.broker_url.get_secret_value(),
        redbeat_lock_key=BEAT_LOCK,
        redbeat_lock_timeout=BEAT_LOCK_S,
        redbeat_redis_options={
            "retry": Retry(ExponentialBackoff(cap=2, base=0.1), BROKER_RETRIES),
            "socket_timeout": 5.0,
        },
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
                (INSPECT_JOB, INSPECT_EVERY_S),
                (WATCH_JOB, WATCH_EVERY_S),
                (RELEASES_JOB, RELEASES_EVERY_S),
                (SNAPSHOTS_JOB, SNAPSHOTS_EVERY_S),
                (EXPERIMENTS_JOB, EXPERIMENTS_EVERY_S),
            )
        },
    )
    return app


app = make_app(settings)


@app.task(name=TRAIN_JOB, bind=True)  # type: ignore[untyped-decorator]  # celery ships no types
def train(task: Task, training_id: str) -> None:
    """Run one training; a duplicate delivery finds it claimed and does nothing."""
    status = run_training(settings, training_id, worker=task.request.hostname or "")
    log.info("training %s: %s", training_id, status or "nothing to do")
    # What went back to the queue is tried again at once, and what waited for the scope has its turn.
    if status is not None and not STOPPING.is_set():
        engine = open_ledger(settings)
        try:
            send_trainings(queued_in_scope(engine, training_id))
        finally:
            engine.dispose()


def send_trainings(queues: Mapping[str, str]) -> None:
    """Send the jobs of these runs to their queues.

    They expire, so that they do not pile up behind a long training: they are sent anew as long as need be.
    """
    for training_id, queue in queues.items():
        app.send_task(TRAIN_JOB, args=[training_id], queue=queue, expires=REQUEUE_EVERY_S)


@app.task(name=REQUEUE_JOB)  # type: ignore[untyped-decorator]  # celery ships no types
def requeue_lost_trainings() -> None:
    """Send the jobs of runs that no worker holds again; the claim makes a duplicate harmless."""
    engine = open_ledger(settings)
    try:
        end_cancelled(engine)
        send_trainings(lost_trainings(engine))
    finally:
        engine.dispose()


@app.task(name=WATCH_JOB)  # type: ignore[untyped-decorator]  # celery ships no types
def watch_retraining(*, acts: bool = True) -> None:
    """Put the policy's times into the schedule, look whether a run is due, and have it done if so."""
    engine = open_ledger(settings)
    try:
        reconcile(app, read_policy(engine))
    finally:
        engine.dispose()
    _send(watch(settings, acts=acts))


@app.task(name=RETRAIN_JOB)  # type: ignore[untyped-decorator]  # celery ships no types
def retrain_on_time() -> None:
    """Ask for the policy's training, at one of its fixed times."""
    _send(retrain(settings))


def _send(training: Training | None) -> None:
    """Send a run's job, if there is one; were it lost, it would be sent again."""
    if training is not None:
        send_trainings({training.id: training.queue})


@app.task(name=ERASE_JOB)  # type: ignore[untyped-decorator]  # celery ships no types
def erase() -> None:
    """Bring the open erasures on."""
    continue_erasures(settings)


@app.task(name=PRUNE_JOB)  # type: ignore[untyped-decorator]  # celery ships no types
def prune() -> None:
    """Delete some of what is past the retention."""
    delete_runs(settings)
    prune_for_a_while(settings)


@app.task(name=INSPECT_JOB)  # type: ignore[untyped-decorator]  # celery ships no types
def inspect_installation() -> None:
    """Look at the installation, and put what is found on record."""
    inspect_and_record(settings)


@app.task(name=EXPORT_JOB)  # type: ignore[untyped-decorator]  # celery ships no types
def export(snapshot_id: str) -> None:
    """Export one snapshot; a duplicate delivery finds it claimed and does nothing."""
    state = run_export(settings, snapshot_id)
    log.info("snapshot %s: %s", snapshot_id, state or "nothing to do")


@app.task(name=SNAPSHOTS_JOB)  # type: ignore[untyped-decorator]  # celery ships no types
def snapshots_in_order() -> None:
    """Delete snapshots that nobody needs, and send the jobs of exports again that no worker holds."""
    engine = open_ledger(settings)
    try:
        lost = keep_in_order(settings, engine)
    finally:
        engine.dispose()
    for snapshot_id in lost:
        app.send_task(EXPORT_JOB, args=[snapshot_id], queue=TRAIN_QUEUE, expires=SNAPSHOTS_EVERY_S)


@app.task(name=PUBLISH_JOB)  # type: ignore[untyped-decorator]  # celery ships no types
def publish_release(release_id: str) -> None:
    """Write a while on a release that is promoted, then let other jobs have their turn."""
    if publish_for_a_while(settings, release_id):
        app.send_task(PUBLISH_JOB, args=[release_id], queue=UPKEEP_QUEUE)


@app.task(name=RELEASES_JOB)  # type: ignore[untyped-decorator]  # celery ships no types
def releases_in_order() -> None:
    """Delete and collect old releases for a while, and go on with promotions whose job was lost."""
    for release_id in keep_releases_in_order(settings):
        app.send_task(PUBLISH_JOB, args=[release_id], queue=UPKEEP_QUEUE, expires=RELEASES_EVERY_S)


@app.task(name=EXPERIMENTS_JOB)  # type: ignore[untyped-decorator]  # celery ships no types
def look_after_experiments() -> None:
    """Work out the figures of the experiment that runs and keep its guards; show a challenger that waits."""
    if check_experiments(settings):
        app.send_task(EXPERIMENTS_JOB, queue=UPKEEP_QUEUE, expires=EXPERIMENTS_EVERY_S)


@setup_logging.connect  # type: ignore[untyped-decorator]  # celery ships no types
def _log_like_the_others(**_: object) -> None:
    # A worker's name is what its --hostname begins with.
    names = [argument.partition("@")[0] for argument in sys.argv if "@" in argument]
    configure_logging(settings, process=names[0] if names else "beat")


@worker_ready.connect  # type: ignore[untyped-decorator]  # celery ships no types
def _take_up_at_start(sender: object, **_: object) -> None:
    """Have at once what waits, and what a worker of this one's name held when it was killed."""
    engine = open_ledger(settings)
    try:
        give_back(engine, getattr(sender, "hostname", ""))
        send_trainings(lost_trainings(engine, at_start=True))
    finally:
        engine.dispose()
    app.send_task(WATCH_JOB, queue=UPKEEP_QUEUE, expires=WATCH_EVERY_S)


@worker_shutting_down.connect  # type: ignore[untyped-decorator]  # celery ships no types
def _give_runs_back(**_: object) -> None:
    STOPPING.set()
