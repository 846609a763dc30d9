"""The collector of jobs: which jobs have series, for how long, and the number of calls."""

import pytest

from exporter.collect.collectors.jobs import JobsCollector
from exporter.mms import transport
from exporter.simulator import ManualClock, Simulator, World, WorldOptions
from tests.collect.conftest import HISTORY, HandWrittenMms
from tests.conftest import IDENTITY, config_on
from tests.harness import harness_on

by_page_and_by_lists = pytest.mark.parametrize("history", [0, HISTORY])
"""Numbers of old finished jobs: on one page, and on several."""
SOURCES = 12


async def test_a_refresh_takes_at_most_five_calls_per_source(clock: ManualClock) -> None:
    """Reading all 1,005 jobs of a source at 50 rows a page would take 21."""
    options = WorldOptions(
        sources=SOURCES,
        databases=1,
        tables=8,
        partitions=4,
        finished_jobs_per_source=1000,
        running_jobs_per_source=5,
        idle_share=0,
        stopped_share=0,
        special_sources=False,
        incidents=False,
    )
    async with (
        Simulator(World(options, clock=clock), identities=[IDENTITY], page_size_cap=50) as simulator,
        harness_on(config_on(simulator.url), clock) as harness,
    ):
        served = await harness.refresh()
        assert len(served.by("mms_jobs", "source_id", status="DONE")) == SOURCES
        assert min(served.by("mms_jobs", "source_id", status="DONE").values()) > 900
        for _ in range(5):
            simulator.calls_reset()
            clock.advance(60)
            await harness.refresher.refresh()
            scans = ("GetMmsFetchMetadataJob", "ListMmsPartitions")
            calls = {call: count for call, count in simulator.calls.items() if call[0] not in scans}
            assert sum(calls.values()) <= 5 * SOURCES, "without those of running and ended metadata scans"
            assert max(simulator.calls.values()) <= 5


async def test_an_idle_source_is_read_once_per_idle_interval(clock: ManualClock) -> None:
    options = WorldOptions(sources=4, idle_share=1, stopped_share=0, special_sources=False, incidents=False)
    async with Simulator(World(options, clock=clock), identities=[IDENTITY]) as simulator:
        config = config_on(simulator.url, jobs={"idle_interval": "10m"}, refresh={"stale_after": "2m"})
        async with harness_on(config, clock) as harness:
            await harness.refresh()
            simulator.calls_reset()
            for _ in range(9):
                clock.advance(60)
                served = await harness.refresh()
            assert {operation for operation, _ in simulator.calls} == {"ListMmsDataSources"}
            assert len(served.by("mms_jobs", "source_id", status="DONE")) == 4, "an idle source stays fresh"
            assert set(served.by("mms_datasource_refresh_success", "source_id").values()) == {1}
            clock.advance(61)
            await harness.refresh()
            assert simulator.calls["ListMmsJobs", 2000001] == 1


