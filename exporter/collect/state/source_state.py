"""State of the data sources of an account, kept between refreshes, and their snapshots."""

from collections.abc import Container, Iterator, Mapping
from typing import Any, Final, Generic, Protocol, Self, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from exporter.collect.snapshot import (
    DatabasesStats,
    FailuresStats,
    JobsStats,
    ReasonsStats,
    ScanStats,
    SourceName,
    SourceSnapshot,
    SourceStats,
    TasksStats,
    TimersStats,
)
from exporter.collect.state.database_state import DatabaseState
from exporter.collect.state.failure_state import FailureState
from exporter.collect.state.job_state import JobState
from exporter.collect.state.reason_state import ReasonState
from exporter.collect.state.resolution import remaining_failures
from exporter.collect.state.scan_state import ScanState
from exporter.collect.state.task_state import TaskState
from exporter.collect.state.timer_state import TimerState
from exporter.config.loading import Jobs, Selection
from exporter.mms.models.records import DataSource
from exporter.mms.models.statuses import JobStatus
from exporter.mms.source_selection import is_selected


class CollectorState(Protocol):
    """State of one collector for one source; a struct."""

    @property
    def stats(
        self,
    ) -> JobsStats | DatabasesStats | ScanStats | FailuresStats | ReasonsStats | TimersStats | TasksStats | None:
        """The values; None if never read."""

    def invalidated(self) -> Self:
        """Return the same values, to be read again without shortcuts."""


COLLECTORS: Final = ("jobs", "databases", "scan", "failures", "reasons", "timers", "tasks")
"""Collectors with a state per source, which is an attribute of this name."""

S = TypeVar("S", bound=CollectorState)

Outcome = tuple[bool, ...]
"""Success flags: listed; read by each collector."""


class Cached(Struct, Generic[S], gc=False):
    """State of one collector for one source, with its age."""

    state: S
    at: float = 0.0
    """When the state was last read or confirmed, in monotonic seconds."""
    succeeded: bool = True
    """Whether the last refresh read it completely."""

    def note_outcome(self, *, succeeded: bool) -> None:
        """Record whether a refresh read it completely."""
        self.succeeded = succeeded
        if not succeeded:
            # An unchanged row or page no longer proves anything: it may have changed and changed back unread.
            self.state = self.state.invalidated()

    def rename(self, name: SourceName) -> None:
        """Put the values under the source's new name."""
        state: Any = self.state
        if state.stats is not None and state.stats.name != name:
            self.state = replace(state, stats=replace(state.stats, name=name))


FAILED_JOBS_SECONDS: Final = 1800.0
"""As the range of MmsJobFailed in deploy/prometheus/rules/."""


class SourceState(Struct, gc=False):
    """State of one data source."""

    stats: SourceStats
    listed_at: float
    """Monotonic seconds."""
    is_listed: bool = True
    """Whether the last listing contained it."""
    jobs: Cached[JobState] = field(default_factory=lambda: Cached(JobState()))
    databases: Cached[DatabaseState] = field(default_factory=lambda: Cached(DatabaseState()))
    scan: Cached[ScanState] = field(default_factory=lambda: Cached(ScanState()))
    failures: Cached[FailureState] = field(default_factory=lambda: Cached(FailureState()))
    reasons: Cached[ReasonState] = field(default_factory=lambda: Cached(ReasonState()))
    timers: Cached[TimerState] = field(default_factory=lambda: Cached(TimerState()))
    tasks: Cached[TaskState] = field(default_factory=lambda: Cached(TaskState()))
    last_success_at: float | None = None
    """Unix seconds; None before the first complete refresh."""
    failed_jobs: tuple[tuple[float, int], ...] = ()
    """Times in monotonic seconds and numbers of FAILED jobs; both increase, so that the first one is the minimum."""

    @property
    def name(self) -> SourceName:
        """Return the labels of its series."""
        return self.stats.name

    @property
    def row(self) -> DataSource | None:
        """Return its row if the last listing contained it, else None."""
        return self.stats.row if self.is_listed else None

    @property
    def parts(self) -> tuple[Cached[Any], ...]:
        """Return the state of each collector, as COLLECTORS names them."""
        return tuple(getattr(self, name) for name in COLLECTORS)

    @property
    def is_refreshed(self) -> bool:
        """Return whether the last refresh read it completely."""
        return all(self.outcome)

    @property
    def outcome(self) -> Outcome:
        """Return its success flags."""
        return self.is_listed, *[part.succeeded for part in self.parts]

    @outcome.setter
    def outcome(self, outcome: Outcome) -> None:
        self.is_listed, *succeeded = outcome
        for part, each in zip(self.parts, succeeded, strict=True):
            part.succeeded = each

    def is_admitted_by(self, selection: Selection) -> bool:
        """Return whether `selection` includes it."""
        return is_selected(self.stats.row, selection)

    def update_row(self, stats: SourceStats, now: float) -> None:
        """Update it from a listing at `now`, in monotonic seconds."""
        self.listed_at = now
        if self.stats != stats:
            self.stats = stats
            for part in self.parts:
                part.rename(stats.name)

    @property
    def jobs_failed_recently(self) -> int:
        """Return by how much FAILED jobs exceed their minimum of FAILED_JOBS_SECONDS."""
        return self.failed_jobs[-1][1] - self.failed_jobs[0][1] if self.failed_jobs else 0

    def _note_failed_jobs(self, now: float) -> None:
        stats = self.jobs.state.stats
        count = stats.counts.get(JobStatus.FAILED) if stats is not None else None
        if count is not None:
            recent = [each for each in self.failed_jobs if each[0] >= now - FAILED_JOBS_SECONDS and each[1] < count]
            self.failed_jobs = (*recent, (now, count))

    def resolve_jobs(self, settings: Jobs, now: float) -> None:
        """Update what is known of failed jobs, at `now` in monotonic seconds."""
        self._note_failed_jobs(now)
        if self.row is not None and self.jobs.state.failed:
            remaining = remaining_failures(self.row, self.listed_at, self.failures.state.kinds)
            self.jobs.state = self.jobs.state.resolved(remaining, settings, now)

    def snapshot(self, oldest: float) -> SourceSnapshot:
        """Return its values, omitting those older than `oldest`."""
        return SourceSnapshot(
            name=self.stats.name,
            stats=self.stats if self.listed_at >= oldest else None,
            jobs=self.jobs.state.stats if self.jobs.at >= oldest else None,
            refreshed=self.is_refreshed,
            last_success_at=self.last_success_at,
            databases=self.databases.state.stats_since(oldest) if self.databases.at >= oldest else None,
            scan=self.scan.state.stats if self.scan.at >= oldest else None,
            failures=self.failures.state.stats if self.failures.at >= oldest else None,
            reasons=self.reasons.state.stats if self.reasons.at >= oldest else None,
            timers=self.timers.state.stats if self.timers.at >= oldest else None,
            tasks=self.tasks.state.stats if self.tasks.at >= oldest else None,
            jobs_failed_recently=self.jobs_failed_recently,
        )


