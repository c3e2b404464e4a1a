"""Training runs in the ledger: asked for, read, cancelled; each admin action leaves an audit record."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import or_, select, update

from lsec.api.stores.jobs import Jobs
from lsec.api.stores.ledger import Ledger, audit
from lsec.core.errors import Conflict, NotFound, Unavailable
from lsec.core.jobs import LEASE_S, TRAIN_JOB
from lsec.core.ledger import FINAL, Training, TrainingStatus, utc_now
from lsec.core.training_requests import ask_for_training


class TrainingStore:
    """The trainings, and the sending of their jobs once they are committed."""

    def __init__(self, ledger: Ledger, jobs: Jobs, *, device: str) -> None:
        self._ledger = ledger
        self._jobs = jobs
        self._device = device

    async def create(self, request: dict[str, Any], *, reason: str, key_id: str) -> tuple[Training, bool]:
        """A queued training whose job is sent, and whether it is new or waited with the same request.

        Unavailable if the broker does not take the job.
        """
        asked = {"reason": reason, "key_id": key_id, "device": self._device}
        async with self._ledger.write() as session:
            training, is_new = await session.run_sync(ask_for_training, request, **asked)
            action = "training.create" if is_new else "training.merge"
            session.add(audit(key_id, action, training.id, {**request, "reason": reason}))
        if is_new:
            await self._send_job(training)
        return training, is_new

    async def _send_job(self, training: Training) -> None:
        try:
            await self._jobs.send(TRAIN_JOB, training.id, queue=training.queue, task_id=training.id)
        except Exception as error:
            reason = f"The job could not be sent to the workers: {error or type(error).__name__}"
            await self._fail(training.id, reason)
            raise Unavailable(
                f"Training {training.id} failed: its job could not be sent to the workers.",
                remedy="See that the broker runs, then ask for a training again.",
                training_id=training.id,
            ) from error

    async def _fail(self, training_id: str, reason: str) -> None:
        async with self._ledger.write() as session:
            await session.execute(
                update(Training)
                .where(Training.id == training_id, Training.status == TrainingStatus.QUEUED)
                .values(
                    status=TrainingStatus.FAILED,
                    error=reason,
                    finished_at=utc_now(),
                    version=Training.version + 1,
                )
            )

    async def list(self, *, limit: int) -> Sequence[Training]:
        """The newest trainings, newest first."""
        newest = select(Training).order_by(Training.created_at.desc(), Training.id.desc()).limit(limit)
        async with self._ledger.read() as session:
            return (await session.scalars(newest)).all()

    async def get(self, training_id: str) -> Training:
        """The training of that id; NotFound if there is none."""
        async with self._ledger.read() as session:
            training = await session.get(Training, training_id)
        if training is None:
            raise NotFound(f"There is no training {training_id}.")
        return training

    async def get_if_newer(self, training_id: str, version: int) -> Training | None:
        """The training if it has changed since `version`."""
        changed = select(Training).where(Training.id == training_id, Training.version > version)
        async with self._ledger.read() as session:
            return await session.scalar(changed)

    async def cancel(self, training_id: str, *, key_id: str) -> Training:
        """Ask for the end of a run: a queued one ends at once, a running one when its worker sees it.

        One whose worker is lost ends at once, too: were it only slow, what it writes later is refused.
        NotFound if there is no such run, Conflict if it is over. A second request changes nothing.
        """
        now = utc_now()
        async with self._ledger.write() as session:
            ended = await session.scalar(
                update(Training)
                .where(
                    Training.id == training_id,
                    or_(
                        Training.status == TrainingStatus.QUEUED,
                        (Training.status == TrainingStatus.RUNNING)
                        & (Training.heartbeat_at < now - timedelta(seconds=LEASE_S)),
                    ),
                )
                .values(
                    status=TrainingStatus.CANCELLED,
                    cancel_requested_at=now,
                    finished_at=now,
                    lease=None,
                    eta_s=None,
                    message="cancelled while no worker held it",
                    version=Training.version + 1,
                )
                .returning(Training.id)
            )
            if ended is None:
                await session.execute(
                    update(Training)
                    .where(
                        Training.id == training_id,
                        Training.status.not_in(FINAL),
                        Training.cancel_requested_at.is_(None),
                    )
                    .values(cancel_requested_at=now, version=Training.version + 1)
                )
            training = await session.get(Training, training_id, populate_existing=True)
            if training is None:
                raise NotFound(f"There is no training {training_id}.")
            if ended is None and TrainingStatus(training.status).is_final:
                raise Conflict(f"Training {training_id} is over: it {_past(training.status)}.")
            session.add(audit(key_id, "training.cancel", training_id, {}))
        return training


def _past(status: str) -> str:
    return "was cancelled" if status == TrainingStatus.CANCELLED else status
