"""Dashboard with the overview: progress, expected end, failures, agents, stalls, freshness."""

from typing import Final

from grafana_foundation_sdk.builders import bargauge, stat, table
from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import units

from grafana.builder import failures, palette, panels, promql, tables
from grafana.builder.forecast import forecast_band
from grafana.builder.page import Page, Row
from grafana.builder.panels import Frame, instant_query
from grafana.builder.promql import account, by_source, equals, source

_NAME: Final = "{{source}}"
"""Legend without the account: Grafana cuts longer names."""
TextSize = tuple[int, int]
"""Pixels of names and values; Grafana makes names beside long values too small."""
_TEXT: Final = (15, 32)
_LARGE_TEXT: Final = (20, 40)
_ON_THE_WALL: Final = 12
"""Bars that are readable from a distance."""
_ALERT: Final = "alertname, account, source, job_name"
"""Labels that identify a firing alert, where it has them."""


def _progress_figures(height: int, text: TextSize) -> list[stat.Panel]:
    remaining = (
        "Expected time until the slowest source finishes its pending and running tables and partitions, at its middle "
        "pace of the last hour, 6 hours and day, new work included. Failed ones are not included; they need a retry. "
        "Stalled: no progress in the last 6 hours, the source is stopped or its agent is offline. Growing: no more is "
        "completed than arrives."
    )
    progress = "Share of tables and partitions that are done. Failed ones count as not done."
    return [
        panels.figure(
            Frame("Progress", progress, 4, height), instant_query(promql.PROGRESS), units.PercentUnit, palette.PROGRESS
        ).decimals(1),
        panels.figure(
            Frame("Time remaining", remaining, 5, height),
            instant_query(promql.TIME_LEFT),
            units.Seconds,
            palette.NO_JUDGEMENT,
            palette.NOTHING_LEFT,
            *palette.endless(),
        ).decimals(1),
        _finish(height, text),
    ]


def _finish(height: int, text: TextSize) -> stat.Panel:
    frame = Frame(
        "Expected finish",
        "Between which dates the last source finishes: the latest best and the latest worst case of all sources, from "
        "the fastest and the slowest pace in the last hour, 6 hours and day, in objects and in bytes, with a margin. "
        "Stalled: a source is stalled. In the time zone of the browser.",
        15,
        height,
    )
    panel = panels.figure(
        frame,
        instant_query(promql.DONE_NOT_BEFORE, _NAME),
        "time:D MMM HH:mm",
        palette.NO_JUDGEMENT,
        palette.NOTHING_LEFT,
        *palette.endless(),
    )
    return (
        panel.with_target(instant_query(promql.DONE_NOT_AFTER, _NAME).ref_id("B"))
        .text_mode(options.BigValueTextMode.VALUE_AND_NAME)
        .wide_layout(False)
        .orientation(options.VizOrientation.VERTICAL)
        .text(build_common.VizTextDisplayOptions().title_size(text[0]).value_size(text[1]))
    )


def _troubles(height: int) -> list[stat.Panel]:
    failed = "whose migration failed. Click the number to list them."
    return [
        _trouble("Failed tables", f"Tables {failed}", promql.failed("table"), height).data_links(
            [failures.link("table")]
        ),
        _trouble("Failed partitions", f"Partitions {failed}", promql.failed("partition"), height).data_links(
            [failures.link("partition")]
        ),
        _trouble(
            "Agents offline",
            "Data sources whose agent is offline. Nothing is migrated from them until the agent is online again.",
            promql.AGENTS_OFFLINE,
            height,
        ),
        _trouble(
            "Stale sources",
            "Data sources without a complete refresh in the last 5 minutes. Their values here are outdated or missing.",
            promql.stale_sources(),
            height,
        ),
        _trouble(
            "Alerts",
            "Alerts of this exporter that are firing; listed below. Unknown if the rules are not loaded.",
            promql.FIRING,
            height,
            width=4,
        ),
    ]


def _trouble(title: str, description: str, expr: str, height: int, width: int = 5) -> stat.Panel:
    frame = Frame(title, description, width, height)
    return panels.figure(frame, instant_query(expr), units.LocaleFormat, palette.ZERO_IS_GOOD)


def _sources() -> table.Panel:
    frame = Frame(
        "Data sources",
        "One row for each data source. Click the name to open its dashboard. Progress and Remaining count tables and "
        "partitions together. A dash means that there is no data.",
        24,
        9,
    )
    columns = [*_progress_columns(), *_condition_columns()]
    known = source("mms_datasource_info")
    otherwise = promql.otherwise(known, account("mms_up"), "source", "No data source")
    return tables.listing(frame, columns, "Remaining", descending=True, otherwise=otherwise)


def _progress_columns() -> list[tables.Column]:
    failed = tables.judged(palette.ZERO_IS_GOOD)
    pace = by_source(source("mms:source:overall_done_per_hour:deriv1h"))
    ended = tables.worded(palette.NOTHING_LEFT, *palette.endless())
    return [
        tables.text("Source", "source", 185, tables.LINKED),
        tables.progress("Progress", by_source(source("mms:source:overall_progress:ratio")), 130),
        tables.number("Remaining", by_source(source("mms:source:overall_left:sum")), units.LocaleFormat, 115),
        tables.number("Done per hour", pace, units.LocaleFormat, 115, tables.decimals(0)),
        tables.number("Time remaining", promql.time_left(), units.Seconds, 125, tables.decimals(1), *ended),
        tables.number("Failed tables", _failed("table"), units.LocaleFormat, 102, *failed),
        tables.number("Failed partitions", _failed("partition"), units.LocaleFormat, 127, *failed),
    ]


