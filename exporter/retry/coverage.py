"""The units that jobs cover, derived from the jobs' configurations. Pure.

An unclear configuration counts as covering more, so that a retry never duplicates a migration in progress. Names
compare case-insensitively. A partition filter counts as its whole table, because its grammar is undocumented.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from exporter.mms.models.records import Job
from exporter.retry.units import NO_CONFIG, Unit

_Scope = int | tuple[str, str] | str
"""Partition ID; database and table name; or database name of a job over all its tables."""


class JournalJob(Job, frozen=True, kw_only=True):
    """A job that only the journal of an earlier run is sure to know."""

    state: str
    """What the journal knows of it, in words."""


class Coverage:
    """The units that several jobs cover. Of several jobs, the newest (highest ID) wins."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs: dict[_Scope, list[Job]] = {}
        """Newest first."""
        self._with_partitions: dict[str, Job] = {}
        """By database name: the newest job that lists partition IDs."""
        for job in sorted(jobs, key=lambda job: job.id, reverse=True):
            self._add(job)

    def _add(self, job: Job) -> None:
        config, db = job.config or NO_CONFIG, _normalized(job.src_db_name)
        tables = {_normalized(table) for table in (*(config.tables or ()), *(config.partition_filters or ()))}
        scopes: list[_Scope] = [*(config.partitions or ()), *((db, table) for table in tables)]
        for scope in scopes or [db]:
            self._jobs.setdefault(scope, []).append(job)
        if config.partitions:
            self._with_partitions.setdefault(db, job)

    def newest_job(self, unit: Unit) -> Job | None:
        """Return the newest job that covers a unit, or None."""
        return _newest(chain(self._naming(unit), self._over_database(unit)), lambda _: True)

    def settings_job(self, unit: Unit) -> Job | None:
        """Return the job whose settings a retry reuses, or None.

        The job must have the destination of `unit`, if both are known. A job that names the unit comes before one
        that covers its database.
        """
        lists = (self._naming(unit), self._over_database(unit))
        found = (_newest(jobs, lambda job: _has_same_destination(job, unit)) for jobs in lists)
        return next((job for job in found if job is not None), None)

    def overlapping_job(self, unit: Unit) -> Job | None:
        """Return a job that may migrate any part of the unit."""
        job = self.newest_job(unit)
        if job is not None or not unit.has_partitions:
            return job
        # The job does not say which table its partition IDs belong to.
        return next((job for db in _databases(unit) if (job := self._with_partitions.get(db))), None)

    def _naming(self, unit: Unit) -> Iterator[Iterable[Job]]:
        if unit.is_partition:
            yield self._jobs.get(unit.id, ())
        for db in _databases(unit):
            yield self._jobs.get((db, _normalized(unit.table)), ())

    def _over_database(self, unit: Unit) -> Iterator[Iterable[Job]]:
        table = _normalized(unit.table)
        for db in _databases(unit):
            yield (job for job in self._jobs.get(db, ()) if _includes(job, table))


def _includes(job: Job, table: str) -> bool:
    """Return whether a job over a database includes a table."""
    config = job.config or NO_CONFIG
    # MMS ignores the white list of a job that has a black list.
    if config.table_black_list:
        return table not in map(_normalized, config.table_black_list)
    return not config.table_white_list or table in map(_normalized, config.table_white_list)


def _newest(ordered: Iterable[Iterable[Job]], fits: Callable[[Job], bool]) -> Job | None:
    """Return the newest job that fits; each list starts with its newest."""
    firsts = (next(filter(fits, jobs), None) for jobs in ordered)
    return max((job for job in firsts if job is not None), key=lambda job: job.id, default=None)


def _has_same_destination(job: Job, unit: Unit) -> bool:
    destinations = ((job.dst_db_name, unit.dst_project), (job.dst_schema_name, unit.dst_schema))
    return all(not one or not other or _normalized(one) == _normalized(other) for one, other in destinations)


def _normalized(name: str | None) -> str:
    return (name or "").casefold()


def _databases(unit: Unit) -> set[str]:
    # A job without a database is filed under the empty name.
    return {_normalized(unit.db), ""}
