"""Runs of `retry` on an MMS whose lists and states lag: no unit is created twice, and exit 0 means that all is well."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exporter.retry.selection import RetrySelection
from exporter.simulator import Fault, happen
from exporter.simulator.world import events
from tests.retry.conftest import QUIET_WORLD, SOURCE, Stage, stage_on

from .test_retry import journals, runner_on

pytestmark = pytest.mark.leaping

RESUMED = {"source": None, "selection": RetrySelection()}
MINUTES_30 = 1800.0


def lag(stage: Stage, **lags: Any) -> None:
    stage.world.options = replace(stage.world.options, **lags)


def created_twice(stage: Stage) -> list[tuple[int, int, int]]:
    return stage.world.truth().created_twice(SOURCE)


@pytest.mark.parametrize("pause", [0.0, 20.0, 240.0])
@pytest.mark.parametrize("seconds", [15.0, 60.0, 300.0, 900.0])
async def test_a_second_run_leaves_out_what_the_first_one_created(tmp_path: Path, seconds: float, pause: float) -> None:
    async with stage_on(QUIET_WORLD, tmp_path, is_wall_virtual=True) as stage:
        stage.fail(0.4)
        lag(stage, job_list_lag_seconds=seconds, table_lag_seconds=60.0, partition_lag_seconds=60.0)
        run = runner_on(stage)
        first = await run(yes=True)
        assert first.outcome.is_fine
        await stage.pass_time(pause)
        second = await run(yes=True)
        assert len(stage.jobs_by_name()) == len(first.lines)
        assert not created_twice(stage)
        is_listed_as_failed = "nothing to retry" not in second.said or "skipped" in second.said
        assert is_listed_as_failed is (pause < 240)
        assert second.outcome.is_fine is not is_listed_as_failed
        number = stage.world.site(SOURCE).roster.created[0].job.id
        assert (f"job {number} (mms-exporter-" in second.said) is is_listed_as_failed


async def test_watching_waits_until_the_states_of_tables_have_settled(tmp_path: Path) -> None:
    async with stage_on(QUIET_WORLD, tmp_path, is_wall_virtual=True) as stage:
        stage.fail(0.4)
        lag(stage, table_lag_seconds=200.0, partition_lag_seconds=100.0)
        ended = await runner_on(stage)(yes=True, watch=True)
        assert (ended.outcome.is_fine, "not DONE" in ended.said) == (True, False)
        lag(stage, table_lag_seconds=0.0, partition_lag_seconds=0.0)
        assert not stage.failed()


@pytest.mark.parametrize("selection", ["failed", "table"])
async def test_a_table_that_stays_failed_though_its_partitions_are_done_is_no_success(
    tmp_path: Path, selection: str
) -> None:
    async with stage_on(QUIET_WORLD, tmp_path, is_wall_virtual=True) as stage:
        table = next(row for row in stage.world.truth().tables(SOURCE) if row.has_partitions)
        happen(stage.world, events.Fail(source_id=SOURCE, table_ids=(table.id,)))
        lag(stage, table_lag_seconds=10 * MINUTES_30)
        chosen = RetrySelection(failed=True) if selection == "failed" else RetrySelection(tables=(str(table.id),))
        ended = await runner_on(stage)(yes=True, watch=True, selection=chosen)
        assert not ended.outcome.is_fine
        assert f"table {table.id} {table.db_name}.{table.name}: FAILED" in ended.said


async def test_what_no_list_shows_is_never_sent_again_without_a_persons_word(tmp_path: Path) -> None:
    async with stage_on(QUIET_WORLD, tmp_path, is_wall_virtual=True) as stage:
        stage.fail(0.4)
        lag(stage, job_list_lag_seconds=MINUTES_30)
        stage.simulator.faults.add(Fault(kind="lost_answer", operation="CreateMmsJob", times=1))
        run = runner_on(stage)
        stopped = await run(yes=True)
        (journal,) = journals(stage)
        assert not stopped.outcome.is_fine
        assert not (await run(**RESUMED, resume=journal)).outcome.is_fine
        assert len(stage.world.site(SOURCE).roster.created) == 1
        assert "MMS console" in stopped.said
        lag(stage, job_list_lag_seconds=0.0)
        await stage.pass_time(MINUTES_30)
        assert (await run(**RESUMED, resume=journal, watch=True)).outcome.is_fine
        assert set(stage.jobs_by_name().values()) == {1}
        assert not created_twice(stage)
