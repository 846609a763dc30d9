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
}
"""uid and title of each dashboard, in the order of the links."""

Panel = Builder[dashboard.Panel]
Variable = Builder[dashboard.VariableModel]


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a collapsible heading."""

    title: str
    panels: list[Panel]


class Annotation(dashboard.AnnotationQuery):
    """A Prometheus annotation with fields missing in the schema."""

    def __init__(self, name: str, expr: str, colour: str, *, title: str, text: str, at_value: bool = False) -> None:
        super().__init__(name=name, datasource=DATASOURCE, icon_color=colour, expr=expr)
        # With a value in milliseconds it is one line; otherwise it covers the graph while the value is above 0.
        self._read: dict[str, object] = {"titleFormat": title, "textFormat": text, "tagKeys": "", "step": "60s"}
        if at_value:
            self._read["useValueForTime"] = "on"

    def to_json(self) -> dict[str, object]:
        """Return the annotation as Grafana loads it."""
        return super().to_json() | self._read


class _Ready(Builder[dashboard.AnnotationQuery]):
    """Adapts an annotation to the builder that a dashboard expects."""

    def __init__(self, annotation: Annotation) -> None:
        self._annotation = annotation

    def build(self) -> dashboard.AnnotationQuery:
        """Return the annotation."""
        return self._annotation


def _everything() -> dashboard.VariableOption:
    return dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])


def choice(name: str, label: str, query: str, everything: str = ".+") -> Variable:
    """Return a multi-value variable; `everything` is the value of All."""
    # Grafana 9.4 identifies variables by id, and the builders give all the same one.
    return (
        build.QueryVariable(name)
        .id(name)
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


def _shared() -> list[Variable]:
    jobs = 'mms_exporter_build_info{job=~"$job"}'
    return [
        build.DatasourceVariable("datasource").id("datasource").label("Data source").type("prometheus"),
        choice("job", "Job", values("mms_exporter_build_info", "job")),
        choice("instance", "Instance", values(jobs, "instance")),
        choice("account", "Account", values(promql.process("mms_up"), "account")),
        choice("source", "Source", values(promql.account("mms_datasource_info"), "source")),
    ]


def _annotations() -> list[Annotation]:
    loaded = promql.process("mms_exporter_config_last_reload_success_timestamp_seconds")
    return [
        Annotation(
            "Alerts",
            # The earliest of many failed jobs: a line for each would hide the graph, and the latest would move.
            f"1000 * min by (alertname, severity, account, source) ({promql.firing_since(_GRAVE)})",
            palette.FAILED,
            title="{{alertname}}",
            text="{{severity}} {{account}} {{source}}",
            at_value=True,
        ),
        Annotation(
            "Reloads",
            f"1000 * {loaded}",
            palette.DOING,
            title="Configuration loaded",
            text="{{instance}}",
            at_value=True,
        ),
        Annotation(
            "Failed reloads",
            f"{promql.process('mms_exporter_config_last_reload_successful')} == bool 0",
            palette.WARNING,
            title="Reload failed, the previous configuration stays active",
            text="{{instance}}",
        ),
    ]


_GRAVE: Final = 'severity=~"critical|warning"'


def _links(uid: str) -> list[build.DashboardLink]:
    """Return links to other dashboards with variables and time range."""
    return [
        build.DashboardLink(title.removeprefix("MMS / "))
        .type(dashboard.DashboardLinkType.LINK)
        .icon("dashboard")
        .tooltip(title)
        .url(f"/d/{other}")
        .include_vars(True)
        .keep_time(True)
        for other, title in TITLES.items()
        if other != uid
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
            .variables([*_shared(), *self.variables])
            .annotations([_Ready(annotation) for annotation in _annotations()])
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
