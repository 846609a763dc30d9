"""`sources` lists every data source with the values of MMS."""

import json

import msgspec
import pytest

from exporter.errors import ConfigError
from exporter.mms.models.progress import progress_ratio
from exporter.mms.models.records import DataSource
from exporter.simulator import Simulator, apply_event
from exporter.simulator.world import events
from tests.conftest import config_on
from tests.console.conftest import FIRST, Query, shown

TIMES = {"create_time", "last_update_time"}


async def test_json_has_the_values_of_mms(simulator: Simulator, query: Query) -> None:
    rows = {row["id"]: row for row in (await query("sources")).rows}
    truth = simulator.world.truth().data_sources()
    assert rows.keys() == truth.keys()
    for source_id, row in rows.items():
        facts: dict[str, object] = json.loads(json.dumps(msgspec.structs.asdict(truth[source_id])))
        expected = {name: value for name, value in facts.items() if name not in {*TIMES, "err_msg"}}
        assert {name: row[name] for name in expected} == expected
        assert row["progress"] == progress_ratio(truth[source_id])


async def test_no_field_of_a_record_is_missing_from_json(query: Query) -> None:
    row = (await query("sources")).rows[0]
    assert set(DataSource.__struct_fields__) - {"err_msg"} <= row.keys()


async def test_times_carry_the_zone_of_the_account(simulator: Simulator, query: Query) -> None:
    row = next(row for row in (await query("sources")).rows if row["id"] == FIRST)
    created = simulator.world.truth().data_source(FIRST).create_time or ""
    assert row["create_time"] == f"{created.replace(' ', 'T')}+08:00"


async def test_the_command_costs_one_list_call(simulator: Simulator, query: Query) -> None:
    await query("sources")
    assert dict(simulator.calls) == {("ListMmsDataSources", None): 1}


async def test_a_source_is_selected_by_name_or_id(simulator: Simulator, query: Query) -> None:
    names = {source.id: source.name for source in simulator.world.truth().data_sources().values()}
    rows = (await query("sources", sources=[str(FIRST), names[FIRST + 2]])).rows
    assert {row["id"] for row in rows} == {FIRST, FIRST + 2}


async def test_a_similar_name_does_not_match(simulator: Simulator, query: Query) -> None:
    apply_event(simulator.world, events.RenameSource(source_id=FIRST, name="hive"))
    apply_event(simulator.world, events.RenameSource(source_id=FIRST + 1, name="hive_2"))
    assert [row["id"] for row in (await query("sources", sources=["hive"])).rows] == [FIRST]


async def test_a_status_matches_in_any_case(query: Query) -> None:
    statuses = {row["status"] for row in (await query("sources", statuses=["stopped", "START_failed"])).rows}
    assert statuses == {"STOPPED", "START_FAILED"}


async def test_an_unknown_status_is_refused(query: Query) -> None:
    with pytest.raises(ConfigError, match=r"--status: expected one of STARTING, .*, not 'STOPED'"):
        await query("sources", statuses=["stoped"])


async def test_types_have_the_spelling_of_the_metrics(query: Query) -> None:
    """MMS spells one of them DataBricks."""
    assert {row["type"] for row in (await query("sources")).rows} == {"HIVE", "BIGQUERY", "MAXCOMPUTE", "DATABRICKS"}


async def test_sources_outside_the_configuration_are_not_shown(simulator: Simulator) -> None:
    config = config_on(simulator.url, {"sources": {"include": ["hive-.*"]}})
    assert [row["type"] for row in (await shown("sources", config)).rows] == ["HIVE"]


async def test_a_source_outside_the_configuration_has_its_own_error(simulator: Simulator) -> None:
    config = config_on(simulator.url, {"sources": {"include": ["hive-.*"]}})
    with pytest.raises(ConfigError, match="is not selected by `sources`"):
        await shown("sources", config, sources=[str(FIRST + 1)])


async def test_an_unknown_source_is_an_error_with_the_known_ones(query: Query) -> None:
    with pytest.raises(
        ConfigError, match=r"no data source is named 'hiev'; known data sources: bigquery-.*, hive-sales-001"
    ):
        await query("sources", sources=["hiev"])


async def test_secrets_of_a_source_are_never_shown(simulator: Simulator, query: Query) -> None:
    source_id = next(row["id"] for row in (await query("sources", statuses=["START_FAILED"])).rows)
    apply_event(
        simulator.world, events.SetText(source_id=source_id, field="errMsg", text="no login with canary-password")
    )
    found = await query("sources")
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
def test_progress_covers_tables_partitions_and_failures(fields: dict[str, int], progress: float | None) -> None:
    assert progress_ratio(DataSource(id=1, **fields)) == progress  # type: ignore[arg-type]  # counts only


async def test_an_offline_agent_is_visible_on_a_narrow_terminal(simulator: Simulator, query: Query) -> None:
    """The name selects a data source as well as its ID."""
    apply_event(simulator.world, events.SetAgent(source_id=FIRST, online=False))
    found = await query("sources")
    assert [line.split()[:3] for line in found.table(60).splitlines() if line.startswith("hive-sales-001")] == [
        ["hive-sales-001", "STARTED", "OFFLINE"]
    ]
    assert "SCANNED" in found.table(120)


@pytest.mark.parametrize(("width", "has_names"), [(40, False), (60, True)])
async def test_the_id_replaces_names_that_would_be_cut(query: Query, width: int, *, has_names: bool) -> None:
    found = await query("sources")
    titles, *lines = found.table(width).splitlines()
    assert titles.split()[0] == "SOURCE"
    shown_names = [line.split()[0] for line in lines[: len(found.rows)]]
    assert shown_names == [row["name"] if has_names else str(row["id"]) for row in found.rows]
