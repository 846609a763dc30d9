"""Whether something FAILED remains in the scope of failed jobs, and when their series end."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from exporter.simulator import ManualClock
from tests.collect.conftest import HandWrittenMms
from tests.conftest import config_on
from tests.exposition_parser import Exposition
from tests.harness import Harness, harness_on

ORDERS, ITEMS, LOGS = (1, "sales", "orders"), (2, "sales", "items"), (3, "web", "logs")


@pytest.fixture
async def harness(mms_url: str, clock: ManualClock) -> AsyncIterator[Harness]:
    """Provide a refresher of the hand-written MMS with job series that linger for 15 minutes."""
    async with harness_on(config_on(mms_url, jobs={"linger": "15m"}), clock) as harness:
        yield harness


def unresolved(served: Exposition) -> dict[str, float]:
    return served.by("mms_job_unresolved", "job_id")


def add_failed(mms: HandWrittenMms, job_id: int, **config: Any) -> dict[str, Any]:
    return mms.add_job(job_id, "FAILED", type="Tables", config=config)


async def next_refresh(harness: Harness, clock: ManualClock, seconds: float = 60) -> Exposition:
    clock.advance(seconds)
    return await harness.refresh()


async def test_only_jobs_with_failures_in_their_scope_are_unresolved(mms: HandWrittenMms, harness: Harness) -> None:
    mms.fail_tables(ORDERS, LOGS)
    mms.fail_partitions((7, "sales", "items", "p=1"))
    add_failed(mms, 1, tables=["orders"])
    add_failed(mms, 2, tables=["customers"])
    add_failed(mms, 3, partitions=[7])
    add_failed(mms, 4, partitions=[8])
    add_failed(mms, 5)
    mms.add_job(6, "DOING")
    assert unresolved(await harness.refresh()) == {"1": 1, "2": 0, "3": 1, "4": 0, "5": 1}
    assert mms.calls["tables"] == mms.calls["partitions"] == 1


async def test_no_call_is_needed_without_failures(mms: HandWrittenMms, harness: Harness, clock: ManualClock) -> None:
    add_failed(mms, 1)
    assert unresolved(await harness.refresh()) == {"1": 0}
    calls = mms.calls.copy()
    assert unresolved(await next_refresh(harness, clock)) == {"1": 0}
    assert {name: count for name, count in (mms.calls - calls).items() if name not in ("sources", "all")} == {}


async def test_a_resolved_job_loses_its_series_after_linger(
    mms: HandWrittenMms, harness: Harness, clock: ManualClock
) -> None:
    mms.fail_tables(ORDERS, ITEMS)
    add_failed(mms, 1, tables=["orders"])
    assert unresolved(await harness.refresh()) == {"1": 1}
    mms.fail_tables(ITEMS)
    assert unresolved(await next_refresh(harness, clock)) == {"1": 0}
    served = await next_refresh(harness, clock, 14 * 60)
    assert (unresolved(served), served.value("mms_job_status", job_id="1", status="FAILED")) == ({"1": 0}, 1)
    served = await next_refresh(harness, clock)
    assert (unresolved(served), served.by("mms_job_info", "job_id")) == ({}, {})
    assert served.value("mms_jobs", status="FAILED") == 1, "the job still counts"
    jobs = harness.refresher.snapshot().sources[0].jobs
    assert jobs is not None
    assert jobs.resolved == 1
    mms.fail_tables(ORDERS, ITEMS)
    assert unresolved(await next_refresh(harness, clock)) == {"1": 1}, "it is shown again"


async def test_a_job_is_not_resolved_by_what_was_read_before_it_failed(
    mms: HandWrittenMms, harness: Harness, clock: ManualClock
) -> None:
    job = mms.add_job(1, "DOING", type="Tables", config={"tables": ["orders"]})
    await harness.refresh()
    clock.advance(60)
    job["status"] = "FAILED"
    served = await harness.refresh()
    assert served.value("mms_job_status", job_id="1", status="FAILED") == 1
    assert unresolved(served) == {}, "the row that counts no failure is older"
    mms.fail_tables(ORDERS)
    assert unresolved(await next_refresh(harness, clock)) == {"1": 1}


async def test_a_truncated_list_proves_nothing(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    mms.fail_tables(ORDERS, ITEMS)
    add_failed(mms, 1, tables=["customers"])
    async with harness_on(config_on(mms_url, failures={"max_per_source": 1}), clock) as harness:
        assert unresolved(await harness.refresh()) == {"1": 1}


async def test_truncated_partition_ids_prove_nothing(mms: HandWrittenMms, harness: Harness) -> None:
    mms.fail_partitions((5000, "sales", "items", "p=1"))
    add_failed(mms, 1, partitions=list(range(10_000, 11_001)))
    add_failed(mms, 2, partitions=list(range(10_000, 10_999)))
    assert unresolved(await harness.refresh()) == {"1": 1, "2": 0}


async def test_without_names_of_failures_their_number_decides(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.row["tablesFailedNum"] = 1
    add_failed(mms, 1, tables=["customers"])
    async with harness_on(config_on(mms_url, failures={"enabled": False}), clock) as harness:
        assert unresolved(await harness.refresh()) == {"1": 1}
        mms.row["tablesFailedNum"] = 0
        assert unresolved(await next_refresh(harness, clock)) == {"1": 0}
        mms.row["tablesFailedNum"] = None
        assert unresolved(await next_refresh(harness, clock)) == {}, "the number is unknown"


async def test_jobs_that_failed_recently_are_those_of_30_minutes(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    """As in the alert MmsJobFailed: what was FAILED at the start does not count."""
    add_failed(mms, 1)
    mms.add_job(9, "DOING")
    failing, recently = {1: (2, 3), 29: (4,)}, list[int]()
    async with harness_on(config_on(mms_url), clock) as harness:
        for minute in range(62):
            for job_id in failing.get(minute, ()):
                add_failed(mms, job_id)
            await harness.refresh()
            recently.append(harness.refresher.snapshot().sources[0].jobs_failed_recently)
            clock.advance(60)
    assert recently == [0] + [2] * 28 + [3] * 2 + [1] * 28 + [0] * 3
