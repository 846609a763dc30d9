"""The collector of timers: what it shows of due times, runs and skips, and how few calls it makes."""

from collections import Counter
from datetime import datetime
from random import Random
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec
import pytest

from exporter.collect.collectors import timers
from exporter.collect.state.failure_state import MAX_LIST_AGE_SECONDS
from exporter.collect.state.timer_state import MAX_TIMERS
from exporter.mms.client import MAX_TIMER_LOG_PAGES
from exporter.simulator import ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.api.rows import CANARY
from exporter.simulator.world import events
from tests.collect.conftest import HandWrittenMms
from tests.collect.timer_truth import assert_timers_equal
from tests.conftest import IDENTITY, config_on
from tests.exposition_parser import Exposition
from tests.harness import Harness, harness_on

ZONE = ZoneInfo("Asia/Shanghai")
SKIPPED = "There are tasks those are running or ready to run for sales.orders"
HOUR = 3600.0
INTERVAL = 600.0
FAMILIES = (
    *("mms_timer_last_run_timestamp_seconds", "mms_timer_last_run_status", "mms_timer_last_skip_timestamp_seconds"),
    "mms_timer_due_timestamp_seconds",
)


def at(time: str) -> float:
    """Return a time of MMS in Unix seconds."""
    return datetime.fromisoformat(time).replace(tzinfo=ZONE).timestamp()


@pytest.fixture
def clock() -> ManualClock:
    """Provide a clock at noon in the zone of MMS."""
    return ManualClock(at("2025-06-15 12:00:00"))


def due(served: Exposition, timer_id: int = 1) -> str | None:
    """Return when a timer is due, as MMS writes times."""
    value = served.by("mms_timer_due_timestamp_seconds", "timer_id").get(str(timer_id))
    return None if value is None else datetime.fromtimestamp(value, ZONE).strftime("%m-%d %H:%M")


def last_status(served: Exposition) -> list[str]:
    """Return the status of the last run."""
    return [str(status) for status, value in served.by("mms_timer_last_run_status", "status").items() if value]


async def refresh(harness: Harness, clock: ManualClock, seconds: float = INTERVAL) -> Exposition:
    """Refresh after some seconds."""
    clock.advance(seconds)
    return await harness.refresh()


