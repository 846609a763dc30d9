"""The story of the demo in virtual time: what happens in which minute, and what must never happen."""

import time
from itertools import pairwise
from typing import Any

import pytest

from exporter.cli.demo import SimulatorOptions, create_world
from exporter.config.network import ListenAddress
from exporter.mms.models.statuses import UNFINISHED_JOB_STATUSES
from exporter.simulator import ManualClock, ScaledClock, Simulator, StoryWorld, story_options
from exporter.simulator.api import rows
from tests.conftest import IDENTITY, config_on
from tests.harness import harness_on

LEFTOVER, AGENT, STALLED, BURST = range(2000001, 2000005)
OVERDUE_SECONDS = 900
"""MmsJobOverdue tolerates this."""


class Told:
    """A story that can only go forward."""

    def __init__(self, seed: int = 1, sources: int = 4) -> None:
        self.clock = ManualClock()
        self.world = StoryWorld(story_options(seed, sources), clock=self.clock)

    def until(self, minute: float) -> "Told":
        """Advance to a minute."""
        self.clock.advance(60 * minute - self.world.seconds())
        return self

    def row(self, source_id: int) -> dict[str, Any]:
        """Return the row of a data source."""
        site = self.world.site(source_id)
        return rows.data_source(site, self.world.at(site))

    def done(self, source_id: int) -> int:
        """Return the migrated tables and partitions of a data source."""
        row = self.row(source_id)
        return int(row["tablesDoneNum"] + row["partitionsDoneNum"])

    def failed(self, source_id: int) -> int:
        """Return the failed tables and partitions of a data source."""
        row = self.row(source_id)
        return int(row["tablesFailedNum"] + row["partitionsFailedNum"])

    def progress(self) -> float:
        """Return the progress of all data sources."""
        found = [self.row(source_id) for source_id in self.world.source_ids()]
        total = sum(int(row["tableNum"] + row["partitionNum"]) for row in found)
        return sum(map(self.done, self.world.source_ids())) / total

    def jobs(self, source_id: int) -> list[dict[str, Any]]:
        """Return the rows of all jobs of a data source."""
        site = self.world.site(source_id)
        at = self.world.at(site)
        found = (site.job_store.find(job_id, at) for job_id in site.job_store.ids(at))
        return [rows.job(site, job, at) for job in found if job is not None]


def test_progress_rises_from_0_to_nearly_100_percent() -> None:
    told = Told()
    ratios = [told.until(minute / 2).progress() for minute in range(41)]
    assert ratios == sorted(ratios)
    assert ratios[0] == 0
    assert ratios[2] > 0, "something is migrated within the first minute"
    assert 0.98 < ratios[-1] < 1
    assert max(after - before for before, after in pairwise(ratios)) < 0.1, "no leap"


def test_every_source_migrates_in_each_minute_of_the_first_wave_before_any_trouble() -> None:
    told = Told()
    seen = [
        {source_id: told.until(minute).done(source_id) for source_id in told.world.source_ids()}
        for minute in (1.5, 2, 2.5, 3)
    ]
    for before, after in pairwise(seen):
        assert all(after[source_id] > before[source_id] for source_id in after)


def test_many_partitions_of_one_source_fail_from_minute_3_and_are_retried_at_minute_8() -> None:
    told = Told().until(3.5)
    assert told.failed(BURST) == 0
    burst = told.until(7.9).failed(BURST)
    assert 20 < burst <= 100, "MmsFailureBurst needs more than 20; the demo names up to 100"
    assert burst / (burst + told.done(BURST)) > 0.2, "and more than 20 %"
    assert any(job["status"] == "FAILED" for job in told.jobs(BURST))
    told.until(8.2)
    assert {job["type"] for job in told.jobs(BURST) if job["status"] in UNFINISHED_JOB_STATUSES} >= {"Partitions"}
    assert told.until(10).failed(BURST) == 0


def test_the_failures_of_another_source_wait_for_a_person() -> None:
    told = Told().until(6.5)
    assert 0 < told.failed(LEFTOVER) < 20, "no burst"
    assert told.until(60).failed(LEFTOVER) == told.until(6.5 + 60).failed(LEFTOVER) > 0
    assert all(told.failed(each) == 0 for each in (AGENT, STALLED, BURST))


def test_one_agent_is_lost_from_minute_4_to_11_and_its_source_catches_up() -> None:
    told = Told().until(3.9)
    assert told.row(AGENT)["agentIsOnline"]
    done = told.until(4.1).done(AGENT)
    assert not told.row(AGENT)["agentIsOnline"]
    assert told.until(10.9).done(AGENT) == done
    assert not told.row(AGENT)["agentIsOnline"]
    assert told.until(11.1).row(AGENT)["agentIsOnline"]
    assert told.until(13).done(AGENT) > done
    assert all(told.row(each)["agentIsOnline"] for each in (LEFTOVER, STALLED, BURST))


def test_one_source_stalls_from_minute_10_to_13_without_any_sign() -> None:
    told = Told()
    done = told.until(10.01).done(STALLED)
    assert told.until(12.9).done(STALLED) == done
    assert told.row(STALLED)["agentIsOnline"]
    assert told.row(STALLED)["tablesDoingNum"] > 0, "it looks as if it worked"
    assert told.until(14).done(STALLED) > done


