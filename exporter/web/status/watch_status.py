"""TableStats -> WatchedTable, PartitionStats -> WatchedPartition. Pure."""

from exporter.collect.snapshot import PartitionStats, TableStats
from exporter.web.status import source_schema
from exporter.web.status import status_schema as report
from exporter.web.status.truncation import optional_text, optional_time, truncated, upper_case


def table_status(stats: TableStats) -> report.WatchedTable:
    """Return a watched table."""
    return report.WatchedTable(
        account=stats.name.account,
        source_id=stats.name.source_id,
        source=truncated(stats.name.source),
        id=stats.row.id,
        src_db=optional_text(stats.row.db_name),
        table=optional_text(stats.row.name),
        status=upper_case(stats.row.status),
        partitions=source_schema.Objects(
            inventory=stats.row.partitions,
            doing=stats.row.partitions_doing,
            done=stats.row.partitions_done,
            part_done=None,
            failed=stats.row.partitions_failed,
        ),
        size_bytes=stats.row.size,
        rows=stats.row.num_rows,
        last_ddl_at=optional_time(stats.last_ddl_at),
    )


def partition_status(stats: PartitionStats) -> report.WatchedPartition:
    """Return a watched partition."""
    return report.WatchedPartition(
        account=stats.name.account,
        source_id=stats.name.source_id,
        source=truncated(stats.name.source),
        id=stats.row.id,
        src_db=optional_text(stats.row.db_name),
        table=optional_text(stats.row.table_name),
        partition=optional_text(stats.row.value),
        status=upper_case(stats.row.status),
        size_bytes=stats.row.size,
        rows=stats.row.num_rows,
        last_ddl_at=optional_time(stats.last_ddl_at),
    )
