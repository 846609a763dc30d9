"""`show` prints every field of a table, partition or job in any data source."""

import json
import re
from collections import Counter

import msgspec
import pytest

from exporter.console.output.command_report import Found, json_value
from exporter.console.show import RECORDS, card, fields
from exporter.errors import ConfigError
from exporter.mms.models.api_record import ApiRecord
from exporter.mms.models.records import Column, DataSource, Job, JobConfig, Partition, Table, TableSchema
from exporter.simulator import Fault, Simulator, apply_event
from exporter.simulator.world import events
from tests.conftest import config_on
from tests.console.conftest import FIRST, Query


def truth(simulator: Simulator, kind: str) -> ApiRecord:
    """Return the first source's first record of a kind."""
    world = simulator.world.truth()
    lists = {"table": world.tables, "partition": world.partitions, "job": world.jobs}
    return next(iter(lists[kind](FIRST)))


@pytest.mark.parametrize("kind", ["table", "partition", "job"])
async def test_every_field_has_the_value_of_mms(simulator: Simulator, query: Query, kind: str) -> None:
    record = truth(simulator, kind)
    (row,) = (await query("show", record=(kind, record.id), sources=[str(FIRST)])).rows  # type: ignore[attr-defined]
    expected: dict[str, object] = json.loads(json.dumps(record, default=msgspec.structs.asdict))
    ours = {"create_time", "last_ddl_time", "eta", "source_id", "source_name"}
    assert {name: value for name, value in row.items() if name in expected.keys() - ours} == {
        name: value for name, value in expected.items() if name not in ours
    }
    assert (row["account"], row["source_id"]) == ("test", FIRST)


@pytest.mark.parametrize(("kind", "record"), [("table", Table), ("partition", Partition), ("job", Job)])
def test_no_field_of_a_record_is_missing(kind: str, record: type[ApiRecord]) -> None:
    assert set(RECORDS) == {"table", "partition", "job", "task"}
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]  # one of the kinds
    assert set(record.__struct_fields__) - {"source_name"} <= names


async def test_a_card_lists_the_columns_of_a_table(query: Query) -> None:
    card = (await query("show", record=("table", 1), sources=[str(FIRST)])).table()
    lines = [line.split(maxsplit=1) for line in card.splitlines()]
    assert [text for label, text in lines if label == "schema.columns"] == ["id bigint", "name string", "amount double"]
    assert [text for label, text in lines if label == "schema.partitions"] == ["ds string not null"]


async def test_a_card_shows_sizes_and_times_in_two_forms(simulator: Simulator, query: Query) -> None:
    table = truth(simulator, "table")
    assert isinstance(table, Table)
    card = (await query("show", record=("table", table.id), sources=[str(FIRST)])).table()
    assert f"({table.size:,} bytes)" in card
    assert f"{(table.last_ddl_time or '').replace(' ', 'T')}+08:00 (" in card


async def test_an_id_in_several_sources_is_shown_for_each(simulator: Simulator, query: Query) -> None:
    rows = (await query("show", record=("table", 1))).rows
    has_table = {source for source in simulator.world.source_ids() if any(simulator.world.truth().tables(source))}
    assert {row["source_id"] for row in rows} == has_table
    assert len(has_table) > 1


async def test_an_unknown_id_is_a_failure(query: Query) -> None:
    found = await query("show", record=("partition", 99_999_999))
    assert not found.report.succeeded
    assert found.remarks == ["no partition with ID 99999999 in the selected data sources"]
    assert found.table() == ""


async def test_an_unreadable_source_hides_no_match(simulator: Simulator, query: Query) -> None:
    simulator.faults.add(Fault(kind="error", status=403, code="NoPermission", source_id=FIRST))
    found = await query("show", record=("job", 1))
    assert len(found.rows) > 1
    assert [line.partition(": ")[0] for line in found.remarks] == ["account test, hive-sales-001"]


async def test_a_partition_value_with_special_characters_is_complete(simulator: Simulator, query: Query) -> None:
    partition = truth(simulator, "partition")
    assert isinstance(partition, Partition)
    value = 'p=a/b=c "d", %27 \\ 表\n\x1b[31m'
    apply_event(simulator.world, events.SetText(source_id=FIRST, partition_id=partition.id, field="value", text=value))
    found = await query("show", record=("partition", partition.id), sources=[str(FIRST)])
    assert found.rows[0]["value"] == found.csv[0]["value"] == value
    assert 'p=a/b=c "d", %27 \\ 表\\n\\x1b[31m' in found.table()


