"""After a failed or incomplete read, the next refresh reads again, even without visible changes."""

from collections.abc import Callable

import pytest

from exporter.collect.state.failure_state import MAX_LIST_AGE_SECONDS
from exporter.simulator import Fault, ManualClock, Simulator, World, WorldOptions
from exporter.simulator.faults.fault_plan import Kind
from tests.collect.conftest import SOURCE_ID, HandWrittenMms
from tests.conftest import IDENTITY, config_on
from tests.exposition_parser import Exposition
from tests.harness import Harness, harness_on

FIRST = 2000001
FIVE = tuple((number, "sales", f"table_{number}") for number in range(1, 6))
OTHER_FIVE = (*FIVE[1:], (6, "sales", "table_6"))
BY_KIND = {
    "tables": ("mms_failed_table_info", HandWrittenMms.fail_tables),
    "partitions": ("mms_failed_partition_info", HandWrittenMms.fail_partitions),
}


def incomplete(served: Exposition, operation: str) -> float:
    """Return the number of incomplete lists of an operation."""
    return served.value("mms_exporter_unexpected_values_total", operation=operation, field="total", account="test") or 0


def failed_jobs(served: Exposition) -> set[str]:
    """Return the ids of the jobs with status FAILED."""
    return {
        dict(labels)["job_id"] for labels, value in served.having("mms_job_status", status="FAILED").items() if value
    }


def fail(mms: HandWrittenMms, kind: str, failed: tuple[tuple[int, str, str], ...]) -> set[str]:
    """Fail exactly these tables, or a partition of each; return their names."""
    if kind == "tables":
        mms.fail_tables(*failed)
    else:
        mms.fail_partitions(*((*each, "ds=1") for each in failed))
    return {name for _, _, name in failed}


def named(served: Exposition, kind: str) -> set[str]:
    """Return the names of tables that failed or have a failed partition."""
    return set(served.by(BY_KIND[kind][0], "table"))


@pytest.mark.parametrize("idle_share", [0.0, 1.0], ids=["busy", "idle"])
@pytest.mark.parametrize("kind", ["lost_row", "repeated_row"])
async def test_a_failed_job_missing_from_a_page_appears_after_the_next_refresh(
    clock: ManualClock, kind: Kind, idle_share: float
) -> None:
    options = WorldOptions(
        sources=1,
        databases=1,
        tables=2,
        finished_jobs_per_source=120,
        running_jobs_per_source=1,
        failure_rate=1.0,
        idle_share=idle_share,
        stopped_share=0,
        special_sources=False,
        incidents=False,
    )
    fault = Fault(kind=kind, operation="ListMmsJobs", row=3, times=1, query={"status": "FAILED", "pageNum": "2"})
    async with Simulator(World(options, clock=clock), identities=[IDENTITY]) as simulator:
        simulator.faults.add(fault)
        async with harness_on(config_on(simulator.url), clock) as harness:
            served = await harness.refresh()
            assert (len(failed_jobs(served)), served.value("mms_jobs", status="FAILED")) == (119, 120)
            assert incomplete(served, "ListMmsJobs") == 1
            clock.advance(60)
            served = await harness.refresh()
            assert (len(failed_jobs(served)), served.value("mms_jobs", status="FAILED")) == (120, 120)
            assert incomplete(served, "ListMmsJobs") == 1