def _failed(kind: str) -> str:
    return by_source(source("mms:source:objects:max", equals("kind", kind), equals("status", "FAILED")))


def _condition_columns() -> list[tables.Column]:
    status = promql.coded("mms_datasource_status", palette.SOURCE_STATES)
    states = tables.worded(palette.states(palette.SOURCE_STATES))
    agent = by_source(source("mms_datasource_agent_online"))
    read = by_source(source("mms:source:last_success_age:seconds"))
    return [
        tables.number("Agent", agent, units.NoUnit, 70, *tables.worded(palette.AGENT)),
        tables.number("Status", status, units.NoUnit, 95, *states),
        tables.number("Data age", read, units.Seconds, 80, tables.decimals(0), *tables.judged(palette.AGE)),
        tables.text("Account", "account", 130),
        tables.hidden(by_source(source("mms_datasource_info"), "source_type")),
        tables.text("Type", "source_type", 125),
    ]


def _alerts(width: int, height: int) -> table.Panel:
    frame = Frame(
        "Firing alerts",
        "Alerts of this exporter that are firing, and since when their condition has been true. Alertmanager has the "
        "links to runbooks and the silences.",
        width,
        height,
    )
    since = promql.moment(f"max by ({_ALERT}) ({promql.firing_since()})")
    columns = [
        tables.number("Severity", " or ".join(_severities()), units.NoUnit, 100, *tables.worded(palette.SEVERITY)),
        tables.text("Alert", "alertname", 225),
        tables.text("Source", "source", 190),
        tables.number("Since", since, units.DateTimeFromNow, 130),
        tables.text("Job", "job_name", 230),
        tables.text("Account", "account", 125),
    ]
    firing = promql.alerts("ALERTS", equals("alertstate", "firing"))
    loaded = "mms:threshold:failed:ratio"
    otherwise = promql.otherwise(firing, loaded, "alertname", "No firing alerts", "The rules are not loaded")
    return tables.listing(frame, columns, "Severity", descending=False, otherwise=otherwise)


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
        24,
        8,
    )
    progress = promql.most_left(by_source(source("mms:source:overall_progress:ratio")))
    lines = panels.graph(frame, units.PercentUnit, panels.range_query(progress, _NAME))
    # With a smaller soft maximum, Grafana ignores the maximum.
    return panels.many(lines).min(0).max(1).axis_soft_max(1)


def _throughput(kind: str, title: str) -> panels.Graph:
    frame = Frame(
        title,
        f"{kind.capitalize()}s completed per hour, measured over the previous hour, stacked; for the 20 sources with "
        "most remaining work.",
        12,
        8,
    )
    pace = promql.most_left(by_source(source("mms:source:done_per_hour:deriv1h", equals("kind", kind))))
    lines = panels.graph(frame, units.LocaleFormat, panels.range_query(pace, _NAME))
    return panels.stacked(panels.many(lines)).decimals(0)


def _agents() -> panels.Timeline:
    frame = Frame(
        "Agents",
        "Whether the agent is online, for the 20 sources with most remaining work. Gaps: no data.",
        12,
        8,
    )
    agent = source("mms_datasource_agent_online")
    online = promql.most_left(by_source(agent))
    return panels.timeline(frame, palette.AGENT, panels.range_query(online, _NAME), promql.never(agent))


def _states() -> panels.Timeline:
    frame = Frame(
        "Sources",
        "Status of each data source, for the 20 sources with most remaining work. Gaps: no data.",
        12,
        8,
    )
    status = panels.range_query(promql.most_left(promql.coded("mms_datasource_status", palette.SOURCE_STATES)), _NAME)
    never = promql.never(source("mms_datasource_status"))
    return panels.timeline(frame, palette.states(palette.SOURCE_STATES), status, never)


def _slowest() -> bargauge.Panel:
    frame = Frame(
        "Progress of unfinished sources",
        f"Share of tables and partitions that are done, for the {_ON_THE_WALL} unfinished sources with the least.",
        10,
        15,
    )
    unfinished = f"{by_source(source('mms:source:overall_left:sum'))} > 0"
    progress = by_source(source("mms:source:overall_progress:ratio"))
    none = promql.absent(source("mms:source:overall_progress:ratio"))
    # Without unfinished sources, the panel would be empty.
    done = f'label_replace(absent({unfinished}) and on () max({progress}), "source", "All sources done", "", "")'
    least = f"bottomk({_ON_THE_WALL}, {progress} and on ({promql.SOURCE}) {unfinished})"
    shown = instant_query(f"{least} or {done}", _NAME)
    return panels.bars(frame, units.PercentUnit, none, shown).max(1).decimals(1)


def page() -> Page:
    """Return the dashboard `mms-overview`."""
    return Page(
        uid="mms-overview",
        description="Progress of the migrations of MaxCompute Migration Service (MMS), and current problems.",
        hours=24,
        rows=[
            Row("Now", [*_progress_figures(3, _TEXT), *_troubles(3), _sources(), _alerts(24, 6), _progress()]),
            Row(
                "Trends",
                [
                    forecast_band(24, 8),
                    _throughput("partition", "Partitions per hour"),
                    _throughput("table", "Tables per hour"),
                    _agents(),
                    _states(),
                ],
            ),
        ],
    )


def wall() -> Page:
    """Return the dashboard `mms-wall`, 24 grid rows high."""
    return Page(
        uid="mms-wall",
        description="Progress and problems of all migrations, for a screen of 1920 x 1080 pixels without scrolling.",
        hours=24,
        rows=[Row("Now", [*_progress_figures(5, _LARGE_TEXT), *_troubles(4), _slowest(), _alerts(14, 15)])],
    )
