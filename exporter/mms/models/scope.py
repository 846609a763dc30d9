"""Whether tables and partitions are in the scope of a job. Pure.

An unclear configuration counts as covering more. Names compare case-insensitively. A partition filter counts as its
whole table, because its grammar is undocumented.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from exporter.mms.models.records import Job, JobConfig

NO_CONFIG: Final = JobConfig()


class UnitSet(Struct, frozen=True):
    """Tables and partitions to look for in the scope of jobs."""

    partition_ids: frozenset[int]
    tables: Mapping[str, frozenset[str]]
    """Names of tables, and of the tables of partitions, by database."""
    has_unnamed: bool
    """Whether a unit has no database or table name."""

    @classmethod
    def of(cls, units: Iterable[tuple[str | None, str | None, int | None]]) -> "UnitSet":
        """Return the set of these units: database, table, and the id of a partition."""
        tables: dict[str, set[str]] = {}
        ids, has_unnamed = set[int](), False
        for database, table, partition_id in units:
            tables.setdefault(_normalized(database), set()).add(_normalized(table))
            ids |= set() if partition_id is None else {partition_id}
            has_unnamed |= not database or not table
        return cls(frozenset(ids), {name: frozenset(names) for name, names in tables.items()}, has_unnamed)

    def tables_of(self, database: str | None) -> frozenset[str]:
        """Return the names of tables; without a database, of all databases."""
        return (
            self.tables.get(_normalized(database), frozenset())
            if database
            else frozenset().union(*self.tables.values())
        )


def covers_any(job: Job, units: UnitSet) -> bool:
    """Return whether the job may migrate any of these units."""
    config = job.config or NO_CONFIG
    if units.has_unnamed or not units.partition_ids.isdisjoint(config.partitions or ()):
        return True
    tables = units.tables_of(job.src_db_name)
    if not tables:
        return False
    if config.tables or config.partition_filters:
        return any(_normalized(name) in tables for name in (*(config.tables or ()), *(config.partition_filters or ())))
    if config.partitions:
        return False
    # MMS ignores the white list of a job that has a black list.
    if config.table_black_list:
        return bool(tables.difference(map(_normalized, config.table_black_list)))
    return not config.table_white_list or any(_normalized(name) in tables for name in config.table_white_list)


def _normalized(name: str | None) -> str:
    return (name or "").casefold()
