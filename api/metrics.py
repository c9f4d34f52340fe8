"""Numbers for Prometheus, in a registry of the app's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from domain.errors import TemporarilyUnavailable
from domain.withdrawal import FROZEN, OPEN
from ledger.reads import AGES, Oversight, Waiting

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

ReadWaiting = Callable[[], Mapping[str, Waiting]]
ReadOversight = Callable[[], Oversight]


class Metrics:
    """What is counted per request, and what is read at each scrape; labels never carry an id."""

    def __init__(self, read_waiting: ReadWaiting | None = None, read_oversight: ReadOversight | None = None) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "http_requests", "Requests answered.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "http_request_duration_seconds",
            "How long an answer took.",
            ("method", "route"),
            registry=self._registry,
        )
        self._payloads = Counter(
            "payloads_not_opened", "Payloads refused, or waiting for a key.", ("reason",), registry=self._registry
        )
        if read_waiting is not None and read_oversight is not None:
            self._registry.register(_FromTheRows(read_waiting, read_oversight))

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts one answered request; ``route`` is the template, not the path."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def count_payload(self, reason: str) -> None:
        """Counts a payload that did not open: ``key_missing`` or ``refused``."""
        self._payloads.labels(reason).inc()

    def exposition(self) -> bytes:
        """The text format, version 0.0.4."""
        return generate_latest(self._registry)


class _FromTheRows(Collector):
    """Read from the rows at each scrape, so that the numbers are right whichever process answers."""

    def __init__(self, read_waiting: ReadWaiting, read_oversight: ReadOversight) -> None:
        self._read_waiting = read_waiting
        self._read_oversight = read_oversight

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing is read when the app is put together."""
        yield from ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges; without a database only the one that says so."""
        up = GaugeMetricFamily("withdrawals_database_up", "1 if the totals could be read.")
        try:
            waiting, oversight = self._read_waiting(), self._read_oversight()
        except TemporarilyUnavailable:
            up.add_metric((), 0)
            yield up
            return
        up.add_metric((), 1)
        yield up
        yield from _where_they_stand(waiting)
        yield from _found(oversight)


def _where_they_stand(waiting: Mapping[str, Waiting]) -> Iterator[GaugeMetricFamily]:
    counts = GaugeMetricFamily("withdrawals_open", "Withdrawals not yet over.", labels=("status",))
    older = GaugeMetricFamily(
        "withdrawals_open_older", "Those of them that last changed longer ago than this.", labels=("status", "than")
    )
    since = GaugeMetricFamily(
        "withdrawals_waiting_since_timestamp_seconds", "When the oldest of them last changed.", labels=("status",)
    )
    for status in sorted(OPEN):
        there = waiting.get(status)
        counts.add_metric((status,), there.count if there else 0)
        for age in AGES:
            older.add_metric((status, age.label), there.older[age.label] if there else 0)
        if there:
            since.add_metric((status,), there.since.timestamp())
    yield from (counts, older, since)
    frozen = sum(there.fen for status, there in waiting.items() if status in FROZEN)
    yield GaugeMetricFamily("withdrawals_frozen_fen", "Customers' money that is frozen, in fen.", frozen)
    missing = sum(there.approvals_missing for there in waiting.values())
    yield GaugeMetricFamily("withdrawals_approvals_missing", "Approvals that finance has yet to give.", missing)


def _found(oversight: Oversight) -> Iterator[GaugeMetricFamily]:
    yield GaugeMetricFamily(
        "withdrawals_differences_open", "Where the bank's book and ours differ.", oversight.open_differences
    )
    yield GaugeMetricFamily(
        "withdrawals_outbox_waiting", "Messages the console's backend has not taken yet.", oversight.messages_waiting
    )
    yield GaugeMetricFamily(
        "withdrawals_outbox_dead_letters", "Messages to the console's backend given up.", oversight.dead_letters
    )
    if oversight.looked_at is not None:
        yield GaugeMetricFamily(
            "withdrawals_invariants_broken",
            "Invariants that did not hold at the last look.",
            oversight.broken_invariants,
        )
        yield GaugeMetricFamily(
            "withdrawals_invariants_looked_at_timestamp_seconds",
            "When the invariants were last looked over.",
            oversight.looked_at.timestamp(),
        )
