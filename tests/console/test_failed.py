"""`failed` shows exactly the failures, and makes no call if there are none."""

import pytest

from exporter.console.selection.newest_rows import Newest
from exporter.errors import ConfigError
from exporter.mms.models.records import Table
from exporter.simulator import Fault, ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.world import events
from tests.conftest import IDENTITY, config_on
from tests.console.conftest import FIRST, Query, shown


def failed_ids(simulator: Simulator, source_id: int = FIRST) -> dict[str, set[int]]:
    """Return the IDs of a source's failures by kind."""
    truth = simulator.world.truth()
    return {
        "table": {row.id for row in truth.tables(source_id) if row.status == "FAILED"},
        "partition": {row.id for row in truth.partitions(source_id) if row.status == "FAILED"},
    }


def shown_ids(rows: list[dict[str, object]], source_id: int = FIRST) -> dict[str, set[object]]:
    """Return the shown IDs of a source by kind."""
    own = [row for row in rows if row["source_id"] == source_id]
    return {kind: {row["id"] for row in own if row["kind"] == kind} for kind in ("table", "partition")}


async def test_exactly_the_failures_are_shown(simulator: Simulator, query: Query) -> None:
    apply_event(simulator.world, events.Fail(source_id=FIRST, share=0.3))
    rows = (await query("failed")).rows
    for source_id in simulator.world.source_ids():
        assert shown_ids(rows, source_id) == failed_ids(simulator, source_id)


async def test_a_failed_partition_has_its_destination(simulator: Simulator, query: Query) -> None:
    partition = next(simulator.world.truth().partitions(FIRST))
    apply_event(simulator.world, events.Fail(source_id=FIRST, partition_ids=(partition.id,)))
    rows = (await query("failed", sources=[str(FIRST)])).rows
    row = next(row for row in rows if row["id"] == partition.id and row["kind"] == "partition")
    names = ("db_name", "table_name", "value", "dst_project_name", "dst_schema_name", "dst_table_name", "size")
    assert {name: row[name] for name in names} == {name: getattr(partition, name) for name in names}


async def test_a_source_without_failures_costs_no_call(simulator: Simulator, query: Query) -> None:
    await query("failed")
    for source_id, row in simulator.world.truth().data_sources().items():
        assert simulator.calls["ListMmsTables", source_id] == (1 if row.tables_failed_num else 0)
        assert simulator.calls["ListMmsPartitions", source_id] == (1 if row.partitions_failed_num else 0)


async def test_an_empty_result_is_reported() -> None:
    world = World(WorldOptions(sources=1, failure_rate=0), clock=ManualClock())
    async with Simulator(world, identities=[IDENTITY]) as quiet:
        found = await shown("failed", config_on(quiet.url))
    assert (found.rows, found.remarks, found.table(), found.report.succeeded) == (
        [],
        ["no failed tables or partitions"],
        "",
        True,
    )


async def test_rows_beyond_the_limit_are_counted(simulator: Simulator, query: Query) -> None:
    apply_event(simulator.world, events.Fail(source_id=FIRST, share=1.0))
    found = await query("failed", sources=[str(FIRST)], limit=2)
    everything = failed_ids(simulator)
    assert shown_ids(found.rows) == {kind: set(sorted(ids)[-2:]) for kind, ids in everything.items()}
    tables, partitions = (len(ids) - 2 for ids in everything.values())
    assert found.remarks == [f"{tables} more failed tables and {partitions} more failed partitions of hive-sales-001"]


async def test_a_limit_of_zero_only_counts(simulator: Simulator, query: Query) -> None:
    apply_event(simulator.world, events.Fail(source_id=FIRST, share=1.0))
    found = await query("failed", sources=[str(FIRST)], limit=0)
    tables, partitions = map(len, failed_ids(simulator).values())
    assert found.rows == []
    assert found.remarks == [f"{tables} failed tables and {partitions} failed partitions of hive-sales-001"]


@pytest.mark.parametrize(
    ("shown_rows", "omitted", "is_exact", "text"),
    [
        (1, 1, True, "1 more failed table"),
        (1, 2, True, "2 more failed tables"),
        (1, 1, False, "up to 1 more failed table"),
        (0, 1, True, "1 failed table"),
        (0, 1234, False, "up to 1,234 failed tables"),
        (1, 0, True, ""),
    ],
)
def test_omitted_rows_are_described_in_singular_and_plural(
    shown_rows: int, omitted: int, *, is_exact: bool, text: str
) -> None:
    rows = [Table(id=number) for number in range(shown_rows)]
    assert Newest(rows, omitted, is_exact).more("failed table") == text


async def test_a_hundred_thousand_failures_cost_a_few_pages() -> None:
    options = WorldOptions(sources=1, databases=1, tables=40, partitions=5000, special_sources=False)
    world = World(options, clock=ManualClock())
    apply_event(world, events.Fail(source_id=FIRST, share=1.0))
    async with Simulator(world, identities=[IDENTITY]) as simulator:
        found = await shown("failed", config_on(simulator.url))
        calls = simulator.calls["ListMmsPartitions", FIRST]
    count = sum(1 for row in found.rows if row["kind"] == "partition")
    assert count == 100
    assert found.report.rows[0].source.partitions_failed_num > 100_000
    assert calls <= 4


