"""The collector of watched tables and partitions: search, renames, missing objects and logs."""

from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from exporter.collect.collectors.watch import PAGES_PER_REFRESH, RETRY_SECONDS
from exporter.simulator import ManualClock, Simulator, World, apply_event
from exporter.simulator.world import events
from tests.collect.conftest import SOURCE_ID, HandWrittenMms
from tests.collect.test_failures import AWKWARD, FIRST, STILL
from tests.conftest import IDENTITY, config_on
from tests.exposition_parser import Exposition
from tests.harness import harness_on


def watching_tables(*tables: dict[str, Any]) -> dict[str, Any]:
    return {"tables": list(tables)}


def by_name(table: str, db: str = "sales") -> dict[str, Any]:
    return {"source": "hive-a", "db": db, "table": table}


def watched(served: Exposition) -> dict[str, tuple[str, str]]:
    """Return database and name of the watched tables, by id."""
    found = (dict(labels) for labels in served.samples.get("mms_table_info", {}))
    return {labels["table_id"]: (labels["src_db"], labels["table"]) for labels in found}


async def test_watched_objects_equal_the_simulated_world(clock: ManualClock) -> None:
    async with Simulator(World(STILL, clock=clock), identities=[IDENTITY]) as simulator:
        truth = simulator.world.truth()
        table = next(each for each in truth.tables(FIRST) if each.has_partitions)
        partition = next(each for each in truth.partitions(FIRST) if each.table_id == table.id)
        source = truth.data_sources()[FIRST].name
        watch = {
            "tables": [{"source": source, "db": table.db_name, "table": table.name}],
            "partitions": [{"source_id": FIRST, "partition_ids": [partition.id]}],
        }
        async with harness_on(config_on(simulator.url, watch=watch), clock) as harness:
            served = await harness.refresh()
            labels = {"table_id": str(table.id), "src_db": table.db_name or "", "table": table.name or ""}
            assert served.value("mms_table_info", source=source or "", **labels) == 1
            assert served.value("mms_table_metadata_partitions", **labels) == table.partitions
            assert served.value("mms_table_size_bytes", **labels) == table.size
            assert served.value("mms_table_rows", **labels) == table.num_rows
            assert served.by("mms_table_partitions", "status", **labels) == {
                "DOING": table.partitions_doing,
                "DONE": table.partitions_done,
                "FAILED": table.partitions_failed,
            }
            states = served.by("mms_table_status", "status", **labels)
            assert set(states) == {"INIT", "DOING", "DONE", "PART_DONE", "FAILED", "UNKNOWN"}
            assert [status for status, value in states.items() if value] == [table.status]
            key = {"partition_id": str(partition.id), "partition": partition.value or ""}
            assert served.value("mms_partition_rows", **key) == partition.num_rows
            assert served.value("mms_partition_size_bytes", **key) == partition.size
            assert set(served.by("mms_partition_status", "status", **key)) == {
                *("INIT", "DOING", "DONE", "FAILED", "UNKNOWN"),
            }
            apply_event(simulator.world, events.Fail(source_id=FIRST, table_ids=(table.id,)))
            served = await harness.refresh()
            assert served.value("mms_table_status", status="FAILED", **labels) == 1
            assert served.value("mms_partition_status", status="FAILED", **key) == 1


