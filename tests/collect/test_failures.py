"""The collector of failures: named units, number of calls, and missing permissions."""

import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from exporter.collect.permissions import REFUSAL_SECONDS
from exporter.collect.snapshot import FailedUnits, FailuresStats, SourceName, SourceStats
from exporter.collect.state.failure_state import FailureState, KindState
from exporter.collect.state.source_state import SourceState
from exporter.mms.models.records import DataSource
from exporter.simulator import Fault, ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.world import events
from tests.collect.conftest import SOURCE_ID, HandWrittenMms
from tests.conftest import IDENTITY, config_on
from tests.exposition_parser import Exposition, read
from tests.harness import Harness, harness_on

STILL = WorldOptions(
    sources=4, databases=2, tables=6, partitions=4, idle_share=1, stopped_share=0, special_sources=False, failure_rate=0
)
"""A world without failures, except those that a test adds."""
FIRST = 2000001
LISTS = ("ListMmsTables", "ListMmsPartitions")


def partition_of(world: World, source_id: int = FIRST, number: int = 0) -> int:
    """Return the id of a partition of a source."""
    return [partition.id for partition in world.truth().partitions(source_id)][number]


def named(served: Exposition, kind: str, source_id: int = FIRST) -> set[tuple[str, ...]]:
    """Return the named failures of a kind: database, table, partition value."""
    labels = ("src_db", "table", "partition")[: 3 if kind == "partition" else 2]
    found = served.having(f"mms_failed_{kind}_info", source_id=str(source_id))
    return {tuple(dict(each)[label] for label in labels) for each in found}


def list_calls(simulator: Simulator) -> int:
    """Return the number of calls that list failures."""
    return sum(count for (operation, _), count in simulator.calls.items() if operation in LISTS)


