"""Dashboard of the exporter itself: freshness, responses of MMS, resource usage."""

from typing import Final

from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import heatmap, stat
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import units

from grafana.builder import palette, panels, promql
from grafana.builder.page import Page, Row
from grafana.builder.panels import Frame, instant_query, range_query
from grafana.builder.promql import equals, process


def _account(metric: str, *matchers: str) -> str:
    return promql.account(metric, promql.PROCESS, *matchers)


_REASONS: Final = {
    "auth": "red",
    "permission": "semi-dark-red",
    "credentials": "dark-red",
    "unsupported": "light-red",
    "throttled": "yellow",
    "timeout": "orange",
    "connection": "semi-dark-orange",
    "server": "dark-orange",
    "malformed": "purple",
    "too_large": "light-purple",
    "not_found": "blue",
    "rejected": "dark-purple",
}
"""Red needs a person, yellow needs fewer requests, orange passes by itself."""
_OPERATIONS: Final = {
    "ListMmsDataSources": "purple",
    "ListMmsJobs": "blue",
    "ListMmsTables": "light-blue",
    "ListMmsPartitions": "super-light-blue",
    "GetMmsTable": "light-purple",
    "GetMmsPartition": "super-light-purple",
}
"""Colours without a judgement."""
_AGE_UNIT: Final = "suffix:s"
"""Readable ticks: with the unit of seconds, Grafana writes 1.67 mins."""
_COLLECTOR: Final = "{{account}} / {{collector}}"
_REQUESTS: Final = f"sum(rate({_account('mms_api_requests_total')}[$__rate_interval]))"
_THROTTLED: Final = (
    f"sum(rate({_account('mms_api_request_failures_total', equals('reason', 'throttled'))}[$__rate_interval]))"
)
_BUCKETS: Final = _account("mms_api_request_duration_seconds_bucket")


def _figures() -> list[stat.Panel]:
    unread = f"sum(max by (account) ({_account('mms_up')}) == bool 0)"
    failed = f"sum(max by (account, collector) ({_account('mms_refresh_success')}) == bool 0)"
    # Each collector is optional. Without a `kind`, `or` would keep only one of the metrics.
    kinds = (
        f'label_replace({promql.source(f"mms_{kind}_series_omitted", promql.PROCESS)}, "kind", "{kind}", "", "")'
        for kind in ("database", "job")
    )
    failures = promql.source("mms_failed_omitted", promql.PROCESS)
    omitted = f"sum({promql.by_source(' or '.join((*kinds, failures)), 'kind')})"
    return [
        _count("Unreadable accounts", "Accounts whose last refresh could not list the data sources.", unread),
        _count(
            "Stale sources",
            "Data sources without a complete refresh in the last 5 minutes.",
            promql.stale_sources(promql.RULE_JOB),
        ),
        _count("Failed collectors", "Collectors whose last refresh was incomplete, counted per account.", failed),
        panels.figure(
            Frame("Throttled", "Share of requests that MMS throttled.", 6, 3),
            instant_query(f"{_THROTTLED} / ({_REQUESTS} > 0) or 0 * {_REQUESTS}"),
            units.PercentUnit,
            palette.steps(palette.DONE, (0.001, palette.PART_DONE), (palette.THROTTLED_RATIO, palette.FAILED)),
        ).decimals(1),
        panels.figure(
            Frame(
                "Not shown", "Databases, jobs and failures without series, because a configured limit is reached.", 6, 3
            ),
            instant_query(omitted),
            units.LocaleFormat,
            palette.steps(palette.DONE, (1, palette.WARNING)),
        ),
    ]


def _version_and_start() -> list[stat.Panel]:
    build = process("mms_exporter_build_info")
    # The panel shows the name of its series, so without one it would be empty.
    unknown = f'label_replace({promql.absent(build)}, "version", "{palette.UNKNOWN}", "", "")'
    return [
        panels.figure(
            Frame("Version", "Version of the exporter. Several during an update.", 6, 3),
            instant_query(f"max by (version) ({build})", "{{version}}").ref_id("A"),
            units.NoUnit,
            palette.NO_JUDGEMENT,
        )
        .with_target(instant_query(unknown, "{{version}}").ref_id(panels.SENTINEL))
        .text_mode(options.BigValueTextMode.NAME),
        panels.figure(
            Frame("Configuration", "Whether the last load of the configuration succeeded.", 6, 3),
            instant_query(f"min({process('mms_exporter_config_last_reload_successful')})"),
            units.NoUnit,
            palette.NO_JUDGEMENT,
            palette.words([(1.0, "Loaded", palette.DONE), (0.0, "Failed", palette.FAILED)]),
        ),
        _plain(
            "Started",
            "Start time of the exporter; the latest of several instances.",
            promql.moment(f"max({process('process_start_time_seconds')})"),
            units.DateTimeFromNow,
        ),
    ]


