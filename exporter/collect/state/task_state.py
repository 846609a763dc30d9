"""What is known of a source's tasks, and remembered from one refresh to the next. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Generic, Self, TypeVar

from msgspec import structs

from exporter.collect.snapshot import JobTasks, SourceName, TasksStats
from exporter.mms.models import TASK_PHASES, DataSource

T = TypeVar("T")

_ENDED: Final = frozenset(("DONE", *(f"{phase}_FAILED" for phase in TASK_PHASES)))


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """A figure, and when it held."""

    value: T
    at: float
    """Monotonic seconds."""


@dataclass(frozen=True, slots=True)
class TaskState:
    """What is remembered of a source's tasks; empty at first."""

    figures: TasksStats | None = None
    row: DataSource | None = None
    """The source's row when all was read, and nothing was unfinished; else None."""
    read_at: float = 0.0
    """When all was read, in monotonic seconds."""
    counts: Known[Mapping[str, int]] | None = None
    jobs: Mapping[int, Known[JobTasks]] = field(default_factory=dict)

    def is_idle(self, row: DataSource | None, now: float, idle_interval: float) -> bool:
        """Tell whether nothing in the source's row suggests that reading anew would bring anything else."""
        return row is not None and self.row == row and now - self.read_at < idle_interval

    @property
    def confirmed_at(self) -> float | None:
        """When the latest of the figures held; None where there are none."""
        return max((each.at for each in (self.counts, *self.jobs.values()) if each is not None), default=None)

    def holding(self, now: float) -> Self:
        """Return the same, which holds at `now`; nothing is unfinished, so that there are no jobs."""
        return replace(self, counts=self.counts and replace(self.counts, at=now))

    def doubted(self) -> Self:
        """Return the same figures, with nothing that would spare a call."""
        return replace(self, row=None)

    def renamed(self, name: SourceName) -> Self:
        """Return the same tasks under the source's new name."""
        if self.figures is None or self.figures.name == name:
            return self
        return replace(self, figures=structs.replace(self.figures, name=name))

    def with_figures(self, name: SourceName, before: TasksStats | None) -> Self:
        """Return the same with the figures that come of it: `before` where they are equal."""
        if self.confirmed_at is None:
            return replace(self, figures=None)
        jobs = tuple(self.jobs[key].value for key in sorted(self.jobs))
        figures = TasksStats(name, self.counts.value if self.counts else None, jobs)
        return replace(self, figures=before if before == figures else figures)


def are_over(statuses: Iterable[str]) -> bool:
    """Tell whether tasks in these statuses are all that they will be."""
    return _ENDED.issuperset(statuses)
