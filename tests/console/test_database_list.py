"""`databases` lists every database with the values of MMS, the largest first."""

import json

import msgspec
import pytest

from exporter.config.loading import Account
from exporter.console.database_list import COLUMNS
from exporter.console.output.command_report import Found
from exporter.errors import ConfigError
from exporter.mms.models.progress import progress_ratio
from exporter.mms.models.records import Database, DataSource
from exporter.simulator import Fault, Simulator, apply_event
from exporter.simulator.world import events
from tests.console.conftest import FIRST, Query


async def test_json_has_the_values_of_mms(simulator: Simulator, query: Query) -> None:
    rows = (await query("databases", sources=[str(FIRST)])).rows
    truth = sorted(simulator.world.truth().databases(FIRST), key=lambda row: row.size_rank)
    assert [row["size"] for row in rows] == sorted((row["size"] for row in rows), reverse=True)
    for row, record in zip(rows, truth, strict=True):
        facts: dict[str, object] = json.loads(json.dumps(msgspec.structs.asdict(record)))
        expected = {name: value for name, value in facts.items() if name != "deleted"}
        assert {name: row[name] for name in expected} == expected
        assert (row["progress"], row["source_id"]) == (progress_ratio(record), FIRST)


async def test_databases_go_where_their_jobs_go(simulator: Simulator, query: Query) -> None:
    jobs = (await query("jobs", sources=[str(FIRST)], statuses=["INIT", "DOING", "FAILED", "DONE"])).rows
    destinations = {(job["src_db_name"], job["dst_db_name"], job["dst_schema_name"]) for job in jobs}
    databases = (await query("databases", sources=[str(FIRST)])).rows
    assert destinations <= {(row["name"], row["dst_project_name"], row["dst_name"]) for row in databases}
    oracle = simulator.world.truth()
    tables = {(row.db_name, row.dst_project_name, row.dst_schema_name) for row in oracle.tables(FIRST)}
    assert destinations <= tables


async def test_the_command_costs_one_list_call_per_source(simulator: Simulator, query: Query) -> None:
    await query("databases", sources=["hive-*"])
    assert dict(simulator.calls) == {("ListMmsDataSources", None): 1, ("ListMmsDbs", FIRST): 1}


async def test_databases_are_selected_by_name_and_status(query: Query) -> None:
    found = await query("databases", sources=[str(FIRST)], databases=["sal*"], statuses=["part_done", "DOING"])
    assert [row["name"] for row in found.rows] == ["sales"]
    with pytest.raises(ConfigError, match=r"--status: expected one of INIT, .*, not 'STOPPED'"):
        await query("databases", statuses=["stopped"])
    with pytest.raises(ConfigError, match="salse"):
        await query("databases", sources=[str(FIRST)], databases=["salse"])


async def test_left_out_databases_are_counted(simulator: Simulator, query: Query) -> None:
    count = len([*simulator.world.truth().databases(FIRST)])
    for limit, remark in ((count - 1, "1 more database"), (count - 2, "2 more databases")):
        found = await query("databases", sources=[str(FIRST)], limit=limit)
        assert (len(found.rows), found.remarks) == (limit, [f"{remark} of hive-sales-001"])


async def test_an_incomplete_list_is_an_error_and_shows_what_arrived(simulator: Simulator, query: Query) -> None:
    simulator.faults.add(Fault(kind="lost_row", operation="ListMmsDbs", row=0))
    found = await query("databases", sources=[str(FIRST)])
    assert found.rows
    assert not found.report.succeeded
    assert "ListMmsDbs: the list is incomplete" in found.remarks[0]


async def test_a_narrow_terminal_keeps_the_source_and_the_database(simulator: Simulator, query: Query) -> None:
    name = "warehouse_of_the_north"
    apply_event(simulator.world, events.SetText(source_id=FIRST, field="name", text=name, database_id=1))
    found = await query("databases", sources=[str(FIRST)])
    for width in (60, 80):
        lines = found.table(width).splitlines()
        assert max(map(len, lines)) <= width
        assert any(name in line and ("hive-sales-001" in line or str(FIRST) in line) for line in lines)
        assert "SIZE" in lines[0]


async def test_hostile_names_stay_on_their_line(simulator: Simulator, query: Query) -> None:
    text = "a\x1b[31m\nb"
    apply_event(simulator.world, events.SetText(source_id=FIRST, field="name", text=text, database_id=1))
    found = await query("databases", sources=[str(FIRST)])
    assert text in [row["name"] for row in found.rows]
    assert "\x1b[31m" not in found.table() + found.table(100)
    assert len(found.table().splitlines()) == 1 + len(found.rows)


def test_an_inventory_that_lags_behind_its_statuses_counts_them() -> None:
    """TABLES and PARTITIONS have the total of PROGRESS."""
    record = Database(id=1, tables=1, tables_done=3, partitions=2, partitions_done=4, partitions_failed=1)
    row = Found(Account(name="a", region="cn-shanghai"), DataSource(id=FIRST), record)
    cells = {column.title: column.text(row) for column in COLUMNS}
    assert (cells["TABLES"], cells["PARTITIONS"], cells["PROGRESS"]) == ("3/3", "4/5", "88%")


@pytest.mark.parametrize(
    ("fields", "progress"),
    [
        ({}, None),
        ({"tables": 2, "tables_done": 1}, None),
        ({"tables": 2, "tables_done": 1, "partitions": 2, "partitions_done": 2}, 0.75),
        ({"tables": 0, "tables_done": 0, "partitions": 0, "partitions_done": 0}, None),
        ({"tables": 1, "tables_done": 1, "partitions": 1, "partitions_done": 1, "partitions_failed": 2}, 0.5),
    ],
)
def test_progress_covers_tables_partitions_and_failures(fields: dict[str, int], progress: float | None) -> None:
    assert progress_ratio(Database(id=1, **fields)) == progress  # type: ignore[arg-type]  # counts only
