"""Dashboard with the overview: progress, expected end, failures, agents, stalls, freshness."""

from typing import Final

from grafana_foundation_sdk.builders import stat, table
from grafana_foundation_sdk.models import units

from grafana.builder import palette, panels, promql, tables
from grafana.builder.page import Page, Row
from grafana.builder.panels import Frame, instant_query
from grafana.builder.promql import by_source, equals, recorded, source

_LEGEND: Final = "{{account}} / {{source}}"
_ALERT: Final = "alertname, account, source, job_name"
"""Labels that identify a firing alert, where it has them."""


def _figures() -> list[stat.Panel]:
    return [
        panels.figure(
            Frame(
                "Progress",
                "Share of tables and partitions that are done. Failed ones count as not done.",
                3,
                4,
            ),
            instant_query(promql.PROGRESS),
            units.PercentUnit,
            palette.PROGRESS,
        ).decimals(1),
        panels.figure(
            Frame(
                "Time remaining",
                "Estimated time for pending and running tables and partitions at the throughput of the last hour. "
                "Failed ones are not included; they need a retry. Stalled: work remains, but nothing was completed in "
                "the last hour.",
                3,
                4,
            ),
            instant_query(promql.TIME_LEFT),
            units.Seconds,
            palette.NO_JUDGEMENT,
            palette.NOTHING_LEFT,
            palette.endless("stalled"),
        ).decimals(1),
        panels.figure(
            Frame("Expected finish", "Now plus the time remaining, in the time zone of the browser.", 3, 4),
            instant_query(promql.DONE_AT),
            "time:D MMM HH:mm",
            palette.NO_JUDGEMENT,
            palette.NOTHING_LEFT,
            palette.endless("stalled"),
        ),
        *_troubles(),
    ]


def _troubles() -> list[stat.Panel]:
    return [
        _trouble(
            "Failed tables",
            "Tables whose migration failed. The Data source dashboard lists them.",
            promql.failed("table"),
        ),
        _trouble(
            "Failed partitions",
            "Partitions whose migration failed. The Data source dashboard lists them.",
            promql.failed("partition"),
        ),
        _trouble(
            "Agents offline",
            "Data sources whose agent is offline. Nothing is migrated from them until the agent is online again.",
            promql.AGENTS_OFFLINE,
        ),
        _trouble(
            "Stale sources",
            "Data sources without a complete refresh in the last 5 minutes. Their values here are outdated or missing.",
            promql.STALE_SOURCES,
        ),
        _trouble(
            "Firing alerts",
            "Alerts of this exporter that are firing; listed below. Unknown if the rules are not loaded.",
            promql.FIRING,
        ),
    ]


def _trouble(title: str, description: str, expr: str) -> stat.Panel:
    return panels.figure(Frame(title, description, 3, 4), instant_query(expr), units.LocaleFormat, palette.ZERO_IS_GOOD)


def _sources() -> table.Panel:
    frame = Frame(
        "Data sources",
        "One row for each data source. Click the name to open its dashboard. Done and Remaining count tables and "
        "partitions together. A dash means that there is no data.",
        24,
        9,
    )
    columns = [*_progress_columns(), *_condition_columns()]
    return tables.listing(frame, columns, "Remaining", descending=True, nothing="No data source found")


def _progress_columns() -> list[tables.Column]:
    failed = tables.judged(palette.ZERO_IS_GOOD)
    pace = by_source(recorded("mms:source:overall_done_per_hour:deriv1h"))
    time_left = by_source(recorded("mms:source:time_left:seconds"))
    ended = tables.worded(palette.NOTHING_LEFT, palette.endless("stalled"))
    return [
        tables.text("Source", "source", None, tables.LINKED),
        tables.progress("Progress", by_source(recorded("mms:source:overall_progress:ratio")), 160),
        tables.number("Remaining", by_source(recorded("mms:source:overall_left:sum")), units.LocaleFormat, 100),
        tables.number("Throughput (per hour)", pace, units.LocaleFormat, 165, tables.decimals(0)),
        tables.number("Time remaining", time_left, units.Seconds, 125, tables.decimals(1), *ended),
        tables.number("Failed tables", _failed("table"), units.LocaleFormat, 105, *failed),
        tables.number("Failed partitions", _failed("partition"), units.LocaleFormat, 125, *failed),
    ]


