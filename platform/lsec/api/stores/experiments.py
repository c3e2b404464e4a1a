"""Experiments in the ledger, and the challenger's pointer in the graph, which alone says who sees what."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from lsec.api.stores.active_release import pointers
from lsec.api.stores.graph import SERVING_TIMEOUT_S, Graph
from lsec.api.stores.jobs import Jobs
from lsec.api.stores.ledger import Ledger, audit
from lsec.api.stores.promotions import Promotions, gate_passed
from lsec.api.stores.releases import FLIP_TIMEOUT_S, InGraph, ReleaseStore, deleted
from lsec.core.errors import Conflict, NotFound
from lsec.core.experiments import Guards
from lsec.core.jobs import EXPERIMENTS_JOB, UPKEEP_QUEUE, new_id
from lsec.core.ledger import ReleaseRecord, utc_now
from lsec.core.release_ledger import Experiment, ExperimentStatus

HOW_TO_BEGIN = "Look at the releases and experiments, and ask again."


class ExperimentStore:
    """Experiments: each change is on record before the pointer moves.

    Were this cut off in between, the upkeep brings the pointer to what the ledger says.
    """

    def __init__(
        self,
        ledger: Ledger,
        graph: Graph,
        releases: ReleaseStore,
        promotions: Promotions,
        jobs: Jobs,
    ) -> None:
        self._ledger = ledger
        self._graph = graph
        self._releases = releases
        self._jobs = jobs
        self._promotions = promotions

    async def list(self, *, limit: int) -> Sequence[Experiment]:
        """Experiments, the newest first."""
        newest = select(Experiment).order_by(Experiment.started_at.desc(), Experiment.id.desc()).limit(limit)
        async with self._ledger.read() as session:
            return (await session.scalars(newest)).all()

    async def get(self, experiment_id: str) -> Experiment:
        """The experiment of that id; NotFound if there is none."""
        async with self._ledger.read() as session:
            experiment = await session.get(Experiment, experiment_id)
        if experiment is None:
            raise NotFound(f"There is no experiment {experiment_id}.")
        return experiment

    async def shown_id(self) -> str | None:
        """The experiment that the challenger's pointer tells of."""
        _, trial = await pointers(self._graph, timeout_s=SERVING_TIMEOUT_S)
        return trial.experiment_id if trial else None

    async def start(
        self, challenger_id: str, *, share: float, window_s: int, guards: Guards, key_id: str
    ) -> Experiment:
        """The experiment, which shows the challenger to its share of the users within a second.

        One whose slates are not in the graph yet waits until the upkeep has written them. Conflict if one
        runs, if there is nothing to compare with, or if the release is deleted or has not passed the gate.
        """
        in_graph = await self._releases.in_graph()
        if in_graph.champion is None:
            raise Conflict("No release is active: there is nothing to compare with.", remedy="Promote one.")
        if in_graph.champion == challenger_id:
            raise Conflict(f"Release {challenger_id} is the active one.", remedy="Name another release.")
        experiment = Experiment(
            id=new_id("exp"),
            status=ExperimentStatus.RUNNING,
            champion_id=in_graph.champion,
            challenger_id=challenger_id,
            share=share,
            window_s=window_s,
            guards=asdict(guards),
            result={},
            outcome="",
            started_by=key_id,
            started_at=utc_now(),
        )
        await self._record(experiment, in_graph, key_id=key_id)
        if in_graph.is_whole(challenger_id):
            await self._show(experiment)
        await self._jobs.hurry(EXPERIMENTS_JOB, queue=UPKEEP_QUEUE)
        return experiment

    async def _record(self, experiment: Experiment, in_graph: InGraph, *, key_id: str) -> None:
        detail: dict[str, Any] = {
            name: getattr(experiment, name) for name in ("champion_id", "challenger_id", "share", "window_s")
        }
        detail |= {"guards": experiment.guards, "is_whole": in_graph.is_whole(experiment.challenger_id)}
        try:
            async with self._ledger.write() as session:
                release = await session.get(ReleaseRecord, experiment.challenger_id)
                if release is None:
                    raise NotFound(f"There is no release {experiment.challenger_id}.")
                if release.deleted_at is not None:
                    raise deleted(release.id)
                gate_passed(release, key_id=key_id, override=None)
                session.add(experiment)
                session.add(audit(key_id, "experiment.start", experiment.id, detail))
        except IntegrityError as error:
            raise Conflict(
                "An experiment is running.", remedy="Stop it, or promote its challenger, first."
            ) from error

    async def _show(self, experiment: Experiment) -> None:
        shown = await self._graph.write(
            "experiments/begin",
            timeout_s=FLIP_TIMEOUT_S,
            experiment_id=experiment.id,
            champion_id=experiment.champion_id,
            challenger_id=experiment.challenger_id,
            share=experiment.share,
        )
        if not shown:
            reason = "the active release changed, or the challenger was being deleted, as it began"
            await self._end(
                experiment, ExperimentStatus.STOPPED, outcome=reason, key_id=experiment.started_by
            )
            raise Conflict(f"The experiment did not begin: {reason}.", remedy=HOW_TO_BEGIN)

    async def stop(self, experiment_id: str, *, reason: str, key_id: str) -> Experiment:
        """The experiment, ended: all users see the champion. Conflict if it has ended in another way."""
        experiment = await self.get(experiment_id)
        outcome = f"stopped{f': {reason}' if reason else ' by hand'}"
        return await self._end(experiment, ExperimentStatus.STOPPED, outcome=outcome, key_id=key_id)

    async def promote(self, experiment_id: str, *, reason: str, key_id: str) -> Experiment:
        """The experiment, ended, with its challenger as the new champion, by the flip of any promotion.

        Conflict if it has ended, if its challenger is not shown yet, or if another release became active.
        """
        experiment = await self.get(experiment_id)
        if experiment.status == ExperimentStatus.PROMOTED:
            return experiment
        if experiment.status != ExperimentStatus.RUNNING:
            raise _has_ended(experiment)
        if not (await self._releases.in_graph()).is_whole(experiment.challenger_id):
            raise Conflict(
                f"Release {experiment.challenger_id} is still being written.",
                remedy="Wait, or stop the experiment.",
            )
        await self._promotions.promote(
            experiment.challenger_id,
            key_id=key_id,
            reason=reason or f"experiment {experiment_id}",
            override=None,
            expected=experiment.champion_id,
        )
        outcome = f"promoted{f': {reason}' if reason else ''}"
        return await self._end(experiment, ExperimentStatus.PROMOTED, outcome=outcome, key_id=key_id)

    async def _end(
        self, experiment: Experiment, status: ExperimentStatus, *, outcome: str, key_id: str
    ) -> Experiment:
        """End it in the ledger, and then its pointer; one that has ended in the same way stays as it is."""
        async with self._ledger.write() as session:
            ended = await session.scalar(
                update(Experiment)
                .where(Experiment.id == experiment.id, Experiment.status == ExperimentStatus.RUNNING)
                .values(status=status, outcome=outcome, ended_at=utc_now())
                .returning(Experiment.id)
            )
            if ended is not None:
                detail = {"status": status, "outcome": outcome}
                session.add(audit(key_id, f"experiment.{_ACTIONS[status]}", experiment.id, detail))
        now = await self.get(experiment.id)
        if now.status != status:
            raise _has_ended(now)
        await self._graph.write("experiments/end", timeout_s=FLIP_TIMEOUT_S, experiment_id=experiment.id)
        return now


_ACTIONS = {ExperimentStatus.STOPPED: "stop", ExperimentStatus.PROMOTED: "promote"}


def _has_ended(experiment: Experiment) -> Conflict:
    return Conflict(
        f"Experiment {experiment.id} is {experiment.status}: {experiment.outcome}.",
        remedy="Start another one.",
    )
