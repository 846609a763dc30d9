"""Progress is computed like the recording rules, with failures in the total."""

import pytest
from msgspec import structs

from exporter.mms.models.records import DataSource
from exporter.web.status.progress_bars import progress_of, total_progress
from exporter.web.status.source_schema import Progress

ROW = {"tableNum": 10, "tablesDoneNum": 4, "tablesDoingNum": 1, "tablesPartDoneNum": 2, "tablesFailedNum": 1}
ROW |= {"partitionNum": 100, "partitionsDoneNum": 40, "partitionsDoingNum": 5, "partitionsFailedNum": 20}


def row(**fields: int | None) -> DataSource:
    """Return a data source with the counters of ROW, changed by `fields`."""
    names = {name: "".join(f"_{each.lower()}" if each.isupper() else each for each in name) for name in ROW}
    scan = "2025-06-01 00:00:00"
    return DataSource(id=1, last_update_time=scan, **{names[name]: value for name, value in {**ROW, **fields}.items()})  # type: ignore[arg-type]  # counters, by name


def test_progress_covers_tables_and_partitions_and_the_total_includes_failures() -> None:
    progress = progress_of(row())
    assert progress == Progress(total=110, done=44, part_done=2, doing=6, failed=21, ratio=0.4)
    assert progress.left == 110 - 44 - 2 - 21


def test_objects_with_a_status_count_even_if_not_in_the_inventory() -> None:
    progress = progress_of(row(tableNum=0, partitionNum=0))
    assert progress is not None
    assert (progress.total, progress.done) == (8 + 65, 44)


@pytest.mark.parametrize("field", ["tableNum", "partitionNum", "tablesDoneNum", "partitionsDoneNum"])
def test_progress_is_unknown_without_inventory_or_done_counts(field: str) -> None:
    assert progress_of(row(**{field: None})) is None


def test_an_empty_inventory_has_no_ratio() -> None:
    progress = progress_of(row(**dict.fromkeys(ROW, 0)))
    assert progress == Progress(total=0, done=0, part_done=0, doing=0, failed=0, ratio=None)


def test_progress_is_unknown_before_the_first_metadata_scan() -> None:
    assert progress_of(structs.replace(row(**dict.fromkeys(ROW, 0)), last_update_time=None)) is None
    assert progress_of(structs.replace(row(), last_update_time=None)) == progress_of(row())


def test_counts_are_summed_before_the_division() -> None:
    small, large = progress_of(row()), progress_of(row(partitionNum=990))
    assert small is not None
    assert large is not None
    both = total_progress([small, large])
    assert both is not None
    assert both.ratio == 88 / 1110
    assert total_progress([]) is None
