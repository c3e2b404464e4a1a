"""The last inspection of the installation, as the upkeep put it into the ledger."""

from collections.abc import Sequence

from sqlalchemy import case, func, select

from lsec.api.stores.ledger import Ledger
from lsec.core.inspections import FindingState
from lsec.core.release_ledger import Inspection

STATES = [FindingState.BROKEN, FindingState.WARNING, FindingState.OK]
WORST_FIRST = case({state.value: rank for rank, state in enumerate(STATES)}, value=Inspection.state)


class InspectionStore:
    """What the last inspection found of each part."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def list(self, state: FindingState | None = None) -> Sequence[Inspection]:
        """Those in a state, or all, the worst first."""
        chosen = select(Inspection).order_by(WORST_FIRST, Inspection.name)
        if state is not None:
            chosen = chosen.where(Inspection.state == state)
        async with self._ledger.read() as session:
            return (await session.scalars(chosen)).all()

    async def count(self) -> dict[str, int]:
        """How many are in each state."""
        counted = select(Inspection.state, func.count().label("number")).group_by(Inspection.state)
        async with self._ledger.read() as session:
            found = {row.state: row.number for row in await session.execute(counted)}
        return {state.value: found.get(state.value, 0) for state in STATES}
