"""Which jobs may migrate which tables and partitions."""

import pytest

from exporter.mms.models.records import Job, JobConfig
from exporter.mms.models.scope import UnitSet, covers_any

ORDERS = ("sales", "orders", None)
ITEMS_7 = ("sales", "items", 7)


def job(database: str | None = "sales", **config: object) -> Job:
    return Job(id=1, src_db_name=database, config=JobConfig(**config))  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize(
    ("found", "units", "expected"),
    [
        (job(), [ORDERS], True),
        (job("Sales"), [ORDERS], True),
        (job("logs"), [ORDERS, ITEMS_7], False),
        (job(None), [ORDERS], True),
        (Job(id=1, src_db_name="sales"), [ITEMS_7], True),
        (job(tables=("ORDERS",)), [ORDERS], True),
        (job(tables=("customers",)), [ORDERS, ITEMS_7], False),
        (job(tables=("items",)), [ITEMS_7], True),
        (job("logs", tables=("orders",)), [ORDERS], False),
        (job(partition_filters={"items": "p=1"}), [ITEMS_7], True),
        (job(partitions=(7, 8)), [ITEMS_7], True),
        (job("logs", partitions=(7,)), [ITEMS_7], True),
        (job(partitions=(8,)), [ORDERS, ITEMS_7], False),
        (job(partitions=(8,), tables=("orders",)), [ORDERS], True),
        (job(table_black_list=("orders",)), [ORDERS], False),
        (job(table_black_list=("orders",)), [ORDERS, ITEMS_7], True),
        (job(table_white_list=("items",)), [ORDERS], False),
        (job(table_white_list=("items",)), [ITEMS_7], True),
        (job(table_black_list=("items",), table_white_list=("items",)), [ITEMS_7], False),
        (job("logs"), [("sales", None, None)], True),
        (job("logs"), [(None, "orders", None)], True),
        (job(), [], False),
    ],
)
def test_a_job_covers_what_its_configuration_selects(
    found: Job, units: list[tuple[str | None, str | None, int | None]], *, expected: bool
) -> None:
    assert covers_any(found, UnitSet.of(units)) is expected