async def test_a_timer_on_schedule_is_due_next_time(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    mms.add_timer(1)
    mms.log_timer(1, "2025-06-15 02:00:03")
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
    assert served.having("mms_timer_info", timer_id="1", timer="timer_1", src_db="sales", schedule_type="DAILY") != {}
    assert served.by("mms_timer_info", "schedule") == {"02:00": 1}
    assert served.value("mms_timer_stopped") == 0
    assert served.value("mms_timer_last_run_timestamp_seconds") == at("2025-06-15 02:00:03")
    assert last_status(served) == ["DONE"]
    assert due(served) == "06-16 02:00"
    assert "mms_timer_last_skip_timestamp_seconds" not in served.samples
    assert served.value("mms_timer_series_omitted") == 0
    assert served.by("mms_refresh_success", "collector")["timers"] == 1


async def test_a_due_time_without_a_run_stays_due(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    mms.add_timer(1)
    mms.log_timer(1, "2025-06-13 02:00:03")
    async with harness_on(config_on(mms_url), clock) as harness:
        assert due(await harness.refresh()) == "06-14 02:00", "the first one that was missed"
        assert due(await refresh(harness, clock, 24 * HOUR)) == "06-14 02:00"
        mms.log_timer(1, "2025-06-16 11:00:00")
        assert due(await refresh(harness, clock)) == "06-17 02:00"


async def test_a_skip_is_no_run(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    mms.add_timer(1, "30")
    mms.log_timer(1, "2025-06-15 09:30:01")
    for hour in ("10", "11"):
        mms.log_timer(1, f"2025-06-15 {hour}:30:01", "FAILED", SKIPPED)
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
    assert due(served) == "06-15 10:30"
    assert last_status(served) == ["DONE"], "of the run, not of the skip"
    assert served.value("mms_timer_last_skip_timestamp_seconds") == at("2025-06-15 11:30:01")


async def test_a_failed_run_is_no_missed_one(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    mms.add_timer(1)
    mms.log_timer(1, "2025-06-15 02:00:03", "FAILED", "the metastore did not answer")
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
    assert (last_status(served), due(served)) == (["FAILED"], "06-16 02:00")


async def test_a_timer_that_never_ran_is_due_after_its_creation(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_timer(1, createTime="2025-06-15 10:00:00")
    mms.add_timer(2, "30", createTime="2025-06-15 10:00:00")
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
    assert (due(served, 1), due(served, 2)) == ("06-16 02:00", "06-15 10:30")
    assert not served.samples.keys() & set(FAMILIES[:3]), "there was no run"


async def test_a_stopped_timer_is_never_due(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    row = mms.add_timer(1, stopped=True)
    mms.log_timer(1, "2025-06-10 02:00:03")
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
        assert (due(served), served.value("mms_timer_stopped")) == (None, 1)
        row["stopped"] = False
        assert due(await refresh(harness, clock)) == "06-16 02:00", "days while it was stopped do not count"
        row["value"] = "01:30"
        assert due(await refresh(harness, clock)) == "06-16 01:30", "nor does a time before the schedule changed"
        del row["stopped"]
        assert due(await refresh(harness, clock)) is None, "unknown is not running"


async def test_what_was_due_while_the_source_was_stopped_is_not_missed(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_timer(1)
    mms.log_timer(1, "2025-06-10 02:00:03")
    async with harness_on(config_on(mms_url), clock) as harness:
        assert due(await harness.refresh()) == "06-11 02:00"
        mms.row["status"] = "STOPPED"
        await refresh(harness, clock)
        mms.row["status"] = "STARTED"
        assert due(await refresh(harness, clock)) == "06-16 02:00"


@pytest.mark.parametrize(
    ("fields", "lost"),
    [
        ({"scheduleType": "Weekly"}, "scheduleType"),
        ({"value": "25:00"}, "value"),
        ({"scheduleType": "Daily", "value": "30"}, "value"),
        ({"createTime": "soon"}, "createTime"),
    ],
)
async def test_an_unknown_schedule_is_counted_and_has_no_due_time(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, fields: dict[str, Any], lost: str
) -> None:
    mms.add_timer(1, **fields)
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
    assert due(served) is None
    counted = served.by("mms_exporter_unexpected_values_total", "field", operation="ListMmsTimers")
    assert counted == {lost: 1}
    assert served.value("mms_timer_stopped") == 0, "the rest is shown"


@pytest.mark.parametrize("order", ["newest first", "oldest first"])
@pytest.mark.parametrize("count", [5, 100, 250])
async def test_the_newest_log_is_found_in_any_order(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, order: str, count: int
) -> None:
    mms.add_timer(1, "30")
    for number in range(count):
        mms.log_timer(1, datetime.fromtimestamp(clock() - (count - number) * HOUR, ZONE).strftime("%Y-%m-%d %H:%M:%S"))
    if order == "oldest first":
        mms.timer_logs[1].reverse()
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
    assert served.value("mms_timer_last_run_timestamp_seconds") == clock() - HOUR
    assert mms.calls["timer_logs"] == (2 if order == "oldest first" and count > mms.page_cap else 1)


@pytest.mark.parametrize("order", ["newest first", "oldest first"])
@pytest.mark.parametrize("cap", [1, 2])
async def test_the_newest_log_is_found_on_small_pages(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, order: str, cap: int
) -> None:
    mms.add_timer(1, "30")
    for hour in range(8, 12):
        mms.log_timer(1, f"2025-06-15 {hour:02}:30:01")
    if order == "oldest first":
        mms.timer_logs[1].reverse()
    mms.page_cap = cap
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
    assert served.value("mms_timer_last_run_timestamp_seconds") == at("2025-06-15 11:30:01")
    assert due(served) == "06-15 12:30"


async def test_logs_that_lack_a_row_are_counted_and_read_again(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_timer(1, "30")
    mms.log_timer(1, "2025-06-15 11:30:01")
    mms.lost["timer_logs", 1] = 1
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
        assert served.by("mms_exporter_unexpected_values_total", "field", operation="ListMmsTimerLogs") == {"total": 1}
        served = await refresh(harness, clock, 60)
    assert served.value("mms_timer_last_run_timestamp_seconds") == at("2025-06-15 11:30:01")


async def test_pages_of_skips_are_read_until_a_run_is_found(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_timer(1, "30")
    mms.log_timer(1, "2025-06-01 00:30:00")
    for number in range(149):
        text = datetime.fromtimestamp(at("2025-06-01 01:30:00") + number * HOUR, ZONE).strftime("%Y-%m-%d %H:%M:%S")
        mms.log_timer(1, text, "FAILED", SKIPPED)
    async with harness_on(config_on(mms_url), clock) as harness:
        assert due(await harness.refresh()) == "06-01 01:30"
        assert mms.calls["timer_logs"] == 2
    for _ in range(200):
        mms.log_timer(1, "2025-06-10 00:30:00", "FAILED", SKIPPED)
    async with harness_on(config_on(mms_url), clock) as harness:
        mms.calls.clear()
        served = await harness.refresh()
    assert mms.calls["timer_logs"] == MAX_TIMER_LOG_PAGES
    assert due(served) is not None, "it is late at least since the oldest log that was read"
    assert "mms_timer_last_run_timestamp_seconds" not in served.samples


async def test_calls_are_one_list_per_interval_and_one_log_per_due_time(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    """Timers on schedule cost one call per interval, however many they are."""
    for number in range(1, 21):
        mms.add_timer(number, "30")
        mms.log_timer(number, "2025-06-15 11:30:01")
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        assert (mms.calls["timers"], mms.calls["timer_logs"]) == (1, 20)
        for _ in range(9):
            served = await refresh(harness, clock, 60)
        assert (mms.calls["timers"], mms.calls["timer_logs"]) == (1, 20), "within the interval nothing is read"
        assert len(served.by("mms_timer_due_timestamp_seconds", "timer_id")) == 20, "and everything stays"
        await refresh(harness, clock, 60)
        await refresh(harness, clock, INTERVAL)
        assert (mms.calls["timers"], mms.calls["timer_logs"]) == (3, 20), "before the due time, no log is read"
        for number in range(1, 21):
            mms.log_timer(number, "2025-06-15 12:30:01")
        await refresh(harness, clock, INTERVAL)
        assert (mms.calls["timers"], mms.calls["timer_logs"]) == (4, 40)
        await refresh(harness, clock, INTERVAL)
        assert (mms.calls["timers"], mms.calls["timer_logs"]) == (5, 40)


async def test_lists_of_many_sources_are_spread_over_the_interval(clock: ManualClock) -> None:
    async with (
        Simulator(World(WorldOptions(sources=20), clock=ManualClock()), identities=[IDENTITY]) as simulator,
        harness_on(config_on(simulator.url), clock) as harness,
    ):
        await harness.refresh()
        counts = []
        for _ in range(30):
            simulator.calls.clear()
            await refresh(harness, clock, 60)
            counts.append(sum(count for (name, _), count in simulator.calls.items() if name == "ListMmsTimers"))
    assert max(counts) <= 2 * 2
    assert sum(counts[10:20]) == sum(counts[20:]) == 20, "one per source and interval"


async def test_the_log_of_a_running_job_is_read_until_it_ends(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_timer(1)
    mms.log_timer(1, "2025-06-15 02:00:03", "DOING")
    async with harness_on(config_on(mms_url), clock) as harness:
        assert last_status(await harness.refresh()) == ["DOING"]
        mms.timer_logs[1][0]["status"] = "FAILED"
        assert last_status(await refresh(harness, clock)) == ["FAILED"]
        calls = mms.calls["timer_logs"]
        await refresh(harness, clock)
        assert mms.calls["timer_logs"] == calls
        mms.log_timer(1, "2025-06-15 12:30:00")
        served = await refresh(harness, clock, MAX_LIST_AGE_SECONDS)
        assert last_status(served) == ["DONE"], "a run that a person triggered is seen within an hour"


async def test_many_timers_are_read_in_several_refreshes(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    for number in range(1, MAX_TIMERS + 11):
        mms.add_timer(number)
        mms.log_timer(number, "2025-06-15 02:00:03")
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
        assert mms.calls["timer_logs"] == timers.LOGS_PER_REFRESH
        assert len(served.by("mms_timer_last_run_timestamp_seconds", "timer_id")) == timers.LOGS_PER_REFRESH
        served = await refresh(harness, clock, 60)
        await refresh(harness, clock, 60)
    assert mms.calls["timer_logs"] == MAX_TIMERS
    assert served.by("mms_timer_due_timestamp_seconds", "timer_id").keys() == {
        str(number) for number in range(11, MAX_TIMERS + 11)
    }
    assert served.value("mms_timer_series_omitted") == 10


async def test_a_removed_timer_leaves_at_once(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    mms.add_timer(1), mms.add_timer(2)
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        del mms.timers[1]
        assert (await refresh(harness, clock)).by("mms_timer_stopped", "timer_id") == {"2": 0}


async def test_a_timer_that_an_incomplete_list_lacks_stays(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_timer(1), mms.add_timer(2)
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        clock.advance(INTERVAL - 60)
        await harness.refresh()
        del mms.timers[2]
        mms.totals["timers"] = 2
        served = await refresh(harness, clock, 60)
        assert served.by("mms_timer_stopped", "timer_id") == {"1": 0, "2": 0}
        for _ in range(5):
            served = await refresh(harness, clock, 60)
        assert served.by("mms_timer_stopped", "timer_id") == {"1": 0}, "until stale_after"
        assert mms.calls["timers"] == 1 + 6 * 2, "each refresh reads it again, and looks for a second page"
        mms.totals.clear()
        await refresh(harness, clock, 60)
        await refresh(harness, clock, 60)
        assert mms.calls["timers"] == 1 + 6 * 2 + 1


async def test_refused_logs_leave_the_timers(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    mms.add_timer(1)
    mms.log_timer(1, "2025-06-15 02:00:03")
    mms.forbidden = {"timer_logs"}
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
        assert served.value("mms_timer_stopped") == 0
        assert not served.samples.keys() & set(FAMILIES), "what is not known is absent"
        assert served.by("mms_refresh_success", "collector")["timers"] == 0
        assert served.value("mms_datasource_refresh_success") == 1
        for _ in range(3):
            await refresh(harness, clock)
        assert (mms.calls["timers"], mms.calls["timer_logs"]) == (4, 1), "they are not asked for again"
        mms.forbidden.clear()
        harness.refresher.note_reload()
        assert due(await refresh(harness, clock, 1)) == "06-16 02:00"


async def test_a_refused_list_is_not_asked_for_again(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    mms.add_timer(1)
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        mms.forbidden = {"timers"}
        await refresh(harness, clock, INTERVAL - 60)
        served = await refresh(harness, clock, 60)
        assert served.value("mms_timer_stopped") == 0
        for _ in range(6):
            served = await refresh(harness, clock, 60)
        assert not [name for name in served.samples if name.startswith("mms_timer_")], "stale"
        assert mms.calls["timers"] == 2


async def test_failing_logs_keep_the_runs_until_they_are_stale(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_timer(1, "30"), mms.add_timer(2, "59")
    for number in (1, 2):
        mms.log_timer(number, "2025-06-15 11:59:01")
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        await refresh(harness, clock, 29 * 60)
        mms.broken = {"timer_logs"}
        await refresh(harness, clock, INTERVAL - 60)
        served = await refresh(harness, clock, 60)
        assert due(served) == "06-15 12:30", "the logs of timer 1 are to be read"
        assert served.value("mms_datasource_refresh_success") == 0
        for _ in range(6):
            served = await refresh(harness, clock, 60)
        assert due(served) is None
        mms.broken.clear()
        assert due(await refresh(harness, clock, 60)) == "06-15 12:30"


async def test_disabled_timers_are_not_read(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    mms.add_timer(1)
    async with harness_on(config_on(mms_url, timers={"enabled": False}), clock) as harness:
        served = await harness.refresh()
    assert not mms.calls["timers"]
    assert not [name for name in served.samples if name.startswith("mms_timer_")]


async def test_a_shorter_interval_reads_more_often(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    mms.add_timer(1)
    async with harness_on(config_on(mms_url, timers={"interval": "1m"}), clock) as harness:
        await harness.refresh()
        await refresh(harness, clock, 60)
    assert mms.calls["timers"] == 2


HOSTILE_NAMES = ('quote " and \\ backslash', "new\nline and {brace}", "漢字", "%s %d")
OPTIONS = WorldOptions(
    sources=3, databases=4, tables=8, timers=3, running_jobs_per_source=1, idle_share=0.4, job_seconds=2400.0,
    retry_failure_rate=0.3, special_sources=False,
)  # fmt: skip


@pytest.mark.parametrize("refreshes", [60, pytest.param(1000, marks=pytest.mark.scale)])
async def test_served_timers_equal_the_simulated_world(clock: ManualClock, refreshes: int) -> None:
    """Timers run, skip, are stopped, removed and added; their names are hostile."""
    steps, world, seen = Random(1), World(OPTIONS, clock=clock), Counter[str]()
    async with Simulator(world, identities=[IDENTITY]) as simulator:
        config = config_on(simulator.url, timers={"interval": "1s"}, failures={"enabled": False})
        async with harness_on(config, clock) as harness:
            for number in range(refreshes):
                served = await harness.refresh()
                for source_id in world.source_ids():
                    assert_timers_equal(served, source_id, world.truth())
                seen.update(last_status(served))
                seen["skips"] += len(served.samples.get("mms_timer_last_skip_timestamp_seconds", {}))
                clock.advance(steps.uniform(10, 1200))
                if number % 20 == 10:
                    change_timers(world, steps, number)
    assert {"DOING", "DONE", "FAILED", "skips"} <= seen.keys()


def change_timers(world: World, steps: Random, number: int) -> None:
    """Stop, remove and add a timer."""
    source_id = steps.choice(world.source_ids())
    timers = [timer.id for timer in world.truth().timers(source_id)]
    apply_event(world, events.StopTimer(source_id=source_id, timer_id=steps.choice(timers)))
    if len(timers) > 2:
        apply_event(world, events.RemoveTimer(source_id=source_id, timer_id=timers[0]))
    kind: Literal["Daily", "Hourly"] = steps.choice(("Daily", "Hourly"))
    value = f"{steps.randrange(24):02d}:30" if kind == "Daily" else f"{steps.randrange(60):02d}"
    name = HOSTILE_NAMES[number // 20 % len(HOSTILE_NAMES)] + str(number)
    facts = {"source_id": source_id, "database": steps.choice(("sales", "finance", "logs")), "name": name}
    apply_event(
        world, msgspec.convert({"type": "create_timer", **facts, "schedule_type": kind, "value": value}, events.Event)
    )


async def test_no_text_of_a_log_is_exported(clock: ManualClock) -> None:
    world = World(OPTIONS, clock=clock)
    clock.advance(4 * HOUR)
    async with (
        Simulator(world, identities=[IDENTITY]) as simulator,
        harness_on(config_on(simulator.url, tasks={"enabled": True}), clock) as harness,
    ):
        await harness.refresh()
        page = harness.publisher.body("text", gzip=False).decode()
    texts = [
        log.msg or ""
        for source_id in world.source_ids()
        for logs in world.truth().timers(source_id).values()
        for log in logs
    ]
    assert any(CANARY in text for text in texts), "messages of skips have secrets"
    assert CANARY not in page
    assert "ready to run" not in page