def _count(title: str, description: str, expr: str) -> stat.Panel:
    return panels.figure(Frame(title, description, 6, 3), instant_query(expr), units.LocaleFormat, palette.ZERO_IS_GOOD)


def _plain(title: str, description: str, expr: str, unit: str) -> stat.Panel:
    return panels.figure(Frame(title, description, 6, 3), instant_query(expr), unit, palette.NO_JUDGEMENT)


def _age(title: str, description: str, expr: str, legend: str) -> panels.Graph:
    limit = palette.steps("transparent", (palette.STALE_AFTER_SECONDS, palette.FAILED))
    style = build_common.GraphThresholdsStyleConfig().mode(options.GraphThresholdsStyleMode.DASHED)
    panel = panels.many(panels.graph(Frame(title, description, 12, 8), _AGE_UNIT, range_query(expr, legend)))
    return panel.thresholds(limit).thresholds_style(style)


def _freshness() -> list[panels.Graph | panels.Timeline]:
    last = f"max by (account, collector) ({_account('mms_refresh_last_success_timestamp_seconds')})"
    success = f"min by (account, collector) ({_account('mms_refresh_success')})"
    took = f"max by (account, collector) ({_account('mms_refresh_duration_seconds')})"
    age = promql.source("mms:source:last_success_age:seconds", promql.RULE_JOB)
    oldest = f"topk({promql.SHOWN_AT_MOST}, {promql.at_the_end('{}', age)})"
    return [
        _age(
            "Data age by collector",
            "Time since the last complete refresh of each collector. Above the dashed line values are not exported.",
            promql.age(last),
            _COLLECTOR,
        ),
        _age(
            "Data age by source",
            "Time since the last complete refresh of each data source, for the 20 oldest.",
            f"{promql.by_source(age)} and on ({promql.SOURCE}) {oldest}",
            "{{source}} ({{account}})",
        ),
        panels.timeline(
            Frame("Refreshes", "Whether the last refresh of each collector was complete. Gaps: no data.", 12, 8),
            palette.OUTCOME,
            range_query(success, _COLLECTOR),
            promql.never(_account("mms_refresh_success")),
        ),
        panels.many(
            panels.graph(
                Frame("Refresh duration", "Duration of the last refresh of each collector.", 12, 8),
                units.Seconds,
                range_query(took, _COLLECTOR),
            ),
        ),
    ]


def _rate(metric: str, by: str, *matchers: str) -> str:
    return f"sum by ({by}) (rate({_account(metric, *matchers)}[$__rate_interval]))"


def _quantile(share: float) -> str:
    return f"histogram_quantile({share:g}, sum by (le) (rate({_BUCKETS}[$__rate_interval])))"


def _calls() -> list[panels.Graph | heatmap.Panel]:
    return [
        _by_operation(
            Frame("Requests by operation", "Requests to MMS by operation, retries included, stacked.", 12, 8),
            "mms_api_requests_total",
        ),
        _failures(),
        panels.heat_map(
            Frame("Latency", "Response time of MMS. Stronger colours mean more requests.", 12, 9),
            units.Seconds,
            f"sum by (le) (increase({_BUCKETS}[$__rate_interval]))",
        ),
        _quantiles(),
    ]


def _by_operation(frame: Frame, metric: str) -> panels.Graph:
    calls = range_query(_rate(metric, "operation"), "{{operation}}")
    panel = panels.stacked(panels.many(panels.graph(frame, units.RequestsPerSecond, calls)))
    for operation, colour in _OPERATIONS.items():
        panels.coloured(panel, operation, colour)
    return panel


