"""What is measured: what the API answers, and at each scrape the log, its ingesters and the rest.

Several processes count together in a folder, where each has files of its own. Whichever answers a scrape
sums them up, with those of processes that have ended: so no counter falls before the API itself starts anew.
"""

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    multiprocess,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from lsec.api.stores.event_log import ShardLag
from lsec.core.event_log import BATCH_SIZES, entry_id_ms, size_field

DURATION_BUCKETS_S = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
LISTENERS_EVERY_S = 1.0
OUTCOMES = ("accepted", "duplicates", "rejected")
_SHARD = ("shard",)

IngestStats = Mapping[str, int]
"""What an ingester has counted, by the names of its hash in the log's server."""


class Metrics:
    """The counters of this process, and of all of the API's where they count together in a folder.

    prometheus_client decides where to count as it is imported, by a variable that then names the folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        # They would double the series; Prometheus tells a restart by a counter that falls.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotations
        self._registry = self._all = CollectorRegistry()
        if folder is not None:
            self._all = CollectorRegistry()
            multiprocess.MultiProcessCollector(self._all, str(folder))  # type: ignore[no-untyped-call]  # as above
        self._requests = Counter(
            "lsec_http_requests",
            "Requests answered by the API",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._durations = Histogram(
            "lsec_http_request_duration_seconds",
            "Time until the API began to answer a request",
            ["method", "route"],
            buckets=DURATION_BUCKETS_S,
            registry=self._registry,
        )
        events = Counter(
            "lsec_events",
            "Events sent to the API, by what became of them",
            ["outcome"],
            registry=self._registry,
        )
        self._listeners = Gauge(
            "lsec_live_listeners", "Open live feeds", registry=self._registry, multiprocess_mode="livesum"
        )
        # Looking a child up costs more than counting.
        self._of_outcome = {outcome: events.labels(outcome) for outcome in OUTCOMES}
        self._of_answer: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request and how long it waited for its answer."""
        method = method if method in METHODS else "other"
        found = self._of_answer.get((method, route, status))
        if found is None:
            found = self._requests.labels(method, route, status), self._durations.labels(method, route)
            self._of_answer[method, route, status] = found
        num_requests, durations = found
        num_requests.inc()
        durations.observe(seconds)

    def took_events(self, notes: Mapping[str, object]) -> None:
        """Count the events of a request whose line says so."""
        for outcome, counter in self._of_outcome.items():
            num_events = notes.get(outcome)
            if num_events and isinstance(num_events, int):
                counter.inc(num_events)

    def has_listeners(self, num_listeners: int) -> None:
        """Say how many listen to the live feed of this process."""
        self._listeners.set(num_listeners)

    async def count_listeners(self, count: Callable[[], int]) -> None:
        """Say it every second, for ever: another process may answer the scrape."""
        while True:
            self.has_listeners(count())
            await asyncio.sleep(LISTENERS_EVERY_S)

    def text(self, families: Sequence[Metric]) -> bytes:
        """Everything in Prometheus's text format: the counters, and what was measured for this scrape."""
        scraped = CollectorRegistry()
        scraped.register(_Measured(families))
        return generate_latest(self._all) + generate_latest(scraped)


class _Measured(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


def log_families(shards: Sequence[ShardLag], stats: Sequence[IngestStats], used: int) -> Iterator[Metric]:
    """What the log's server tells of each shard, and of itself."""
    yield GaugeMetricFamily("lsec_log_memory_bytes", "Memory used by the log's server", used)
    by_shard = {str(shard.shard): shard for shard in shards}
    yield _counter(
        "lsec_log_appended_events", "Events in the log", {n: s.appended for n, s in by_shard.items()}
    )
    yield _counter(
        "lsec_log_committed_events", "Events in the graph", {n: s.committed for n, s in by_shard.items()}
    )
    yield _gauge(
        "lsec_log_backlog_events",
        "Events that wait for the graph",
        {n: s.backlog_events for n, s in by_shard.items()},
    )
    yield _gauge(
        "lsec_log_lag_seconds",
        "Age of the oldest entry that the graph does not hold; 0 if there is none",
        {n: s.age_s for n, s in by_shard.items()},
    )
    yield _gauge(
        "lsec_log_committed_position_seconds",
        "When the newest entry that the graph holds was appended, since 1970; 0 before the first",
        {n: entry_id_ms(s.position) / 1000 for n, s in by_shard.items()},
    )
    yield from _ingest_families(dict(enumerate(stats)))


def _ingest_families(stats: Mapping[int, IngestStats]) -> Iterator[Metric]:
    for name, field, per_unit, what in (
        ("lsec_ingest_events", "events", 1, "Events that the ingester put into the graph"),
        ("lsec_ingest_retries", "retries", 1, "Times that the ingester tried a batch again"),
        ("lsec_ingest_dead_letters", "dead_letters", 1, "Events that the ingester set aside"),
        ("lsec_ingest_apply_seconds", "apply_ms", 1000, "Time that the ingester spent applying batches"),
    ):
        yield _counter(name, what, {str(n): each.get(field, 0) / per_unit for n, each in stats.items()})
    # Its count is the number of batches.
    sizes = HistogramMetricFamily(
        "lsec_ingest_batch_events", "Events of the ingester's batches", labels=_SHARD
    )
    for shard, each in stats.items():
        counts = accumulate(each.get(size_field(bound), 0) for bound in BATCH_SIZES)
        names = ("+Inf" if bound == math.inf else str(bound) for bound in BATCH_SIZES)
        sizes.add_metric([str(shard)], list(zip(names, counts, strict=True)), each.get("events", 0))
    yield sizes


def release_family(release_id: str | None) -> Metric:
    """The release that the graph shows as active, as a label."""
    family = GaugeMetricFamily(
        "lsec_release_info", "The active release; its value is 1", labels=["release_id"]
    )
    if release_id is not None:
        family.add_metric([release_id], 1)
    return family


def dead_letter_family(num_open: int) -> Metric:
    """The dead letters that wait for somebody."""
    return GaugeMetricFamily("lsec_dead_letters", "Events set aside that nobody has dealt with yet", num_open)


def inspection_family(counts: Mapping[str, int]) -> Metric:
    """How much of the installation the last inspection found in each state."""
    family = GaugeMetricFamily(
        "lsec_inspections", "Parts of the installation, by what the last inspection found", labels=["state"]
    )
    for state, count in counts.items():
        family.add_metric([state], count)
    return family


def up_family(answered: Mapping[str, bool]) -> Metric:
    """Which services answered for this scrape; what the others would tell is missing from it."""
    family = GaugeMetricFamily("lsec_up", "1 if the service answered for this scrape", labels=["service"])
    for service, is_up in answered.items():
        family.add_metric([service], float(is_up))
    return family


def _counter(name: str, what: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(name, what, labels=_SHARD)
    for shard, value in values.items():
        family.add_metric([shard], value)
    return family


def _gauge(name: str, what: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, what, labels=_SHARD)
    for shard, value in values.items():
        family.add_metric([shard], value)
    return family
