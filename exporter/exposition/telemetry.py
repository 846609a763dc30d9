"""The exporter's own metrics: calls to MMS, refreshes, rendering, configuration and the process.

The only module that uses prometheus_client, with a registry of its own. Each account has one observer.
"""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from exporter import __revision__, __version__
from exporter.clock import SYSTEM_CLOCK, Clock
from exporter.errors import REASONS, PermissionRefused
from exporter.exposition.text import Format
from exporter.sharding import Shard

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # both formats carry the same series

OPERATIONS: Final = (
    *("ListMmsDataSources", "ListMmsJobs", "ListMmsTasks", "ListMmsDbs", "ListMmsTables", "ListMmsPartitions"),
    *("ListMmsTaskLogs", "ListMmsTimers", "ListMmsTimerLogs", "GetMmsFetchMetadataJob"),
    *("GetMmsTable", "GetMmsPartition"),
)
"""Operations of the serving process; their counters start at 0, so that `increase()` sees the first one."""

PROCESS_CACHE_SECONDS: Final = 1.0
"""Maximum age of the process metrics: concurrent scrapers share one collection."""


class CallMetrics:
    """Metrics of the calls and refreshes of all accounts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("account", "operation")
        self.requests = Counter(
            "mms_api_requests", "Number of requests sent to MMS, retries included.", labels, registry=registry
        )
        self.failures = Counter(
            "mms_api_request_failures",
            "Number of failed requests to MMS by reason, retries included.",
            (*labels, "reason"),
            registry=registry,
        )
        self.denied = Gauge(
            "mms_api_permission_denied",
            "1 if MMS denied the last request of the operation for lack of permission, 0 after a success, and 1 hour "
            "after the request or a reload. Then the operation is requested again when it is needed.",
            labels,
            registry=registry,
        )
        self.duration = Histogram(
            "mms_api_request_duration_seconds",
            "Time from sending a request to MMS to the last byte of its response, in seconds.",
            labels,
            buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=registry,
        )
        self.retries = Counter(
            "mms_api_retries", "Number of requests to MMS that retry a failed one.", labels, registry=registry
        )
        self.rate_limit_wait = Counter(
            "mms_api_rate_limit_wait_seconds",
            "Time that requests waited for rate_limit or for a delay requested by MMS, in seconds.",
            labels,
            registry=registry,
        )
        self.skipped = Counter(
            "mms_refresh_skipped",
            "Number of refreshes skipped because the previous one was still running.",
            ("account",),
            registry=registry,
        )
        self.unexpected = Counter(
            "mms_exporter_unexpected_values",
            "Number of API fields that were missing, had the wrong type or had an unknown value. "
            'field="row" counts whole rows, field="total" counts incomplete lists.',
            (*labels, "field"),
            registry=registry,
        )

    def init_account(self, account: str) -> None:
        """Start the counters of an account at 0; nothing is denied yet."""
        self.skipped.labels(account)
        for operation in OPERATIONS:
            self.denied.labels(account, operation).set(0)
            for metric in (self.requests, self.duration, self.retries, self.rate_limit_wait):
                metric.labels(account, operation)
            for reason in REASONS:
                self.failures.labels(account, operation, reason)

    def remove_account(self, account: str) -> None:
        """Remove the series of an account."""
        for metric in vars(self).values():
            metric.remove_by_labels({"account": account})


class OwnMetrics:
    """Metrics of rendering, configuration and build."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.series = Gauge("mms_exporter_series", "Number of series from MMS that are exported.", registry=registry)
        self.render_duration = Gauge(
            "mms_exporter_render_duration_seconds",
            "Duration of the last rendering of the series from MMS, in seconds.",
            registry=registry,
        )
        self.reload_success = Gauge(
            "mms_exporter_config_last_reload_successful",
            "1 if the last load of the configuration file and of the web configuration file succeeded, 0 otherwise.",
            registry=registry,
        )
        self.reload_time = Gauge(
            "mms_exporter_config_last_reload_success_timestamp_seconds",
            "Unix time of the last successful load of the configuration file.",
            registry=registry,
        )
        self.shards = Gauge(
            "mms_exporter_shards",
            "Number of shards that share the data sources; 1 without sharding. The label is the index of this shard.",
            ("shard",),
            registry=registry,
        )
        build = Gauge(
            "mms_exporter_build_info",
            "Version and source revision of the exporter and version of Python; the value is always 1.",
            ("version", "revision", "python_version"),
            registry=registry,
        )
        build.labels(__version__, __revision__, platform.python_version()).set(1)