def _failures() -> panels.Graph:
    frame = Frame(
        "Failures by reason",
        "Failed requests by reason, stacked. `auth`, `permission` and `credentials` need a manual fix; most others are "
        "retried.",
        12,
        8,
    )
    failures = range_query(_rate("mms_api_request_failures_total", "reason"), "{{reason}}")
    panel = panels.stacked(panels.many(panels.graph(frame, units.RequestsPerSecond, failures)))
    for reason, colour in _REASONS.items():
        panels.coloured(panel, reason, colour)
    return panel


def _quantiles() -> panels.Graph:
    frame = Frame("Latency percentiles", "Response time of MMS: 50th, 90th, 99th percentile.", 12, 9)
    shares = {"p50": (0.5, palette.DONE), "p90": (0.9, palette.PART_DONE), "p99": (0.99, palette.FAILED)}
    targets = [range_query(_quantile(share), name) for name, (share, _) in shares.items()]
    panel = panels.graph(frame, units.Seconds, *targets)
    for name, (_, colour) in shares.items():
        panels.coloured(panel, name, colour)
    return panel


def _restraint() -> list[panels.Graph]:
    return [
        panels.graph(
            Frame(
                "Rate-limit wait",
                "Total time that requests wait for `rate_limit`, in seconds per second. If it stays above 1, raise "
                "`refresh.interval` or `rate_limit`.",
                6,
                7,
            ),
            units.Seconds,
            range_query(_rate("mms_api_rate_limit_wait_seconds_total", "account"), "{{account}}"),
        ),
        panels.graph(
            Frame("Skipped refreshes", "Refreshes skipped because the previous one was still running.", 6, 7),
            units.LocaleFormat,
            range_query(
                f"sum by (account) (increase({_account('mms_refresh_skipped_total')}[$__rate_interval]))",
                "{{account}}",
            ),
        ),
        _by_operation(Frame("Retries", "Retried requests to MMS by operation.", 12, 7), "mms_api_retries_total"),
    ]


def _itself() -> list[panels.Graph | panels.Timeline]:
    return [
        _line("Series", "Number of exported series from MMS.", process("mms_exporter_series"), units.LocaleFormat),
        _line(
            "Render time",
            "Duration of the last rendering of the metrics. Scrapes do not wait for it.",
            process("mms_exporter_render_duration_seconds"),
            units.Seconds,
        ),
        _line("Memory", "Resident memory of the process.", process("process_resident_memory_bytes"), units.BytesIEC),
        _line(
            "CPU",
            "CPU time used by the process, as a share of one core.",
            f"rate({process('process_cpu_seconds_total')}[$__rate_interval])",
            units.PercentUnit,
        ),
        panels.timeline(
            Frame("Scrapes", "Whether the scrape by Prometheus succeeded.", 8, 6),
            palette.OUTCOME,
            range_query(process("up"), "{{instance}}"),
            promql.never(process("up")),
        ),
        panels.timeline(
            Frame("Configuration reloads", "Whether the last load of the configuration succeeded.", 8, 6),
            palette.OUTCOME,
            range_query(process("mms_exporter_config_last_reload_successful"), "{{instance}}"),
            promql.never(process("mms_exporter_config_last_reload_successful")),
        ),
        panels.graph(
            Frame("Unexpected values", "API fields that were missing or had an unexpected type or value.", 8, 6),
            units.LocaleFormat,
            range_query(
                "sum by (instance, operation, field) "
                f"(increase({_account('mms_exporter_unexpected_values_total')}[$__rate_interval]))"
                f" or sum by (instance) (0 * {process('mms_exporter_series')})",
                "{{instance}} {{operation}} {{field}}",
            ),
        ),
    ]


def _line(title: str, description: str, expr: str, unit: str) -> panels.Graph:
    return panels.graph(Frame(title, description, 6, 7), unit, range_query(expr, "{{instance}}"))


def page() -> Page:
    """Return the dashboard `mms-exporter`."""
    return Page(
        uid="mms-exporter",
        description="The exporter itself: freshness of its data, its requests to MMS and its resource usage.",
        hours=6,
        of_exporter=True,
        rows=[
            Row("Now", [*_figures(), *_version_and_start()]),
            Row("Freshness", [*_freshness()]),
            Row("Requests to MMS", [*_calls(), *_restraint()]),
            Row("Process", [*_itself()]),
        ],
    )
