"""Timers of the selected data sources: a row of the data source dashboard."""

from typing import Final

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.models import units

from grafana.builder import palette, promql, tables
from grafana.builder.page import Row
from grafana.builder.panels import Frame
from grafana.builder.promql import source

_TIMER: Final = f"{promql.SOURCE}, timer_id, timer"
"""Identity of a timer."""


def _each(figure: str) -> str:
    return f"max by ({_TIMER}) ({source(f'mms_timer_{figure}')})"


def _late() -> str:
    """Return 1 if a due time passed too long ago; a stopped data source has no late timer."""
    past = promql.age(_each("due_timestamp_seconds"))
    late = f"{past} > bool on () group_left () mms:threshold:schedule_late:seconds"
    stopped = promql.account("mms:source_id:stopped:max")
    return f"({late}) unless on (account, source_id) ({stopped} == 1)"


def _listing() -> table.Panel:
    result = promql.coded("mms_timer_last_run_status", palette.JOB_STATES, labels=_TIMER)
    columns = [
        tables.text("Source", "source", 190),
        tables.text("Timer", "timer", 190),
        tables.text("Database", "src_db", 150),
        tables.text("Schedule", "schedule_type", 90),
        tables.text("At", "schedule", 70),
        tables.hidden(f"max by ({_TIMER}, src_db, schedule_type, schedule) ({source('mms_timer_info')})"),
        tables.number("Last run", promql.moment(_each("last_run_timestamp_seconds")), units.DateTimeFromNow, 120),
        tables.number("Result", result, units.NoUnit, 90, *tables.worded(palette.states(palette.JOB_STATES))),
        tables.number("Due", f"1000 * {_each('due_timestamp_seconds')}", units.DateTimeFromNow, 120),
        tables.number("Late", _late(), units.NoUnit, 80, *tables.worded(palette.LATE)),
        tables.number("Stopped", _each("stopped"), units.NoUnit, 90, *tables.worded(palette.STOPPED)),
    ]
    frame = Frame(
        "Timers",
        "Scheduled migrations. At: the time of day of a Daily timer, the minute of an Hourly one. Result: status of "
        "the last run. Due: first due time after the last run; a skip is no run. Late: 30 minutes after it was due.",
        24,
        8,
    )
    count = promql.total(source("mms_timer_series_omitted"))
    otherwise = promql.none_listed(source("mms_timer_info"), count, "timer", "No timers", "Not listed: limit")
    return tables.listing(frame, columns, "Due", descending=False, otherwise=otherwise)


def schedules_row() -> Row:
    """Return the table of timers."""
    return Row("Schedules", [_listing()])
