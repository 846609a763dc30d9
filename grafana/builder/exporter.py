"""The exporter itself: are its figures fresh, how does MMS answer it, what does it cost."""

from typing import Final

from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import heatmap, stat
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import units

from grafana.builder import meaning, panels, promql
from grafana.builder.page import Page, Row
from grafana.builder.panels import Frame, course, now
from grafana.builder.promql import account, equals, process, recorded, source

_REASONS: Final = {
    "auth": "red",
    "permission": "semi-dark-red",
    "credentials": "dark-red",
    "throttled": "yellow",
    "timeout": "orange",
    "connection": "semi-dark-orange",
    "server": "dark-orange",
    "malformed": "purple",
    "too_large": "light-purple",
    "not_found": "blue",
    "rejected": "dark-purple",
}
"""Red needs a person, yellow fewer calls, orange passes by itself."""
_OPERATIONS: Final = {
    "ListMmsDataSources": "purple",
    "ListMmsJobs": "blue",
    "ListMmsTables": "light-blue",
    "ListMmsPartitions": "super-light-blue",
    "GetMmsTable": "light-purple",
    "GetMmsPartition": "super-light-purple",
}
"""None of the colours that judge."""
_COLLECTOR: Final = "{{account}} / {{collector}}"
_REQUESTS: Final = f"sum(rate({account('mms_api_requests_total')}[$__rate_interval]))"
_THROTTLED: Final = (
    f"sum(rate({account('mms_api_request_failures_total', equals('reason', 'throttled'))}[$__rate_interval]))"
)
_BUCKETS: Final = account("mms_api_request_duration_seconds_bucket")


def _figures() -> list[stat.Panel]:
    unread = f"sum(max by (account) ({account('mms_up')}) == bool 0)"
    failed = f"sum(max by (account, collector) ({account('mms_refresh_success')}) == bool 0)"
    jobs, failures = promql.total(source("mms_job_series_omitted")), promql.total(source("mms_failed_omitted"))
    # Either collector can be switched off.
    omitted = f"{jobs} + {failures} or {jobs} or {failures}"
    return [
        _count("Unreadable accounts", "Accounts whose data sources could not be listed at the last refresh.", unread),
        _count("Stale sources", "Data sources not read with success for five minutes.", promql.STALE_SOURCES),
        _count("Failed collectors", "Collectors whose last refresh failed, counted by account.", failed),
        panels.figure(
            Frame("Throttled", "Calls that MMS refused because there were too many, of all calls.", 3, 4),
            now(f"{_THROTTLED} / ({_REQUESTS} > 0) or 0 * {_REQUESTS}"),
            units.PercentUnit,
            meaning.steps(meaning.DONE, (0.001, meaning.PART_DONE), (meaning.THROTTLED_RATIO, meaning.FAILED)),
        ).decimals(1),
        panels.figure(
            Frame("Left out", "Jobs and failures beyond the bounds of the configuration, without series.", 3, 4),
            now(omitted),
            units.LocaleFormat,
            meaning.steps(meaning.DONE, (1, meaning.WARNING)),
        ),
        panels.figure(
            Frame("Version", "The version of the exporter; several during an update.", 3, 4),
            now(f"max by (version) ({process('mms_exporter_build_info')})", "{{version}}"),
            units.NoUnit,
            meaning.NO_JUDGEMENT,
        ).text_mode(options.BigValueTextMode.NAME),
        panels.figure(
            Frame("Configuration", "Whether the last load of the configuration was accepted.", 3, 4),
            now(f"min({process('mms_exporter_config_last_reload_successful')})"),
            units.NoUnit,
            meaning.NO_JUDGEMENT,
            meaning.words([(1.0, "Accepted", meaning.DONE), (0.0, "Refused", meaning.FAILED)]),
        ),
        _plain(
            "Up since",
            "When the exporter was started; the latest of several.",
            f"1000 * max({process('process_start_time_seconds')})",
            units.DateTimeFromNow,
        ),
    ]


def _count(title: str, description: str, expr: str) -> stat.Panel:
    return panels.figure(Frame(title, description, 3, 4), now(expr), units.LocaleFormat, meaning.ZERO_IS_GOOD)


def _plain(title: str, description: str, expr: str, unit: str) -> stat.Panel:
    return panels.figure(Frame(title, description, 3, 4), now(expr), unit, meaning.NO_JUDGEMENT)


def _age(title: str, description: str, expr: str, legend: str) -> panels.Graph:
    limit = meaning.steps("transparent", (meaning.STALE_AFTER_SECONDS, meaning.FAILED))
    style = build_common.GraphThresholdsStyleConfig().mode(options.GraphTresholdsStyleMode.DASHED)
    panel = panels.many(panels.graph(Frame(title, description, 12, 8), units.Seconds, course(expr, legend)))
    return panel.thresholds(limit).thresholds_style(style)


def _freshness() -> list[panels.Graph | panels.Timeline]:
    last = f"max by (account, collector) ({account('mms_refresh_last_success_timestamp_seconds')})"
    success = f"min by (account, collector) ({account('mms_refresh_success')})"
    took = f"max by (account, collector) ({account('mms_refresh_duration_seconds')})"
    age = recorded("mms:source:last_success_age:seconds")
    oldest = f"topk({promql.SHOWN_AT_MOST}, {promql.at_the_end(age)})"
    return [
        _age(
            "Age by collector",
            "Time since each collector last succeeded. Past the dashed line its figures leave the exposition.",
            promql.age(last),
            _COLLECTOR,
        ),
        _age(
            "Age by source",
            "Time since each data source was last read with success; the twenty oldest.",
            f"{promql.by_source(age)} and on ({promql.SOURCE}) {oldest}",
            "{{account}} / {{source}}",
        ),
        panels.timeline(
            Frame("Refreshes", "How the last refresh of each collector ended. A gap: no exporter.", 12, 8),
            meaning.OUTCOME,
            course(success, _COLLECTOR),
        ),
        panels.many(
            panels.graph(
                Frame("Refresh duration", "How long each collector's last refresh took.", 12, 8),
                units.Seconds,
                course(took, _COLLECTOR),
            ),
        ),
    ]


