"""Columns and fields of tables and partitions, which data sources and databases have alike."""

from collections.abc import Callable
from typing import Any, Final

from exporter.console.output.command_report import Field, Found, TableColumn, percent, share, sum_of_known
from exporter.mms.models.progress import UnitCounts, partition_counts, progress_ratio, table_counts
from exporter.mms.models.records import Database, DataSource

Row = Found[DataSource] | Found[Database]


def _progress(row: Row) -> float | None:
    """Return the share of tables and partitions that are DONE."""
    return progress_ratio(row.record)


def _sum(count: Callable[[UnitCounts], int | None]) -> Callable[[Row], str]:
    return lambda row: sum_of_known(count(table_counts(row.record)), count(partition_counts(row.record)))


def _done(counts: UnitCounts) -> str:
    return share(counts.done, counts.total)


PROGRESS_FIELD: Final[Field[Any]] = Field("progress", "share of tables and partitions that are DONE, 0 to 1", _progress)
PROGRESS: Final[TableColumn[Any]] = TableColumn("PROGRESS", lambda row: percent(_progress(row)), "bar", _progress)
FAILED: Final[TableColumn[Any]] = TableColumn("FAILED", _sum(lambda counts: counts.failed), "number")
DOING: Final[TableColumn[Any]] = TableColumn("DOING", _sum(lambda counts: counts.doing), "number", rank=4)
TABLES: Final[TableColumn[Any]] = TableColumn("TABLES", lambda row: _done(table_counts(row.record)), "number", rank=3)
PARTITIONS: Final[TableColumn[Any]] = TableColumn(
    "PARTITIONS", lambda row: _done(partition_counts(row.record)), "number", rank=3
)
