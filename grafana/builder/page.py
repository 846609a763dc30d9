"""Frame of every dashboard: variables, links to the others, annotations, and panel ids."""

from dataclasses import dataclass, field
from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard

from grafana.builder import palette, promql
from grafana.builder.panels import DATASOURCE

TITLES: Final = {
    "mms-overview": "MMS / Overview",
    "mms-datasource": "MMS / Data source",
    "mms-jobs": "MMS / Jobs",
    "mms-exporter": "MMS / Exporter",
    "mms-wall": "MMS / Wall",
}
"""uid and title of each dashboard, in the order of the links."""

Panel = Builder[dashboard.Panel]
Variable = Builder[dashboard.VariableModel]


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a collapsible heading."""

    title: str
    panels: list[Panel]


def _annotation(name: str, expr: str, colour: str) -> build.AnnotationQuery:
    return build.AnnotationQuery().name(name).datasource(DATASOURCE).icon_color(colour).expr(expr).enable(True)


def _everything() -> dashboard.VariableOption:
    return dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])


def choice(name: str, label: str, query: str, everything: str = ".+") -> build.QueryVariable:
    """Return a multi-value variable; `everything` is the value of All."""
    return (
        build.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(query)
        .multi(True)
        .include_all(True)
        .all_value(everything)
        .current(_everything())
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)
    )


def values(metric: str, label: str) -> str:
    """Return a variable's query for the values of a label."""
    return f"label_values({metric}, {label})"


def _shared(matchers: str) -> list[Variable]:
    # `default` follows the default data source of Grafana; without a value, the first by name is selected.
    default = dashboard.VariableOption(selected=True, text="default", value="default")
    return [
        build.DatasourceVariable("datasource").label("Data source").type("prometheus").current(default),
        *(_processes() if matchers else ()),
        choice("account", "Account", values(f"mms_up{{{matchers}}}", "account")),
        choice("source", "Source", values(promql.account("mms_datasource_info", matchers), "source")),
    ]


def _processes() -> list[Variable]:
    instances = f"mms_exporter_build_info{{{promql.RULE_JOB}}}"
    return [
        choice("job", "Job", values("mms_exporter_build_info", "job")),
        choice("instance", "Instance", values(instances, "instance")),
    ]


_APART_SECONDS: Final = 120
"""Distance of two lines of an alert. Grafana joins lines within the step of 60 seconds to a band."""


def _alerts() -> build.AnnotationQuery:
    # The earliest of many failed jobs: a line for each would hide the graph, and the latest would move.
    since = f"min by (alertname, severity, account, source) ({promql.firing_since(_GRAVE)})"
    return (
        _annotation("Alerts", f"{1000 * _APART_SECONDS} * round({since} / {_APART_SECONDS})", palette.FAILED)
        .title_format("{{alertname}}")
        .text_format("{{severity}} {{account}} {{source}}")
        .step("60s")
        .use_value_for_time(True)
    )


def _reloads() -> list[build.AnnotationQuery]:
    loaded = promql.process("mms_exporter_config_last_reload_success_timestamp_seconds")
    failed = f"{promql.process('mms_exporter_config_last_reload_successful')} == bool 0"
    title = "Reload failed, the previous configuration stays active"
    return [
        _annotation("Reloads", f"1000 * {loaded}", palette.DOING)
        .title_format("Configuration loaded")
        .text_format("{{instance}}")
        .step("60s")
        .use_value_for_time(True),
        _annotation("Failed reloads", failed, palette.WARNING)
        .title_format(title)
        .text_format("{{instance}}")
        .step("60s"),
    ]


_GRAVE: Final = 'severity=~"critical|warning"'


def _links(uid: str) -> list[build.DashboardLink]:
    """Return links to the others with variables and time range."""
    # Without the wall, because five links take a second line.
    return [
        build.DashboardLink(title.removeprefix("MMS / "))
        .type(dashboard.DashboardLinkType.LINK)
        .icon("dashboard")
        .tooltip(title)
        .url(f"/d/{other}")
        .include_vars(True)
        .keep_time(True)
        for other, title in TITLES.items()
        if other not in {uid, "mms-wall"}
    ]


@dataclass(frozen=True, slots=True)
class Page:
    """One dashboard."""

    uid: str
    description: str
    hours: int
    """Default time range."""
    rows: list[Row]
    """Panels above the first heading."""
    variables: list[Variable] = field(default_factory=list)
    """Variables in addition to the common ones."""
    of_exporter: bool = False
    """Whether instances can be selected and reloads are marked."""

    def build(self) -> dashboard.Dashboard:
        """Return the dashboard as Grafana loads it."""
        page = (
            build.Dashboard(TITLES[self.uid])
            .uid(self.uid)
            .description(self.description)
            .tags(["mms", "maxcompute", "migration"])
            .readonly()
            .timezone("browser")
            .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
            .time(f"now-{self.hours}h", "now")
            .refresh("1m")
            .variables([*_shared(promql.PROCESS if self.of_exporter else ""), *self.variables])
            .annotations([_alerts(), *(_reloads() if self.of_exporter else ())])
            .links(list(_links(self.uid)))
        )
        for place, row in enumerate(self.rows):
            if place:
                page.with_row(build.Row(row.title))
            for panel in row.panels:
                page.with_panel(panel)
        return _numbered(page.build())


def _numbered(built: dashboard.Dashboard) -> dashboard.Dashboard:
    """Set the ids of panels, which links need; keep existing ids."""
    for number, panel in enumerate(built.panels or [], start=1):
        panel.id_val = panel.id_val or number
    return built
