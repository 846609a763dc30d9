"""The collector of metadata scans: the progress of a running one, outdated partitions, and what they cost."""

import pytest
from structlog.testing import capture_logs

from exporter.collect.state.failure_state import MAX_LIST_AGE_SECONDS, max_list_age
from exporter.simulator import Fault, ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.world import events
from tests.collect.conftest import SOURCE_ID, HandWrittenMms
from tests.conftest import IDENTITY, config_on
from tests.exposition_parser import Exposition
from tests.harness import Harness, harness_on

PROGRESS, OUTDATED = "mms_metadata_scan_progress_ratio", "mms_partitions_outdated"
IDLE_SECONDS = 600


def start_scan(mms: HandWrittenMms, number: int = 1, progress: float = 1) -> None:
    """Let a scan run."""
    mms.row |= {"scanId": number, "scanStatus": "DOING"}
    mms.scans[number] = {"id": number, "status": "DOING", "progress": progress}


def end_scan(mms: HandWrittenMms, status: str = "DONE", time: str = "2025-01-01 00:00:00") -> None:
    """End the running scan."""
    mms.row |= {"scanStatus": status, "lastUpdateTime": time}
    mms.scans[mms.row["scanId"]] |= {"status": status, "progress": 10_000}


def outdate(mms: HandWrittenMms, *partition_ids: int) -> None:
    """Make these the outdated partitions."""
    mms.partitions.clear()
    mms.row |= {"partitionsDoneNum": 10, "partitionsDoingNum": 0}
    for number in partition_ids:
        mms.add_partition(number, "sales", "orders", f"ds={number}", updated=True)


def values(served: Exposition) -> tuple[float | None, float | None]:
    """Return progress and outdated partitions; None without a sample."""
    return tuple(served.value(name) if name in served.samples else None for name in (PROGRESS, OUTDATED))  # type: ignore[return-value]  # two of them