async def test_a_changed_row_makes_an_idle_source_read(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        mms.row["tablesDoingNum"] = 1
        mms.add_job(1, "DOING")
        served = await harness.refresh()
        assert served.value("mms_jobs", status="DOING") == 1


@by_page_and_by_lists
async def test_a_finished_job_lingers_as_done_until_linger_ends(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, history: int
) -> None:
    job = mms.add_job(1, "DOING")
    mms.add_job(2, "DONE")
    mms.add_history(history)
    async with harness_on(config_on(mms_url, jobs={"linger": "15m"}), clock) as harness:
        served = await harness.refresh()
        assert set(served.by("mms_job_tasks", "job_id")) == {"1"}, "an earlier finished job has no series"
        job |= {"status": "DONE", "taskDone": 4}
        clock.advance(60)
        served = await harness.refresh()
        assert served.value("mms_job_status", job_id="1", status="DONE") == 1
        assert served.value("mms_job_tasks_done", job_id="1") == 4
        clock.advance(15 * 60 - 1)
        assert set((await harness.refresh()).by("mms_job_tasks", "job_id")) == {"1"}
        clock.advance(2)
        assert (await harness.refresh()).by("mms_job_tasks", "job_id") == {}


async def test_a_job_finished_behind_the_first_page_is_found_by_name(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_job(1, "DOING")
    for job_id in [*range(10, 20), *range(100, 260)]:
        mms.add_job(job_id, "DONE")
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        mms.jobs[0]["status"] = "DONE"
        mms.calls.clear()
        for _ in range(2):
            served = await harness.refresh()
            assert mms.calls["name"] <= 2, "one page per refresh"
        assert served.value("mms_job_status", job_id="1", status="DONE") == 1


async def test_jobs_finishing_together_are_found_within_a_few_refreshes(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    jobs = [mms.add_job(job_id, "DOING") for job_id in range(1000, 1006)]
    for job_id in range(150):
        mms.add_job(job_id, "DONE")
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        for job in jobs:
            job["status"] = "DONE"
        for expected in range(1, 7):
            served = await harness.refresh()
            assert len(served.having("mms_job_status", status="DONE")) == expected


@by_page_and_by_lists
async def test_a_deleted_job_disappears_immediately(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, history: int
) -> None:
    mms.add_job(1, "DOING")
    mms.add_history(history)
    async with harness_on(config_on(mms_url), clock) as harness:
        assert (await harness.refresh()).value("mms_job_tasks", job_id="1") == 4
        del mms.jobs[-1]
        served = await harness.refresh()
        assert served.by("mms_job_tasks", "job_id") == {}
        assert served.value("mms_jobs", status="DOING") == 0


@by_page_and_by_lists
async def test_a_running_job_with_an_unknown_status_keeps_its_series(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, history: int
) -> None:
    job = mms.add_job(1, "DOING")
    mms.add_history(history)
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        job["status"] = "PAUSED"
        for _ in range(2):
            served = await harness.refresh()
            assert served.value("mms_job_status", job_id="1", status="UNKNOWN") == 1
            assert served.value("mms_jobs", status="UNKNOWN") == 1
        found = {"operation": "ListMmsJobs", "field": "status"}
        assert served.value("mms_exporter_unexpected_values_total", **found) == 2
        job["status"] = "DOING"
        assert (await harness.refresh()).value("mms_job_status", job_id="1", status="DOING") == 1


@by_page_and_by_lists
async def test_the_series_limit_prefers_the_newest_unfinished_jobs(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, history: int
) -> None:
    for job_id in range(5):
        mms.add_job(job_id, "DOING", createTime=f"2025-01-0{job_id + 1} 00:00:00", stopped=job_id < 2)
    mms.add_job(9, "FAILED")
    mms.add_history(history)
    async with harness_on(config_on(mms_url, jobs={"max_series_per_source": 3}), clock) as harness:
        served = await harness.refresh()
        assert set(served.by("mms_job_tasks", "job_id")) == {"2", "3", "4"}
        assert served.value("mms_job_series_omitted") == 2
        assert served.value("mms_jobs", status="FAILED") == 1
        assert served.value("mms_jobs_stopped") == 2, "jobs without series count too"


@by_page_and_by_lists
async def test_a_failed_job_has_series_until_its_retry_is_done(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, history: int
) -> None:
    mms.fail_tables((1, "sales", "orders"))
    job = mms.add_job(1, "FAILED")
    mms.add_history(history)
    async with harness_on(config_on(mms_url, jobs={"idle_interval": "1s"}), clock) as harness:
        for _ in range(3):
            clock.advance(3600)
            assert (await harness.refresh()).value("mms_job_status", job_id="1", status="FAILED") == 1
        job["status"] = "DOING"
        clock.advance(60)
        assert (await harness.refresh()).value("mms_job_status", job_id="1", status="FAILED") == 0


async def test_a_new_time_zone_applies_to_failed_jobs(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    """The source is idle, so nothing else would read them again."""
    mms.add_job(1, "FAILED", createTime="2025-01-01 00:00:00")
    async with (
        harness_on(config_on(mms_url, {"time_zone": "Asia/Shanghai"}), clock) as before,
        harness_on(config_on(mms_url, {"time_zone": "Asia/Tokyo"}), clock) as after,
    ):
        in_shanghai = (await before.refresh()).value("mms_job_created_timestamp_seconds")
        after.refresher.inherit_from(before.refresher)
        assert (await after.served()).value("mms_job_created_timestamp_seconds") == in_shanghai
        in_tokyo = (await after.refresh()).value("mms_job_created_timestamp_seconds")
    assert in_shanghai is not None
    assert in_tokyo == in_shanghai - 3600


async def test_unfinished_jobs_are_read_completely_from_capped_pages(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.page_cap = 7
    for job_id in range(30):
        mms.add_job(job_id, "INIT")
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
        assert len(served.by("mms_job_tasks", "job_id")) == 30


async def test_a_job_that_changes_lists_is_counted_once(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    job = mms.add_job(1, "INIT")
    mms.add_history()

    def move_on(list_filter: str) -> None:
        job["status"] = "DOING" if list_filter == "DOING" else job["status"]

    mms.before_list = move_on
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
        assert mms.calls["INIT"] == 1
        assert served.by("mms_jobs", "status") == {"INIT": 0, "DOING": 1, "DONE": HISTORY, "FAILED": 0}
        assert served.value("mms_job_status", job_id="1", status="DOING") == 1


async def test_an_unparsable_eta_has_no_sample(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    etas = {1: "", 2: "2025-06-01", 3: "2025-06-01 12:00:00\n", 4: "tomorrow", 5: None}
    for job_id, eta in etas.items():
        mms.add_job(job_id, "DOING", eta=eta)
    async with harness_on(config_on(mms_url, {"time_zone": "UTC"}), clock) as harness:
        served = await harness.refresh()
        end_of_day = 1748822399
        assert served.by("mms_job_eta_timestamp_seconds", "job_id") == {"2": end_of_day, "3": 1748779200}
        assert served.value("mms_exporter_unexpected_values_total", operation="ListMmsJobs", field="eta") == 1


async def test_a_failed_lookup_affects_no_other_job(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    for job_id in (1, 2):
        mms.add_job(job_id, "DOING")
    mms.add_history()
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        del mms.jobs[-2:]
        mms.add_job(3, "DOING")
        mms.refused.add("name")
        served = await harness.refresh()
        assert set(served.by("mms_job_tasks", "job_id")) == {"3"}
        assert served.value("mms_refresh_success", collector="jobs") == 1


async def test_a_retried_job_behind_the_first_page_is_not_failed(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    """First page and total do not change, since another job fails meanwhile."""
    mms.page_cap = 5
    jobs = [mms.add_job(job_id, "FAILED") for job_id in range(12)]
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        mms.row["tablesDoingNum"] = 1
        jobs[0]["status"] = "DOING"
        mms.jobs.insert(0, {**jobs[1], "id": 99, "name": "job_99"})
        served = await harness.refresh()
        assert served.value("mms_job_status", job_id="0", status="DOING") == 1
        assert served.value("mms_jobs", status="DOING") == 1
        assert served.value("mms_jobs", status="FAILED") == 12


async def test_a_job_that_ends_between_two_lists_is_counted_once(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    job = mms.add_job(1, "DOING")
    mms.add_history()

    def end(list_filter: str) -> None:
        job["status"] = "DONE" if list_filter == "DONE" else job["status"]

    mms.before_list = end
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
        assert served.by("mms_jobs", "status") == {"INIT": 0, "DOING": 0, "DONE": HISTORY + 1, "FAILED": 0}


async def test_a_missing_total_has_no_sample(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    for job_id in range(3):
        mms.add_job(job_id, "INIT")
    mms.add_history()
    mms.totals["INIT"] = None

    def move_on(list_filter: str) -> None:
        mms.jobs[-1]["status"] = "DOING" if list_filter == "DOING" else mms.jobs[-1]["status"]

    mms.before_list = move_on
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
        assert served.by("mms_jobs", "status") == {"DOING": 1, "DONE": HISTORY, "FAILED": 0}


@by_page_and_by_lists
async def test_the_number_of_stopped_jobs_is_absent_if_any_is_unknown(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, history: int
) -> None:
    mms.add_job(1, "DOING", stopped=None)
    mms.add_history(history)
    async with harness_on(config_on(mms_url), clock) as harness:
        assert (await harness.refresh()).value("mms_jobs_stopped") is None


async def test_the_lookup_of_a_deleted_job_with_a_common_name_ends(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.page_cap = 1
    mms.add_job(1, "DOING", name="job")
    for job_id in range(100, 150):
        mms.add_job(job_id, "DONE")
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        del mms.jobs[0]
        for _ in range(12):
            await harness.refresh()
        mms.calls.clear()
        await harness.refresh()
        assert not mms.calls, "the source is idle"


async def test_a_source_with_an_unreadable_unfinished_job_is_not_idle(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    """The row does not show it, and the number of stopped jobs is unknown."""
    job = mms.add_job(1, "DOING", stopped=True)
    job["id"] = "1"
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
        assert served.value("mms_jobs", status="DOING") == 1
        assert served.value("mms_jobs_stopped") is None
        job["id"] = 1
        served = await harness.refresh()
        assert served.value("mms_job_status", job_id="1", status="DOING") == 1
        assert served.value("mms_jobs_stopped") == 1


async def test_jobs_on_one_page_take_one_call(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    for job_id, status in enumerate(("INIT", "DOING", "DOING", "FAILED", *["DONE"] * 96)):
        mms.add_job(job_id, status)
    async with harness_on(config_on(mms_url), clock) as harness:
        for _ in range(2):
            mms.calls.clear()
            served = await harness.refresh()
            assert mms.job_calls == {"all": 1}
            assert served.by("mms_jobs", "status") == {"INIT": 1, "DOING": 2, "DONE": 96, "FAILED": 1}
            assert set(served.by("mms_job_tasks", "job_id")) == {"0", "1", "2", "3"}


async def test_an_unchanged_page_is_not_processed_again(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    mms.add_job(1, "DOING")
    job = mms.add_job(2, "DOING")
    async with harness_on(config_on(mms_url), clock) as harness:
        before = await harness.refresh()
        shown = harness.refresher.snapshot().sources[0].jobs
        clock.advance(60)
        with monkeypatch.context() as patch:
            patch.delattr(JobsCollector, "_stats")
            served = await harness.refresh()
            assert served.by("mms_job_tasks_done", "job_id") == before.by("mms_job_tasks_done", "job_id")
            assert served.value("mms_datasource_refresh_last_success_timestamp_seconds") == clock()
        assert harness.refresher.snapshot().sources[0].jobs is shown
        job["taskDone"] = 3
        assert (await harness.refresh()).by("mms_job_tasks_done", "job_id") == {"1": 1, "2": 3}
        job["status"] = "DONE"
        for seconds in (0, 899, 1):
            clock.advance(seconds)
            served = await harness.refresh()
            assert ("2" in served.by("mms_job_tasks_done", "job_id")) is (seconds != 1)
            assert served.by("mms_jobs", "status") == {"INIT": 0, "DOING": 1, "DONE": 1, "FAILED": 0}


@pytest.mark.parametrize(
    ("field", "value"), [("taskNum", "many"), ("createTime", "soon"), ("eta", "later"), ("status", "PAUSED")]
)
async def test_unusable_values_of_an_unchanged_page_are_counted_each_time(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, field: str, value: str
) -> None:
    mms.add_job(1, "DOING")
    job = mms.add_job(2, "DOING")
    found = {"operation": "ListMmsJobs", "field": field}
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        job[field] = value
        counted = [(await harness.refresh()).value("mms_exporter_unexpected_values_total", **found) for _ in range(3)]
    assert counted == [1, 2, 3]


async def test_unexpected_values_of_a_job_are_counted_while_it_has_series(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_job(1, "DOING")
    job = mms.add_job(2, "DOING", eta="soon")
    found = {"operation": "ListMmsJobs", "field": "eta"}
    async with harness_on(config_on(mms_url), clock) as harness:
        counted = []
        for seconds in (0, 60, 60, 900, 60, 60):
            clock.advance(seconds)
            counted.append((await harness.refresh()).value("mms_exporter_unexpected_values_total", **found))
            job["status"] = "DONE"
    assert counted == [1, 2, 3, 4, 4, 4]


async def test_a_source_with_unchanged_jobs_and_a_new_row_becomes_idle_again(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_job(1, "DONE")
    async with harness_on(config_on(mms_url), clock) as harness:
        calls = []
        for change in ({}, {}, {"tablesFailedNum": 1}, {}, {}):
            mms.row |= change
            mms.calls.clear()
            clock.advance(60)
            await harness.refresh()
            calls.append(mms.calls["all"])
        assert calls == [1, 0, 1, 0, 0]
        clock.advance(600)
        for expected in (1, 0):
            mms.calls.clear()
            await harness.refresh()
            assert mms.calls["all"] == expected


@by_page_and_by_lists
async def test_each_job_is_kept_as_one_object(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, history: int
) -> None:
    for job_id in range(5):
        mms.add_job(job_id, "DOING")
    mms.add_job(5, "FAILED")
    mms.add_job(6, "DONE")
    mms.add_history(history)
    async with harness_on(config_on(mms_url), clock) as harness:
        rows = {row["id"]: row for row in mms.jobs}
        changes: tuple[dict[int, dict[str, object]], ...] = (
            {},
            {},
            {3: {"taskDone": 3}},
            {},
            {4: {"status": "DONE"}},
            {5: {"eta": "2025-01-02 00:00:00"}},
            {6: {"taskNum": 5}},
        )
        for change in changes:
            for job_id, fields in change.items():
                rows[job_id].update(fields)
            await harness.refresh()
            (source,) = harness.refresher._sources.by_id.values()  # noqa: SLF001 - not visible otherwise
            memory, shown = source.jobs.state, harness.refresher.snapshot().sources[0].jobs
            assert shown is not None
            finished = [job for job, _ in memory.finished.values()]
            kept = [*memory.unfinished.values(), *memory.failed.values(), *finished]
            assert len(shown.jobs) == len({id(job) for job in (*shown.jobs, *kept)}) == 6


async def test_jobs_too_many_for_one_page_are_listed_by_status(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_job(1, "DOING")
    mms.add_history(99)
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        mms.add_job(2, "INIT")
        by_status = {"INIT": 1, "DOING": 1, "FAILED": 1, "DONE": 1}
        for expected in ({"all": 1, "stopped": 1, **by_status}, by_status):
            mms.calls.clear()
            served = await harness.refresh()
            assert mms.calls == expected
            assert served.by("mms_jobs", "status") == {"INIT": 1, "DOING": 1, "DONE": 99, "FAILED": 0}
        del mms.jobs[0]
        clock.advance(3600)
        await harness.refresh()
        mms.calls.clear()
        assert (await harness.refresh()).value("mms_jobs", status="DONE") == 98
        assert mms.calls == {"all": 1}


async def test_a_page_too_small_for_all_jobs_is_retried_after_an_hour(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.page_cap = 2
    for job_id in range(3):
        mms.add_job(job_id, "DOING")
    async with harness_on(config_on(mms_url), clock) as harness:
        tries = []
        for _ in range(7):
            mms.calls.clear()
            assert (await harness.refresh()).value("mms_jobs", status="DOING") == 3
            tries.append(mms.calls["all"])
            clock.advance(600)
        assert tries == [1, 0, 0, 0, 0, 0, 1]


async def test_a_page_too_small_for_all_jobs_is_not_retried_if_lists_fail(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_job(1, "DOING")
    mms.add_history()
    mms.refused.add("DOING")
    async with harness_on(config_on(mms_url), clock) as harness:
        for _ in range(3):
            await harness.refresh()
        assert mms.job_calls == {"all": 1, "INIT": 3, "DOING": 3}


@pytest.mark.parametrize("fault", ["refused", "broken", "too large"])
async def test_lists_are_read_after_an_unreadable_page(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    mms.add_job(1, "DOING")
    for job_id in range(2, 40):
        mms.add_job(job_id, "FAILED", config={"tables": ["t" * 1000]} if fault == "too large" else {})
        mms.jobs[-1]["status"] = "DONE" if fault == "too large" and job_id > 3 else "FAILED"
    if fault == "too large":
        monkeypatch.setattr(transport, "MAX_RESPONSE_BYTES", 38_000)
        mms.page_caps["DONE"] = 1
    else:
        getattr(mms, fault).add("all")
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
        assert served.value("mms_jobs", status="DOING") == 1
        assert served.value("mms_refresh_success", collector="jobs") == 1
        mms.calls.clear()
        await harness.refresh()
        assert mms.calls == {"INIT": 1, "DOING": 1, "FAILED": 1, "DONE": 1}, "the page is not retried immediately"


async def test_one_page_is_read_after_an_outage(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    mms.add_job(1, "DOING")
    async with harness_on(config_on(mms_url), clock) as harness:
        mms.broken |= {"all", "INIT"}
        assert (await harness.refresh()).value("mms_refresh_success", collector="jobs") == 0
        mms.broken.clear()
        mms.calls.clear()
        await harness.refresh()
        assert mms.calls == {"all": 1}


async def test_a_page_updates_lingering_jobs(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    jobs = {each: mms.add_job(each, "DOING") for each in (1, 2, 3)}
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        for job in jobs.values():
            job["status"] = "DONE"
        assert set((await harness.refresh()).by("mms_job_tasks", "job_id")) == {"1", "2", "3"}
        del mms.jobs[0]
        jobs[2]["status"] = "ROLLING_BACK"
        jobs[3]["taskDone"] = 4
        mms.row["tablesDoingNum"] = 1
        served = await harness.refresh()
        assert set(served.by("mms_job_tasks", "job_id")) == {"2", "3"}
        assert served.value("mms_job_status", job_id="2", status="UNKNOWN") == 1
        assert served.value("mms_job_tasks_done", job_id="3") == 4
        clock.advance(15 * 60)
        assert set((await harness.refresh()).by("mms_job_tasks", "job_id")) == {"2"}


async def test_a_failed_job_with_a_new_unknown_status_keeps_its_series(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    job = mms.add_job(1, "FAILED")
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        job["status"] = "RETRYING"
        mms.row["tablesDoingNum"] = 1
        assert (await harness.refresh()).value("mms_job_status", job_id="1", status="UNKNOWN") == 1
        job["status"] = "DOING"
        assert (await harness.refresh()).value("mms_job_status", job_id="1", status="DOING") == 1


@pytest.mark.parametrize("doubt", ["no total", "a total too high", "a total too low", "a job without status", "no id"])
async def test_an_unusable_page_is_replaced_by_lists(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, doubt: str
) -> None:
    """The lists have the statuses and the totals."""
    jobs = [mms.add_job(job_id, "DOING") for job_id in range(3)]

    def spoil(word: str) -> None:
        jobs[0] |= {"id": None if doubt == "no id" and word == "all" else 0}
        jobs[1] |= {"status": "" if doubt == "a job without status" and word == "all" else "DOING"}

    mms.before_list = spoil
    lies: dict[str, int | None] = {"no total": None, "a total too high": 4, "a total too low": 2}
    if doubt in lies:
        mms.totals["all"] = lies[doubt]
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
        assert served.by("mms_jobs", "status") == {"INIT": 0, "DOING": 3, "DONE": 0, "FAILED": 0}
        assert set(served.by("mms_job_tasks", "job_id")) == {"0", "1", "2"}
        assert mms.calls["DOING"] == 1


async def test_jobs_with_unknown_statuses_are_counted_from_one_page(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    """They may have ended: they have no series, and the source may be idle."""
    mms.add_job(1, "CANCELLED")
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
        assert served.by("mms_jobs", "status") == {"INIT": 0, "DOING": 0, "DONE": 0, "FAILED": 0, "UNKNOWN": 1}
        assert served.by("mms_job_tasks", "job_id") == {}
        found = {"operation": "ListMmsJobs", "field": "status"}
        assert served.value("mms_exporter_unexpected_values_total", **found) == 1
        mms.calls.clear()
        await harness.refresh()
        assert not mms.calls


async def test_only_tracked_finished_jobs_are_decoded(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    """Other finished jobs are not decoded, so their fields may be malformed."""
    mms.add_job(1, "DOING")
    mms.add_history()
    mms.jobs[-2]["taskNum"] = "many"
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
        assert served.value("mms_jobs", status="DONE") == HISTORY
        assert mms.calls["DONE"] == 1
        found = {"operation": "ListMmsJobs", "field": "taskNum"}
        before = served.value("mms_exporter_unexpected_values_total", **found)
        served = await harness.refresh()
        assert served.value("mms_exporter_unexpected_values_total", **found) == before
