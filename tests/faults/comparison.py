"""How the graph differs from what a ledger says, in events lost and events counted twice."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import neo4j

from tests.faults.ledger import Ledger
from tests.integration.graph_dump import graph_records
from tests.unit.ingest.expected_graph import Graph, expected_graph

MAX_EXAMPLES = 10


@dataclass(slots=True)
class Difference:
    """Events that the graph lacks, and those that it has too many; both 0 if it equals the ledger."""

    lost: int = 0
    duplicated: int = 0
    examples: list[str] = field(default_factory=list)


def difference(ledger: Ledger, driver: neo4j.Driver) -> Difference:
    """What the graph's records of the ledger say against what they should."""
    records = ((key, record) for key, record in graph_records(driver) if key[1].startswith(ledger.prefix))
    return compare(expected_graph(ledger.events), records)


def compare(expected: Graph, found: Iterable[tuple[tuple[Any, ...], dict[str, Any]]]) -> Difference:
    """The difference of records by key, of which a key may have two, from those expected."""
    outcome = Difference()
    left = dict(expected)
    for key, record in found:
        wanted = left.pop(key, None)
        if wanted is None:
            # Either nothing stands for it, or it is the second record of its key.
            outcome.duplicated += int(record.get("count", 1)) or 1
            _note(outcome, f"{key} should not be: {record}")
        elif wanted != record:
            _add_record(outcome, wanted, record)
            _note(outcome, f"{key} is {record} instead of {wanted}")
    for key, record in left.items():
        outcome.lost += int(record.get("count", 1)) or 1
        _note(outcome, f"{key} is missing: {record}")
    return outcome


def _add_record(outcome: Difference, wanted: dict[str, Any], record: dict[str, Any]) -> None:
    """A count differs by events; a sum that is too great means one too many, all else one that is lost."""
    counts = (wanted.get("count", 0), record.get("count", 0))
    if counts[0] != counts[1]:
        outcome.lost += max(0, counts[0] - counts[1])
        outcome.duplicated += max(0, counts[1] - counts[0])
        return
    sums = [name for name, value in wanted.items() if isinstance(value, int) and not name.endswith("at")]
    if any(record.get(name, 0) > wanted[name] for name in sums):
        outcome.duplicated += 1
    else:
        outcome.lost += 1


def _note(outcome: Difference, text: str) -> None:
    if len(outcome.examples) < MAX_EXAMPLES:
        outcome.examples.append(text)
