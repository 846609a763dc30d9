"""Dashboard of one data source in detail; several selected ones are summed."""

from typing import Final

from grafana_foundation_sdk.builders import bargauge, stat
from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard, units

from grafana.builder import failures, palette, panels, promql, tables
from grafana.builder.databases import databases_row
from grafana.builder.forecast import burn_down, forecast_band, horizons
from grafana.builder.page import Page, Row
from grafana.builder.palette import State
from grafana.builder.panels import Frame, instant_query, range_query
from grafana.builder.promql import by_source, equals, source
from grafana.builder.schedules import schedules_row
from grafana.builder.watched import watched_row

_NAME: Final = "{{source}}"
"""Legend without the account: Grafana cuts longer names."""
_DAY_SECONDS: Final = 86400
_PENDING: Final = "Pending"
_RIGHT: Final = tables.Property("custom.axisPlacement", "right")


def _now() -> list[stat.Panel]:
    return [*_progress(), *_condition_now()]


def _progress() -> list[stat.Panel]:
    return [
        _figure(
            "Progress",
            "Share of tables and partitions that are done. Failed ones count as not done.",
            promql.PROGRESS,
            units.PercentUnit,
            palette.PROGRESS,
        ).decimals(1),
        _figure(
            "Time remaining",
            "Expected time for pending and running tables and partitions, at the middle pace of the last hour, 6 hours "
            "and day, new work included; that of the slowest of several selected sources. Stalled: no progress in the "
            "last 6 hours, the source is stopped or its agent is offline. Growing: no more is completed than arrives.",
            promql.TIME_LEFT,
            units.Seconds,
            palette.NO_JUDGEMENT,
            palette.NOTHING_LEFT,
            *palette.endless(),
        ).decimals(1),
        *(
            _figure(
                f"Failed {kind}s",
                f"{kind.capitalize()}s whose migration failed. Click the number to list them.",
                promql.failed(kind),
                units.LocaleFormat,
                palette.ZERO_IS_GOOD,
            ).data_links([failures.link(kind)])
            for kind in ("table", "partition")
        ),
    ]


def _condition_now() -> list[stat.Panel]:
    agent = by_source(source("mms_datasource_agent_online"))
    status = promql.coded("mms_datasource_status", palette.SOURCE_STATES)
    scanned = promql.age(by_source(source("mms_metadata_sync_timestamp_seconds")))
    return [
        _figure(
            "Agent",
            "Whether the agent is online. Offline if the agent of one selected source is offline.",
            f"min({agent})",
            units.NoUnit,
            palette.NO_JUDGEMENT,
            palette.AGENT,
        ),
        _figure(
            "Status",
            "Status of the data source; the worst status of several selected sources.",
            f"min({status})",
            units.NoUnit,
            palette.NO_JUDGEMENT,
            palette.states(palette.SOURCE_STATES),
        ),
        _figure(
            "Metadata age",
            "Time since the last metadata synchronisation; the longest of several selected sources.",
            f"max({scanned})",
            units.Seconds,
            palette.METADATA_AGE,
        ).decimals(1),
        _figure(
            "Data age",
            "Time since the last complete refresh of the source; the longest of several selected sources.",
            f"max({source('mms:source:last_success_age:seconds')})",
            units.Seconds,
            palette.AGE,
        ).decimals(0),
    ]


def _figure(
    title: str,
    description: str,
    expr: str,
    unit: str,
    thresholds: build.ThresholdsConfig,
    *mappings: dashboard.ValueMapping,
) -> stat.Panel:
    return panels.figure(Frame(title, description, 6, 3), instant_query(expr), unit, thresholds, *mappings)


def _by_state(kind: str, known: tuple[State, ...]) -> panels.Graph:
    frame = Frame(
        f"{kind.capitalize()}s by state",
        f"All {kind}s of the inventory by status, stacked. Pending: no status yet. The status can lag behind that of "
        "the jobs.",
        12,
        9,
    )
    targets = [range_query(_objects(kind, state.status), state.text) for state in known]
    pending = f"sum({source('mms:source:pending:sum', equals('kind', kind))})"
    panel = panels.stacked(
        panels.many(panels.graph(frame, units.LocaleFormat, *targets, range_query(pending, _PENDING)))
    )
    for state in known:
        panels.coloured(panel, state.text, state.colour)
    return panels.coloured(panel, _PENDING, palette.OTHER)


def _objects(kind: str, status: str) -> str:
    return f"sum({source('mms:source:objects:max', equals('kind', kind), equals('status', status))})"


def _throughput() -> panels.Graph:
    frame = Frame(
        "Throughput (per hour)",
        "Completed per hour, measured over the previous hour. Tables are dashed and use the axis on the right.",
        8,
        9,
    )
    paces = {
        kind: f"sum({source('mms:source:done_per_hour:deriv1h', equals('kind', kind))})"
        for kind in ("partition", "table")
    }
    panel = panels.graph(
        frame,
        units.LocaleFormat,
        range_query(paces["partition"], "Partitions per hour"),
        range_query(paces["table"], "Tables per hour"),
    ).decimals(0)
    panels.coloured(panel, "Partitions per hour", palette.DONE)
    return panels.coloured(panel, "Tables per hour", palette.DONE, _RIGHT, panels.DASHED)


