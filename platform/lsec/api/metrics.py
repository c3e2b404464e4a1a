"""What is measured: what this process answers, and at each scrape the log, its ingesters and the rest."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from lsec.api.stores.event_log import ShardLag
from lsec.core.event_log import BATCH_SIZES, entry_id_ms, size_field

DURATION_BUCKETS_S = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OUTCOMES = ("accepted", "duplicates", "rejected")
_SHARD = ("shard",)

IngestStats = Mapping[str, int]
"""What an ingester has counted, by the names of its hash in the log's server."""


class Metrics:
    """The counters of this process."""

    def __init__(self) -> None:
        # They would double the series; Prometheus tells a restart by a counter that falls.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotations
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "lsec_http_requests",
            "Requests answered by this process",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._durations = Histogram(
            "lsec_http_request_duration_seconds",
            "Time until this process began to answer a request",
            ["method", "route"],
            buckets=DURATION_BUCKETS_S,
            registry=self._registry,
        )
        events = Counter(
            "lsec_events",
            "Events sent to this process, by what became of them",
            ["outcome"],
            registry=self._registry,
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

    def text(self, families: Sequence[Metric]) -> bytes:
        """Everything in Prometheus's text format: the counters, and what was measured for this scrape."""
        scraped = CollectorRegistry()
        scraped.register(_Measured(families))
        return generate_latest(self._registry) + generate_latest(scraped)


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


def listener_family(num_listeners: int) -> Metric:
    """Those who listen to the live feed of this process."""
    return GaugeMetricFamily("lsec_live_listeners", "Open live feeds of this process", num_listeners)


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
