"""Panels of the forecast: what remains, and how long that takes at best, as expected and at worst."""

from typing import Final

from grafana_foundation_sdk.builders import bargauge
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import units

from grafana.builder import palette, panels, promql, tables
from grafana.builder.panels import Frame, instant_query, range_query

_BURN_DOWN_ID: Final = 100
"""Fixed, because a link opens this panel on its own."""
_THIN: Final = tables.Property("custom.lineWidth", 1)
_DOWN_TO_BEST: Final = (tables.Property("custom.fillBelowTo", "Best"), tables.Property("custom.fillOpacity", 20))
_BOUNDS: Final = {"Worst": promql.WORST, "Expected": promql.EXPECTED, "Best": promql.BEST}


def _as_band(panel: panels.Graph, colour: str) -> panels.Graph:
    """Draw the area between best and worst, and the expected line in it."""
    panels.coloured(panel, "Worst", colour, _THIN, *_DOWN_TO_BEST)
    panels.coloured(panel, "Best", colour, _THIN, panels.HOLLOW)
    return panels.coloured(panel, "Expected", colour, panels.DASHED, panels.HOLLOW)


def burn_down() -> panels.Graph:
    """Return what remains, and the forecast after the last value."""
    frame = Frame(
        "Remaining work",
        "Pending and running tables and partitions. After the last value, the dashed line goes to the expected end, "
        "the area lies between the best and the worst case. Sources without an end keep their work; without others, "
        "there is no line. The link of the panel shows the next 2 days.",
        9,
        9,
    )
    ahead = f"/d/mms-datasource?viewPanel={_BURN_DOWN_ID}&from=now-1d&to=now%2B2d&${{__all_variables}}"
    lines = [range_query(promql.forecast(bound), name) for name, bound in _BOUNDS.items()]
    panel = panels.graph(frame, units.LocaleFormat, range_query(promql.LEFT, "Remaining"), *lines).decimals(0)
    _as_band(panels.coloured(panel, "Remaining", palette.DOING), palette.WARNING)
    return panel.id(_BURN_DOWN_ID).links([build.DashboardLink("Show the next 2 days").url(ahead)])


def horizons() -> bargauge.Panel:
    """Return what remains after some hours."""
    frame = Frame(
        "Remaining as expected",
        "Tables and partitions that will remain if the work ends as expected. Sources that are stopped, without their "
        "agent or without progress keep their work.",
        7,
        9,
    )
    hours = {"now": 0, "in 1 hour": 1, "in 6 hours": 6, "in 12 hours": 12, "in 1 day": 24, "in 3 days": 72}
    targets = [instant_query(promql.left_in(number), name) for name, number in hours.items()]
    return panels.bars(frame, units.LocaleFormat, promql.absent(promql.LEFT), *targets).decimals(0)


def forecast_band(width: int, height: int) -> panels.Graph:
    """Return the forecast of the time remaining over time."""
    frame = Frame(
        "Forecast (hours)",
        "Time remaining of the slowest source as it was forecast at each moment: expected, and the area between the "
        "best and the worst case. A good forecast falls by 1 hour per hour. Gaps: no end, because a source is stalled.",
        width,
        height,
    )
    lines = [range_query(promql.hours_left(bound), name) for name, bound in _BOUNDS.items()]
    # In seconds, Grafana would write ticks such as 1.39 hours.
    return _as_band(panels.graph(frame, units.Number, *lines).decimals(1), palette.DOING)