@dataclass(frozen=True, slots=True)
class _CachedPage:
    page: bytes
    at: float
    """Monotonic seconds."""


class Telemetry:
    """The registry of the exporter's own metrics."""

    def __init__(self, *, with_process: bool = True, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._pages: dict[Format, _CachedPage] = {}
        self.registry = CollectorRegistry()
        self.calls = CallMetrics(self.registry)
        self.own = OwnMetrics(self.registry)
        if with_process:
            prometheus_client.ProcessCollector(registry=self.registry)
            prometheus_client.PlatformCollector(registry=self.registry)
            prometheus_client.GCCollector(registry=self.registry)

    def note_shard(self, shard: Shard) -> None:
        """Set which shard this exporter is."""
        self.own.shards.labels(str(shard.index)).set(shard.total)
        self.note_change()

    def note_rendering(self, seconds: float, series: int) -> None:
        """Set the metrics of the last rendering."""
        self.own.render_duration.set(seconds)
        self.own.series.set(series)
        self.note_change()

    def note_load(self, at: float | None, *, is_current: bool) -> None:
        """Set the time of the last load, in Unix seconds, and its success."""
        self.own.reload_success.set(is_current)
        if at is not None:
            self.own.reload_time.set(at)
        self.note_change()

    def note_change(self) -> None:
        """Invalidate the cached page."""
        self._pages.clear()

    def account(self, name: str) -> "AccountTelemetry":
        """Return the observer of one account; its counters start at 0."""
        return AccountTelemetry(self.calls, name, self.note_change)

    def forget_account(self, name: str) -> None:
        """Remove the series of an account."""
        self.calls.remove_account(name)
        self.note_change()

    def page(self, text_format: Format) -> bytes:
        """Return the rendered metrics; in OpenMetrics, ends the exposition.

        Process metrics may be PROCESS_CACHE_SECONDS old; all others are current.
        """
        cached, now = self._pages.get(text_format), self._clock.monotonic()
        if cached is None or now - cached.at > PROCESS_CACHE_SECONDS:
            cached = self._pages[text_format] = _CachedPage(self._rendered(text_format), now)
        return cached.page

    def _rendered(self, text_format: Format) -> bytes:
        if text_format == "openmetrics":
            return bytes(generate_openmetrics(self.registry))  # type: ignore[no-untyped-call]  # the library has no annotation
        return prometheus_client.generate_latest(self.registry)


class AccountTelemetry:
    """Counts the calls and refreshes of one account."""

    def __init__(self, calls: CallMetrics, account: str, note_change: Callable[[], None]) -> None:
        self._calls = calls
        self._account = account
        self._note_change = note_change
        calls.init_account(account)
        note_change()

    def attempted(self, operation: str, seconds: float, reason: str | None) -> None:
        """Count a request and, with a `reason`, its failure."""
        self._calls.requests.labels(self._account, operation).inc()
        self._calls.duration.labels(self._account, operation).observe(seconds)
        if reason is not None:
            self._calls.failures.labels(self._account, operation, reason).inc()
        if reason in (None, PermissionRefused.reason):
            self._calls.denied.labels(self._account, operation).set(reason is not None)
        self._note_change()

    def retried(self, operation: str) -> None:
        """Count a retry."""
        self._calls.retries.labels(self._account, operation).inc()
        self._note_change()

    def waited(self, operation: str, seconds: float) -> None:
        """Add the time that a request waited."""
        self._calls.rate_limit_wait.labels(self._account, operation).inc(seconds)
        self._note_change()

    def unexpected(self, operation: str, fields: Sequence[str]) -> None:
        """Count each unusable field."""
        for field in fields:
            self._calls.unexpected.labels(self._account, operation, field).inc()
        self._note_change()

    def unrefused(self, operation: str) -> None:
        """Record that a refusal has ended without a request."""
        self._calls.denied.labels(self._account, operation).set(0)
        self._note_change()

    def skipped(self) -> None:
        """Count a refresh skipped because another was running."""
        self._calls.skipped.labels(self._account).inc()
        self._note_change()
