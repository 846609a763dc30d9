"""What is remembered of each data source of an account from one refresh to the next, and what of it is shown."""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, Self, TypeVar

from msgspec import Struct

from exporter.collect.snapshot import SourceName, SourceSnapshot, SourceStats
from exporter.collect.state.failure_state import FailureState
from exporter.collect.state.job_state import JobState
from exporter.collect.state.task_state import TaskState
from exporter.config.loading import Selection
from exporter.mms.models import DataSource


class Memory(Protocol):
    """What a collector remembers of a source."""

    def doubted(self) -> Self:
        """Return the same figures without what would spare a call."""


M = TypeVar("M", bound=Memory)


Outcome = tuple[bool, bool, bool, bool]
"""Whether a source was listed, and its jobs, failures and tasks were read."""


class Cached(Struct, Generic[M], gc=False):
    """What one collector keeps of one source."""

    memory: M
    at: float = 0.0
    """When that was last known to hold, in monotonic seconds."""
    succeeded: bool = True
    """Whether the last refresh read all of it."""

    def note_outcome(self, *, succeeded: bool) -> None:
        """Note whether a refresh read all of it."""
        self.succeeded = succeeded
        if not succeeded:  # what a row or a page repeats may differ from what could not be read between
            self.memory = self.memory.doubted()


@dataclass(slots=True)
class SourceState:
    """One data source. Ages are in monotonic seconds, `last_success_at` in Unix seconds."""

    figures: SourceStats
    listed_at: float
    is_listed: bool = True
    """By the listing that ended last."""
    jobs: Cached[JobState] = field(default_factory=lambda: Cached(JobState()))
    failures: Cached[FailureState] = field(default_factory=lambda: Cached(FailureState()))
    tasks: Cached[TaskState] = field(default_factory=lambda: Cached(TaskState()))
    last_success_at: float | None = None

    @property
    def name(self) -> SourceName:
        """What its series carry."""
        return self.figures.name

    @property
    def row(self) -> DataSource | None:
        """Its row, if that was listed just now: no other can say that nothing changed."""
        return self.figures.row if self.is_listed else None

    @property
    def is_refreshed(self) -> bool:
        """Whether the last refresh read all there is to read of it."""
        return self.is_listed and self.jobs.succeeded and self.failures.succeeded and self.tasks.succeeded

    @property
    def outcome(self) -> Outcome:
        """How each of its readings went."""
        return self.is_listed, self.jobs.succeeded, self.failures.succeeded, self.tasks.succeeded

    @outcome.setter
    def outcome(self, outcome: Outcome) -> None:
        self.is_listed, self.jobs.succeeded, self.failures.succeeded, self.tasks.succeeded = outcome

    def is_admitted_by(self, selection: Selection) -> bool:
        """Whether a configuration has it watched."""
        return selection.admits(self.figures.row.name or "", self.figures.row.type or "")

    def listed(self, figures: SourceStats, now: float) -> None:
        """Note that it is listed, and how."""
        self.listed_at = now
        if self.figures != figures:
            self.figures = figures
            self.jobs.memory = self.jobs.memory.renamed(figures.name)
            self.failures.memory = self.failures.memory.renamed(figures.name)
            self.tasks.memory = self.tasks.memory.renamed(figures.name)

    def read_at(self) -> Iterator[float]:
        """Yield when each of the figures was last known to hold."""
        yield self.listed_at
        if self.jobs.memory.figures is not None:
            yield self.jobs.at
        if self.failures.memory.figures is not None:
            yield self.failures.at
        if self.tasks.memory.figures is not None:
            yield self.tasks.at

    def snapshot(self, oldest: float) -> SourceSnapshot:
        """Return what is shown of it: nothing that is older than `oldest`."""
        return SourceSnapshot(
            name=self.name,
            figures=self.figures if self.listed_at >= oldest else None,
            jobs=self.jobs.memory.figures if self.jobs.at >= oldest else None,
            refreshed=self.is_refreshed,
            last_success_at=self.last_success_at,
            failures=self.failures.memory.figures if self.failures.at >= oldest else None,
            tasks=self.tasks.memory.figures if self.tasks.at >= oldest else None,
        )


class SourceStates:
    """The data sources of an account, as far as they are known."""

    def __init__(self) -> None:
        self.by_id: dict[int, SourceState] = {}
        self.are_all_known = False
        """Whether the listing that ended last says of every source that there is one."""

    def take_over(self, before: "SourceStates", collectors: Container[str], selection: Selection) -> None:
        """Go on from what others knew, as far as `selection` admits it and `collectors`, by name, keep it up to date.

        What `selection` admits beside that is not known.
        """
        self.by_id = {key: source for key, source in before.by_id.items() if source.is_admitted_by(selection)}
        for source in self.by_id.values():
            if "jobs" not in collectors:
                source.jobs = Cached(JobState())
            if "failures" not in collectors:
                source.failures = Cached(FailureState())
            if "tasks" not in collectors:
                source.tasks = Cached(TaskState())

    def outcomes(self) -> dict[int, Outcome]:
        """Return how the reading of each source went, by its id."""
        return {key: source.outcome for key, source in self.by_id.items()}

    def restore(self, outcomes: Mapping[int, Outcome]) -> None:
        """Have the reading of each source have gone as it did before."""
        for key in outcomes.keys() & self.by_id.keys():
            self.by_id[key].outcome = outcomes[key]

    def doubt_times(self) -> None:
        """Have everything that tells a time be read anew, and shown as it is until then."""
        for source in self.by_id.values():
            source.jobs.memory = source.jobs.memory.doubted().without_lingering_times()

    def doubt_jobs(self) -> None:
        """Have jobs be read anew, and the tasks, which go by them; both are shown as they are until then."""
        for source in self.by_id.values():
            source.jobs.memory = source.jobs.memory.doubted()
            source.tasks.memory = source.tasks.memory.doubted()

    def doubt_failures(self) -> None:
        """Have failures be read anew, and shown as they are until then."""
        for source in self.by_id.values():
            source.failures.memory = source.failures.memory.doubted()

    def note_unlisted(self) -> None:
        """Note that they could not be listed."""
        self.are_all_known = False
        for source in self.by_id.values():
            source.is_listed = False

    def file(self, listed: Mapping[int, SourceStats], now: float, *, is_whole: bool, patience: float) -> None:
        """Take over what was listed at `now`, in monotonic seconds, by id.

        Of a list that is whole, a source that it lacks does not exist; else it may have been missed, but not for longer
        than `patience` seconds, since a list may never be whole.
        """
        self.are_all_known = is_whole
        for source_id, source in list(self.by_id.items()):
            source.is_listed = source_id in listed
            if not source.is_listed and (is_whole or now - source.listed_at > patience):
                del self.by_id[source_id]
        for source_id, figures in listed.items():
            self.by_id.setdefault(source_id, SourceState(figures, now)).listed(figures, now)

    def note_successes(self, now: float) -> None:
        """Note of those that were read whole that this was so at `now`, in Unix seconds."""
        for source in self.by_id.values():
            if source.is_refreshed:
                source.last_success_at = now
