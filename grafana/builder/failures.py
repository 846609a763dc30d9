"""Failures by rate and by name: a row of the data source dashboard."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import stat, table
from grafana_foundation_sdk.models import units

from grafana.builder import palette, panels, promql, tables
from grafana.builder.page import Row
from grafana.builder.panels import Frame, instant_query, range_query
from grafana.builder.promql import by_source, source

LISTS: Final = {"table": 101, "partition": 102}
"""Fixed ids of the lists, because other panels link them."""


def link(kind: str) -> build.DashboardLink:
    """Return a link to the names of what failed."""
    url = f"/d/mms-datasource?viewPanel={LISTS[kind]}&${{__all_variables}}&${{__url_time_range}}"
    return build.DashboardLink(f"List the failed {kind}s").url(url)


def _failures() -> list[panels.Graph | stat.Panel]:
    over_time = panels.graph(
        Frame(
            "Failures over time",
            "Failed tables and partitions, and new failures of both in the last 10 minutes. The vendor recommends to "
            "investigate above 100.",
            16,
            7,
        ),
        units.LocaleFormat,
        range_query(promql.failed("table"), "Tables"),
        range_query(promql.failed("partition"), "Partitions"),
        range_query(f"sum({source('mms:source:failed:rise10m')})", "New in 10 minutes"),
    )
    panels.coloured(over_time, "Tables", "purple")
    panels.coloured(over_time, "Partitions", palette.FAILED)
    panels.coloured(over_time, "New in 10 minutes", palette.WARNING, tables.Property("custom.drawStyle", "bars"))
    ratio = Frame(
        "Failure ratio",
        "Share of finished tables and partitions that failed. The vendor recommends to investigate above 20 %.",
        4,
        7,
    )
    unlisted = Frame(
        "Not listed",
        "Failed tables and partitions that the lists do not show: beyond `failures.max_per_source`, or MMS denies "
        "ListMmsPartitions or does not offer it.",
        4,
        7,
    )
    omitted = f"sum({promql.by_source(source('mms_failed_omitted'), 'kind')})"
    return [
        over_time,
        panels.figure(ratio, instant_query(promql.FAILURE_RATIO), units.PercentUnit, palette.FAILURES).decimals(1),
        panels.figure(
            unlisted, instant_query(omitted), units.LocaleFormat, palette.steps(palette.DONE, (1, palette.WARNING))
        ),
    ]


def _reasons() -> list[panels.Graph]:
    by_reason = panels.graph(
        Frame(
            "Failed tasks by reason",
            "Reasons of the newest failed tasks, stacked: at most `failures.reasons.max_tasks` of each source, while "
            "something is failed. `mms-exporter failed --why` lists the failures of each reason.",
            16,
            8,
        ),
        units.LocaleFormat,
        range_query(f"sum by (reason) ({by_source(source('mms_failed_task_reasons'), 'reason')}) > 0", "{{reason}}"),
    )
    by_phase = panels.graph(
        Frame(
            "Failed tasks by phase",
            "All failed tasks by the phase in which they failed, retried ones included, while something is failed. "
            "VERIFICATION: the data arrived, but differs from the source.",
            8,
            8,
        ),
        units.LocaleFormat,
        range_query(f"sum by (phase) ({by_source(source('mms_failed_tasks'), 'phase')})", "{{phase}}"),
    )
    return [panels.stacked(panels.many(by_reason)), by_phase]


def _named(kind: str, *more: tables.Column) -> table.Panel:
    frame = Frame(
        f"Failed {kind}s",
        f"Failed {kind}s and their destination. `mms-exporter failed --why` says why they failed, `mms-exporter retry` "
        "migrates them again.",
        24,
        8,
    )
    labels = ["source", "src_db", "table", *(column.label for column in more)]
    target = ["dst_project", "dst_schema", "dst_table"]
    named = source(f"mms_failed_{kind}_info")
    columns = [
        tables.hidden(f"max by ({', '.join([*labels, *target])}) ({named})"),
        tables.text("Source", "source", 190),
        tables.text("Database", "src_db", 160),
        tables.text("Table", "table", 210),
        *more,
        tables.text("Destination project", "dst_project", 160),
        tables.text("Schema", "dst_schema", 90),
        tables.text("Destination table", "dst_table", 210),
    ]
    unlisted = "Failed, but not listed: limit, permission or filter"
    otherwise = promql.none_listed(named, promql.failed(kind), "table", f"No failed {kind}s", unlisted)
    return tables.listing(frame, columns, "Table", descending=False, otherwise=otherwise).id(LISTS[kind])


def failures_row() -> Row:
    """Return the stat panels, and a table of each kind."""
    partition = tables.text("Partition", "partition", 190)
    return Row("Failures", [*_failures(), *_reasons(), _named("table"), _named("partition", partition)])
