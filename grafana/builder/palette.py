"""Colours and words with the same meaning in every panel. Knows nothing of queries or panels."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard

DONE: Final = "green"
DOING: Final = "blue"
PART_DONE: Final = "yellow"
FAILED: Final = "red"
WARNING: Final = "orange"
OTHER: Final = "#8e8e8e"
"""Grey that is readable in the light and the dark theme; Grafana's palette has none."""

UNKNOWN: Final = "unknown"
"""Text of a value without data. Never 0."""

STALE_AFTER_SECONDS: Final = 300
METADATA_AGE_SECONDS: Final = 2 * 86400
FAILURE_RATIO: Final = 0.2
THROTTLED_RATIO: Final = 0.1
"""Where colours change; a test compares these with the thresholds of the alert rules."""

GROWING_SECONDS: Final = 1e13
"""Stands for a time that never comes because new work arrives as fast as work is completed."""
_A_CENTURY_SECONDS: Final = 100 * 365 * 86400
_ENDLESS: Final = 1e18
"""Above GROWING_SECONDS, also in milliseconds."""


class State(NamedTuple):
    """One value of a `status` label."""

    status: str
    """As in the API."""
    text: str
    colour: str


OTHER_STATE: Final = State("", "Other", OTHER)
"""A status that the exporter does not know."""

TABLE_STATES: Final = (
    State("DONE", "Done", DONE),
    State("DOING", "Doing", DOING),
    State("PART_DONE", "Part done", PART_DONE),
    State("FAILED", "Failed", FAILED),
)
PARTITION_STATES: Final = tuple(state for state in TABLE_STATES if state.status != "PART_DONE")
JOB_STATES: Final = (
    State("FAILED", "Failed", FAILED),
    State("DOING", "Running", DOING),
    State("INIT", "Waiting", OTHER),
    State("DONE", "Done", DONE),
)
"""In order of importance: failed ones first."""
SOURCE_STATES: Final = (
    State("START_FAILED", "Start failed", FAILED),
    State("STOP_FAILED", "Stop failed", FAILED),
    State("STARTING", "Starting", DOING),
    State("STOPPING", "Stopping", PART_DONE),
    State("STOPPED", "Stopped", OTHER),
    State("STARTED", "Started", DONE),
)
SCAN_STATES: Final = (
    State("FAILED", "Failed", FAILED),
    State("DOING", "Scanning", DOING),
    State("DONE", "Done", DONE),
)


def steps(base: str, *above: tuple[float, str]) -> build.ThresholdsConfig:
    """Return threshold steps above `base`."""
    first = dashboard.Threshold(value=None, color=base)
    rest = [dashboard.Threshold(value=value, color=colour) for value, colour in above]
    return build.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps([first, *rest])


def words(meanings: Iterable[tuple[float, str, str]]) -> dashboard.ValueMap:
    """Map single values to text and colour."""
    return dashboard.ValueMap(
        {
            f"{value:g}": dashboard.ValueMappingResult(
                text=text,
                color=colour,
                index=index,
            )
            for index, (value, text, colour) in enumerate(meanings)
        },
    )


def states(known: tuple[State, ...]) -> dashboard.ValueMap:
    """Map the codes of `promql.coded` to words."""
    return words((float(code), state.text, state.colour) for code, state in enumerate((*known, OTHER_STATE)))


def endless() -> list[dashboard.RangeMap]:
    """Map durations and dates without an end to words."""
    return [
        dashboard.RangeMap(
            dashboard.DashboardRangeMapOptions(
                from_val=start, to=end, result=dashboard.ValueMappingResult(text=text, color=WARNING)
            )
        )
        for text, start, end in (
            ("growing", _A_CENTURY_SECONDS * 1000.0, _ENDLESS),
            ("stalled", _ENDLESS, None),
        )
    ]


def absent(text: str) -> dashboard.SpecialValueMap:
    """Map a missing value to grey instead of a good colour."""
    return dashboard.SpecialValueMap(
        dashboard.DashboardSpecialValueMapOptions(
            match=dashboard.SpecialValueMatch.NULL_AND_NAN,
            result=dashboard.ValueMappingResult(text=text, color=OTHER),
        ),
    )


NOT_KNOWN: Final = absent(UNKNOWN)
EMPTY_CELL: Final = absent("-")
NO_DATA_TEXT: Final = "No data"
NO_DATA: Final = words([(-1.0, NO_DATA_TEXT, OTHER)])
"""Text of the value that stands for no series."""
AGENT: Final = words([(1.0, "Online", DONE), (0.0, "Offline", FAILED)])
OUTCOME: Final = words([(1.0, "OK", DONE), (0.0, "Failed", FAILED)])
RESOLUTION: Final = words([(1.0, "Open", FAILED), (0.0, "Resolved", OTHER)])
NOTHING_LEFT: Final = words([(0.0, "done", DONE)])
SEVERITIES: Final = {"critical": FAILED, "warning": WARNING, "info": DOING}
"""Most severe first."""
SEVERITY: Final = words((float(rank), name, colour) for rank, (name, colour) in enumerate(SEVERITIES.items()))
LATE: Final = words([(1.0, "late", WARNING), (0.0, "no", OTHER)])
STOPPED: Final = words([(1.0, "stopped", WARNING), (0.0, "no", OTHER)])

ZERO_IS_GOOD: Final = steps(DONE, (1, FAILED))
NO_JUDGEMENT: Final = steps("text")
"""Thresholds without a judgement."""
PROGRESS: Final = steps(DOING, (1, DONE))
AGE: Final = steps(DONE, (STALE_AFTER_SECONDS, FAILED))
METADATA_AGE: Final = steps(DONE, (METADATA_AGE_SECONDS, WARNING))
FAILURES: Final = steps(DONE, (0.0005, PART_DONE), (FAILURE_RATIO, FAILED))
"""Below the first step, one decimal shows 0.0 %."""
