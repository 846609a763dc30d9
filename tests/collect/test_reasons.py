"""The collector of reasons: what it counts, how few logs it reads, and what it does without them."""

from collections import Counter

import pytest
from structlog.testing import capture_logs

from exporter.collect.collectors import reasons
from exporter.collect.state.failure_state import MAX_LIST_AGE_SECONDS
from exporter.mms.diagnosis.reason_rules import Reason
from exporter.mms.models.statuses import TASK_PHASES
from exporter.simulator import ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.world import events
from tests.collect.conftest import HandWrittenMms
from tests.conftest import IDENTITY, config_on
from tests.exposition_parser import Exposition
from tests.harness import harness_on

FIRST = 2000001
FAMILIES = ("mms_failed_tasks", "mms_failed_task_reasons", "mms_failed_tasks_examined")
DENIED = "ErrorCode=NoPermission, ErrorMessage=You have NO privilege 'odps:Update'"


def add_failure(mms: HandWrittenMms, message: str | None = DENIED, status: str = "DATA_FAILED") -> int:
    """Add a failed table with its task, and return the task's id."""
    number = add_old_task(mms, message, status)
    mms.add_table(number, "sales", f"orders_{number}", status="FAILED")
    mms.row["tablesFailedNum"] += 1
    return number


def add_old_task(mms: HandWrittenMms, message: str | None = DENIED, status: str = "DATA_FAILED") -> int:
    """Add a failed task of a table that another job migrated, and return its id."""
    number = len(mms.tasks) + 1
    mms.add_tasks(1, status, srcTableName=f"orders_{number}")
    if message is not None:
        mms.messages[number] = message
    return number


def found(served: Exposition, **labels: str) -> dict[str, float]:
    """Return the reasons that occur, with their numbers."""
    by_reason = served.by("mms_failed_task_reasons", "reason", **labels)
    return {str(reason): value for reason, value in by_reason.items() if value}


