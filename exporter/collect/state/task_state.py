"""State of a source's tasks, kept between refreshes. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final, Generic, Self, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from exporter.collect.snapshot import JobTasks, SourceName, TasksStats
from exporter.mms.models.records import DataSource
from exporter.mms.models.statuses import TASK_PHASES

T = TypeVar("T")

_ENDED: Final = frozenset(("DONE", *(f"{phase}_FAILED" for phase in TASK_PHASES)))


class Timestamped(Struct, Generic[T], frozen=True, gc=False):
    """A value and the time at which it was read or confirmed."""

    value: T
    at: float
    """Monotonic seconds."""


class TaskState(Struct, frozen=True, gc=False):
    """State of a source's tasks; empty at first."""

    stats: TasksStats | None = None
    row: DataSource | None = None
    """Row of the source when all tasks were read and none was unfinished, else None."""
    read_at: float = 0.0
    """When all tasks were read, in monotonic seconds."""
    counts: Timestamped[Mapping[str, int]] | None = None
    jobs: Mapping[int, Timestamped[JobTasks]] = field(default_factory=dict)

    def is_idle(self, row: DataSource | None, now: float, idle_interval: float) -> bool:
        """Return whether the tasks need no read before `idle_interval` ends."""
        return row is not None and self.row == row and now - self.read_at < idle_interval

    @property
    def confirmed_at(self) -> float | None:
        """Return the time of the latest value; None if there is none."""
        return max((each.at for each in (self.counts, *self.jobs.values()) if each is not None), default=None)

    def confirmed(self, now: float) -> Self:
        """Return the counts confirmed at `now`, for a source without unfinished jobs."""
        return replace(self, counts=self.counts and replace(self.counts, at=now))

    def invalidated(self) -> Self:
        """Return the same values, to be read again."""
        return replace(self, row=None)

    def with_stats(self, name: SourceName, previous: TasksStats | None) -> Self:
        """Return the state with new stats; `previous` if they are equal."""
        if self.confirmed_at is None:
            return replace(self, stats=None)
        jobs = tuple(self.jobs[key].value for key in sorted(self.jobs))
        stats = TasksStats(name, self.counts.value if self.counts else None, jobs)
        return replace(self, stats=previous if previous == stats else stats)


def all_ended(statuses: Iterable[str]) -> bool:
    """Return whether all of these statuses are final."""
    return _ENDED.issuperset(statuses)
