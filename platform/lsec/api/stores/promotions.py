"""Which release is active: promotions, refused where the gate was not passed, and rollbacks."""

from typing import Any

from sqlalchemy import func, update

from lsec.api.stores.graph import Graph
from lsec.api.stores.jobs import Jobs
from lsec.api.stores.ledger import Ledger, audit
from lsec.api.stores.releases import FLIP_TIMEOUT_S, InGraph, ReleaseStore, deleted
from lsec.core.errors import Conflict, NotFound
from lsec.core.gate import failed_checks, lets_pass, overridden
from lsec.core.jobs import PUBLISH_JOB, UPKEEP_QUEUE
from lsec.core.ledger import ReleaseRecord, utc_now


class Promotions:
    """Changes of the active release; each leaves an audit record before anything is done."""

    def __init__(self, ledger: Ledger, graph: Graph, releases: ReleaseStore, jobs: Jobs) -> None:
        self._ledger = ledger
        self._graph = graph
        self._releases = releases
        self._jobs = jobs

    async def promote(
        self, release_id: str, *, key_id: str, reason: str, override: str | None, expected: str | None
    ) -> None:
        """Make the release active: at once if the graph holds it whole, else a worker writes it first.

        Conflict if it has not passed the gate and `override` does not say why it may become active all the
        same, if it is deleted, or if another than the `expected` release is active.
        """
        in_graph = await self._releases.in_graph()
        _expect(in_graph, expected)
        if release_id == in_graph.champion:
            return
        await self._change(
            release_id, in_graph, "release.promote", key_id=key_id, reason=reason, override=override
        )

    async def rollback(self, *, key_id: str, reason: str, expected: str | None) -> str:
        """Make the release active that was before; its id. Conflict if none is left, or as in `promote`.

        The gate has no say in it: that release was active.
        """
        in_graph = await self._releases.in_graph()
        _expect(in_graph, expected)
        by_id = {release.id: release for release in await self._releases.list()}
        kept = [i for i in in_graph.previous_ids if i in by_id and by_id[i].deleted_at is None]
        if not kept:
            raise Conflict(
                "No release is kept that was active before.", remedy="Promote one: `lsec releases list`."
            )
        await self._change(kept[0], in_graph, "release.rollback", key_id=key_id, reason=reason)
        return kept[0]

    async def _change(
        self,
        release_id: str,
        in_graph: InGraph,
        action: str,
        *,
        key_id: str,
        reason: str,
        override: str | None = None,
    ) -> None:
        replaces = in_graph.champion or ""
        is_rollback = action == "release.rollback"
        is_whole = in_graph.is_whole(release_id)
        async with self._ledger.write() as session:
            release = await session.get(ReleaseRecord, release_id)
            if release is None:
                raise NotFound(f"There is no release {release_id}.")
            if release.deleted_at is not None:
                raise deleted(release_id)
            if not is_rollback:
                release.gate = gate_passed(release, key_id=key_id, override=override)
            if not is_whole:
                release.promotion_asked_at = utc_now()
                release.promotion_replaces = replaces
                release.promotion_is_rollback = is_rollback
            release.promotion_error = None
            detail: dict[str, Any] = {"replaces": replaces, "reason": reason}
            session.add(
                audit(key_id, action, release_id, detail | ({"override": override} if override else {}))
            )
        if is_whole:
            await self._flip(release_id, replaces=replaces, is_rollback=is_rollback)
        else:
            await self._jobs.hurry(PUBLISH_JOB, release_id, queue=UPKEEP_QUEUE)

    async def _flip(self, release_id: str, *, replaces: str, is_rollback: bool) -> None:
        rows = await self._graph.write(
            "publish/flip",
            timeout_s=FLIP_TIMEOUT_S,
            release_id=release_id,
            expected=replaces,
            is_rollback=is_rollback,
        )
        # The driver may have flipped it without hearing of it, and then found it flipped.
        if not rows and (active := (await self._releases.in_graph()).champion) != release_id:
            raise Conflict(
                f"Release {active} became active meanwhile, or {release_id} is being collected.",
                remedy="Look at the releases, and ask again.",
                active=active,
            )
        async with self._ledger.write() as session:
            await session.execute(
                update(ReleaseRecord)
                .where(ReleaseRecord.id == release_id)
                .values(
                    published_at=func.coalesce(ReleaseRecord.published_at, utc_now()),
                    promotion_asked_at=None,
                )
            )


def _expect(in_graph: InGraph, expected: str | None) -> None:
    if expected is not None and expected != (in_graph.champion or ""):
        raise Conflict(
            f"The active release is {in_graph.champion or 'none'}, not {expected or 'none'}.",
            remedy="Look at what has changed, and ask again.",
            active=in_graph.champion,
        )


def gate_passed(release: ReleaseRecord, *, key_id: str, override: str | None) -> dict[str, Any]:
    """The gate's verdict on a release that may become active; Conflict with the failed checks if it may not.

    A release that no gate has judged may.
    """
    gate = release.gate
    if lets_pass(gate) and not ("override" in gate and override):
        return gate
    if not override:
        failed = failed_checks(gate)
        names = ", ".join(check["name"] for check in failed)
        raise Conflict(
            f"Release {release.id} has not passed the gate: {names or 'no check was made'}.",
            remedy="Train a better one, or say as `override` why this one may become active all the same.",
            checks=failed,
        )
    return overridden(gate, by=key_id, reason=override, at=utc_now())