def _rate(metric: str, by: str, *matchers: str) -> str:
    return f"sum by ({by}) (rate({account(metric, *matchers)}[$__rate_interval]))"


def _quantile(share: float) -> str:
    return f"histogram_quantile({share:g}, sum by (le) (rate({_BUCKETS}[$__rate_interval])))"


def _calls() -> list[panels.Graph | heatmap.Panel]:
    return [
        _by_operation(
            Frame("Calls by operation", "Calls to MMS, retries included, one operation upon the other.", 12, 8),
            "mms_api_requests_total",
        ),
        _failures(),
        panels.heat_map(
            Frame("Latency", "How long MMS takes to answer; the stronger the colour, the more calls.", 12, 9),
            units.Seconds,
            f"sum by (le) (increase({_BUCKETS}[$__rate_interval]))",
        ),
        _quantiles(),
    ]


def _by_operation(frame: Frame, metric: str) -> panels.Graph:
    calls = course(_rate(metric, "operation"), "{{operation}}")
    panel = panels.stacked(panels.many(panels.graph(frame, units.RequestsPerSecond, calls)))
    for operation, colour in _OPERATIONS.items():
        panels.coloured(panel, operation, colour)
    return panel


def _failures() -> panels.Graph:
    frame = Frame(
        "Failures by reason",
        "Calls that failed, one reason upon the other. `auth`, `permission` and `credentials` need a person; the "
        "others are tried again.",
        12,
        8,
    )
    failures = course(_rate("mms_api_request_failures_total", "reason"), "{{reason}}")
    panel = panels.stacked(panels.many(panels.graph(frame, units.RequestsPerSecond, failures)))
    for reason, colour in _REASONS.items():
        panels.coloured(panel, reason, colour)
    return panel


def _quantiles() -> panels.Graph:
    frame = Frame("Latency quantiles", "Half, nine in ten and 99 in 100 calls are answered within this time.", 12, 9)
    shares = {"p50": (0.5, meaning.DONE), "p90": (0.9, meaning.PART_DONE), "p99": (0.99, meaning.FAILED)}
    targets = [course(_quantile(share), name) for name, (share, _) in shares.items()]
    panel = panels.graph(frame, units.Seconds, *targets)
    for name, (_, colour) in shares.items():
        panels.coloured(panel, name, colour)
    return panel


def _restraint() -> list[panels.Graph]:
    return [
        panels.graph(
            Frame(
                "Waiting for the limiter",
                "Seconds a second that calls wait because of `rate_limit`, added up. Steadily more than 1: the "
                "interval is too short for the rate.",
                8,
                7,
            ),
            units.Seconds,
            course(_rate("mms_api_rate_limit_wait_seconds_total", "account"), "{{account}}"),
        ),
        _by_operation(Frame("Retries", "Calls made again after a failure.", 8, 7), "mms_api_retries_total"),
        panels.graph(
            Frame("Refreshes skipped", "Refreshes that were due while one still ran, within the interval shown.", 8, 7),
            units.LocaleFormat,
            course(
                f"sum by (account) (increase({account('mms_refresh_skipped_total')}[$__rate_interval]))",
                "{{account}}",
            ),
        ),
    ]


def _itself() -> list[panels.Graph | panels.Timeline]:
    return [
        _line("Series served", "Series in the exposition.", process("mms_exporter_series"), units.LocaleFormat),
        _line(
            "Render time",
            "How long the last rendering of the exposition took. It happens off the scrape.",
            process("mms_exporter_render_duration_seconds"),
            units.Seconds,
        ),
        _line("Memory", "Resident memory of the process.", process("process_resident_memory_bytes"), units.BytesIEC),
        _line(
            "Processor",
            "Processor time used, as a share of one core.",
            f"rate({process('process_cpu_seconds_total')}[$__rate_interval])",
            units.PercentUnit,
        ),
        panels.timeline(
            Frame("Scrapes", "Whether Prometheus could scrape the exporter.", 8, 6),
            meaning.OUTCOME,
            course(process("up"), "{{instance}}"),
        ),
        panels.timeline(
            Frame("Configuration reloads", "Whether the configuration loaded last was accepted.", 8, 6),
            meaning.OUTCOME,
            course(process("mms_exporter_config_last_reload_successful"), "{{instance}}"),
        ),
        panels.graph(
            Frame("Unexpected values", "Fields that MMS sent in a form nobody expected, in the interval shown.", 8, 6),
            units.LocaleFormat,
            course(
                "sum by (instance, operation, field) "
                f"(increase({account('mms_exporter_unexpected_values_total')}[$__rate_interval]))"
                f" or sum by (instance) (0 * {process('mms_exporter_series')})",
                "{{instance}} {{operation}} {{field}}",
            ),
        ),
    ]


def _line(title: str, description: str, expr: str, unit: str) -> panels.Graph:
    return panels.graph(Frame(title, description, 6, 7), unit, course(expr, "{{instance}}"))


def page() -> Page:
    """Return the dashboard `mms-exporter`."""
    return Page(
        uid="mms-exporter",
        description="The exporter itself: freshness of its figures, its calls to MMS, and what it costs.",
        hours=6,
        rows=[
            Row("Now", [*_figures()]),
            Row("Freshness", [*_freshness()]),
            Row("Calls to MMS", [*_calls(), *_restraint()]),
            Row("Process", [*_itself()]),
        ],
    )
