"""What became of a batch, for the log line and the counters."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from graph_schema.events import Event
from lsec.core.event_log import BATCH_SIZES, size_field


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a batch: the events that are in the graph, its number there, and what it cost.

    `products` are those that it may have made, None if nobody knows.
    """

    events: Sequence[Event]
    products: Collection[str] | None = None
    seq: int = 0
    num_dead_letters: int = 0
    num_retries: int = 0
    duration_ms: int = 0

    def counts(self) -> dict[str, int]:
        """What the batch adds to the counters of its shard."""
        num_events = len(self.events) + self.num_dead_letters
        bound = next(bound for bound in BATCH_SIZES if num_events <= bound)
        return {
            "batches": 1,
            "events": num_events,
            "retries": self.num_retries,
            "dead_letters": self.num_dead_letters,
            "apply_ms": self.duration_ms,
            size_field(bound): 1,
        }
