"""One data source in depth; several chosen ones add up."""

from typing import Final

from grafana_foundation_sdk.builders import bargauge, stat
from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard, units

from grafana.builder import meaning, panels, promql, tables
from grafana.builder.failures import failures_row
from grafana.builder.meaning import State
from grafana.builder.page import Page, Row
from grafana.builder.panels import Frame, course, now
from grafana.builder.promql import by_source, equals, recorded, source
from grafana.builder.watched import watched_row

_LEGEND: Final = "{{account}} / {{source}}"
_BURN_DOWN_ID: Final = 100
"""Fixed, because a link opens this panel alone."""
_PENDING: Final = "Pending"
_RIGHT: Final = tables.Property("custom.axisPlacement", "right")
_DASHED: Final = tables.Property("custom.lineStyle", {"fill": "dash", "dash": [8, 8]})
_HOLLOW: Final = tables.Property("custom.fillOpacity", 0)


def _now() -> list[stat.Panel]:
    return [*_progress(), *_condition_now()]


def _progress() -> list[stat.Panel]:
    return [
        _figure(
            "Progress",
            "Tables and partitions done, of all there are to do. Failed ones count as not done.",
            promql.PROGRESS,
            units.PercentUnit,
            meaning.PROGRESS,
        ).decimals(1),
        _figure(
            "Time left",
            "At the pace of the last hour, for what is pending or being migrated. Stalled: there is work, and nothing "
            "was done within the hour.",
            promql.TIME_LEFT,
            units.Seconds,
            meaning.NO_JUDGEMENT,
            meaning.NOTHING_LEFT,
            meaning.endless("stalled"),
        ).decimals(1),
        *(
            _figure(
                f"Failed {kind}s",
                f"{kind.capitalize()}s whose migration failed; they are named below.",
                promql.failed(kind),
                units.LocaleFormat,
                meaning.ZERO_IS_GOOD,
            )
            for kind in ("table", "partition")
        ),
    ]