async def test_reasons_of_failed_tasks_are_counted(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    add_failure(mms)
    add_failure(mms, status="SCHEMA_FAILED")
    add_failure(mms, "java.net.ConnectException: Connection refused")
    add_failure(mms, "be stopped")
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
        assert served.by("mms_failed_tasks", "phase") == {"SCHEMA": 1, "DATA": 3, "VERIFICATION": 0}
        assert found(served) == {"permission": 2, "network": 1, "unknown": 1}
        assert set(served.by("mms_failed_task_reasons", "reason")) == {reason.value for reason in Reason}
        assert served.value("mms_failed_tasks_examined") == 4
        assert served.by("mms_refresh_success", "collector")["reasons"] == 1


async def test_nothing_is_read_while_nothing_is_failed(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
        assert not served.samples.keys() & set(FAMILIES)
        assert not mms.calls["tasks"] + mms.calls["logs"]
        add_failure(mms)
        assert found(await harness.refresh()) == {"permission": 1}
        mms.row["tablesFailedNum"] = 0
        served = await harness.refresh()
        assert not served.samples.keys() & set(FAMILIES), "they leave with the last failure"


@pytest.mark.parametrize("kind", ["table", "partition"])
async def test_only_tasks_of_what_is_failed_now_count(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, kind: str
) -> None:
    for _ in range(30):
        add_old_task(mms)
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        number = add_failure(mms, "java.net.ConnectException: Connection refused")
        if kind == "partition":
            mms.fail_tables()
            mms.fail_partitions(*[(each, "SALES", f"orders_{number}", f"ds={each}") for each in range(60)])
        for _ in range(40):
            add_old_task(mms)
        served = await harness.refresh()
        assert found(served) == {"network": 1}, "the tables of 70 other failed tasks were migrated by other jobs"
        assert served.value("mms_failed_tasks_examined") == mms.calls["logs"] == 1
        assert served.by("mms_failed_tasks", "phase")["DATA"] == 71


async def test_of_a_table_only_the_newest_failed_job_counts(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.fail_tables((1, "sales", "orders"))
    mms.add_tasks(1, *["VERIFICATION_FAILED"] * 3)
    mms.add_tasks(2, "DATA_FAILED", "DATA_FAILED")
    mms.messages = {number: DENIED if number > 3 else "row count mismatch" for number in range(1, 6)}
    async with harness_on(config_on(mms_url), clock) as harness:
        assert found(await harness.refresh()) == {"permission": 2}


async def test_reasons_follow_the_names_of_what_is_failed(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    add_failure(mms)
    mms.broken.add("tables")
    async with harness_on(config_on(mms_url), clock) as harness:
        assert found(await harness.refresh()) == {}
        mms.broken.clear()
        assert found(await harness.refresh()) == {"permission": 1}


async def test_each_log_is_read_once(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    add_failure(mms)
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        assert mms.calls["logs"] == 1
        assert mms.calls["tasks"] == len(TASK_PHASES)
        for _ in range(5):
            clock.advance(60)
            await harness.refresh()
        assert (mms.calls["logs"], mms.calls["tasks"]) == (1, len(TASK_PHASES)), "nothing changed"
        add_failure(mms, "ODPS-0130131: Table not found")
        assert found(await harness.refresh()) == {"permission": 1, "source_missing": 1}
        assert (mms.calls["logs"], mms.calls["tasks"]) == (2, 2 * len(TASK_PHASES))


async def test_a_task_that_fails_again_is_examined_again(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    number = add_failure(mms)
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        mms.messages[number] = "java.lang.OutOfMemoryError: Java heap space"
        mms.tasks[0]["retriedTimes"] = 1
        mms.row["tablesFailedNum"] = 2
        assert found(await harness.refresh()) == {"resource": 1}


async def test_an_unnoticed_retry_is_seen_within_an_hour(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    number = add_failure(mms)
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        mms.messages[number] = "java.lang.OutOfMemoryError: Java heap space"
        mms.tasks[0]["retriedTimes"] = 1
        assert found(await harness.refresh()) == {"permission": 1}
        clock.advance(MAX_LIST_AGE_SECONDS)
        assert found(await harness.refresh()) == {"resource": 1}


@pytest.mark.parametrize("order", ["newest first", "oldest first"])
async def test_10000_failed_tasks_cost_few_logs_and_end(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, order: str
) -> None:
    for _ in range(10_000):
        add_failure(mms)
    old = mms.tasks[: -mms.page_cap // 2]
    for task in old:
        mms.messages[task["id"]] = "java.net.SocketTimeoutException: Read timed out"
    if order == "newest first":
        mms.tasks.reverse()
    async with harness_on(config_on(mms_url, failures={"reasons": {"max_tasks": 7}}), clock) as harness:
        served = await harness.refresh()
        assert served.by("mms_failed_tasks", "phase")["DATA"] == 10_000
        assert found(served) == {"permission": 7}, "of the newest tasks"
        assert mms.calls["logs"] == 7
        for _ in range(3):
            clock.advance(60)
            await harness.refresh()
        assert mms.calls["logs"] == 7


async def test_the_logs_of_a_refresh_are_limited(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reasons, "LOGS_PER_REFRESH", 2)
    for _ in range(5):
        add_failure(mms)
    async with harness_on(config_on(mms_url), clock) as harness:
        for read in (2, 4, 5, 5):
            served = await harness.refresh()
            assert mms.calls["logs"] == read
            assert served.value("mms_failed_tasks_examined") == read
        assert mms.calls["tasks"] == len(TASK_PHASES), "the list is not read again for the rest"


@pytest.mark.parametrize("forbidden", ["logs", "tasks"])
async def test_without_permission_only_reasons_are_missing(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, forbidden: str
) -> None:
    add_failure(mms)
    mms.forbidden.add(forbidden)
    async with harness_on(config_on(mms_url), clock) as harness:
        with capture_logs() as lines:
            for _ in range(3):
                served = await harness.refresh()
                clock.advance(60)
                mms.row["tablesFailedNum"] += 1
        assert [line["collector"] for line in lines if line["log_level"] == "warning"] == ["reasons"], "one line"
        assert mms.calls[forbidden] == 1, "not called again for an hour"
        success = served.by("mms_refresh_success", "collector")
        assert {name for name, value in success.items() if not value} == {"reasons"}
        assert served.value("mms_datasource_refresh_success") == 1
        assert "mms_failed_table_info" in served.samples
        assert not served.samples.keys() & {"mms_failed_task_reasons", "mms_failed_tasks_examined"}, "unknown, not 0"
        assert ("mms_failed_tasks" in served.samples) == (forbidden == "logs")


async def test_a_failing_log_is_read_again(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    add_failure(mms)
    mms.broken.add("logs")
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
        assert served.by("mms_refresh_success", "collector")["reasons"] == 0
        assert served.by("mms_failed_tasks", "phase")["DATA"] == 1
        mms.broken.clear()
        assert found(await harness.refresh()) == {"permission": 1}


async def test_a_task_that_is_gone_has_no_reason(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    add_failure(mms)
    mms.missing.add(str(add_failure(mms)))
    async with harness_on(config_on(mms_url), clock) as harness:
        for _ in range(3):
            served = await harness.refresh()
        assert served.value("mms_failed_tasks_examined") == 1
        assert served.by("mms_refresh_success", "collector")["reasons"] == 1
        assert mms.calls["logs"] == 2


async def test_reasons_can_be_disabled(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    add_failure(mms)
    async with harness_on(config_on(mms_url, failures={"reasons": {"enabled": False}}), clock) as harness:
        served = await harness.refresh()
        assert not served.samples.keys() & set(FAMILIES)
        assert "reasons" not in served.by("mms_refresh_success", "collector")
        assert not mms.calls["tasks"] + mms.calls["logs"]


async def test_reasons_equal_those_of_the_simulated_world(clock: ManualClock) -> None:
    options = WorldOptions(sources=3, tables=30, failure_rate=0.5, special_sources=False)
    async with Simulator(World(options, clock=clock), identities=[IDENTITY]) as simulator:
        apply_event(simulator.world, events.SetText(source_id=FIRST, field="msg", text=DENIED, task_id=0))
        async with harness_on(config_on(simulator.url), clock) as harness:
            for _ in range(3):
                served = await harness.refresh()
                for source_id in simulator.world.truth().data_sources():
                    tasks = simulator.world.truth().tasks(source_id)
                    truth = Counter((task.status or "").removesuffix("_FAILED") for task in tasks)
                    totals = served.by("mms_failed_tasks", "phase", source_id=str(source_id))
                    assert totals in ({phase: truth[phase] for phase in TASK_PHASES}, {})
                clock.advance(120)
            first = {"source_id": str(FIRST)}
            assert found(served, **first) == {"permission": served.value("mms_failed_tasks_examined", **first)}
