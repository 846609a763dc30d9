"""`retry` on an MMS with lagging lists and statuses: nothing is created twice, and success is real."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exporter.retry.selection import RetrySelection
from exporter.simulator import Fault, apply_event
from exporter.simulator.world import events
from tests.retry.conftest import QUIET_WORLD, SOURCE, RetryEnv, env_on

from .test_retry_command import journals, runner_on

pytestmark = pytest.mark.virtual_time

RESUMED = {"source": None, "selection": RetrySelection()}
MINUTES_30 = 1800.0


def lag(env: RetryEnv, **lags: Any) -> None:
    env.world.options = replace(env.world.options, **lags)


def created_twice(env: RetryEnv) -> list[tuple[int, int, int]]:
    return env.world.truth().created_twice(SOURCE)


@pytest.mark.parametrize("pause", [0.0, 20.0, 240.0])
@pytest.mark.parametrize("seconds", [15.0, 60.0, 300.0, 900.0])
async def test_a_second_run_leaves_out_what_the_first_one_created(tmp_path: Path, seconds: float, pause: float) -> None:
    async with env_on(QUIET_WORLD, tmp_path, is_wall_virtual=True) as env:
        env.fail(0.4)
        lag(env, job_list_lag_seconds=seconds, table_lag_seconds=60.0, partition_lag_seconds=60.0)
        run = runner_on(env)
        first = await run(yes=True)
        assert first.outcome.succeeded
        await env.pass_time(pause)
        second = await run(yes=True)
        assert len(env.jobs_by_name()) == len(first.lines)
        assert not created_twice(env)
        is_listed_as_failed = "nothing to retry" not in second.stderr or "skipped" in second.stderr
        assert is_listed_as_failed is (pause < 240)
        assert second.outcome.succeeded is not is_listed_as_failed
        number = env.world.site(SOURCE).job_store.created[0].job.id
        assert (f"job {number} (mms-exporter-" in second.stderr) is is_listed_as_failed


async def test_a_watch_waits_for_lagging_table_statuses(tmp_path: Path) -> None:
    async with env_on(QUIET_WORLD, tmp_path, is_wall_virtual=True) as env:
        env.fail(0.4)
        lag(env, table_lag_seconds=200.0, partition_lag_seconds=100.0)
        ended = await runner_on(env)(yes=True, watch=True)
        assert (ended.outcome.succeeded, "not DONE" in ended.stderr) == (True, False)
        lag(env, table_lag_seconds=0.0, partition_lag_seconds=0.0)
        assert not env.failed()


@pytest.mark.parametrize("selection", ["failed", "table"])
async def test_a_failed_table_with_done_partitions_fails_the_run(tmp_path: Path, selection: str) -> None:
    async with env_on(QUIET_WORLD, tmp_path, is_wall_virtual=True) as env:
        table = next(row for row in env.world.truth().tables(SOURCE) if row.has_partitions)
        apply_event(env.world, events.Fail(source_id=SOURCE, table_ids=(table.id,)))
        lag(env, table_lag_seconds=10 * MINUTES_30)
        chosen = RetrySelection(failed=True) if selection == "failed" else RetrySelection(tables=(str(table.id),))
        ended = await runner_on(env)(yes=True, watch=True, selection=chosen)
        assert not ended.outcome.succeeded
        assert f"table {table.id} {table.db_name}.{table.name}: FAILED" in ended.stderr


async def test_an_unlisted_job_is_never_sent_again_without_resend(tmp_path: Path) -> None:
    async with env_on(QUIET_WORLD, tmp_path, is_wall_virtual=True) as env:
        env.fail(0.4)
        lag(env, job_list_lag_seconds=MINUTES_30)
        env.simulator.faults.add(Fault(kind="lost_answer", operation="CreateMmsJob", times=1))
        run = runner_on(env)
        stopped = await run(yes=True)
        (journal,) = journals(env)
        assert not stopped.outcome.succeeded
        assert not (await run(**RESUMED, resume=journal)).outcome.succeeded
        assert len(env.world.site(SOURCE).job_store.created) == 1
        assert "MMS console" in stopped.stderr
        lag(env, job_list_lag_seconds=0.0)
        await env.pass_time(MINUTES_30)
        assert (await run(**RESUMED, resume=journal, watch=True)).outcome.succeeded
        assert set(env.jobs_by_name().values()) == {1}
        assert not created_twice(env)
