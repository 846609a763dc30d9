"""Databases: calls, limits, deletions, incomplete and failed lists, and differences to the row of the source."""

import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from exporter.collect.collectors.databases import MAX_ROWS_IN_LOOP
from exporter.collect.permissions import REFUSAL_SECONDS
from exporter.collect.state.database_state import RECHECK_SECONDS
from exporter.collect.state.failure_state import MAX_LIST_AGE_SECONDS
from exporter.mms.models.records import Database
from exporter.simulator import ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.world import events
from tests.collect.conftest import HandWrittenMms
from tests.conftest import IDENTITY, config_on
from tests.exposition_parser import Exposition
from tests.harness import harness_on

FIRST = 2_000_001
STILL = WorldOptions(
    sources=3, databases=2, tables=6, partitions=4, special_sources=False, idle_share=1.0, incidents=False
)
STALE_AFTER = 300
OPERATION = {"operation": "ListMmsDbs"}
FAMILIES = (
    *("mms_database_tables", "mms_database_partitions"),
    *("mms_database_metadata_tables", "mms_database_metadata_partitions"),
    *("mms_database_size_bytes", "mms_database_rows"),
)


def shown(served: Exposition) -> dict[str, float]:
    """Return the number of tables by database."""
    return served.by("mms_database_metadata_tables", "src_db")


def counted(served: Exposition) -> dict[str, float]:
    """Return how often each field of the list was unexpected."""
    return served.by("mms_exporter_unexpected_values_total", "field", **OPERATION)


