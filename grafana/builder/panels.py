"""The kinds of panel that all dashboards share; knows no metric.

`targets` are queries made by `now` (one figure, as of the end of the time shown) and `course` (over time).
"""

from dataclasses import dataclass
from typing import Final, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, heatmap, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard, units
from grafana_foundation_sdk.models import heatmap as heat
from grafana_foundation_sdk.models.prometheus import PromQueryFormat, QueryEditorMode

from grafana.builder import meaning

DATASOURCE: Final = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
_POINTS: Final = 400
"""What a graph asks for over the time shown. More can hardly be seen, and of thousands of sources takes seconds."""
LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Stat = stat.Panel
Graph = timeseries.Panel
Timeline = statetimeline.Panel
Query = prometheus.Dataquery
PanelT = TypeVar(
    "PanelT",
    stat.Panel,
    timeseries.Panel,
    statetimeline.Panel,
    heatmap.Panel,
    bargauge.Panel,
    tables.Panel,
)


@dataclass(frozen=True, slots=True)
class Frame:
    """What a panel says of itself, and how much room it takes."""

    title: str
    description: str
    """For a reader who has never seen MMS: what the figure is, and what a bad one means."""
    width: int
    """Of 24 columns."""
    height: int
    """In rows of the grid, of which a screen of 1080 pixels shows some 24."""


def now(expr: str, legend: str = "") -> Query:
    """Return the figure at the end of the time shown. What is gone by then shows as gone, not as it last was."""
    return _query(expr).instant().format(PromQueryFormat.TIME_SERIES).legend_format(legend)


def course(expr: str, legend: str) -> Query:
    """Return the figure over the time shown."""
    return _query(expr).range().format(PromQueryFormat.TIME_SERIES).legend_format(legend)


def rows(expr: str) -> Query:
    """One row of a table for each series, as of the end of the time shown."""
    return _query(expr).instant().format(PromQueryFormat.TABLE)


def _query(expr: str) -> Query:
    return prometheus.Dataquery().expr(expr).datasource(DATASOURCE).editor_mode(QueryEditorMode.CODE)


def framed(panel: PanelT, frame: Frame, *targets: Query) -> PanelT:
    """Give a panel its place, its words and its queries, which are lettered in order."""
    for letter, target in zip(LETTERS, targets, strict=False):
        panel.with_target(target.ref_id(letter))
    panel.title(frame.title).description(frame.description).span(frame.width).height(frame.height)
    return panel.datasource(DATASOURCE)


def figure(
    frame: Frame,
    target: Query,
    unit: str,
    thresholds: build.ThresholdsConfig,
    *mappings: dashboard.ValueMapping,
) -> Stat:
    """One large figure, grey where it is not known."""
    return (
        framed(stat.Panel(), frame, target)
        .unit(unit)
        .thresholds(thresholds)
        .color_scheme(build.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
        .no_value(meaning.UNKNOWN)
        .mappings([*mappings, meaning.NOT_KNOWN])
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .graph_mode(options.BigValueGraphMode.NONE)
        .color_mode(options.BigValueColorMode.VALUE)
        .text_mode(options.BigValueTextMode.AUTO)
        .justify_mode(options.BigValueJustifyMode.CENTER)
    )


def graph(frame: Frame, unit: str, *targets: Query) -> Graph:
    """Lines over time, their last figures in a line below."""
    below = common.VizLegendOptions().show_legend(True).display_mode(options.LegendDisplayMode.LIST)
    return (
        framed(timeseries.Panel(), frame, *targets)
        .max_data_points(_POINTS)
        .unit(unit)
        .line_width(2)
        .fill_opacity(8)
        .show_points(options.VisibilityMode.NEVER)
        .axis_soft_min(0)
        .legend(below.placement(options.LegendPlacement.BOTTOM).calcs(["lastNotNull"]))
        .tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING))
    )


def many(panel: Graph) -> Graph:
    """Make room for more lines than fit below: they are named beside the graph, and nothing is filled."""
    beside = common.VizLegendOptions().show_legend(True).display_mode(options.LegendDisplayMode.TABLE)
    return panel.fill_opacity(0).legend(beside.placement(options.LegendPlacement.RIGHT).calcs(["lastNotNull"]))


def stacked(panel: Graph) -> Graph:
    """Put the lines upon one another: their sum means something."""
    return (
        panel.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL).group("A"))
        .fill_opacity(60)
        .line_width(1)
    )


def coloured(panel: PanelT, name: str, colour: str, *more: dashboard.DynamicConfigValue) -> PanelT:
    """Give the series of that name its colour."""
    fixed = {"mode": "fixed", "fixedColor": colour}
    return panel.override_by_name(name, [dashboard.DynamicConfigValue("color", fixed), *more])


def timeline(frame: Frame, mapping: dashboard.ValueMap, *targets: Query) -> Timeline:
    """Return a bar for each series, its colour the state at the time."""
    return (
        framed(statetimeline.Panel(), frame, *targets)
        .max_data_points(_POINTS)
        .unit(units.NoUnit)
        .mappings([mapping])
        # Under `thresholds` Grafana 9.4 shows the names of the steps, not those of the mapping.
        .color_scheme(build.FieldColor().mode(dashboard.FieldColorModeId.PALETTE_CLASSIC))
        .merge_values(True)
        .show_value(options.VisibilityMode.AUTO)
        .align_value(options.TimelineValueAlignment.LEFT)
        .row_height(0.85)
        .fill_opacity(75)
        .line_width(0)
        .legend(common.VizLegendOptions().show_legend(False).display_mode(options.LegendDisplayMode.LIST))
        .tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.SINGLE))
    )


def bars(frame: Frame, unit: str, *targets: Query) -> bargauge.Panel:
    """Return a lying bar for each query."""
    return (
        framed(bargauge.Panel(), frame, *targets)
        .unit(unit)
        .min(0)
        .no_value(meaning.UNKNOWN)
        .thresholds(meaning.steps(meaning.DOING))
        .color_scheme(build.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
        .orientation(options.VizOrientation.HORIZONTAL)
        .display_mode(options.BarGaugeDisplayMode.BASIC)
        .show_unfilled(True)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def heat_map(frame: Frame, unit: str, buckets: str) -> heatmap.Panel:
    """How a histogram moves over time. `buckets` is summed by `le`."""
    target = _query(buckets).range().format(PromQueryFormat.HEATMAP).legend_format("{{le}}")
    colours = heatmap.HeatmapColorOptions().mode(heat.HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
    return (
        framed(heatmap.Panel(), frame, target)
        .calculate(False)
        .color(colours.exponent(0.5).scale(heat.HeatmapColorScale.EXPONENTIAL).fill(meaning.DOING))
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .cell_gap(1)
        .y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(options.AxisPlacement.LEFT))
        .show_tooltip()
        .show_legend()
        .unit(units.Short)
    )
