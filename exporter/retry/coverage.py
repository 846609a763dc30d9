"""Which jobs migrate what: a job's configuration read as a set of units. Pure.

Where a configuration does not say enough, a job counts as covering more rather than less: a unit that may be under way
is left alone. Names compare in any case. An expression over partitions, whose grammar nobody documents, counts as the
whole table. Which failed job gives a unit its settings is asked the other way: one of another destination does not.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from exporter.mms.models import Job, JobConfig
from exporter.retry.units import Unit

_NOTHING: Final = JobConfig()


@dataclass(frozen=True, slots=True)
class _WholeDatabase:
    """A job over all tables of a database but those that its lists keep out."""

    job: Job
    black: frozenset[str]
    white: frozenset[str]

    def lets_through(self, table: str) -> bool:
        """Tell whether a table is in the job's scope; beside a black list a white one is idle."""
        return table not in self.black if self.black else not self.white or table in self.white


class Coverage:
    """What several jobs cover. Of more jobs that cover a unit alike, the newest counts: the one with the highest id."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._partitions: dict[int, list[Job]] = {}
        """By id, the newest first; so are all of these."""
        self._tables: dict[tuple[str, str], list[Job]] = {}
        """By database and table."""
        self._databases: dict[str, list[_WholeDatabase]] = {}
        """By database."""
        self._with_partitions: dict[str, Job] = {}
        """By database, the newest job that names partitions by id."""
        for job in sorted(jobs, key=lambda job: job.id, reverse=True):
            self._add(job)

    def _add(self, job: Job) -> None:
        config, db = job.config or _NOTHING, _folded(job.src_db_name)
        tables = {*(config.tables or ()), *(config.partition_filters or ())}
        if config.partitions:
            for number in config.partitions:
                self._partitions.setdefault(number, []).append(job)
            self._with_partitions.setdefault(db, job)
        for table in tables:
            self._tables.setdefault((db, table.casefold()), []).append(job)
        if not config.partitions and not tables:
            black, white = (
                frozenset(map(_folded, names or ())) for names in (config.table_black_list, config.table_white_list)
            )
            self._databases.setdefault(db, []).append(_WholeDatabase(job, black, white))

    def job_of(self, unit: Unit) -> Job | None:
        """Return the newest job whose scope has `unit` in it; None where no job's has."""
        return _newest((*self._naming(unit), *self._over_database(unit)), lambda _: True)

    def settings_of(self, unit: Unit) -> Job | None:
        """Return the job whose settings `unit` takes when it is migrated again; None where none fits.

        It goes where the unit goes, as far as both say; one that names the unit comes before one over its database.
        """
        return _newest(self._naming(unit), lambda job: _goes_where(job, unit)) or _newest(
            self._over_database(unit), lambda job: _goes_where(job, unit)
        )

    def job_beside(self, unit: Unit) -> Job | None:
        """Return a job that migrates `unit`, or may migrate a part of it."""
        job = self.job_of(unit)
        if job is not None or not unit.has_partitions:
            return job
        # Which table a partition id belongs to is not said.
        return next((job for db in _places(unit) if (job := self._with_partitions.get(db))), None)

    def _naming(self, unit: Unit) -> Iterator[Iterable[Job]]:
        """Yield the jobs that name a unit, as a partition by its id and by its table, the newest of each first."""
        if unit.is_partition:
            yield self._partitions.get(unit.id, ())
        for db in _places(unit):
            yield self._tables.get((db, _folded(unit.table)), ())

    def _over_database(self, unit: Unit) -> Iterator[Iterable[Job]]:
        """Yield the jobs over each database that have a unit in their scope, the newest of each first."""
        table = _folded(unit.table)
        for db in _places(unit):
            yield (each.job for each in self._databases.get(db, ()) if each.lets_through(table))


def _newest(ordered: Iterable[Iterable[Job]], fits: Callable[[Job], bool]) -> Job | None:
    """Return the newest job that fits, of several lists of which each begins with its newest."""
    firsts = (next(filter(fits, jobs), None) for jobs in ordered)
    return max((job for job in firsts if job is not None), key=lambda job: job.id, default=None)


def _goes_where(job: Job, unit: Unit) -> bool:
    """Tell whether a job's destination is a unit's, as far as both are known."""
    places = ((job.dst_db_name, unit.dst_project), (job.dst_schema_name, unit.dst_schema))
    return all(not one or not other or _folded(one) == _folded(other) for one, other in places)


def _folded(name: str | None) -> str:
    return (name or "").casefold()


def _places(unit: Unit) -> set[str]:
    """Return the databases under which a job that has `unit` can stand: its own, and the one of jobs without."""
    return {_folded(unit.db), ""}
