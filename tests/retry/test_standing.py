"""What is not FAILED any more when its turn comes is not sent, and to know that costs few calls."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

from exporter.retry.failed_recheck import FRESH_SECONDS, MAX_ASKED_ONE_BY_ONE
from exporter.retry.journal import Journal
from exporter.retry.sending import create_jobs
from exporter.simulator import happen
from exporter.simulator.world import events
from tests.retry.conftest import QUIET_WORLD, SOURCE, Stage, stage_on


def failed_ids(stage: Stage) -> list[int]:
    return [row.id for row in stage.world.truth().partitions(SOURCE) if row.status == "FAILED"]


def mend(stage: Stage, *partition_ids: int) -> None:
    happen(stage.world, events.Mend(source_id=SOURCE, partition_ids=partition_ids))


def reading(stage: Stage) -> Counter[str]:
    """Return how often tables and partitions were read since the calls were counted anew."""
    inventory = ("ListMmsTables", "ListMmsPartitions", "GetMmsTable", "GetMmsPartition")
    calls = {operation: stage.simulator.calls[operation, SOURCE] for operation in inventory}
    return Counter({operation: count for operation, count in calls.items() if count})


def sent(stage: Stage) -> set[int]:
    return {number for job in stage.jobs() if job.config for number in job.config.partitions or ()}


async def test_what_was_mended_while_the_plan_waited_is_left_out_and_told(stage: Stage) -> None:
    with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
        planned_at = stage.ticks()
        first, *others = failed_ids(stage)
        mend(stage, first)
        stage.ticks.advance(FRESH_SECONDS + 1)
        await create_jobs(replace(stage.means(journal), planned_at=planned_at))
        await stage.pass_time(2 * stage.world.options.async_task_seconds)
        assert sum(entry.left_out for entry in journal.entries) == 1
    assert sent(stage) == set(others)
    assert [line.partition(": ")[2] for line in stage.told] == ["1 of it are left out, which are not FAILED any more"]


async def test_a_plan_that_was_made_just_now_is_not_read_again(stage: Stage) -> None:
    with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
        stage.simulator.calls_reset()
        await create_jobs(replace(stage.means(journal), planned_at=stage.ticks()))
    assert not reading(stage)


async def test_what_an_earlier_process_planned_is_read_again_however_soon(stage: Stage) -> None:
    with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
        pass
    mend(stage, *failed_ids(stage))
    with Journal.resumed(journal.path) as resumed:
        await create_jobs(stage.means(resumed))
        states = {(entry.state, entry.reason) for entry in resumed.entries if entry.batch.partitions}
    assert states == {("skipped", "nothing of it is FAILED any more")}
    assert not sent(stage)


async def test_many_of_one_table_are_one_list_however_many_jobs_they_make(tmp_path: Path) -> None:
    options = replace(QUIET_WORLD, databases=1, tables=1, partitions=3000)
    async with stage_on(options, tmp_path) as stage:
        stage.fail(1.0)
        failed = failed_ids(stage)
        with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
            assert len(journal.entries) > 1
            mend(stage, failed[0], failed[-1])
            stage.simulator.calls_reset()
            await create_jobs(stage.means(journal))
            assert sum(entry.left_out for entry in journal.entries) == 2
        assert reading(stage) == {"ListMmsPartitions": -(-(len(failed) - 2) // 100)}


async def test_few_of_one_table_are_asked_for_one_by_one(tmp_path: Path) -> None:
    async with stage_on(
        replace(QUIET_WORLD, databases=1, tables=1, partitions=200, failure_rate=0.0), tmp_path
    ) as stage:
        happen(stage.world, events.Fail(source_id=SOURCE, partition_ids=partition_ids(stage)))
        with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
            stage.simulator.calls_reset()
            await create_jobs(stage.means(journal))
        assert reading(stage) == {"GetMmsPartition": MAX_ASKED_ONE_BY_ONE}


def partition_ids(stage: Stage) -> tuple[int, ...]:
    return tuple(row.id for row in stage.world.truth().partitions(SOURCE))[:MAX_ASKED_ONE_BY_ONE]