@pytest.mark.parametrize("limit", [1, 100])
async def test_names_match_exactly(simulator: Simulator, query: Query, limit: int) -> None:
    """The API's filter matches many others first."""
    apply_event(simulator.world, events.Fail(source_id=FIRST, share=1.0))
    truth = simulator.world.truth()
    table = min(truth.tables(FIRST), key=lambda row: row.id)
    for other in truth.tables(FIRST):
        if other.id != table.id:
            text = f"{table.name}_{other.id}"
            apply_event(simulator.world, events.SetText(source_id=FIRST, table_id=other.id, field="name", text=text))
    options = {"databases": [table.db_name], "tables": [table.name], "limit": limit}
    found = await query("failed", sources=[str(FIRST)], **options)
    assert {row["table_name"] for row in found.rows} == {table.name}
    assert {row["db_name"] for row in found.rows} == {table.db_name}
    assert shown_ids(found.rows)["table"] == {table.id}


@pytest.mark.parametrize(
    ("operation", "hidden", "left"),
    [("ListMmsTables", "table", "partition"), ("ListMmsPartitions", "partition", "table")],
)
async def test_a_denied_list_hides_no_other(
    simulator: Simulator, query: Query, operation: str, hidden: str, left: str
) -> None:
    apply_event(simulator.world, events.Fail(source_id=FIRST, share=1.0))
    simulator.faults.add(Fault(kind="error", status=403, code="NoPermission", operation=operation))
    found = await query("failed", sources=[str(FIRST)])
    assert shown_ids(found.rows)[hidden] == set()
    assert shown_ids(found.rows)[left] == failed_ids(simulator)[left]
    assert not found.report.succeeded
    assert operation in found.remarks[-1]


async def test_a_table_can_be_named_with_its_database(simulator: Simulator, query: Query) -> None:
    apply_event(simulator.world, events.Fail(source_id=FIRST, share=1.0))
    table = next(simulator.world.truth().tables(FIRST))
    plain = await query("failed", databases=[table.db_name], tables=[table.name])
    assert plain.rows
    assert (await query("failed", tables=[f"{table.db_name}.{table.name}"])).rows == plain.rows
    other = next(row for row in simulator.world.truth().tables(FIRST) if row.db_name != table.db_name)
    with pytest.raises(ConfigError, match="in the selected databases"):
        await query("failed", databases=[other.db_name], tables=[f"{table.db_name}.{table.name}"])


async def test_a_table_name_with_a_dot_is_found(simulator: Simulator, query: Query) -> None:
    apply_event(simulator.world, events.Fail(source_id=FIRST, share=1.0))
    table = next(simulator.world.truth().tables(FIRST))
    apply_event(simulator.world, events.SetText(source_id=FIRST, table_id=table.id, field="name", text="a.b"))
    for name in ("a.b", f"{table.db_name}.a.b"):
        assert shown_ids((await query("failed", tables=[name])).rows)["table"] == {table.id}


async def test_a_name_without_failures_has_its_own_message() -> None:
    world = World(WorldOptions(sources=1, failure_rate=0), clock=ManualClock())
    async with Simulator(world, identities=[IDENTITY]) as quiet:
        table = next(world.truth().tables(FIRST))
        for options in ({"tables": [table.name]}, {"databases": [table.db_name]}):
            found = await shown("failed", config_on(quiet.url), **options)
            assert found.remarks == ["no failed tables or partitions with these names"]


async def test_a_table_can_be_named_by_its_id(simulator: Simulator, query: Query) -> None:
    """As in `retry`; digits are an ID, and a table of that name needs its database."""
    apply_event(simulator.world, events.Fail(source_id=FIRST, share=1.0))
    table = next(simulator.world.truth().tables(FIRST))
    found = await query("failed", tables=[str(table.id)], sources=[str(FIRST)])
    assert {(row["db_name"], row["table_name"]) for row in found.rows} == {(table.db_name, table.name)}
    with pytest.raises(ConfigError, match="--table: no table has ID 999999"):
        await query("failed", tables=["999999"], sources=[str(FIRST)])


async def test_without_failures_the_failed_jobs_are_counted() -> None:
    """They stay FAILED after other jobs migrated everything in their scope."""
    async with Simulator(World(WorldOptions(), clock=ManualClock()), identities=[IDENTITY]) as simulator:
        source_id = next(
            number
            for number, row in simulator.world.truth().data_sources().items()
            if not row.tables_failed_num and not row.partitions_failed_num
        )
        found = await shown("failed", config_on(simulator.url), sources=[str(source_id)])
        why = await shown("failed --why", config_on(simulator.url), sources=[str(source_id)])
        table = str(next(simulator.world.truth().tables(source_id)).id)
        named = await shown("failed", config_on(simulator.url), sources=[str(source_id)], tables=[table])
        count = sum(1 for job in simulator.world.truth().jobs(source_id) if job.status == "FAILED")
        listed = await shown("jobs", config_on(simulator.url), sources=[str(source_id)], statuses=["FAILED"])
        resolution = [row["resolved"] for row in listed.rows]
    assert (count, found.report.succeeded) == (3, True)
    command = f"mms-exporter jobs --status=FAILED --source={source_id}"
    expected = [f"no failed tables or partitions; 3 failed jobs (resolved), list with: {command}"]
    assert found.remarks == why.remarks == expected
    assert set(resolution) == {True}
    assert named.remarks == ["no failed tables or partitions with these names"]