def _jobs() -> list[panels.Graph | bargauge.Panel]:
    shown = [state for state in palette.JOB_STATES if state.status != "DONE"]
    over_time = panels.graph(
        Frame(
            "Jobs by status",
            "Unfinished and failed jobs by status, stacked. The line shows the stopped jobs among them.",
            16,
            7,
        ),
        units.LocaleFormat,
        *(range_query(_job_count(state), state.text) for state in shown),
        range_query(promql.total(source("mms_jobs_stopped")), "Stopped"),
    )
    panels.stacked(panels.many(over_time))
    for state in shown:
        panels.coloured(over_time, state.text, state.colour)
    apart = tables.Property("custom.stacking", {"mode": "none", "group": "A"})
    panels.coloured(over_time, "Stopped", palette.WARNING, apart, panels.HOLLOW, tables.Property("custom.lineWidth", 2))
    frame = Frame("Jobs now", "Current number of all jobs by status.", 8, 7)
    bars = panels.bars(
        frame,
        units.LocaleFormat,
        promql.absent(source("mms_jobs")),
        *(instant_query(_job_count(state), state.text) for state in palette.JOB_STATES),
    )
    for state in palette.JOB_STATES:
        panels.coloured(bars, state.text, state.colour)
    return [over_time, bars]


def _job_count(state: State) -> str:
    return promql.total(source("mms_jobs", equals("status", state.status)))


def _metadata() -> list[panels.Graph]:
    inventory = panels.graph(
        Frame(
            "Inventory",
            "Objects found by the last metadata scan. A step up is new work. Tables and databases are dashed and use "
            "the axis on the right.",
            8,
            8,
        ),
        units.LocaleFormat,
        range_query(promql.total(source("mms_metadata_partitions")), "Partitions"),
        range_query(promql.total(source("mms_metadata_tables")), "Tables"),
        range_query(promql.total(source("mms_metadata_databases")), "Databases"),
    )
    panels.coloured(inventory, "Partitions", palette.OTHER)
    panels.coloured(inventory, "Tables", "purple", _RIGHT, panels.DASHED, panels.HOLLOW)
    panels.coloured(inventory, "Databases", "light-purple", _RIGHT, panels.DASHED, panels.HOLLOW)
    return [inventory, _metadata_age(), _outdated()]


def _outdated() -> panels.Graph:
    frame = Frame(
        "Outdated partitions",
        "Partitions that changed at the source after they were migrated, as the last metadata scan found them. A job "
        "that includes them migrates them again.",
        8,
        8,
    )
    panel = panels.graph(
        frame, units.LocaleFormat, range_query(promql.total(source("mms_partitions_outdated")), "Outdated")
    ).decimals(0)
    return panels.coloured(panel, "Outdated", palette.WARNING)


def _scan_progress() -> panels.Graph:
    frame = Frame("Scan progress", "Progress of running metadata scans. No line: no scan runs.", 12, 8)
    progress = promql.most_left(by_source(source("mms_metadata_scan_progress_ratio")))
    return panels.many(panels.graph(frame, units.PercentUnit, range_query(progress, _NAME))).axis_soft_max(1)


def _metadata_age() -> panels.Graph:
    frame = Frame(
        "Metadata age (days)",
        "Days since the last metadata synchronisation. Tables and partitions created since then are not migrated.",
        8,
        8,
    )
    age = promql.most_left(promql.age(by_source(source("mms_metadata_sync_timestamp_seconds"))))
    line = build_common.GraphThresholdsStyleConfig().mode(options.GraphThresholdsStyleMode.LINE)
    return (
        # In seconds, Grafana would write ticks such as 2.31 days.
        panels.many(panels.graph(frame, units.Number, range_query(f"({age}) / {_DAY_SECONDS}", _NAME)))
        .decimals(1)
        .thresholds(palette.steps("transparent", (palette.METADATA_AGE_SECONDS / _DAY_SECONDS, palette.WARNING)))
        .thresholds_style(line)
    )


def _condition() -> list[panels.Timeline | panels.Graph]:
    status, scan = "mms_datasource_status", "mms_metadata_scan_status"
    return [
        panels.timeline(
            Frame("Agent over time", "Whether the agent is online. Gaps: no data.", 12, 8),
            palette.AGENT,
            range_query(promql.most_left(by_source(source("mms_datasource_agent_online"))), _NAME),
            promql.never(source("mms_datasource_agent_online")),
        ),
        panels.timeline(
            Frame("Status over time", "Status of the data source. Gaps: no data.", 12, 8),
            palette.states(palette.SOURCE_STATES),
            range_query(promql.most_left(promql.coded(status, palette.SOURCE_STATES)), _NAME),
            promql.never(source(status)),
        ),
        panels.timeline(
            Frame("Metadata scan", "Status of the last metadata scan. Gaps: no data.", 12, 8),
            palette.states(palette.SCAN_STATES),
            range_query(promql.most_left(promql.coded(scan, palette.SCAN_STATES)), _NAME),
            promql.never(source(scan)),
        ),
        _scan_progress(),
    ]


def page() -> Page:
    """Return the dashboard `mms-datasource`."""
    return Page(
        uid="mms-datasource",
        description="One data source of MaxCompute Migration Service (MMS) in detail; selected sources are summed.",
        hours=24,
        rows=[
            Row(
                "Now",
                [*_now(), _by_state("table", palette.TABLE_STATES), _by_state("partition", palette.PARTITION_STATES)],
            ),
            Row("Forecast", [burn_down(), horizons(), _throughput(), forecast_band(24, 8)]),
            databases_row(),
            failures.failures_row(),
            Row("Jobs", [*_jobs()]),
            schedules_row(),
            Row("Source and metadata", [*_condition(), *_metadata()]),
            watched_row(),
        ],
    )
