"""`sources`: every data source as MMS tells it, in one list."""

import json

import msgspec
import pytest

from exporter.errors import ConfigError
from exporter.mms.models import DataSource
from exporter.mms.progress import source_ratio
from exporter.simulator import Simulator, happen
from exporter.simulator.world import events
from tests.conftest import config_on
from tests.console.conftest import FIRST, Look, shown

TIMES = {"create_time", "last_update_time"}


async def test_json_is_what_mms_holds(simulator: Simulator, look: Look) -> None:
    rows = {row["id"]: row for row in (await look("sources")).rows}
    truth = simulator.world.truth().data_sources()
    assert rows.keys() == truth.keys()
    for source_id, row in rows.items():
        facts: dict[str, object] = json.loads(json.dumps(msgspec.structs.asdict(truth[source_id])))
        expected = {name: value for name, value in facts.items() if name not in {*TIMES, "err_msg"}}
        assert {name: row[name] for name in expected} == expected
        assert row["progress"] == source_ratio(truth[source_id])


async def test_no_field_of_a_record_is_missing_from_json(look: Look) -> None:
    row = (await look("sources")).rows[0]
    assert set(DataSource.__struct_fields__) - {"err_msg"} <= row.keys()


async def test_times_carry_the_zone_of_the_account(simulator: Simulator, look: Look) -> None:
    row = next(row for row in (await look("sources")).rows if row["id"] == FIRST)
    created = simulator.world.truth().data_source(FIRST).create_time or ""
    assert row["create_time"] == f"{created.replace(' ', 'T')}+08:00"


async def test_one_list_is_all_it_costs(simulator: Simulator, look: Look) -> None:
    await look("sources")
    assert dict(simulator.calls) == {("ListMmsDataSources", None): 1}


async def test_a_source_is_meant_by_its_name_or_its_id(simulator: Simulator, look: Look) -> None:
    names = {source.id: source.name for source in simulator.world.truth().data_sources().values()}
    rows = (await look("sources", sources=[str(FIRST), names[FIRST + 2]])).rows
    assert {row["id"] for row in rows} == {FIRST, FIRST + 2}


async def test_a_name_that_is_only_like_it_is_not_meant(simulator: Simulator, look: Look) -> None:
    happen(simulator.world, events.RenameSource(source_id=FIRST, name="hive"))
    happen(simulator.world, events.RenameSource(source_id=FIRST + 1, name="hive_2"))
    assert [row["id"] for row in (await look("sources", sources=["hive"])).rows] == [FIRST]


async def test_a_status_is_meant_in_any_case(look: Look) -> None:
    statuses = {row["status"] for row in (await look("sources", statuses=["stopped", "START_failed"])).rows}
    assert statuses == {"STOPPED", "START_FAILED"}


async def test_a_status_that_is_none_is_refused(look: Look) -> None:
    with pytest.raises(ConfigError, match=r"--status: expected one of STARTING, .*, not 'STOPED'"):
        await look("sources", statuses=["stoped"])


async def test_what_the_configuration_leaves_out_is_not_shown(simulator: Simulator) -> None:
    config = config_on(simulator.url, {"sources": {"include": ["hive-.*"]}})
    assert [row["type"] for row in (await shown("sources", config)).rows] == ["HIVE"]


async def test_a_source_that_the_configuration_leaves_out_is_told_so(simulator: Simulator) -> None:
    config = config_on(simulator.url, {"sources": {"include": ["hive-.*"]}})
    with pytest.raises(ConfigError, match="is not selected by `sources`"):
        await shown("sources", config, sources=[str(FIRST + 1)])


async def test_a_source_that_is_not_there_is_told_with_those_that_are(look: Look) -> None:
    with pytest.raises(
        ConfigError, match=r"no data source is named 'hiev'; known data sources: bigquery-.*, hive-sales-001"
    ):
        await look("sources", sources=["hiev"])


async def test_the_secrets_of_a_source_are_nowhere(simulator: Simulator, look: Look) -> None:
    """Neither those of its configuration, nor what it may quote of them when it does not start."""
    source_id = next(row["id"] for row in (await look("sources", statuses=["START_FAILED"])).rows)
    happen(simulator.world, events.SetText(source_id=source_id, field="errMsg", text="no login with canary-password"))
    found = await look("sources")
    assert "canary" not in str(found.rows) + str(found.csv) + found.table(200)


@pytest.mark.parametrize(
    ("fields", "progress"),
    [
        ({}, None),
        ({"table_num": 2, "tables_done_num": 1}, None),
        ({"table_num": 2, "tables_done_num": 1, "partition_num": 2, "partitions_done_num": 2}, 0.75),
        ({"table_num": 0, "tables_done_num": 0, "partition_num": 0, "partitions_done_num": 0}, None),
        (
            {"table_num": 1, "tables_done_num": 1, "partition_num": 1, "partitions_done_num": 1}
            | {"partitions_failed_num": 2},
            0.5,
        ),
    ],
)
def test_progress_is_over_tables_and_partitions_and_failures_count_in_it(
    fields: dict[str, int], progress: float | None
) -> None:
    assert source_ratio(DataSource(id=1, **fields)) == progress  # type: ignore[arg-type]  # counts only
