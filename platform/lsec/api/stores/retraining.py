"""The policy of retraining in the ledger, and the jobs that act on it."""

import asyncio
import time
from typing import Any

from lsec.api.stores.jobs import Jobs
from lsec.api.stores.ledger import Ledger, audit
from lsec.core.errors import Unavailable
from lsec.core.jobs import UPKEEP_QUEUE, WATCH_JOB
from lsec.core.ledger import utc_now
from lsec.core.release_ledger import RetrainingPolicy
from lsec.core.retraining import POLICY_ID, default_policy

LOOK_TIMEOUT_S = 45.0
"""So long a caller waits for the upkeep's look, which has 30 s for its query."""
POLL_S = 0.2


class RetrainingStore:
    """The policy: one row, which the upkeep puts into the schedule and looks after."""

    def __init__(self, ledger: Ledger, jobs: Jobs) -> None:
        self._ledger = ledger
        self._jobs = jobs

    async def get(self) -> RetrainingPolicy:
        """The policy, or the default one where none was set."""
        async with self._ledger.read() as session:
            return await session.get(RetrainingPolicy, POLICY_ID) or default_policy()

    async def put(self, values: dict[str, Any], *, key_id: str) -> RetrainingPolicy:
        """The policy with these values; the upkeep is told, and sees it within a minute all the same."""
        async with self._ledger.write() as session:
            policy = await session.get(RetrainingPolicy, POLICY_ID)
            if policy is None:
                policy = default_policy()
                session.add(policy)
            for name, value in values.items():
                setattr(policy, name, value)
            policy.updated_by, policy.updated_at = key_id, utc_now()
            session.add(audit(key_id, "retraining.set", POLICY_ID, values))
        await self._jobs.hurry(WATCH_JOB, **_options(acts=True))
        return policy

    async def check(self) -> RetrainingPolicy:
        """The policy with the verdict of a look that begins now; Unavailable if none comes in time."""
        asked_at, deadline = utc_now(), time.monotonic() + LOOK_TIMEOUT_S
        try:
            await self._jobs.send(WATCH_JOB, **_options(acts=False))
        except Exception as error:
            raise Unavailable(
                "The look could not be asked for: the broker cannot be reached.",
                remedy="See that the broker runs.",
            ) from error
        while time.monotonic() < deadline:
            policy = await self.get()
            if policy.checked_at is not None and policy.checked_at >= asked_at:
                return policy
            await asyncio.sleep(POLL_S)
        raise Unavailable(
            f"Nobody has looked within {LOOK_TIMEOUT_S:.0f} s.",
            remedy="Do the upkeep worker and Neo4j run? `lsec status` shows.",
        )


def _options(*, acts: bool) -> dict[str, Any]:
    return {"kwargs": {"acts": acts}, "queue": UPKEEP_QUEUE, "expires": LOOK_TIMEOUT_S}