def test_a_second_wave_starts_at_minute_13_and_all_jobs_end_before_minute_20() -> None:
    told = Told()
    before = {source_id: len(told.until(12.9).jobs(source_id)) for source_id in told.world.source_ids()}
    assert all(len(told.until(13.9).jobs(source_id)) > count for source_id, count in before.items())
    assert any(job["status"] == "DOING" for source_id in before for job in told.until(19).jobs(source_id))
    told.until(20)
    assert {job["status"] for source_id in before for job in told.jobs(source_id)} == {"DONE", "FAILED"}


async def test_a_scan_finds_outdated_partitions_and_a_timer_migrates_them_again() -> None:
    clock, seen = ManualClock(), dict[str, list[float]]()
    async with (
        Simulator(StoryWorld(clock=clock), identities=[IDENTITY]) as simulator,
        harness_on(config_on(simulator.url, timers={"interval": "1m"}), clock) as harness,
    ):
        for _ in range(21):
            samples = (await harness.refresh()).samples
            for name in ("mms_timer_info", "mms_metadata_scan_progress_ratio", "mms_partitions_outdated"):
                seen.setdefault(name, []).append(sum(samples.get(name, {}).values()))
            ran = sum(samples.get("mms_timer_last_run_timestamp_seconds", {}).values())
            seen.setdefault("ran", []).append(ran)
            clock.advance(60)
    assert seen["mms_timer_info"][-1] == 1
    assert seen["ran"][6] == 0 < seen["ran"][20]
    assert any(0 < ratio < 1 for ratio in seen["mms_metadata_scan_progress_ratio"])
    assert seen["mms_partitions_outdated"][6] > 0 == seen["mms_partitions_outdated"][20]


def test_the_state_depends_on_the_time_and_not_on_who_asked_before() -> None:
    often, once = Told(), Told()
    for minute in range(21):
        often.until(minute)
        for source_id in often.world.source_ids():
            often.jobs(source_id)
    once.until(20)
    for source_id in once.world.source_ids():
        assert once.row(source_id) == often.row(source_id)
        assert once.jobs(source_id) == often.jobs(source_id)


@pytest.mark.parametrize("sources", [0, 1, 2, 7])
def test_the_story_can_be_told_of_any_number_of_sources(sources: int) -> None:
    told = Told(sources=sources).until(25)
    assert len(told.world.source_ids()) == sources
    assert not sources or told.progress() > 0.9


@pytest.mark.parametrize("seed", range(5))
def test_no_job_is_overdue_or_created_in_the_future(seed: int) -> None:
    told, created = Told(seed), dict[tuple[int, int], str]()
    for half_minute in range(41):
        now = _text(told.until(half_minute / 2), 0)
        late = _text(told, -OVERDUE_SECONDS)
        for source_id in told.world.source_ids():
            for job in told.jobs(source_id):
                assert job["createTime"] <= now
                assert created.setdefault((source_id, job["id"]), job["createTime"]) == job["createTime"]
                if job["eta"] and job["status"] in UNFINISHED_JOB_STATUSES:
                    assert f"{job['eta']} 23:59:59" > late, "a bare date means the end of its day"


def _text(told: Told, seconds: float) -> str:
    """Return the time in a number of seconds as the API writes it."""
    site = told.world.site(LEFTOVER)
    return site.time(site.source.clock.moment(told.world.seconds()) + seconds)


async def test_no_exported_time_is_in_the_future() -> None:
    clock = ManualClock()
    async with (
        Simulator(StoryWorld(clock=clock), identities=[IDENTITY]) as simulator,
        harness_on(config_on(simulator.url), clock) as harness,
    ):
        for _ in range(22):
            served = await harness.refresh()
            times = {
                name: max(series.values())
                for name, series in served.samples.items()
                if name.startswith("mms_")
                and name.endswith("_timestamp_seconds")
                and not {"eta", "due"} & set(name.split("_"))
            }
            assert {name for name, last in times.items() if last > clock()} == set()
            clock.advance(60)
    assert "mms_job_created_timestamp_seconds" in served.samples


@pytest.mark.parametrize("scenario", ["story", "endless"])
@pytest.mark.parametrize("speed", [0.5, 1.0, 60.0, 100_000.0])
def test_the_clock_of_the_demo_is_never_ahead(scenario: str, speed: float) -> None:
    address = ListenAddress("127.0.0.1", 0)
    clock = create_world(SimulatorOptions(address, scenario, 1, speed, 4, 0.0, "listed")).clock
    for _ in range(100):
        assert clock() <= time.time()


def test_a_fast_clock_catches_up_with_the_real_one_and_then_follows_it() -> None:
    real = ManualClock(1000.0)
    clock = ScaledClock(940.0, 4.0, monotonic=real, limit=real)
    seen = []
    for _ in range(5):
        seen.append(clock())
        real.advance(10)
    assert seen == [940, 980, 1020, 1030, 1040]
