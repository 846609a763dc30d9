"""Which jobs migrate what: a job's configuration read as a set of units. Pure.

Where a configuration does not say enough, a job counts as covering more rather than less: a unit that may be under way
is left alone. Names compare in any case. An expression over partitions, whose grammar nobody documents, counts as the
whole table.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
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
    """What several jobs cover. Of more jobs that cover a unit, the newest counts: the one with the highest id."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._partitions: dict[int, Job] = {}
        self._tables: dict[tuple[str, str], Job] = {}
        self._databases: dict[str, list[_WholeDatabase]] = {}
        """By database, the newest first."""
        self._with_partitions: dict[str, Job] = {}
        """By database, the newest job that names partitions by id."""
        for job in sorted(jobs, key=lambda job: job.id):
            self._add(job)

    def _add(self, job: Job) -> None:
        config, db = job.config or _NOTHING, _folded(job.src_db_name)
        tables = {*(config.tables or ()), *(config.partition_filters or ())}
        if config.partitions:
            self._partitions.update(dict.fromkeys(config.partitions, job))
            self._with_partitions[db] = job
        for table in tables:
            self._tables[db, table.casefold()] = job
        if not config.partitions and not tables:
            black, white = (
                frozenset(map(_folded, names or ())) for names in (config.table_black_list, config.table_white_list)
            )
            self._databases.setdefault(db, []).insert(0, _WholeDatabase(job, black, white))

    def job_of(self, unit: Unit) -> Job | None:
        """Return the newest job whose scope has `unit` in it; None where no job's has."""
        return max(self._jobs_of(unit), key=lambda job: job.id, default=None)

    def job_beside(self, unit: Unit) -> Job | None:
        """Return a job that migrates `unit`, or may migrate a part of it."""
        job = self.job_of(unit)
        if job is not None or not unit.has_partitions:
            return job
        # Which table a partition id belongs to is not said.
        return next((job for db in _places(unit) if (job := self._with_partitions.get(db))), None)

    def _jobs_of(self, unit: Unit) -> Iterator[Job]:
        if unit.is_partition and unit.id in self._partitions:
            yield self._partitions[unit.id]
        table = _folded(unit.table)
        for db in _places(unit):
            if (db, table) in self._tables:
                yield self._tables[db, table]
            yield from islice((each.job for each in self._databases.get(db, ()) if each.lets_through(table)), 1)


def _folded(name: str | None) -> str:
    return (name or "").casefold()


def _places(unit: Unit) -> set[str]:
    """Return the databases under which a job that has `unit` can stand: its own, and the one of jobs without."""
    return {_folded(unit.db), ""}
