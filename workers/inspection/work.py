"""Whether work that was asked for gets on: trainings, promotions, exports, erasures, dead letters."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from lsec.core.inspections import Finding, broken, listed, ok, warning
from lsec.core.jobs import LEASE_S, TRAIN_QUEUE
from lsec.core.ledger import DeadLetter, Erasure, ReleaseRecord, Training, TrainingStatus, utc_now
from lsec.core.release_ledger import SnapshotRecord, SnapshotState

SILENT_FOR = timedelta(seconds=3 * LEASE_S)
"""A run whose worker was lost is taken up again before that."""
QUEUED_FOR = timedelta(minutes=10)
CANCEL_WITHIN = timedelta(minutes=2)
PROMOTED_WITHIN = timedelta(minutes=30)
EXPORT_SILENT_FOR = timedelta(minutes=5)
ERASED_WITHIN, ERASED_AT_LATEST = timedelta(hours=1), timedelta(days=1)
UPKEEP = "Does the upkeep worker run, and what says its log? `lsec status`; `lsec up` starts it."
WORKER = "Start a worker: `lsec up`, or `celery -A workers.celery_app:app worker --pool threads --queues {}`."


def trainings(engine: Engine, queues: Collection[str] | None) -> Iterator[Finding]:
    """Findings on the runs that are not over; `queues` are those with a worker, None if nobody knows."""
    open_runs = select(Training).where(Training.status.in_((TrainingStatus.QUEUED, TrainingStatus.RUNNING)))
    with Session(engine, expire_on_commit=False) as session:
        found = session.scalars(open_runs.order_by(Training.created_at)).all()
    now = utc_now()
    running = [run for run in found if run.status == TrainingStatus.RUNNING]
    yield judge_running(running, now)
    yield judge_queued([run for run in found if run not in running], running, queues, now)


def judge_running(running: Sequence[Training], now: datetime) -> Finding:
    """Whether each run that is `running` shows signs of life, and ends when it is told to."""
    name = "trainings.running"
    silent = [run for run in running if (run.heartbeat_at or run.created_at) < now - SILENT_FOR]
    if silent:
        longest = max(now - (run.heartbeat_at or run.created_at) for run in silent)
        detail = (
            f"{len(silent)} runs are `running` without a sign of life for up to {in_words(longest)}: "
            f"{listed([run.id for run in silent])}."
        )
        remedy = (
            "A worker of their queue takes them up: `lsec status`, `lsec up`. Else "
            f"`lsec train --cancel {silent[0].id}`, and the upkeep worker ends it."
        )
        return broken(name, detail, remedy=remedy)
    asked = [
        run for run in running if run.cancel_requested_at and run.cancel_requested_at < now - CANCEL_WITHIN
    ]
    if asked:
        detail = f"{len(asked)} runs were to be cancelled long ago: {listed([run.id for run in asked])}."
        return broken(name, detail, remedy=f"Restart the worker {asked[0].worker}; `lsec status`.")
    return ok(name, f"{len(running)} runs are running, with signs of life.")


def judge_queued(
    queued: Sequence[Training], running: Sequence[Training], queues: Collection[str] | None, now: datetime
) -> Finding:
    """Whether each run that waits for long waits for another, and has a worker that will take it."""
    name = "trainings.queued"
    waiting = [run for run in queued if run.created_at < now - QUEUED_FOR]
    lonely = [run for run in waiting if queues is not None and (run.queue or TRAIN_QUEUE) not in queues]
    if lonely:
        queue = lonely[0].queue or TRAIN_QUEUE
        detail = (
            f"{len(lonely)} runs wait for up to {in_words(now - lonely[0].created_at)}, and no worker "
            f"listens to their queue {queue}: {listed([run.id for run in lonely])}."
        )
        return broken(name, detail, remedy=WORKER.format(queue))
    if waiting and not running:
        detail = (
            f"{len(waiting)} runs wait for up to {in_words(now - waiting[0].created_at)}, though none is "
            f"running: {listed([run.id for run in waiting])}."
        )
        return warning(name, detail, remedy="What says the worker's log, and a run's own? `lsec status`")
    return ok(name, f"{len(queued)} runs wait.")


def promotions(engine: Engine) -> Finding:
    """Whether the promotions that were asked for come to an end."""
    asked = ReleaseRecord.promotion_asked_at
    late = select(ReleaseRecord.id, asked).where(asked < utc_now() - PROMOTED_WITHIN).order_by(asked)
    with Session(engine) as session:
        rows = session.execute(late).all()
        num_asked = session.scalar(select(func.count()).where(asked.is_not(None))) or 0
    name = "releases.promotions"
    if not rows:
        return ok(name, f"{num_asked} promotions are under way.")
    longest = in_words(utc_now() - rows[0].promotion_asked_at)
    ids = listed([row.id for row in rows])
    return broken(name, f"{len(rows)} promotions do not end, for up to {longest}: {ids}.", remedy=UPKEEP)


def exports(engine: Engine) -> Finding:
    """Whether the snapshots that are being exported for themselves show signs of life."""
    alive_at = func.coalesce(SnapshotRecord.heartbeat_at, SnapshotRecord.created_at)
    exporting = SnapshotRecord.state == SnapshotState.EXPORTING
    of_nobody = SnapshotRecord.training_id.is_(None)
    silent = select(SnapshotRecord.id).where(exporting, of_nobody, alive_at < utc_now() - EXPORT_SILENT_FOR)
    with Session(engine) as session:
        ids = list(session.scalars(silent.order_by(SnapshotRecord.id)))
    name = "snapshots.exports"
    if not ids:
        return ok(name, "None stands still.")
    remedy = f"{WORKER.format(TRAIN_QUEUE)} Or `lsec snapshots delete {ids[0]}`."
    return broken(name, f"{len(ids)} exports stand still: {listed(ids)}.", remedy=remedy)


def dead_letters(engine: Engine) -> Finding:
    """Whether events wait for somebody to deal with them."""
    counted = select(func.count(), func.min(DeadLetter.created_at)).where(DeadLetter.replayed_at.is_(None))
    with Session(engine) as session:
        num_open, oldest_at = session.execute(counted).one()
    if not num_open:
        return ok("dead-letters", "None is open.")
    age = in_words(utc_now() - oldest_at)
    detail = f"{num_open} events were refused by the graph; the oldest waits for {age}."
    remedy = "`lsec dead-letters list` says why; correct and replay them (`fix`, `replay`), or `purge`."
    return warning("dead-letters", detail, remedy=remedy)


def erasures(engine: Engine) -> Finding:
    """Whether those who asked to be forgotten are, in time."""
    with Session(engine, expire_on_commit=False) as session:
        found = session.scalars(
            select(Erasure).where(Erasure.done_at.is_(None)).order_by(Erasure.requested_at)
        ).all()
    now = utc_now()
    late = [each for each in found if each.requested_at < now - ERASED_WITHIN]
    if not late:
        return ok("erasures", f"{len(found)} are under way.")
    oldest = late[0]
    waits_for = listed(oldest.waiting_for) if oldest.waiting_for else "the upkeep worker"
    detail = (
        f"{len(late)} erasures are not done, for up to {in_words(now - oldest.requested_at)}; {oldest.id} "
        f"waits for {waits_for}."
    )
    remedy = f"`lsec users erasures` says what each waits for. {UPKEEP}"
    is_overdue = oldest.requested_at < now - ERASED_AT_LATEST
    return (broken if is_overdue else warning)("erasures", detail, remedy=remedy)


def in_words(time: timedelta) -> str:
    """A length of time in its largest unit."""
    seconds = time.total_seconds()
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
