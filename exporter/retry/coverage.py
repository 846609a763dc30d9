"""The units that jobs cover, derived from the jobs' configurations. Pure.

An unclear configuration counts as covering more, so that a retry never duplicates a migration in progress. Names
compare case-insensitively. A partition filter counts as its whole table, because its grammar is undocumented.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from exporter.mms.models import Job
from exporter.retry.units import NO_CONFIG, Unit


@dataclass(frozen=True, slots=True)
class _WholeDatabase:
    """A job over all tables of a database."""

    job: Job
    black: frozenset[str]
    white: frozenset[str]

    def includes(self, table: str) -> bool:
        # MMS ignores the white list of a job that has a black list.
        return table not in self.black if self.black else not self.white or table in self.white


class Coverage:
    """The units that several jobs cover. Of several jobs, the newest (highest ID) wins."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._partitions: dict[int, list[Job]] = {}
        """By partition ID; each list starts with the newest job, as in the fields below."""
        self._tables: dict[tuple[str, str], list[Job]] = {}
        """By database and table name."""
        self._databases: dict[str, list[_WholeDatabase]] = {}
        """By database name."""
        self._with_partitions: dict[str, Job] = {}
        """By database name: the newest job that lists partition IDs."""
        for job in sorted(jobs, key=lambda job: job.id, reverse=True):
            self._add(job)

    def _add(self, job: Job) -> None:
        config, db = job.config or NO_CONFIG, _normalized(job.src_db_name)
        tables = {*(config.tables or ()), *(config.partition_filters or ())}
        if config.partitions:
            for number in config.partitions:
                self._partitions.setdefault(number, []).append(job)
            self._with_partitions.setdefault(db, job)
        for table in tables:
            self._tables.setdefault((db, table.casefold()), []).append(job)
        if not config.partitions and not tables:
            black, white = (
                frozenset(map(_normalized, names or ())) for names in (config.table_black_list, config.table_white_list)
            )
            self._databases.setdefault(db, []).append(_WholeDatabase(job, black, white))

    def newest_job(self, unit: Unit) -> Job | None:
        """Return the newest job that covers a unit, or None."""
        return _newest((*self._jobs_naming(unit), *self._jobs_over_database(unit)), lambda _: True)

    def settings_job(self, unit: Unit) -> Job | None:
        """Return the job whose settings a retry reuses, or None.

        The job must have the destination of `unit`, if both are known. A job that names the unit comes before one
        that covers its database.
        """
        return _newest(self._jobs_naming(unit), lambda job: _has_same_destination(job, unit)) or _newest(
            self._jobs_over_database(unit), lambda job: _has_same_destination(job, unit)
        )

    def overlapping_job(self, unit: Unit) -> Job | None:
        """Return a job that may migrate any part of the unit."""
        job = self.newest_job(unit)
        if job is not None or not unit.has_partitions:
            return job
        # The job does not say which table its partition IDs belong to.
        return next((job for db in _database_keys(unit) if (job := self._with_partitions.get(db))), None)

    def _jobs_naming(self, unit: Unit) -> Iterator[Iterable[Job]]:
        if unit.is_partition:
            yield self._partitions.get(unit.id, ())
        for db in _database_keys(unit):
            yield self._tables.get((db, _normalized(unit.table)), ())

    def _jobs_over_database(self, unit: Unit) -> Iterator[Iterable[Job]]:
        table = _normalized(unit.table)
        for db in _database_keys(unit):
            yield (each.job for each in self._databases.get(db, ()) if each.includes(table))


def _newest(ordered: Iterable[Iterable[Job]], fits: Callable[[Job], bool]) -> Job | None:
    """Return the newest job that fits; each list starts with its newest."""
    firsts = (next(filter(fits, jobs), None) for jobs in ordered)
    return max((job for job in firsts if job is not None), key=lambda job: job.id, default=None)


def _has_same_destination(job: Job, unit: Unit) -> bool:
    destinations = ((job.dst_db_name, unit.dst_project), (job.dst_schema_name, unit.dst_schema))
    return all(not one or not other or _normalized(one) == _normalized(other) for one, other in destinations)


def _normalized(name: str | None) -> str:
    return (name or "").casefold()


def _database_keys(unit: Unit) -> set[str]:
    # A job without a database is filed under the empty name.
    return {_normalized(unit.db), ""}