async def test_an_incomplete_list_is_counted_and_read_by_each_refresh(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    for job_id in range(120):
        mms.add_job(job_id, "FAILED")
    mms.totals["FAILED"] = 121
    async with harness_on(config_on(mms_url), clock) as harness:
        for refreshes in (1, 2, 3):
            clock.advance(60)
            served = await harness.refresh()
            assert incomplete(served, "ListMmsJobs") == refreshes
            assert len(failed_jobs(served)) == 120
        del mms.totals["FAILED"]
        mms.add_job(120, "FAILED")
        assert len(failed_jobs(await harness.refresh())) == 121


async def test_a_failed_job_on_a_later_page_is_replaced_within_the_idle_interval(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    """First page and `total` do not change; the new job was never seen unfinished."""
    mms.page_cap = 5
    jobs = [mms.add_job(job_id, "DONE" if job_id == 1 else "FAILED") for job_id in range(12)]
    mms.add_job(99, "DOING")
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        jobs[0]["status"], jobs[1]["status"] = "DONE", "FAILED"
        for _ in range(10):
            clock.advance(60)
            served = await harness.refresh()
        assert failed_jobs(served) == {str(job_id) for job_id in range(1, 12)}


@pytest.mark.parametrize("kind", BY_KIND)
@pytest.mark.parametrize("fault", ["broken", "forbidden"])
async def test_failures_with_an_unchanged_count_are_read_after_a_failed_read(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, kind: str, fault: str
) -> None:
    fail(mms, kind, FIVE)
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        fail(mms, kind, (*FIVE, (6, "sales", "table_6")))
        getattr(mms, fault).add(kind)
        clock.advance(60)
        assert (await harness.refresh()).value("mms_refresh_success", collector="failures") == 0
        getattr(mms, fault).clear()
        expected = fail(mms, kind, OTHER_FIVE)
        clock.advance(60)
        harness.refresher.note_reload()
        served = await harness.refresh()
        assert served.value("mms_refresh_success", collector="failures") == 1
        assert named(served, kind) == expected


@pytest.mark.parametrize("kind", BY_KIND)
@pytest.mark.parametrize("max_per_source", [3, 50])
async def test_failures_are_read_after_an_incomplete_read(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, kind: str, max_per_source: int
) -> None:
    """Also if as many rows were read as can be named."""
    mms.newest_first = True
    expected = fail(mms, kind, FIVE)
    mms.lost[kind, 1] = 1
    operation = {"tables": "ListMmsTables", "partitions": "ListMmsPartitions"}[kind]
    async with harness_on(config_on(mms_url, failures={"max_per_source": max_per_source}), clock) as harness:
        assert incomplete(await harness.refresh(), operation) == 1
        served = await harness.refresh()
        assert incomplete(served, operation) == 1
        assert named(served, kind) == set(sorted(expected)[-max_per_source:])


@pytest.mark.parametrize("kind", BY_KIND)
async def test_changed_failures_with_an_unchanged_count_are_seen_after_an_hour(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, kind: str
) -> None:
    fail(mms, kind, FIVE)
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        expected = fail(mms, kind, OTHER_FIVE)
        clock.advance(MAX_LIST_AGE_SECONDS)
        assert named(await harness.refresh(), kind) == expected


@pytest.mark.parametrize("kind", BY_KIND)
@pytest.mark.parametrize("newest_first", [False, True])
async def test_the_newest_failures_are_named_with_one_row_per_page(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, kind: str, *, newest_first: bool
) -> None:
    mms.page_cap, mms.newest_first = 1, newest_first
    fail(mms, kind, FIVE)
    async with harness_on(config_on(mms_url, failures={"max_per_source": 2}), clock) as harness:
        served = await harness.refresh()
        assert named(served, kind) == {"table_4", "table_5"}
        assert served.value("mms_failed_omitted", kind=kind.removesuffix("s")) == 3


def lose_a_row(mms: HandWrittenMms) -> None:
    mms.lost["all", 1] = 1


def answer_500(mms: HandWrittenMms) -> None:
    mms.broken.add("all")


def overstate(mms: HandWrittenMms) -> None:
    mms.totals["all"] = 5


def recover(mms: HandWrittenMms) -> None:
    mms.broken.clear()
    mms.totals.clear()


@pytest.mark.parametrize("fault", [lose_a_row, answer_500, overstate])
@pytest.mark.parametrize("running", ["DOING", "DONE"])
async def test_one_bad_page_hides_jobs_of_unknown_status_until_the_next_refresh_only(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, fault: Callable[[HandWrittenMms], None], running: str
) -> None:
    mms.add_job(1, "CANCELLED")
    mms.add_job(2, running)
    async with harness_on(config_on(mms_url), clock) as harness:
        assert (await harness.refresh()).value("mms_jobs", status="UNKNOWN") == 1
        mms.row["tablesDoingNum"] = 1
        fault(mms)
        clock.advance(60)
        served = await harness.refresh()
        assert (served.value("mms_jobs", status="UNKNOWN"), incomplete(served, "ListMmsJobs")) == (None, 1)
        recover(mms)
        clock.advance(60)
        served = await harness.refresh()
        assert (served.value("mms_jobs", status="UNKNOWN"), incomplete(served, "ListMmsJobs")) == (1, 1)


async def test_a_failing_page_is_retried_with_exponential_backoff(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    """No list by status takes two pages, so pages do not seem capped."""
    mms.page_caps["all"] = 1
    for job_id, status in enumerate(("DOING", "FAILED", "DONE")):
        mms.add_job(job_id, status)
    async with harness_on(config_on(mms_url), clock) as harness:
        tries = []
        for minute in range(60):
            mms.calls.clear()
            await harness.refresh()
            tries += [minute] if mms.calls["all"] else []
            clock.advance(60)
    assert tries == [0, 1, 3, 11, 43]


async def test_an_idle_source_with_an_unchanged_row_is_read_after_a_failed_read(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_job(1, "FAILED")
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        mms.row["tablesDoingNum"] = 1
        mms.broken |= {"all", "INIT"}
        assert (await harness.refresh()).value("mms_datasource_refresh_success") == 0
        mms.broken.clear()
        del mms.row["tablesDoingNum"]
        mms.jobs[0]["status"] = "DONE"
        mms.add_job(2, "FAILED")
        assert failed_jobs(await harness.refresh()) == {"2"}


@pytest.mark.parametrize("status", ["INIT", "DOING"])
async def test_a_total_below_the_number_of_rows_is_ignored(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, status: str
) -> None:
    for job_id in range(3):
        mms.add_job(job_id, status)
    mms.add_history()
    mms.totals[status] = 2
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
        assert served.value("mms_jobs", status=status) == 3
        assert incomplete(served, "ListMmsJobs") == 1


async def test_jobs_moving_between_pages_count_as_an_incomplete_list(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    """Job 4 moves to the first page, read before, when job 5 leaves it."""
    mms.page_cap = 2
    jobs = {job_id: mms.add_job(job_id, "DOING") for job_id in (1, 2, 3, 4, 5)}
    mms.add_history()

    def end(word: str) -> None:
        if word == "DOING" and mms.calls[word] == 2:
            jobs[5]["status"] = "DONE"

    mms.before_list = end
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
        assert incomplete(served, "ListMmsJobs") == 1
        served = await harness.refresh()
        assert set(served.by("mms_job_tasks", "job_id")) - {"5"} == {"1", "2", "3", "4"}


async def test_an_incomplete_lookup_does_not_remove_a_job(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    job = mms.add_job(1, "DOING", name="nightly")
    mms.add_history()
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        job["status"] = "PAUSED"
        mms.lost["name", 1] = 1
        for _ in range(3):
            served = await harness.refresh()
        assert served.value("mms_job_status", job_id="1", status="UNKNOWN") == 1
        assert incomplete(served, "ListMmsJobs") == 1


async def test_a_watched_table_is_found_after_an_incomplete_list(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    for number in (1, 2):
        mms.add_table(number, "sales", f"orders{'_old' * (2 - number)}")
    mms.lost["tables", 1] = 1
    watch = {"tables": [{"source_id": SOURCE_ID, "db": "sales", "table": "orders"}]}
    async with harness_on(config_on(mms_url, watch=watch), clock) as harness:
        served = await harness.refresh()
        assert incomplete(served, "ListMmsTables") == 1
        served = await harness.refresh()
        assert set(served.by("mms_table_info", "table_id")) == {"2"}


async def test_tasks_are_read_while_reading_jobs_fails(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    """Without jobs, the source cannot count as finished."""
    mms.add_job(1, "DONE")
    mms.add_tasks(1, "DONE")
    async with harness_on(config_on(mms_url, tasks={"enabled": True}), clock) as harness:
        await read_tasks(harness, mms)
        assert await read_tasks(harness, mms) == 0, "nothing changed"
        mms.row["tablesDoingNum"] = 1
        mms.broken |= {"all", "INIT"}
        assert await read_tasks(harness, mms) > 0
        mms.add_tasks(1, "DATA_DOING")
        assert await read_tasks(harness, mms) > 0


async def read_tasks(harness: Harness, mms: HandWrittenMms) -> int:
    """Refresh and return the number of task calls."""
    mms.calls.clear()
    await harness.refresh()
    return mms.calls["tasks"]