def _condition_now() -> list[stat.Panel]:
    agent = by_source(source("mms_datasource_agent_online"))
    status = promql.coded("mms_datasource_status", meaning.SOURCE_STATES)
    scanned = promql.age(by_source(source("mms_metadata_sync_timestamp_seconds")))
    return [
        _figure(
            "Agent",
            "Whether MMS reaches the agent. Offline where one of several chosen sources has none.",
            f"min({agent})",
            units.NoUnit,
            meaning.NO_JUDGEMENT,
            meaning.AGENT,
        ),
        _figure(
            "Status",
            "The status of the data source itself; the worst of several chosen ones.",
            f"min({status})",
            units.NoUnit,
            meaning.NO_JUDGEMENT,
            meaning.states(meaning.SOURCE_STATES),
        ),
        _figure(
            "Metadata age",
            "Time since the metadata was synchronised; the oldest of several chosen sources.",
            f"max({scanned})",
            units.Seconds,
            meaning.METADATA_AGE,
        ).decimals(1),
        _figure(
            "Last read",
            "Time since MMS was last asked about the source with success; the longest of several.",
            f"max({recorded('mms:source:last_success_age:seconds')})",
            units.Seconds,
            meaning.AGE,
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
    return panels.figure(Frame(title, description, 3, 4), now(expr), unit, thresholds, *mappings)


def _by_state(kind: str, known: tuple[State, ...]) -> panels.Graph:
    frame = Frame(
        f"{kind.capitalize()}s by state",
        f"All {kind}s of the inventory, one state upon the other. Pending ones have no state yet; states can lag "
        "behind the jobs.",
        12,
        9,
    )
    targets = [course(_objects(kind, state.status), state.text) for state in known]
    pending = f"sum({recorded('mms:source:pending:sum', equals('kind', kind))})"
    panel = panels.stacked(panels.many(panels.graph(frame, units.LocaleFormat, *targets, course(pending, _PENDING))))
    for state in known:
        panels.coloured(panel, state.text, state.colour)
    return panels.coloured(panel, _PENDING, meaning.OTHER)


def _objects(kind: str, status: str) -> str:
    return f"sum({recorded('mms:source:objects:max', equals('kind', kind), equals('status', status))})"


def _burn_down() -> panels.Graph:
    frame = Frame(
        "Work left",
        "Tables and partitions that are pending or being migrated. The dashed line is the pace of the last hour; the "
        "panel's link shows where it goes.",
        10,
        9,
    )
    ahead = f"/d/mms-datasource?viewPanel={_BURN_DOWN_ID}&from=now-1d&to=now%2B2d&${{__all_variables}}"
    panel = panels.graph(
        frame, units.LocaleFormat, course(promql.LEFT, "Left"), course(promql.forecast(), "Forecast")
    ).decimals(0)
    panels.coloured(panel, "Left", meaning.DOING)
    panels.coloured(panel, "Forecast", meaning.WARNING, _DASHED, _HOLLOW)
    return panel.id(_BURN_DOWN_ID).links([build.DashboardLink("Look two days ahead").url(ahead)])


def _horizons() -> bargauge.Panel:
    frame = Frame(
        "Left, if the pace stays",
        "Tables and partitions that will be left at the pace of the last hour.",
        6,
        9,
    )
    horizons = {"now": 0, "in 1 hour": 1, "in 6 hours": 6, "in 12 hours": 12, "in 1 day": 24, "in 3 days": 72}
    targets = [now(f"clamp_min({promql.LEFT} - {hours} * {promql.PACE}, 0)", name) for name, hours in horizons.items()]
    return panels.bars(frame, units.LocaleFormat, *targets).decimals(0)


def _throughput() -> panels.Graph:
    frame = Frame(
        "Throughput",
        "Done an hour, measured over the hour before. Tables are dashed, with the axis on the right.",
        8,
        9,
    )
    paces = {
        kind: f"sum({recorded('mms:source:done_per_hour:deriv1h', equals('kind', kind))})"
        for kind in ("partition", "table")
    }
    panel = panels.graph(
        frame,
        units.LocaleFormat,
        course(paces["partition"], "Partitions an hour"),
        course(paces["table"], "Tables an hour"),
    ).decimals(0)
    panels.coloured(panel, "Partitions an hour", meaning.DONE)
    return panels.coloured(panel, "Tables an hour", meaning.DONE, _RIGHT, _DASHED)


def _jobs() -> list[panels.Graph | bargauge.Panel]:
    shown = [state for state in meaning.JOB_STATES if state.status != "DONE"]
    over_time = panels.graph(
        Frame(
            "Jobs by status",
            "Jobs that are not done, one status upon the other, and those among them that a person stopped.",
            16,
            7,
        ),
        units.LocaleFormat,
        *(course(_job_count(state), state.text) for state in shown),
        course(promql.total(source("mms_jobs_stopped")), "Stopped"),
    )
    panels.stacked(panels.many(over_time))
    for state in shown:
        panels.coloured(over_time, state.text, state.colour)
    apart = tables.Property("custom.stacking", {"mode": "none", "group": "A"})
    panels.coloured(over_time, "Stopped", meaning.WARNING, apart, _HOLLOW, tables.Property("custom.lineWidth", 2))
    frame = Frame("Jobs now", "All jobs that MMS lists, by status.", 8, 7)
    bars = panels.bars(frame, units.LocaleFormat, *(now(_job_count(state), state.text) for state in meaning.JOB_STATES))
    for state in meaning.JOB_STATES:
        panels.coloured(bars, state.text, state.colour)
    return [over_time, bars]


def _job_count(state: State) -> str:
    return promql.total(source("mms_jobs", equals("status", state.status)))


def _metadata() -> list[panels.Graph]:
    inventory = panels.graph(
        Frame(
            "Inventory",
            "What the last metadata scan found. A step up is work that was added. Tables and databases are dashed, "
            "with the axis on the right.",
            10,
            8,
        ),
        units.LocaleFormat,
        course(promql.total(source("mms_metadata_partitions")), "Partitions"),
        course(promql.total(source("mms_metadata_tables")), "Tables"),
        course(promql.total(source("mms_metadata_databases")), "Databases"),
    )
    panels.coloured(inventory, "Partitions", meaning.OTHER)
    panels.coloured(inventory, "Tables", "purple", _RIGHT, _DASHED, _HOLLOW)
    panels.coloured(inventory, "Databases", "light-purple", _RIGHT, _DASHED, _HOLLOW)
    return [inventory, _metadata_age()]


def _metadata_age() -> panels.Graph:
    frame = Frame(
        "Metadata age",
        "Time since the metadata was synchronised. What was made at the source since then is not migrated.",
        14,
        8,
    )
    age = promql.most_left(promql.age(by_source(source("mms_metadata_sync_timestamp_seconds"))))
    line = build_common.GraphThresholdsStyleConfig().mode(options.GraphTresholdsStyleMode.LINE)
    return (
        panels.many(panels.graph(frame, units.Seconds, course(age, _LEGEND)))
        .thresholds(meaning.steps("transparent", (meaning.METADATA_AGE_SECONDS, meaning.WARNING)))
        .thresholds_style(line)
    )


def _condition() -> list[panels.Timeline]:
    online = promql.most_left(by_source(source("mms_datasource_agent_online")))
    status = promql.most_left(promql.coded("mms_datasource_status", meaning.SOURCE_STATES))
    scan = promql.most_left(promql.coded("mms_metadata_scan_status", meaning.SCAN_STATES))
    return [
        panels.timeline(
            Frame("Agent over time", "Whether MMS reaches the agent. A gap: could not be asked.", 8, 8),
            meaning.AGENT,
            course(online, _LEGEND),
        ),
        panels.timeline(
            Frame("Status over time", "The status of the data source. A gap: could not be asked.", 8, 8),
            meaning.states(meaning.SOURCE_STATES),
            course(status, _LEGEND),
        ),
        panels.timeline(
            Frame("Metadata scan", "The status of the last metadata scan. A gap: MMS does not tell.", 8, 8),
            meaning.states(meaning.SCAN_STATES),
            course(scan, _LEGEND),
        ),
    ]


def page() -> Page:
    """Return the dashboard `mms-datasource`."""
    return Page(
        uid="mms-datasource",
        description="One data source of MaxCompute Migration Service in depth; several chosen ones add up.",
        hours=24,
        rows=[
            Row(
                "Now",
                [*_now(), _by_state("table", meaning.TABLE_STATES), _by_state("partition", meaning.PARTITION_STATES)],
            ),
            Row("When will it be done", [_burn_down(), _horizons(), _throughput()]),
            failures_row(),
            Row("Jobs", [*_jobs()]),
            Row("Source and metadata", [*_condition(), *_metadata()]),
            watched_row(),
        ],
    )