def test_free_text_is_masked_and_names_are_not(simulator: Simulator) -> None:
    (account,) = config_on(simulator.url).accounts
    quote, name = "?token=s3cret", "t?token=x"
    columns = (Column(name=name, type="struct<token:string>", comment=quote, default_value=quote),)
    schema = TableSchema(name=name, comment=quote, columns=columns)
    config = JobConfig(tables=(name,), partition_filters={name: quote}, tunnel_quota=quote, table_mapping={name: name})
    for record in (Table(id=1, name=name, schema=schema, extra=quote), Job(id=1, name=name, config=config)):
        shown = str(json_value("", record, account))
        assert "s3cret" not in shown
        assert shown.count(name) == str(record).count(name)
        lines = [text for _, text in card(Found(account, DataSource(id=1), record), 0)]
        assert name in lines
        assert "s3cret" not in "".join(lines)


def tasks_of(job: Job, simulator: Simulator) -> dict[str, int]:
    """Return the number of a job's tasks by status."""
    return dict(Counter(task.status or "" for task in simulator.world.truth().tasks(FIRST) if task.job_id == job.id))


@pytest.mark.parametrize("cap", [100, 1])
async def test_a_job_has_its_tasks_by_status(simulator: Simulator, query: Query, cap: int) -> None:
    """On one page or on several."""
    job = next(job for job in simulator.world.truth().jobs(FIRST) if job.task_num and job.task_num > 1)
    simulator.page_size_cap = cap
    (row,) = (await query("show", record=("job", job.id), sources=[str(FIRST)])).rows
    assert row["tasks"] == tasks_of(job, simulator)


async def test_a_job_has_no_tasks_if_listing_them_is_denied(simulator: Simulator, query: Query) -> None:
    simulator.faults.add(Fault(kind="error", status=403, code="NoPermission", operation="ListMmsTasks"))
    found = await query("show", record=("job", 1), sources=[str(FIRST)])
    assert found.report.succeeded
    assert found.rows[0]["tasks"] is None


@pytest.mark.parametrize("is_dotted", [True, False])
async def test_a_table_can_be_named_as_in_the_lists(simulator: Simulator, query: Query, *, is_dotted: bool) -> None:
    table = next(row for row in simulator.world.truth().tables(FIRST) if (row.name or "")[-1].isdigit())
    name = f"{table.db_name}.{table.name}" if is_dotted else table.name
    (row,) = (await query("show", record=("table", name), sources=[str(FIRST)])).rows
    assert (row["id"], row["name"]) == (table.id, table.name)


async def test_an_ambiguous_table_lists_the_candidates(simulator: Simulator, query: Query) -> None:
    rows = [row for row in simulator.world.truth().tables(FIRST) if row.name == "orders"]
    assert len(rows) > 1
    with pytest.raises(ConfigError) as caught:
        await query("show", record=("table", "orders"), sources=[str(FIRST)])
    candidates = ", ".join(sorted(f"{row.db_name}.orders of hive-sales-001 ({row.id})" for row in rows))
    assert (
        str(caught.value) == f"table orders: several tables have this name: {candidates}; use DATABASE.TABLE or the ID"
    )
    with pytest.raises(ConfigError, match=r"use DATABASE.TABLE or the ID, and --source$"):
        await query("show", record=("table", "orders"))


async def test_a_job_can_be_named(simulator: Simulator, query: Query) -> None:
    first, second, *_ = simulator.world.truth().jobs(FIRST)
    (row,) = (await query("show", record=("job", first.name), sources=[str(FIRST)])).rows
    assert row["id"] == first.id
    name = events.SetText(source_id=FIRST, job_id=second.id, field="name", text=first.name or "")
    apply_event(simulator.world, name)
    with pytest.raises(ConfigError, match=f"job {first.name}: several jobs have this name: .*; use the ID"):
        await query("show", record=("job", first.name), sources=[str(FIRST)])


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("table", "sales.order", "no table is named 'sales.order'; did you mean sales.orders"),
        ("job", "migrate_sale", "no job is named 'migrate_sale'; did you mean migrate_sales_"),
        (
            "partition",
            "ds=20240101",
            "partition: expected the ID, which `failed` prints beside the value of the partition, not 'ds=20240101'",
        ),
    ],
)
async def test_an_unknown_name_lists_near_names(query: Query, kind: str, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        await query("show", record=(kind, name), sources=[str(FIRST)])
