"""Units that are no longer FAILED are not sent; the check costs few calls."""

import re
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from exporter.errors import MmsError, RetryStopped
from exporter.retry.journal import Journal
from exporter.retry.sending import create_jobs
from exporter.retry.unit_reader import FRESH_SECONDS, MAX_SINGLE_RECHECKS
from exporter.simulator import Fault, apply_event
from exporter.simulator.world import events
from tests.retry.conftest import QUIET_WORLD, SOURCE, RetryEnv, env_on


def failed_ids(env: RetryEnv) -> list[int]:
    return [row.id for row in env.world.truth().partitions(SOURCE) if row.status == "FAILED"]


def fix(env: RetryEnv, *partition_ids: int) -> None:
    apply_event(env.world, events.Succeed(source_id=SOURCE, partition_ids=partition_ids))


def read_calls(env: RetryEnv) -> Counter[str]:
    """Return the read calls since the last reset."""
    operations = ("ListMmsTables", "ListMmsPartitions", "GetMmsTable", "GetMmsPartition")
    calls = {operation: env.simulator.calls[operation, SOURCE] for operation in operations}
    return Counter({operation: count for operation, count in calls.items() if count})


def sent(env: RetryEnv) -> set[int]:
    return {number for job in env.jobs() if job.config for number in job.config.partitions or ()}


async def test_units_fixed_since_the_plan_are_left_out(env: RetryEnv) -> None:
    with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
        planned_at = env.ticks()
        first, *others = failed_ids(env)
        fix(env, first)
        env.ticks.advance(FRESH_SECONDS + 1)
        await create_jobs(replace(env.context(journal), planned_at=planned_at))
        await env.pass_time(2 * env.world.options.async_task_seconds)
        assert sum(entry.left_out for entry in journal.entries) == 1
    assert sent(env) == set(others)
    (message,) = env.messages
    assert re.search(r": left out 1 of \d+ units, they are no longer FAILED$", message)


async def test_a_fresh_plan_is_not_rechecked(env: RetryEnv) -> None:
    with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
        env.simulator.calls_reset()
        await create_jobs(replace(env.context(journal), planned_at=env.ticks()))
    assert not read_calls(env)


async def test_a_resumed_run_is_always_rechecked(env: RetryEnv) -> None:
    with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
        pass
    fix(env, *failed_ids(env))
    with Journal.open(journal.path) as resumed:
        await create_jobs(env.context(resumed))
        states = {(entry.state, entry.reason) for entry in resumed.entries if entry.batch.partitions}
    assert states == {("skipped", "all units left out, they are no longer FAILED")}
    assert not sent(env)


async def test_a_404_of_a_gateway_drops_no_unit(env: RetryEnv) -> None:
    """Only MMS knows whether a table or partition exists; its answer has a code."""
    with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
        pass
    for operation in ("GetMmsTable", "GetMmsPartition"):
        env.simulator.faults.add(Fault(kind="html", status=404, operation=operation))
    with Journal.open(journal.path) as resumed:
        with suppress(MmsError, RetryStopped):
            await create_jobs(env.context(resumed))
        assert not [entry.name for entry in resumed.entries if entry.state == "skipped" or entry.left_out]


async def test_many_partitions_of_one_table_cost_one_list(tmp_path: Path) -> None:
    options = replace(QUIET_WORLD, databases=1, tables=1, partitions=3000)
    async with env_on(options, tmp_path) as env:
        env.fail(1.0)
        failed = failed_ids(env)
        with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
            assert len(journal.entries) > 1
            fix(env, failed[0], failed[-1])
            env.simulator.calls_reset()
            await create_jobs(env.context(journal))
            assert sum(entry.left_out for entry in journal.entries) == 2
        assert read_calls(env) == {"ListMmsPartitions": -(-(len(failed) - 2) // 100)}


async def test_few_partitions_of_one_table_are_read_one_by_one(tmp_path: Path) -> None:
    async with env_on(replace(QUIET_WORLD, databases=1, tables=1, partitions=200, failure_rate=0.0), tmp_path) as env:
        apply_event(env.world, events.Fail(source_id=SOURCE, partition_ids=partition_ids(env)))
        with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
            env.simulator.calls_reset()
            await create_jobs(env.context(journal))
        assert read_calls(env) == {"GetMmsPartition": MAX_SINGLE_RECHECKS}


def partition_ids(env: RetryEnv) -> tuple[int, ...]:
    return tuple(row.id for row in env.world.truth().partitions(SOURCE))[:MAX_SINGLE_RECHECKS]