class SourceStates:
    """The known data sources of an account."""

    def __init__(self) -> None:
        self.by_id: dict[int, SourceState] = {}
        self.is_complete = False
        """Whether the last listing succeeded and was complete."""

    def inherit_from(self, previous: "SourceStates", collectors: Container[str], selection: Selection) -> None:
        """Copy the states that `selection` includes and `collectors`, by name, update."""
        self.by_id = {key: source for key, source in previous.by_id.items() if source.is_admitted_by(selection)}
        for source in self.by_id.values():
            for name, part in zip(COLLECTORS, source.parts, strict=True):
                if name not in collectors:
                    setattr(source, name, Cached(type(part.state)()))

    def outcomes(self) -> dict[int, Outcome]:
        """Return the success flags of each source, by id."""
        return {key: source.outcome for key, source in self.by_id.items()}

    def restore(self, outcomes: Mapping[int, Outcome]) -> None:
        """Restore the success flags saved by `outcomes`."""
        for key in outcomes.keys() & self.by_id.keys():
            self.by_id[key].outcome = outcomes[key]

    def invalidate_times(self) -> None:
        """Invalidate jobs and timers, which contain times, after a change of the time zone."""
        for source in self.by_id.values():
            source.jobs.state = source.jobs.state.invalidated().without_lingering_times()
            source.timers.state = source.timers.state.without_times()

    def invalidate(self, *collectors: str) -> None:
        """Invalidate what these collectors update."""
        for source in self.by_id.values():
            for name, part in zip(COLLECTORS, source.parts, strict=True):
                if name in collectors:
                    part.state = part.state.invalidated()

    def mark_unlisted(self) -> None:
        """Record that the listing failed."""
        self.is_complete = False
        for source in self.by_id.values():
            source.is_listed = False

    def update_from_listing(
        self, listed: Mapping[int, SourceStats], now: float, *, is_complete: bool, max_unlisted_seconds: float
    ) -> None:
        """Update the states from a listing at `now`, in monotonic seconds.

        A source missing from a complete listing is removed at once. An incomplete listing may have missed it, so it is
        removed only after `max_unlisted_seconds`.
        """
        self.is_complete = is_complete
        for source_id, source in list(self.by_id.items()):
            source.is_listed = source_id in listed
            if not source.is_listed and (is_complete or now - source.listed_at > max_unlisted_seconds):
                del self.by_id[source_id]
        for source_id, stats in listed.items():
            if source_id in self.by_id:
                self.by_id[source_id].update_row(stats, now)
            else:
                self.by_id[source_id] = SourceState(stats, now)

    def read_at(self) -> Iterator[float]:
        """Return when each value was last read or confirmed."""
        for source in self.by_id.values():
            yield source.listed_at
            yield from (part.at for part in source.parts if part.state.stats is not None)
            yield source.databases.state.oldest_at

    def note_successes(self, now: float) -> None:
        """Set the success time of completely read sources, in Unix seconds."""
        for source in self.by_id.values():
            if source.is_refreshed:
                source.last_success_at = now