async def test_a_running_scan_costs_one_call(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    async with harness_on(config_on(mms_url), clock) as harness:
        assert values(await harness.refresh()) == (None, 0)
        assert mms.calls["scan"] == 0
        for calls, progress in enumerate((1, 4250, 9999.5), start=1):
            start_scan(mms, progress=progress)
            assert values(await harness.refresh()) == (progress / 10_000, 0)
            assert (mms.calls["scan"], mms.calls["outdated"]) == (calls, 1)
        end_scan(mms)
        assert values(await harness.refresh()) == (None, 0)
        assert values(await harness.refresh()) == (None, 0)
        assert (mms.calls["scan"], mms.calls["outdated"]) == (3, 2), "and one after the scan"


async def test_outdated_partitions_are_read_after_each_scan_only(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    async with harness_on(config_on(mms_url), clock) as harness:
        assert values(await harness.refresh()) == (None, 0)
        for _ in range(30):
            clock.advance(60)
            outdate(mms, 1, 2, 3)
            mms.row["partitionsDoneNum"] += 1
            assert values(await harness.refresh()) == (None, 0), "without a scan it cannot rise"
        assert mms.calls["outdated"] == 1
        for number, status in enumerate(("DONE", "FAILED"), start=1):
            start_scan(mms, number)
            await harness.refresh()
            end_scan(mms, status)
            assert values(await harness.refresh()) == (None, 3)
            assert mms.calls["outdated"] == 1 + number
        mms.row["lastUpdateTime"] = "2025-01-02 00:00:00"
        outdate(mms)
        assert values(await harness.refresh()) == (None, 0), "a scan between two refreshes, where MMS has no scanId"


async def test_migrating_them_again_is_noticed(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    outdate(mms, 1, 2)
    async with harness_on(config_on(mms_url), clock) as harness:
        assert values(await harness.refresh()) == (None, 2)
        clock.advance(60)
        mms.row |= {"partitionsDoneNum": 8, "partitionsDoingNum": 2}
        assert values(await harness.refresh()) == (None, 2)
        outdate(mms)  # the counts are those of the first read
        clock.advance(60)
        assert values(await harness.refresh()) == (None, 2)
        assert mms.calls["outdated"] == 1, "at most once per idle interval"
        clock.advance(IDLE_SECONDS)
        assert values(await harness.refresh()) == (None, 0)
        for _ in range(5):
            clock.advance(IDLE_SECONDS)
            mms.row["partitionsDoneNum"] += 1
            await harness.refresh()
        assert mms.calls["outdated"] == 2, "0 cannot fall"


async def test_what_no_count_shows_is_noticed_within_an_hour(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    outdate(mms, 1, 2)
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        outdate(mms)
        clock.advance(max_list_age(SOURCE_ID) - 1)
        assert values(await harness.refresh()) == (None, 2)
        clock.advance(1)
        assert values(await harness.refresh()) == (None, 0)


@pytest.mark.parametrize(("forbidden", "known"), [("scan", (None, 2)), ("outdated", (0.5, None))])
async def test_without_permission_only_its_value_is_missing(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, forbidden: str, known: tuple[float | None, float | None]
) -> None:
    outdate(mms, 1, 2)
    start_scan(mms, progress=5000)
    mms.forbidden.add(forbidden)
    async with harness_on(config_on(mms_url), clock) as harness:
        with capture_logs() as lines:
            for _ in range(3):
                served = await harness.refresh()
                clock.advance(60)
        assert [line["collector"] for line in lines if line["log_level"] == "warning"] == ["scan"], "one line"
        assert mms.calls[forbidden] == 1, "not called again for an hour"
        success = served.by("mms_refresh_success", "collector")
        assert {name for name, value in success.items() if not value} == {"scan"}
        assert served.value("mms_datasource_refresh_success") == 1
        assert values(served) == known


async def test_a_disabled_collector_calls_nothing(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    outdate(mms, 1)
    start_scan(mms, progress=5000)
    config = config_on(mms_url, scan={"enabled": False})
    async with harness_on(config_on(mms_url), clock) as old, harness_on(config, clock) as new:
        assert values(await old.refresh()) == (0.5, 1)
        new.refresher.inherit_from(old.refresher)
        served = await new.refresh()
        assert values(served) == (None, None)
        assert "scan" not in served.by("mms_refresh_success", "collector")
        assert served.value("mms_datasource_refresh_success") == 1
        assert (mms.calls["scan"], mms.calls["outdated"]) == (1, 1)


@pytest.mark.parametrize("operation", ["GetMmsFetchMetadataJob", "ListMmsPartitions"])
async def test_an_unsupported_operation_is_logged_once(operation: str, clock: ManualClock) -> None:
    options = WorldOptions(sources=1, special_sources=False, idle_share=1)
    off = {"enabled": False}
    async with Simulator(World(options, clock=clock), identities=[IDENTITY]) as simulator:
        apply_event(simulator.world, events.ScanMetadata(source_id=2000001, seconds=10_000))
        clock.advance(2000)
        simulator.faults.add(Fault(kind="error", operation=operation, status=404, code="InvalidAction.NotFound"))
        async with harness_on(config_on(simulator.url, failures=off), clock) as harness:
            with capture_logs() as lines:
                for _ in range(3):
                    served = await harness.refresh()
                    clock.advance(60)
        warnings = [(each["collector"], each["reasons"]) for each in lines if each["log_level"] == "warning"]
        assert warnings == [("scan", "unsupported")]
        assert sum(count for (called, _), count in simulator.calls.items() if called == operation) == 1
        assert served.value("mms_datasource_refresh_success") == 1


@pytest.mark.parametrize("updated", [{}, {"updated": None}, {"updated": False}], ids=["missing", "null", "false"])
async def test_a_partly_ignored_filter_counts_nothing(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, updated: dict[str, object]
) -> None:
    outdate(mms, 1, 2)
    mms.add_partition(3, "sales", "orders", "ds=3", **updated)
    mms.ignores_updated = True
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
        assert values(served) == (None, None)
        unexpected = served.by("mms_exporter_unexpected_values_total", "operation")
        assert unexpected["ListMmsPartitions"] == 1
        assert mms.calls["outdated"] == 1


async def test_hourly_reads_are_spread(clock: ManualClock) -> None:
    """All data sources are first read together, and no further read is of many of them."""
    lists, sources = ("ListMmsPartitions", "ListMmsDbs"), 34
    options = WorldOptions(sources=sources, tables=2, databases=1, special_sources=False, idle_share=1)
    async with Simulator(World(options, clock=clock), identities=[IDENTITY]) as simulator:

        async def calls(harness: Harness) -> dict[str, int]:
            simulator.calls_reset()
            await harness.refresh()
            return {name: sum(n for (each, _), n in simulator.calls.items() if each == name) for name in lists}

        config = config_on(simulator.url, timers={"enabled": False}, failures={"enabled": False})
        async with harness_on(config, clock) as harness:
            assert set((await calls(harness)).values()) == {sources}
            clock.advance(0.75 * MAX_LIST_AGE_SECONDS - 60)
            later = []
            for _ in range(16):
                clock.advance(60)
                later.append(await calls(harness))
        for name in lists:
            assert sum(each[name] for each in later) == sources, "each once within an hour"
            assert max(each[name] for each in later) <= sources / 8


@pytest.mark.parametrize(("broken", "known"), [("scan", (None, 2)), ("outdated", (0.5, None))])
async def test_what_cannot_be_read_leaves_and_hides_nothing(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, broken: str, known: tuple[float | None, float | None]
) -> None:
    outdate(mms, 1, 2)
    start_scan(mms, progress=5000)
    async with harness_on(config_on(mms_url), clock) as harness:
        assert values(await harness.refresh()) == (0.5, 2)
        mms.broken.add(broken)
        mms.row["scanStatus"] = "DOING" if broken == "scan" else "DONE"
        for _ in range(4):
            clock.advance(60)
            served = await harness.refresh()
            assert values(served)[1] == 2
        assert served.value("mms_datasource_refresh_success") == 0
        mms.row["scanStatus"] = "DOING"
        for _ in range(3):
            clock.advance(60)
            served = await harness.refresh()
        assert values(served) == known
        mms.broken.clear()
        assert values(await harness.refresh()) == (0.5, 2)


async def test_both_leave_while_the_data_sources_are_not_listed(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    outdate(mms, 1, 2)
    start_scan(mms, progress=5000)
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        mms.broken.add("sources")
        clock.advance(60)
        assert values(await harness.refresh()) == (0.5, 2)
        clock.advance(300)
        assert values(await harness.refresh()) == (None, None)


async def test_the_progress_of_another_scan_is_not_shown(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    start_scan(mms, progress=5000)
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        start_scan(mms, 2)
        mms.broken.add("scan")
        assert values(await harness.refresh()) == (None, 0)


async def test_unusable_answers_have_no_sample(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    outdate(mms, 1)
    mms.add_partition(9, "sales", "orders", "ds=9", updated=False)
    mms.partitions = dict(sorted(mms.partitions.items(), reverse=True))
    mms.newest_first = mms.ignores_updated = True
    start_scan(mms, progress=10_001)
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
        assert values(served) == (None, None), "a filter that is ignored counts all partitions"
        unexpected = served.by("mms_exporter_unexpected_values_total", "operation")
        assert {name: unexpected[name] for name in ("ListMmsPartitions", "GetMmsFetchMetadataJob")} == {
            "ListMmsPartitions": 1,
            "GetMmsFetchMetadataJob": 1,
        }
        for _ in range(3):
            clock.advance(60)
            await harness.refresh()
        assert mms.calls["outdated"] == 1, "not in each refresh"
        mms.totals["outdated"] = None
        mms.ignores_updated = False
        end_scan(mms)
        assert values(await harness.refresh()) == (None, None)
        mms.scans.clear()
        start_scan(mms, 3)
        mms.scans.clear()
        served = await harness.refresh()
        assert values(served) == (None, None)
        assert served.by("mms_refresh_success", "collector")["scan"] == 1, "a scan that MMS does not have is no error"


async def test_the_values_equal_those_of_the_simulated_world(clock: ManualClock) -> None:
    options = WorldOptions(sources=6, tables=30, special_sources=False, idle_share=0)
    async with (
        Simulator(World(options, clock=clock), identities=[IDENTITY]) as simulator,
        harness_on(config_on(simulator.url), clock) as harness,
    ):
        seen = set()
        for step in range(24):
            for source_id in simulator.world.source_ids():
                if (step + source_id) % 7 == 0:
                    apply_event(simulator.world, events.ScanMetadata(source_id=source_id, seconds=1800, share=0.1))
            served = await harness.refresh()
            truth = simulator.world.truth()
            for source_id in simulator.world.source_ids():
                scan, source = truth.scan(source_id), {"source_id": str(source_id)}
                assert scan is not None
                progress = served.by(PROGRESS, "source_id", **source)
                assert progress == ({} if scan.ratio is None else {str(source_id): scan.ratio})
                outdated = sum(bool(each.updated) for each in truth.partitions(source_id))
                assert served.value(OUTDATED, **source) == outdated
                seen |= {outdated > 0, *progress}
            clock.advance(700)
        assert {True, False} < seen


async def test_the_simulated_faults_apply(clock: ManualClock) -> None:
    options = WorldOptions(sources=1, special_sources=False, idle_share=1)
    async with Simulator(World(options, clock=clock), identities=[IDENTITY]) as simulator:
        apply_event(simulator.world, events.ScanMetadata(source_id=2000001, seconds=10_000))
        clock.advance(2000)
        async with harness_on(config_on(simulator.url), clock) as harness:
            fault = Fault(kind="wrong_types", operation="GetMmsFetchMetadataJob", fields=("progress",))
            simulator.faults.add(fault)
            served = await harness.refresh()
            assert values(served) == (None, 0)
            simulator.faults.clear()
            assert values(await harness.refresh()) == (0.2, 0)