async def test_databases_have_the_values_of_their_rows(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    counts = {"tablesDoing": 1, "tablesDone": 2, "tablesPartDone": 3, "tablesFailed": 4, "partitions": 100}
    mms.add_database(5, "sales", **counts, partitionsDoing=5, partitionsDone=6, partitionsFailed=7, size=2**53)
    del mms.add_database(6, "logs")["size"]
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
    expected = {"DOING": 1, "DONE": 2, "PART_DONE": 3, "FAILED": 4}
    assert served.by("mms_database_tables", "status", src_db="sales") == expected
    partitions = {"DOING": 5, "DONE": 6, "FAILED": 7}
    assert served.by("mms_database_partitions", "status", src_db="sales") == partitions
    assert served.by("mms_database_metadata_partitions", "src_db") == {"sales": 100, "logs": 0}
    assert served.by("mms_database_size_bytes", "src_db") == {"sales": 2**53}, "an absent size is no 0"
    assert served.by("mms_database_rows", "src_db") == {"sales": 1, "logs": 1}
    assert served.value("mms_database_series_omitted") == 0


async def test_only_a_changed_source_costs_a_call(clock: ManualClock) -> None:
    async with Simulator(World(STILL, clock=clock), identities=[IDENTITY]) as simulator:

        def calls() -> dict[int, int]:
            found = {key: count for (name, key), count in simulator.calls.items() if name == "ListMmsDbs" and key}
            simulator.calls_reset()
            return found

        async with harness_on(config_on(simulator.url), clock) as harness:
            await harness.refresh()
            assert calls() == {FIRST: 1, FIRST + 1: 1, FIRST + 2: 1}
            clock.advance(60)
            await harness.refresh()
            assert calls() == {}
            apply_event(simulator.world, events.Fail(source_id=FIRST + 1, table_ids=(1,)))
            await harness.refresh()
            assert calls() == {FIRST + 1: 1}
            clock.advance(MAX_LIST_AGE_SECONDS)
            await harness.refresh()
            assert calls() == {FIRST: 1, FIRST + 1: 1, FIRST + 2: 1}, "once an hour"


async def test_a_page_of_100_databases_costs_one_call(clock: ManualClock) -> None:
    options = replace(STILL, sources=1, databases=250, tables=250)
    async with Simulator(World(options, clock=clock), identities=[IDENTITY]) as simulator:
        config = config_on(simulator.url, databases={"max_per_source": 100})
        async with harness_on(config, clock) as harness:
            served = await harness.refresh()
            assert simulator.calls["ListMmsDbs", FIRST] == 3
            truth = sorted((row.size or 0 for row in simulator.world.truth().databases(FIRST)), reverse=True)
            sizes = served.by("mms_database_size_bytes", "src_db")
            assert sorted(sizes.values(), reverse=True) == truth[:100], "the largest have series"
            assert served.value("mms_database_series_omitted") == 150


async def test_equal_sizes_are_ranked_by_partitions_and_unknown_sizes_last(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_database(1, "unknown", size=None, partitions=9)
    mms.add_database(2, "few", size=10, partitions=1)
    mms.add_database(3, "many", size=10, partitions=2)
    mms.add_database(4, "empty", size=0)
    for limit, expected in enumerate((set[str](), {"many"}, {"many", "few"}, {"many", "few", "empty"})):
        async with harness_on(config_on(mms_url, databases={"max_per_source": limit}), clock) as harness:
            served = await harness.refresh()
        assert (set(shown(served)), served.value("mms_database_series_omitted")) == (expected, 4 - limit)


@pytest.mark.parametrize("is_flagged", [True, False], ids=["row with deleted", "no row"])
async def test_a_deleted_database_leaves_at_once(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, *, is_flagged: bool
) -> None:
    mms.add_database(1, "sales")
    mms.add_database(2, "logs")
    mms.count_databases()
    async with harness_on(config_on(mms_url), clock) as harness:
        assert set(shown(await harness.refresh())) == {"sales", "logs"}
        if is_flagged:
            mms.dbs[2]["deleted"] = True
        else:
            del mms.dbs[2]
        mms.count_databases()
        mms.row["lastUpdateTime"] = "2025-01-01 00:00:00"
        for _ in range(3):
            clock.advance(60)
            served = await harness.refresh()
            assert (set(shown(served)), served.value("mms_database_series_omitted")) == ({"sales"}, 0)
        assert not counted(served), "the row may count deleted databases, or not"


NAMES = ['quote " and \\ backslash', "new\nline", "漢字", "a" * 600, " lead", "{x}", "\x00", "%s %d"]


async def test_special_characters_in_names_are_exported_unchanged(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    for number, name in enumerate(NAMES):
        mms.add_database(number, name, done=number)
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
    expected = {(name.strip() if len(name) < 512 else f"{name[:511]}…"): number for number, name in enumerate(NAMES)}
    assert shown(served) == expected


async def test_unreadable_names_are_read_again(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    for name in ("\ud800sales", None):
        mms.add_database(1, name)
        async with harness_on(config_on(mms_url), clock) as harness:
            await harness.refresh()
            await harness.refresh()
            mms.add_database(1, "sales")
            assert set(shown(await harness.refresh())) == {"sales"}


def without_total(mms: HandWrittenMms) -> None:
    """Omit the total of the list."""
    mms.totals["dbs"] = None


def without_name(mms: HandWrittenMms) -> None:
    """Omit the name of a database."""
    mms.dbs[1]["name"] = None


def without_id(mms: HandWrittenMms) -> None:
    """Omit the id of a database, without which its row cannot be decoded."""
    del mms.dbs[1]["id"]


@pytest.mark.parametrize("damage", [without_total, without_name, without_id])
async def test_a_list_that_stays_uncertain_is_read_again_later(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, damage: Callable[[HandWrittenMms], None]
) -> None:
    mms.add_database(1, "sales")
    mms.add_database(2, "logs")
    mms.count_databases()
    damage(mms)
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        calls = mms.calls["dbs"]
        for _ in range(9):
            clock.advance(60)
            served = await harness.refresh()
        assert mms.calls["dbs"] == 3 * calls
        assert "logs" in shown(served)
        mms.add_database(1, "sales")
        mms.totals.clear()
        clock.advance(RECHECK_SECONDS)
        assert set(shown(await harness.refresh())) == {"sales", "logs"}


async def test_databases_with_equal_labels_share_the_series_of_the_largest(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    for number, name in enumerate(["a" * 600 + "1", "a" * 600 + "2", "sales", "sales", None]):
        mms.add_database(number, name, done=number, size=number)
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
    assert shown(served) == {"a" * 511 + "…": 1, "sales": 3, "": 4}
    assert served.value("mms_database_series_omitted") == 2


async def test_a_database_missing_from_an_incomplete_list_stays_until_stale(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_database(1, "sales")
    mms.add_database(2, "logs")
    mms.count_databases()
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        clock.advance(MAX_LIST_AGE_SECONDS - 1)
        await harness.refresh()
        mms.lost["dbs", 1] = 3
        mms.add_database(1, "sales", done=7)
        mms.count_databases()
        for _ in range(2):
            clock.advance(STALE_AFTER / 2)
            served = await harness.refresh()
            assert shown(served) == {"sales": 7, "logs": 1}, "new values, and those of the lost row"
        assert counted(served) == {"total": 2}
        assert served.value("mms_refresh_success", collector="databases") == 1
        clock.advance(1)
        assert shown(await harness.refresh()) == {"sales": 7}
        assert shown(await harness.refresh()) == {"sales": 7, "logs": 1}, "read again, although the row is unchanged"


async def test_a_database_of_an_earlier_list_is_removed_when_stale(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_database(1, "sales")
    mms.add_database(2, "logs")
    mms.count_databases()
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        clock.advance(STALE_AFTER - 1)
        mms.lost["dbs", 1] = 1
        mms.add_database(1, "sales", done=7)
        mms.count_databases()
        assert shown(await harness.refresh()) == {"sales": 7, "logs": 1}
        mms.broken.add("dbs")
        clock.advance(2)
        assert shown(await harness.refresh()) == {"sales": 7}, "logs was read 301 s ago, sales 2 s ago"
        mms.row["name"] = "hive-b"
        served = await harness.refresh()
        assert served.by("mms_database_metadata_tables", "source") == {"hive-b": 7}


@pytest.mark.parametrize("known", [True, False], ids=["after a complete list", "first list"])
async def test_an_incomplete_list_omits_what_its_total_counts(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, *, known: bool
) -> None:
    for number in range(1000 if known else 150):
        mms.add_database(number, f"db_{number}", size=number)
    mms.count_databases()
    mms.totals["dbs"] = 1000
    async with harness_on(config_on(mms_url, databases={"max_per_source": 50}), clock) as harness:
        if known:
            assert (await harness.refresh()).value("mms_database_series_omitted") == 950
            mms.dbs = {number: mms.dbs[number] for number in range(150)}
            mms.row["agentIsOnline"] = True
        served = await harness.refresh()
        assert served.value("mms_database_series_omitted") == 950
        assert counted(served) == {"total": 1}
        mms.totals["dbs"] = None
        assert (await harness.refresh()).value("mms_database_series_omitted") == 950, "the total is remembered"
        clock.advance(STALE_AFTER + 1)
        assert (await harness.refresh()).value("mms_database_series_omitted") == 100, "until it is stale"


async def test_a_long_list_is_not_ranked_by_the_thread_of_the_event_loop(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    for number in range(MAX_ROWS_IN_LOOP + 1):
        mms.add_database(number, f"db_{number}", size=number)
    called: set[str] = set()
    async with harness_on(config_on(mms_url, databases={"max_per_source": 1}), clock) as harness:
        sys.setprofile(lambda frame, *_: called.add(frame.f_code.co_name))  # of this thread only
        try:
            await harness.refresher.refresh()
        finally:
            sys.setprofile(None)
        assert set(shown(await harness.served())) == {f"db_{MAX_ROWS_IN_LOOP}"}
    assert "list_databases" in called
    assert Database.size_rank.fget.__name__ not in called  # type: ignore[attr-defined]  # a property


async def test_unreadable_databases_stay_until_stale(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    mms.add_database(1, "sales")
    mms.count_databases()
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        mms.broken.add("dbs")
        mms.add_database(1, "sales", done=5)
        mms.count_databases()
        clock.advance(STALE_AFTER)
        served = await harness.refresh()
        assert shown(served) == {"sales": 1}
        assert served.value("mms_refresh_success", collector="databases") == 0
        assert served.value("mms_datasource_refresh_success") == 0
        clock.advance(1)
        served = await harness.refresh()
        assert not [name for name in served.samples if name.startswith("mms_database_")]


async def test_a_failed_read_ends_the_trust_in_an_unchanged_row(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    """The source changed while its list failed, and changed back before the next refresh."""
    mms.add_database(1, "sales", size=1)
    mms.count_databases()
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        mms.broken.add("dbs")
        mms.row["tablesDoneNum"] = 9
        await harness.refresh()
        mms.broken.clear()
        mms.count_databases()
        mms.dbs[1]["size"] = 2
        served = await harness.refresh()
        assert served.value("mms_database_size_bytes", src_db="sales") == 2


@pytest.mark.parametrize("rows", [[], [{"name": "no id"}]], ids=["no row", "no readable row"])
async def test_a_list_without_any_of_its_rows_removes_nothing(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, rows: list[dict[str, object]]
) -> None:
    mms.add_database(1, "sales")
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        mms.row["dbNum"] = 1
        mms.totals["dbs"] = 1
        mms.dbs = dict(enumerate(rows))
        served = await harness.refresh()
        assert shown(served) == {"sales": 1}
        assert served.value("mms_refresh_success", collector="databases") == 0


async def test_databases_are_read_while_listing_sources_fails(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_database(1, "sales")
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        mms.broken.add("sources")
        mms.add_database(1, "sales", done=8)
        clock.advance(STALE_AFTER + 1)
        assert shown(await harness.refresh()) == {"sales": 8}
        for _ in range(6):
            clock.advance(STALE_AFTER / 6)
            assert shown(await harness.refresh()) == {"sales": 8}
        assert mms.calls["dbs"] == 4, "twice in stale_after, not in each refresh"
        mms.broken.clear()
        mms.add_database(1, "sales", done=9)
        assert shown(await harness.refresh()) == {"sales": 9}, "the row may have changed and changed back"


def ahead(mms: HandWrittenMms) -> None:
    """Let a table of the list become DONE after the row was read."""
    mms.add_database(1, "sales", done=5)


def behind(mms: HandWrittenMms) -> None:
    """Let a table of the row become DONE before the list shows it."""
    mms.row["tablesDoneNum"] = mms.row["tableNum"] = 5


@pytest.mark.parametrize("change", [ahead, behind])
async def test_a_passing_difference_is_read_again_and_not_counted(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, change: Callable[[HandWrittenMms], None]
) -> None:
    mms.add_database(1, "sales")
    mms.count_databases()
    mms.row["lastUpdateTime"] = "2025-01-01 00:00:00"
    change(mms)
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        mms.add_database(1, "sales", done=5)
        mms.count_databases()
        for _ in range(3):
            clock.advance(60)
            served = await harness.refresh()
            assert shown(served) == {"sales": 5}
        assert mms.calls["dbs"] == 2
        assert not counted(served)


async def test_a_lasting_difference_is_counted_and_read_again_later(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_database(1, "sales", partitions=4)
    mms.count_databases()
    mms.row |= {"dbNum": 2, "partitionNum": 5}
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
        assert not counted(served)
        for _ in range(4):
            clock.advance(60)
            served = await harness.refresh()
        assert mms.calls["dbs"] == 2
        assert counted(served) == {"dbNum": 1, "partitions": 1}
        assert served.value("mms_refresh_success", collector="databases") == 1
        clock.advance(RECHECK_SECONDS)
        assert counted(await harness.refresh()) == {"dbNum": 2, "partitions": 2}
        mms.row["agentIsOnline"] = True
        clock.advance(60)
        assert counted(await harness.refresh()) == {"dbNum": 2, "partitions": 2}, "a moving row proves nothing"
        mms.row["partitionNum"], mms.row["dbNum"] = 4, 1
        await harness.refresh()
        calls = mms.calls["dbs"]
        clock.advance(RECHECK_SECONDS)
        await harness.refresh()
        assert mms.calls["dbs"] == calls


async def test_databases_follow_a_renamed_source(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    mms.add_database(1, "sales")
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        mms.row["name"] = "hive-b"
        mms.broken.add("dbs")
        served = await harness.refresh()
        assert served.by("mms_database_metadata_tables", "source") == {"hive-b": 1}


async def test_equal_databases_are_the_same_object(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    """The text of unchanged databases is not rendered again."""
    mms.add_database(1, "sales")
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        before = harness.refresher.snapshot().sources[0].databases
        mms.row["agentIsOnline"] = True
        await harness.refresh()
        assert mms.calls["dbs"] == 2
        assert harness.refresher.snapshot().sources[0].databases is before


async def test_a_disabled_collector_makes_no_calls_and_exports_nothing(clock: ManualClock) -> None:
    async with (
        Simulator(World(STILL, clock=clock), identities=[IDENTITY]) as simulator,
        harness_on(config_on(simulator.url, databases={"enabled": False}), clock) as harness,
    ):
        served = await harness.refresh()
        assert not [name for name, _ in simulator.calls if name == "ListMmsDbs"]
        assert not [name for name in served.samples if name.startswith("mms_database")]
        assert "databases" not in served.by("mms_refresh_success", "collector")


async def test_a_missing_permission_is_logged_once_and_affects_nothing_else(clock: ManualClock) -> None:
    granted = ("ListMmsDataSources", "ListMmsJobs", "ListMmsTables", "ListMmsPartitions")
    identity = replace(IDENTITY, actions=frozenset(f"odps:{operation}" for operation in granted))
    async with Simulator(World(STILL, clock=clock), identities=[identity]) as simulator:
        config = config_on(
            simulator.url, {"concurrency": 1}, failures={"reasons": {"enabled": False}}, timers={"enabled": False}
        )
        async with harness_on(config, clock) as harness:
            with capture_logs() as lines:
                for _ in range(3):
                    served = await harness.refresh()
            success = {"datasources": 1, "jobs": 1, "databases": 0, "scan": 1, "failures": 1}
            assert served.by("mms_refresh_success", "collector") == success
            assert set(served.by("mms_datasource_refresh_success", "source_id").values()) == {1}
            assert sum(count for (name, _), count in simulator.calls.items() if name == "ListMmsDbs") == 1
            assert [(line["collector"], line["reasons"]) for line in lines] == [("databases", "permission")]
            simulator.identities.add(IDENTITY)
            clock.advance(REFUSAL_SECONDS)
            served = await harness.refresh()
            assert served.value("mms_refresh_success", collector="databases") == 1
            assert set(served.samples) >= {*FAMILIES, "mms_database_series_omitted"}