async def test_failures_appear_and_disappear_within_one_refresh(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        mms.fail_tables((1, "sales", "orders"))
        mms.fail_partitions((10, "sales", "clicks", "ds=1"))
        served = await harness.refresh()
        assert named(served, "table", SOURCE_ID) == {("sales", "orders")}
        assert named(served, "partition", SOURCE_ID) == {("sales", "clicks", "ds=1")}
        assert served.by("mms_failed_omitted", "kind") == {"table": 0, "partition": 0}
        mms.fail_tables()
        mms.fail_partitions()
        served = await harness.refresh()
        assert not named(served, "table", SOURCE_ID) | named(served, "partition", SOURCE_ID)


async def test_named_failures_equal_the_simulated_ones(clock: ManualClock) -> None:
    async with (
        Simulator(World(STILL, clock=clock), identities=[IDENTITY]) as simulator,
        harness_on(config_on(simulator.url), clock) as harness,
    ):
        await harness.refresh()
        assert list_calls(simulator) == STILL.sources, "nothing has failed; `scan` counts outdated partitions"
        simulator.calls_reset()
        apply_event(simulator.world, events.Fail(source_id=FIRST, table_ids=(1,)))
        apply_event(simulator.world, events.Fail(source_id=FIRST, partition_ids=(partition_of(simulator.world),)))
        served = await harness.refresh()
        truth = simulator.world.truth()
        failed = {(each.db_name, each.name) for each in truth.tables(FIRST) if each.status == "FAILED"}
        assert failed
        assert named(served, "table") == failed
        assert named(served, "partition") == {
            (each.db_name, each.table_name, each.value) for each in truth.partitions(FIRST) if each.status == "FAILED"
        }
        assert {source_id for operation, source_id in simulator.calls if operation in LISTS} == {FIRST}


async def test_unchanged_failures_cost_no_call(clock: ManualClock) -> None:
    async with Simulator(World(STILL, clock=clock), identities=[IDENTITY]) as simulator:
        for source_id in range(FIRST, FIRST + 4):
            apply_event(simulator.world, events.Fail(source_id=source_id, share=0.5))
        async with harness_on(config_on(simulator.url), clock) as harness:
            before = await harness.refresh()
            assert list_calls(simulator) > 0
            simulator.calls_reset()
            for _ in range(9):
                clock.advance(60)
                served = await harness.refresh()
            assert {operation for operation, _ in simulator.calls} == {"ListMmsDataSources"}
            assert served.samples["mms_failed_partition_info"] == before.samples["mms_failed_partition_info"]
            assert served.samples["mms_failed_omitted"] == before.samples["mms_failed_omitted"]


async def test_a_disabled_collector_makes_no_calls_and_exports_nothing(clock: ManualClock) -> None:
    async with Simulator(World(STILL, clock=clock), identities=[IDENTITY]) as simulator:
        apply_event(simulator.world, events.Fail(source_id=FIRST, share=0.5))
        async with harness_on(config_on(simulator.url, failures={"enabled": False}), clock) as harness:
            served = await harness.refresh()
            assert list_calls(simulator) == STILL.sources, "`scan` counts outdated partitions"
            assert not [name for name in served.samples if name.startswith("mms_failed")]
            collectors = {"datasources", "jobs", "databases", "scan", "timers"}
            assert set(served.by("mms_refresh_success", "collector")) == collectors


@pytest.mark.parametrize("order", ["newest first", "oldest first"])
async def test_failures_over_the_limit_are_counted_as_omitted(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, order: str
) -> None:
    mms.newest_first, mms.page_cap = order == "newest first", 20
    mms.fail_partitions(*((number, "sales", "clicks", f"ds={number}") for number in range(1, 322)))
    async with harness_on(config_on(mms_url, failures={"max_per_source": 30}), clock) as harness:
        served = await harness.refresh()
        assert {value for *_, value in named(served, "partition", SOURCE_ID)} == {f"ds={n}" for n in range(292, 322)}
        assert served.by("mms_failed_omitted", "kind") == {"table": 0, "partition": 291}
        assert mms.calls["partitions"] <= 4


@pytest.mark.parametrize("at_least", [10_000, pytest.param(100_000, marks=pytest.mark.scale)])
async def test_many_failed_partitions_cost_few_calls_and_little_memory(clock: ManualClock, at_least: int) -> None:
    options = replace(STILL, sources=1, databases=1, tables=24, partitions=at_least * 14 // 100)
    async with Simulator(World(options, clock=clock), identities=[IDENTITY]) as simulator:
        apply_event(simulator.world, events.Fail(source_id=FIRST, share=1.0))
        async with harness_on(config_on(simulator.url, {"timeout": "60s"}), clock) as harness:
            simulator.world.truth().data_source(FIRST)  # fills the caches of the simulator before the measurement
            tracemalloc.start()
            try:
                await harness.refresher.refresh()
                assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
            finally:
                tracemalloc.stop()
            served = await harness.served()
            failed = served.value("mms_partitions", status="FAILED") or 0
            assert failed > at_least
            assert served.value("mms_failed_omitted", kind="partition") == failed - 50
            assert list_calls(simulator) <= 6


AWKWARD = [
    'p="1"',
    "p=a\\b",
    "p=a\nb",
    "p=a b/q={x}",
    "p=%_'`",
    "p=表/q=é",
    "p=1,q=2",
    "p=</script>",
    "p=😀",
    "p==",
    "p",
]


async def test_special_characters_in_names_are_exported_unchanged(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.fail_partitions(*((number, "sales", "clicks", value) for number, value in enumerate(AWKWARD, 1)))
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
        assert {value for *_, value in named(served, "partition", SOURCE_ID)} == set(AWKWARD)
        assert served.value("mms_failed_omitted", kind="partition") == 0


async def test_failures_with_equal_truncated_labels_share_one_series(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.fail_partitions(*((number, "sales", "clicks", "p=" + "x" * 600 + str(number)) for number in (1, 2)))
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
        assert len(served.samples["mms_failed_partition_info"]) == 1
        assert served.value("mms_failed_omitted", kind="partition") == 1


async def test_equal_table_names_in_different_databases_have_separate_series(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    names = ("orders", "clicks")
    mms.fail_tables(*((100 * db + i, f"db{db}", name) for db in range(50) for i, name in enumerate(names)))
    async with harness_on(config_on(mms_url, failures={"max_per_source": 100}), clock) as harness:
        served = await harness.refresh()
        assert named(served, "table", SOURCE_ID) == {(f"db{db}", name) for db in range(50) for name in names}


async def test_a_list_that_differs_from_its_count_is_read_once_more(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.fail_tables((1, "sales", "orders"), (2, "sales", "clicks"))
    mms.row["tablesFailedNum"] = 3
    async with harness_on(config_on(mms_url), clock) as harness:
        for calls in (1, 2, 2, 2):
            await harness.refresh()
            assert mms.calls["tables"] == calls


async def test_failures_are_read_while_listing_sources_fails(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.fail_tables((1, "sales", "orders"))
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        mms.broken.add("sources")
        mms.fail_tables((2, "sales", "clicks"))
        served = await harness.refresh()
        assert named(served, "table", SOURCE_ID) == {("sales", "clicks")}
        assert mms.calls["partitions"] == 0, "without known failures, no list is read"


async def test_unreadable_values_are_kept_until_stale(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    mms.fail_tables((1, "sales", "orders"))
    mms.fail_partitions((9, "sales", "clicks", "ds=1"))
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        mms.broken.add("tables")
        mms.fail_tables((1, "sales", "orders"), (2, "sales", "clicks"))
        clock.advance(300)
        served = await harness.refresh()
        assert named(served, "table", SOURCE_ID) == {("sales", "orders")}
        assert served.value("mms_refresh_success", collector="failures") == 0
        assert served.value("mms_datasource_refresh_success") == 0
        clock.advance(1)
        served = await harness.refresh()
        assert not named(served, "table", SOURCE_ID)
        assert set(served.by("mms_failed_omitted", "kind")) == {"partition"}
        assert named(served, "partition", SOURCE_ID) == {("sales", "clicks", "ds=1")}, "kinds are independent"


async def test_failures_follow_a_renamed_source(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    mms.fail_tables((1, "sales", "orders"))
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        mms.row["name"] = "hive-b"
        served = await harness.refresh()
        assert set(served.by("mms_failed_table_info", "source")) == {"hive-b"}
        assert mms.calls["tables"] == 1


async def test_unreadable_failures_follow_a_renamed_source(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.fail_tables((1, "sales", "orders"))
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        mms.row["name"] = "hive-b"
        mms.broken.add("tables")
        mms.fail_tables((1, "sales", "orders"), (2, "sales", "clicks"))
        served = await harness.refresh()
        assert set(served.by("mms_failed_table_info", "source")) == {"hive-b"}


def test_a_listing_renames_the_failures_of_its_source() -> None:
    """A refresh can be cancelled between listing and reading."""
    names = [SourceName("test", SOURCE_ID, name) for name in ("hive-a", "hive-b")]
    before, after = (SourceStats(name, DataSource(id=SOURCE_ID, name=name.source), None, None) for name in names)
    nothing = KindState(FailedUnits((), 0), 0, 1.0, is_stable=True)
    source = SourceState(before, 1.0)
    source.failures.state = FailureState().with_kinds({"table": nothing}, before.name)
    source.update_row(after, 2.0)
    assert source.failures.state.stats == FailuresStats(after.name, FailedUnits((), 0), None)


async def test_failures_expire_without_a_refresh(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    mms.fail_tables((1, "sales", "orders"))
    mms.fail_partitions((9, "sales", "clicks", "ds=1"))
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        mms.broken |= {"sources", "tables", "partitions"}
        clock.advance(200)
        await harness.refresh()
        clock.advance(101)
        served = await harness.served()
        assert not [name for name in served.samples if name.startswith("mms_failed")], "a failed read refreshes nothing"


async def test_a_missing_permission_is_logged_once_and_affects_nothing_else(clock: ManualClock) -> None:
    actions = frozenset({"odps:ListMmsDataSources", "odps:ListMmsJobs", "odps:ListMmsDbs"})
    identity = replace(IDENTITY, actions=actions)
    async with Simulator(World(STILL, clock=clock), identities=[identity]) as simulator:
        for source_id in range(FIRST, FIRST + 4):
            apply_event(simulator.world, events.Fail(source_id=source_id, share=0.5))
        config = config_on(
            simulator.url, {"concurrency": 1}, failures={"reasons": {"enabled": False}}, timers={"enabled": False}
        )
        async with harness_on(config, clock) as harness:
            with capture_logs() as lines:
                for _ in range(5):
                    served = await harness.refresh()
            success = {"datasources": 1, "jobs": 1, "databases": 1, "scan": 0, "failures": 0}
            assert served.by("mms_refresh_success", "collector") == success
            assert set(served.by("mms_datasource_refresh_success", "source_id").values()) == {1}
            assert list_calls(simulator) == 3, "each collector tried each list once"
            logged = [(line["collector"], line["reasons"]) for line in lines]
            assert logged == [("scan", "permission"), ("failures", "permission")]
            denied = {"ListMmsTables", "ListMmsPartitions"}
            assert lines[1]["hint"] == "grant this identity the RAM action odps:ListMmsTables; see deploy/ram"
            assert denied_to(harness) == denied
            simulator.identities.add(IDENTITY)
            await harness.refresh()
            assert list_calls(simulator) == 3
            clock.advance(REFUSAL_SECONDS)
            served = await harness.refresh()
            assert served.value("mms_refresh_success", collector="failures") == 1
            assert named(served, "partition")
            assert denied_to(harness) == set()


def denied_to(harness: Harness) -> set[str]:
    """Return the operations that the exporter's own metrics show as denied."""
    values = read(harness.telemetry.page("text")).by("mms_api_permission_denied", "operation")
    return {operation for operation, value in values.items() if value}


async def test_a_reload_retries_refused_operations(clock: ManualClock) -> None:
    actions = frozenset({"odps:ListMmsDataSources", "odps:ListMmsJobs"})
    async with Simulator(World(STILL, clock=clock), identities=[replace(IDENTITY, actions=actions)]) as simulator:
        apply_event(simulator.world, events.Fail(source_id=FIRST, share=0.5))
        async with harness_on(config_on(simulator.url), clock) as harness:
            await harness.refresh()
            simulator.identities.add(IDENTITY)
            harness.refresher.note_reload()
            served = await harness.refresh()
            assert served.value("mms_refresh_success", collector="failures") == 1
            assert named(served, "partition")


def add_partitions_job(mms: HandWrittenMms, job_id: int, *partition_ids: int, **fields: Any) -> None:
    mms.add_job(job_id, "FAILED", type="Partitions", config={"partitions": list(partition_ids)}, **fields)


async def test_partitions_of_failed_jobs_are_looked_up_without_list_permission(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.fail_partitions(*((number, "sales", "clicks", f"ds={number}") for number in range(1, 6)))
    mms.add_partition(6, "sales", "clicks", "ds=6")
    mms.forbidden.add("partitions")
    add_partitions_job(mms, 1, 1, 2, 6, 404)
    async with harness_on(config_on(mms_url), clock) as harness:
        for _ in range(3):
            served = await harness.refresh()
        assert {value for *_, value in named(served, "partition", SOURCE_ID)} == {"ds=1", "ds=2"}
        assert served.value("mms_failed_omitted", kind="partition") == 3
        assert (mms.calls["partition"], mms.calls["partitions"]) == (4, 1), "results and refusal are cached"
        assert served.value("mms_refresh_success", collector="failures") == 0
        mms.jobs.clear()
        add_partitions_job(mms, 1, 1, 2, 6, 404, taskDone=2)
        mms.row["tablesDoneNum"] = 1
        await harness.refresh()
        assert mms.calls["partition"] == 8, "the job has changed"


async def test_partitions_migrated_by_a_later_job_disappear(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.fail_partitions((1, "sales", "clicks", "ds=1"), (2, "sales", "clicks", "ds=2"))
    mms.forbidden.add("partitions")
    add_partitions_job(mms, 1, 1, 2)
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        mms.fail_partitions((2, "sales", "clicks", "ds=2"))
        mms.add_partition(1, "sales", "clicks", "ds=1")
        served = await harness.refresh()
        assert {value for *_, value in named(served, "partition", SOURCE_ID)} == {"ds=2"}


async def test_partition_lookups_are_limited_per_refresh(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    mms.fail_partitions(*((number, "sales", "clicks", f"ds={number}") for number in range(1, 121)))
    mms.forbidden.add("partitions")
    add_partitions_job(mms, 1, *range(1, 121))
    async with harness_on(config_on(mms_url, failures={"max_per_source": 90}), clock) as harness:
        for found in (50, 90, 90):
            served = await harness.refresh()
            values = {value for *_, value in named(served, "partition", SOURCE_ID)}
            assert values == {f"ds={n}" for n in range(121 - found, 121)}
            assert mms.calls["partition"] == found


async def test_failures_without_a_readable_count_are_listed_by_each_refresh(clock: ManualClock) -> None:
    """Without a count, nothing confirms the earlier list."""
    async with Simulator(World(STILL, clock=clock), identities=[IDENTITY]) as simulator:
        apply_event(simulator.world, events.Fail(source_id=FIRST, share=0.5))
        simulator.faults.add(Fault(kind="missing", operation="ListMmsDataSources", fields=("partitionsFailedNum",)))
        async with harness_on(config_on(simulator.url), clock) as harness:
            for number in (1, 2, 3):
                assert named(await harness.refresh(), "partition")
                assert simulator.calls["ListMmsPartitions", FIRST] == number + 1, "and one for `scan`"
