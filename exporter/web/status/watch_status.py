"""TableStats -> WatchedTable, PartitionStats -> WatchedPartition. Pure."""

from exporter.collect.snapshot import PartitionStats, TableStats
from exporter.web.status import source_schema
from exporter.web.status import status_schema as report
from exporter.web.status.truncation import optional_text, optional_time, truncated, upper_case


def table_status(figures: TableStats) -> report.WatchedTable:
    """Return a watched table."""
    return report.WatchedTable(
        account=figures.name.account,
        source_id=figures.name.source_id,
        source=truncated(figures.name.source),
        id=figures.table_id,
        src_db=optional_text(figures.src_db),
        table=optional_text(figures.table),
        status=upper_case(figures.status),
        partitions=source_schema.Objects(
            inventory=figures.metadata_partitions,
            doing=figures.partitions_doing,
            done=figures.partitions_done,
            part_done=None,
            failed=figures.partitions_failed,
        ),
        size_bytes=figures.size_bytes,
        rows=figures.rows,
        last_ddl_at=optional_time(figures.last_ddl_at),
    )


def partition_status(figures: PartitionStats) -> report.WatchedPartition:
    """Return a watched partition."""
    return report.WatchedPartition(
        account=figures.name.account,
        source_id=figures.name.source_id,
        source=truncated(figures.name.source),
        id=figures.partition_id,
        src_db=optional_text(figures.src_db),
        table=optional_text(figures.table),
        partition=optional_text(figures.partition),
        status=upper_case(figures.status),
        size_bytes=figures.size_bytes,
        rows=figures.rows,
        last_ddl_at=optional_time(figures.last_ddl_at),
    )
