"""Panel kinds shared by all dashboards. Knows no metric.

`targets` are made by `instant_query` (one value at the end of the time range) and `range_query` (over the time range).
"""

from dataclasses import dataclass
from typing import Final, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, heatmap, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard, units
from grafana_foundation_sdk.models import heatmap as heat
from grafana_foundation_sdk.models import statetimeline as timelines
from grafana_foundation_sdk.models.prometheus import PromQueryFormat, QueryEditorMode

from grafana.builder import palette

DATASOURCE: Final = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
_POINTS: Final = 400
"""Points of a graph over the time range. More are hardly visible, and with thousands of sources take seconds."""
_SMALLEST_SCALE: Final = {units.RequestsPerSecond: 0.1, units.Seconds: 0.1, units.PercentUnit: 0.01}
"""End of the scale of a graph of zeros by unit, otherwise 1. Grafana's own is 100."""
SENTINEL: Final = "Z"
"""Identifies the last query of a panel, which says why the others have no result."""
LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXY"
DASHED: Final = dashboard.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 8]})
HOLLOW: Final = dashboard.DynamicConfigValue("custom.fillOpacity", 0)
"""Looks of single lines of a graph."""

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
    """Title, description and size of a panel."""

    title: str
    description: str
    """For readers new to MMS: what the value is, and what a bad one means."""
    width: int
    """Of 24 columns."""
    height: int
    """Grid rows; a screen of 1080 pixels shows about 24."""


def instant_query(expr: str, legend: str = "") -> Query:
    """Return the value at the end of the time range."""
    return _query(expr).instant().format(PromQueryFormat.TIME_SERIES).legend_format(legend)


def range_query(expr: str, legend: str) -> Query:
    """Return the values over the time range."""
    return _query(expr).range().format(PromQueryFormat.TIME_SERIES).legend_format(legend)


def rows(expr: str) -> Query:
    """Return one table row per series, at the end."""
    return _query(expr).instant().format(PromQueryFormat.TABLE)


def _query(expr: str) -> Query:
    return prometheus.Dataquery().expr(expr).datasource(DATASOURCE).editor_mode(QueryEditorMode.CODE)


def framed(panel: PanelT, frame: Frame, *targets: Query) -> PanelT:
    """Set position, texts and lettered queries of a panel."""
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
    """Return a stat panel, grey without data."""
    return (
        framed(stat.Panel(), frame, target)
        .unit(unit)
        .thresholds(thresholds)
        .color_scheme(build.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
        .no_value(palette.UNKNOWN)
        .mappings([*mappings, palette.NOT_KNOWN])
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .graph_mode(options.BigValueGraphMode.NONE)
        .color_mode(options.BigValueColorMode.VALUE)
        .text_mode(options.BigValueTextMode.AUTO)
        .justify_mode(options.BigValueJustifyMode.CENTER)
    )


def graph(frame: Frame, unit: str, *targets: Query) -> Graph:
    """Return a graph with last values in the legend."""
    below = common.VizLegendOptions().show_legend(True).display_mode(options.LegendDisplayMode.LIST)
    return (
        framed(timeseries.Panel(), frame, *targets)
        .max_data_points(_POINTS)
        .unit(unit)
        .line_width(2)
        .fill_opacity(8)
        .show_points(options.VisibilityMode.NEVER)
        .axis_soft_min(0)
        .axis_soft_max(_SMALLEST_SCALE.get(unit, 1))
        .legend(below.placement(options.LegendPlacement.BOTTOM).calcs(["lastNotNull"]))
        .tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING))
    )


def many(panel: Graph) -> Graph:
    """Move the legend to the side, for many lines."""
    beside = common.VizLegendOptions().show_legend(True).display_mode(options.LegendDisplayMode.TABLE)
    return panel.fill_opacity(0).legend(beside.placement(options.LegendPlacement.RIGHT).calcs(["lastNotNull"]))


def stacked(panel: Graph) -> Graph:
    """Stack the lines, whose sum is meaningful."""
    return (
        panel.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL).group("A"))
        .fill_opacity(60)
        .line_width(1)
    )


def coloured(panel: PanelT, name: str, colour: str, *more: dashboard.DynamicConfigValue) -> PanelT:
    """Set the colour of a series by name."""
    fixed = {"mode": "fixed", "fixedColor": colour}
    return panel.override_by_name(name, [dashboard.DynamicConfigValue("color", fixed), *more])


class _OnePage(statetimeline.Panel):
    """A state timeline without page buttons, which the builder's default shows even for one page."""

    def build(self) -> dashboard.Panel:
        """Return the panel."""
        built = super().build()
        assert isinstance(built.options, timelines.Options)  # noqa: S101 - set by the builder
        built.options.per_page = None
        return built


def timeline(frame: Frame, mapping: dashboard.ValueMap, target: Query, absent: str) -> Timeline:
    """Return a state timeline with a bar per series; `absent` is 1 without any."""
    # Without series, Grafana reports a missing time field.
    nothing = range_query(f"-1 * {absent}", palette.NO_DATA_TEXT)
    return (
        framed(_OnePage(), frame, target)
        .with_target(nothing.ref_id(SENTINEL))
        .max_data_points(_POINTS)
        .unit(units.NoUnit)
        .mappings([mapping, palette.NO_DATA])
        # With `thresholds`, the bars show the names of the steps, not those of the mapping.
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


def bars(frame: Frame, unit: str, absent: str, *targets: Query) -> bargauge.Panel:
    """Return a horizontal bar per series; `absent` is 1 without any."""
    # Without series, Grafana leaves the panel empty.
    nothing = instant_query(f"-1 * {absent}", palette.NO_DATA_TEXT)
    return (
        framed(bargauge.Panel(), frame, *targets)
        .with_target(nothing.ref_id(SENTINEL))
        .unit(unit)
        .min(0)
        .no_value(palette.UNKNOWN)
        .mappings([palette.NO_DATA])
        .thresholds(palette.steps(palette.DOING))
        .color_scheme(build.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
        .orientation(options.VizOrientation.HORIZONTAL)
        .display_mode(options.BarGaugeDisplayMode.BASIC)
        .show_unfilled(True)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def heat_map(frame: Frame, unit: str, buckets: str) -> heatmap.Panel:
    """Return a histogram over time; `buckets` is summed by `le`."""
    target = _query(buckets).range().format(PromQueryFormat.HEATMAP).legend_format("{{le}}")
    colours = heatmap.HeatmapColorOptions().mode(heat.HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
    return (
        framed(heatmap.Panel(), frame, target)
        .calculate(False)
        .color(colours.exponent(0.5).scale(heat.HeatmapColorScale.EXPONENTIAL).fill(palette.DOING))
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .cell_gap(1)
        .y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(options.AxisPlacement.LEFT))
        .show_legend()
        .unit(units.Short)
    )