async def test_a_name_is_resolved_once_and_exactly(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    others = [("sales", "orders_old"), ("presales", "orders"), ("sales", "Orders"), ("sales", "my_orders")]
    for table_id, (db, name) in enumerate([*others, ("sales", "orders")], 1):
        mms.add_table(table_id, db, name)
    config = config_on(mms_url, {"time_zone": "UTC"}, watch=watching_tables(by_name("orders")))
    async with harness_on(config, clock) as harness:
        for _ in range(3):
            served = await harness.refresh()
            assert watched(served) == {"5": ("sales", "orders")}
        assert (mms.calls["tables"], mms.calls["table"]) == (1, 3)
        assert served.value("mms_table_last_ddl_timestamp_seconds") == 1735689600, "midnight in the account's zone"


async def test_a_watched_table_that_is_renamed_is_followed(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    row = mms.add_table(1, "sales", "orders")
    async with harness_on(config_on(mms_url, watch=watching_tables(by_name("orders"))), clock) as harness:
        await harness.refresh()
        row["name"] = "orders_2025"
        mms.add_table(2, "sales", "orders")
        served = await harness.refresh()
        assert watched(served) == {"1": ("sales", "orders_2025")}
        assert len(served.having("mms_table_status", status="DONE")) == 1


@pytest.mark.parametrize("source", [{"source_id": SOURCE_ID}, {"source": "hive-a"}], ids=["id", "name"])
async def test_an_object_watched_by_several_entries_is_exported_once(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, source: dict[str, Any]
) -> None:
    """The parser fails on duplicate series, as a scrape does."""
    mms.add_table(1, "sales", "orders")
    mms.add_partition(2, "sales", "clicks", "ds=1")
    entry = {"source": "hive-a", "table_ids": [1]}
    other = {"source": "hive-a", "partition_ids": [2]}
    watch = {
        "tables": [entry, {**source, "db": "sales", "table": "orders"}, {**source, "table_ids": [1]}],
        "partitions": [other, {**source, "db": "sales", "table": "clicks", "partition": "ds=1"}, other],
    }
    async with harness_on(config_on(mms_url, watch=watch), clock) as harness:
        served = await harness.refresh()
        assert set(watched(served)) == {"1"}
        assert served.by("mms_partition_info", "partition_id") == {"2": 1}


async def test_a_missing_object_is_logged_once_and_retried_later(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    watch = watching_tables({"source_id": SOURCE_ID, "table_ids": [22]}, by_name("orders"))
    async with harness_on(config_on(mms_url, watch=watch), clock) as harness:
        with capture_logs() as lines:
            for _ in range(5):
                served = await harness.refresh()
        assert sorted(line["watched"] for line in lines) == ["table 22", "table sales/orders"]
        assert (mms.calls["tables"], mms.calls["table"]) == (1, 1)
        assert served.value("mms_refresh_success", collector="watch") == 1, "a missing object is not a failed call"
        mms.add_table(22, "sales", "clicks")
        mms.add_table(23, "sales", "orders")
        assert not watched(await harness.refresh())
        clock.advance(RETRY_SECONDS)
        assert set(watched(await harness.refresh())) == {"22", "23"}


async def test_a_deleted_object_disappears_and_its_name_is_searched_again(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_table(1, "sales", "orders")
    async with harness_on(config_on(mms_url, watch=watching_tables(by_name("orders"))), clock) as harness:
        await harness.refresh()
        del mms.tables[1]
        with capture_logs() as lines:
            served = await harness.refresh()
        assert not watched(served)
        assert len(lines) == 1
        mms.add_table(9, "sales", "orders")
        clock.advance(RETRY_SECONDS)
        assert set(watched(await harness.refresh())) == {"9"}


async def test_a_missing_source_is_logged_once_and_found_when_it_appears(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_table(1, "sales", "orders")
    mms.row["name"] = "hive-b"
    async with harness_on(config_on(mms_url, watch=watching_tables(by_name("orders"))), clock) as harness:
        with capture_logs() as lines:
            for _ in range(3):
                await harness.refresh()
        assert [(line["watched"], line["data_source"]) for line in lines] == [("table sales/orders", "hive-a")]
        assert mms.calls["tables"] == 0
        mms.row["name"] = "hive-a"
        assert set(watched(await harness.refresh())) == {"1"}
        mms.row["name"] = "hive-c"
        served = await harness.refresh()
        assert set(served.by("mms_table_info", "source")) == {"hive-c"}, "a renamed source is the same source"


async def test_a_source_that_is_not_selected_is_not_said_to_be_missing(mms_url: str, clock: ManualClock) -> None:
    config = config_on(mms_url, {"sources": {"types": ["ORACLE"]}}, watch=watching_tables(by_name("orders")))
    async with harness_on(config, clock) as harness:
        with capture_logs() as lines:
            await harness.refresh()
    (reason,) = (line["reason"] for line in lines if "watched" in line)
    assert reason == "no data source that the account selects has this name or ID"


async def test_an_object_is_read_immediately_after_its_source_returns(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_table(1, "sales", "orders")
    watch = watching_tables({"source_id": SOURCE_ID, "table_ids": [1]})
    async with harness_on(config_on(mms_url, watch=watch), clock) as harness:
        await harness.refresh()
        mms.row["id"] = SOURCE_ID + 1
        assert not watched(await harness.refresh())
        mms.row["id"] = SOURCE_ID
        assert set(watched(await harness.refresh())) == {"1"}


async def test_a_reload_retries_missing_objects(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    watch = watching_tables({"source_id": SOURCE_ID, "table_ids": [22]}, by_name("orders"))
    async with harness_on(config_on(mms_url, watch=watch), clock) as harness:
        assert not watched(await harness.refresh())
        mms.add_table(22, "sales", "clicks")
        mms.add_table(23, "sales", "orders")
        harness.refresher.note_reload()
        assert set(watched(await harness.refresh())) == {"22", "23"}


async def test_an_unreadable_object_follows_its_renamed_source(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_table(1, "sales", "orders")
    watch = watching_tables({"source_id": SOURCE_ID, "table_ids": [1]})
    async with harness_on(config_on(mms_url, watch=watch), clock) as harness:
        await harness.refresh()
        mms.row["name"] = "hive-b"
        mms.broken.add("table")
        served = await harness.refresh()
        assert set(served.by("mms_table_info", "source")) == {"hive-b"}


async def test_a_failed_listing_does_not_make_a_source_missing(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.broken.add("sources")
    async with harness_on(config_on(mms_url, watch=watching_tables(by_name("orders"))), clock) as harness:
        with capture_logs() as lines:
            await harness.refresh()
        assert not [line for line in lines if "watched" in line]


async def test_unreadable_values_are_kept_until_stale(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    mms.add_table(1, "sales", "orders")
    async with harness_on(config_on(mms_url, watch=watching_tables(by_name("orders"))), clock) as harness:
        await harness.refresh()
        mms.broken.add("table")
        clock.advance(300)
        served = await harness.refresh()
        assert watched(served)
        assert served.value("mms_refresh_success", collector="watch") == 0
        assert served.value("mms_refresh_success", collector="failures") == 1
        clock.advance(1)
        assert not watched(await harness.refresh())


async def test_a_long_search_continues_over_several_refreshes(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.page_cap = 2
    for number in range(30):
        mms.add_table(number, "sales", f"orders_{number}")
    mms.add_table(99, "sales", "orders")
    async with harness_on(config_on(mms_url, watch=watching_tables(by_name("orders"))), clock) as harness:
        for _ in range(3):
            served = await harness.refresh()
            assert not watched(served)
            assert mms.calls["tables"] % PAGES_PER_REFRESH == 0
        assert set(watched(await harness.refresh())) == {"99"}


@pytest.mark.parametrize("value", AWKWARD)
async def test_a_partition_with_special_characters_is_found_by_value(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, value: str
) -> None:
    for partition_id, other in enumerate(AWKWARD, 1):
        mms.add_partition(partition_id, "sales", "clicks", other)
    entry = {"source": "hive-a", "db": "sales", "table": "clicks", "partition": value}
    async with harness_on(config_on(mms_url, watch={"partitions": [entry]}), clock) as harness:
        served = await harness.refresh()
        assert served.by("mms_partition_info", "partition_id") == {str(AWKWARD.index(value) + 1): 1}
        assert set(served.by("mms_partition_info", "partition")) == {value}


async def test_an_unknown_status_is_shown_as_unknown_and_counted(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_table(1, "sales", "orders", status="MELTED", lastDdlTime="once")
    async with harness_on(config_on(mms_url, watch=watching_tables(by_name("orders"))), clock) as harness:
        served = await harness.refresh()
        assert served.value("mms_table_status", status="UNKNOWN") == 1
        assert "mms_table_last_ddl_timestamp_seconds" not in served.samples
        lost = served.by("mms_exporter_unexpected_values_total", "field", operation="GetMmsTable")
        assert {"status", "lastDdlTime"} <= set(lost)


async def test_a_missing_permission_is_logged_once_and_affects_nothing_else(clock: ManualClock) -> None:
    granted = ("ListMmsDataSources", "ListMmsJobs", "ListMmsDbs", *(f"ListMms{each}s" for each in KINDS))
    actions = frozenset(f"odps:{operation}" for operation in granted)
    watch = watching_tables({"source_id": FIRST, "table_ids": [1, 2, 3]})
    identity = replace(IDENTITY, actions=actions)
    async with Simulator(World(STILL, clock=clock), identities=[identity]) as simulator:
        config = config_on(simulator.url, {"concurrency": 1}, watch=watch, timers={"enabled": False})
        async with harness_on(config, clock) as harness:
            with capture_logs() as lines:
                for _ in range(4):
                    served = await harness.refresh()
            assert simulator.calls["GetMmsTable", FIRST] == 1
            assert [(line["collector"], line["reasons"]) for line in lines] == [("watch", "permission")]
            assert served.by("mms_refresh_success", "collector") == {
                "datasources": 1,
                "jobs": 1,
                "databases": 1,
                "scan": 1,
                "failures": 1,
                "reasons": 1,
                "watch": 0,
            }


KINDS = ("Table", "Partition")