def _failed(kind: str) -> str:
    return by_source(recorded("mms:source:objects:max", equals("kind", kind), equals("status", "FAILED")))


def _condition_columns() -> list[tables.Column]:
    status = promql.coded("mms_datasource_status", palette.SOURCE_STATES)
    states = tables.worded(palette.states(palette.SOURCE_STATES))
    agent = by_source(source("mms_datasource_agent_online"))
    read = by_source(recorded("mms:source:last_success_age:seconds"))
    return [
        tables.number("Agent", agent, units.NoUnit, 70, *tables.worded(palette.AGENT)),
        tables.number("Status", status, units.NoUnit, 100, *states),
        tables.number("Data age", read, units.Seconds, 90, tables.decimals(0), *tables.judged(palette.AGE)),
        tables.number("Done", by_source(recorded("mms:source:overall_done:sum")), units.LocaleFormat, 80),
        tables.text("Account", "account", 130),
        tables.hidden(by_source(source("mms_datasource_info"), "source_type")),
        tables.text("Type", "source_type", 125),
    ]


def _alerts() -> table.Panel:
    frame = Frame(
        "Firing alerts",
        "Alerts of this exporter that are firing, and since when their condition has been true. Alertmanager has the "
        "links to runbooks and the silences.",
        12,
        8,
    )
    columns = [
        tables.number("Severity", " or ".join(_severities()), units.NoUnit, 80, *tables.worded(palette.SEVERITY)),
        tables.text("Alert", "alertname"),
        tables.text("Source", "source", 140),
        tables.text("Job", "job_name", 120),
        tables.number("Since", f"1000 * max by ({_ALERT}) ({promql.firing_since()})", units.DateTimeFromNow, 120),
        tables.text("Account", "account", 110),
    ]
    return tables.listing(frame, columns, "Severity", descending=False, nothing="No firing alerts")


def _severities() -> list[str]:
    """Return queries for each alert's severity as a number."""
    firing = equals("alertstate", "firing")
    return [
        f"{rank} * max by ({_ALERT}) ({promql.alerts('ALERTS', firing, equals('severity', severity))})"
        for rank, severity in enumerate(palette.SEVERITIES)
    ]


def _progress() -> panels.Graph:
    frame = Frame(
        "Progress by source",
        "Share of tables and partitions that are done, for the 20 sources with most remaining work.",
        12,
        8,
    )
    progress = promql.most_left(by_source(recorded("mms:source:overall_progress:ratio")))
    return panels.many(panels.graph(frame, units.PercentUnit, panels.range_query(progress, _LEGEND))).min(0).max(1)


def _throughput(kind: str, title: str) -> panels.Graph:
    frame = Frame(
        title,
        f"{kind.capitalize()}s completed per hour, measured over the previous hour, stacked; for the 20 sources with "
        "most remaining work.",
        12,
        8,
    )
    pace = promql.most_left(by_source(recorded("mms:source:done_per_hour:deriv1h", equals("kind", kind))))
    lines = panels.graph(frame, units.LocaleFormat, panels.range_query(pace, _LEGEND))
    return panels.stacked(panels.many(lines)).decimals(0)


def _agents() -> panels.Timeline:
    frame = Frame(
        "Agents",
        "Whether the agent is online, for the 20 sources with most remaining work. Gaps: no data.",
        12,
        8,
    )
    online = promql.most_left(by_source(source("mms_datasource_agent_online")))
    return panels.timeline(frame, palette.AGENT, panels.range_query(online, _LEGEND))


def _states() -> panels.Timeline:
    frame = Frame(
        "Sources",
        "Status of each data source, for the 20 sources with most remaining work. Gaps: no data.",
        12,
        8,
    )
    status = promql.most_left(promql.coded("mms_datasource_status", palette.SOURCE_STATES))
    return panels.timeline(frame, palette.states(palette.SOURCE_STATES), panels.range_query(status, _LEGEND))


def page() -> Page:
    """Return the dashboard `mms-overview`."""
    return Page(
        uid="mms-overview",
        description="Progress of the migrations of MaxCompute Migration Service (MMS), and current problems.",
        hours=24,
        rows=[
            Row("Now", [*_figures(), _sources(), _progress(), _alerts()]),
            Row(
                "Trends",
                [
                    _throughput("partition", "Partitions per hour"),
                    _throughput("table", "Tables per hour"),
                    _agents(),
                    _states(),
                ],
            ),
        ],
    )
