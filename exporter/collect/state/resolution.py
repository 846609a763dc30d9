"""Whether something FAILED remains in the scope of each failed job. Pure."""

import heapq
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from exporter.collect.snapshot import JobStats
from exporter.collect.state.failure_state import FAILED_COUNTS, Kind, KindState
from exporter.mms.models.records import DataSource, Job, JobConfig
from exporter.mms.models.scope import UnitSet, covers_any
from exporter.mms.models.statuses import JobStatus

PARTITIONS_PER_JOB: Final = 1000
"""Limit of partition ids kept per failed job, highest ids first."""


class RemainingFailures(Struct, frozen=True):
    """The failed tables, or the failed partitions, of a data source."""

    count: int | None
    """Number in the row of the source; None if absent."""
    counted_at: float
    """When the row was listed, in monotonic seconds."""
    units: UnitSet | None = None
    """All of them; None if not all are known."""
    listed_at: float = 0.0
    """When they were listed, in monotonic seconds."""

    def basis(self, failed_at: float) -> tuple[object, ...]:
        """Return what `remain_in` depends on, apart from the job."""
        return self.units, self.count, self.counted_at > failed_at, self.listed_at > failed_at

    def remain_in(self, job: JobStats, failed_at: float) -> bool | None:
        """Return whether any remains, or may remain, in the scope of a job; None if unknown."""
        # Only a read after the job was seen FAILED proves that nothing remains.
        if self.count == 0:
            return False if self.counted_at > failed_at else None
        if self.units is not None and self.listed_at > failed_at:
            is_truncated = len(job.partitions) >= PARTITIONS_PER_JOB and bool(self.units.partition_ids)
            return is_truncated or covers_any(job.row, self.units)
        return None if self.count is None and self.units is None else True


def remaining_failures(row: DataSource, listed_at: float, kinds: Mapping[Kind, KindState]) -> list[RemainingFailures]:
    """Return the failures of a data source by kind."""
    remaining = []
    for kind, count_of in FAILED_COUNTS.items():
        count, state = count_of(row), kinds.get(kind)
        if state is None or state.count != count:
            remaining.append(RemainingFailures(count, listed_at))
        else:
            remaining.append(RemainingFailures(count, listed_at, state.units, state.listed_at))
    return remaining


class Resolution(Struct, frozen=True, gc=False):
    """What is known of the scope of a failed job."""

    failed_at: float
    """When the job was first seen FAILED, in monotonic seconds; -inf if it was so at the first read."""
    unresolved: bool | None = None
    """Whether something FAILED remains or may remain; None if unknown."""
    resolved_at: float | None = None
    """When nothing FAILED was first seen, in monotonic seconds."""
    basis: tuple[object, ...] = ()
    """The row of the job and the failures that it was compared with."""

    def updated(self, job: JobStats, remaining: Sequence[RemainingFailures], now: float) -> "Resolution":
        """Return what is known at `now`."""
        basis = job.row, *(each.basis(self.failed_at) for each in remaining)
        if basis == self.basis and self.unresolved is not None:
            return self
        remains = [each.remain_in(job, self.failed_at) for each in remaining]
        unresolved = True if True in remains else None if None in remains else False
        since = None if unresolved is not False else now if self.resolved_at is None else self.resolved_at
        return Resolution(self.failed_at, unresolved, since, basis)


def kept_row(job: Job) -> Job:
    """Return a row without the parts that nothing reads: thousands are kept."""
    if job.config is None:
        return replace(job, source_name=None)
    if job.status != JobStatus.FAILED:
        return replace(job, source_name=None, config=_kept_config(job.config.task_type))
    scope = JobConfig(
        task_type=job.config.task_type,
        partitions=tuple(heapq.nlargest(PARTITIONS_PER_JOB, job.config.partitions or ())) or None,
        tables=job.config.tables,
        table_black_list=job.config.table_black_list,
        table_white_list=job.config.table_white_list,
        partition_filters=job.config.partition_filters,
    )
    return replace(job, source_name=None, config=scope)


@lru_cache(maxsize=64)  # jobs share equal configurations
def _kept_config(task_type: str | None) -> JobConfig:
    return JobConfig(task_type=task_type)
