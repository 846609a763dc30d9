"""Timers of one source: their schedules, and what happened when they were due. Runs nothing."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

DAILY: Final = "Daily"
HOURLY: Final = "Hourly"
_MINUTE: Final = timedelta(minutes=1)
_DAYS_TO_SEARCH: Final = 3


@dataclass(frozen=True, slots=True)
class TimerRun:
    """A due time: the job that was created, or why there is none."""

    id: int
    seconds: float
    """World seconds."""
    job_id: int | None = None
    message: str = ""
    """Why no job was created."""


@dataclass(slots=True)
class SimulatedTimer:
    """A scheduled migration of one database."""

    id: int
    name: str
    database: int
    schedule_type: str
    value: str
    """`HH:MM` of a Daily timer, `MM` of an Hourly one."""
    created: float
    """World seconds."""
    failure_rate: float | None = None
    """Share of the tasks of its jobs that fail; None: as in the options."""
    stopped: bool = False
    runs: list[TimerRun] = field(default_factory=list)
    due: float = 0.0
    """World seconds of the next run, if it is not stopped."""

    def set_due(self, after: float, start: float, zone: tzinfo) -> None:
        """Set the first due time after a world second."""
        # Minute by minute, as the ancestor of MMS compares the clock with the schedule.
        minute = datetime.fromtimestamp(start + after, UTC).replace(second=0, microsecond=0)
        for _ in range(_DAYS_TO_SEARCH * 1440):
            minute += _MINUTE
            local = minute.astimezone(zone)
            if self.value == (f"{local:%H:%M}" if self.schedule_type == DAILY else f"{local:%M}"):
                break
        self.due = minute.timestamp() - start
