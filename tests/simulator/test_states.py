"""Statuses of units from attempts, and of tables from units."""

import pytest

from exporter.simulator import WorldOptions
from exporter.simulator.world import states
from exporter.simulator.world.planner import Planner
from exporter.simulator.world.states import Attempt, unit_status

DONE = Attempt(10, 20, "DONE", 1)
FAILED = Attempt(10, 20, "FAILED", 1)
BROKEN_OFF = Attempt(10, 15, None, 1)
INJECTED = Attempt(25, 25, "FAILED", 0, forced=True)


@pytest.mark.parametrize(
    ("attempts", "moment", "status"),
    [
        ([], 5, "INIT"),
        ([DONE], 9.9, "INIT"),
        ([DONE], 10, "DOING"),
        ([DONE], 19.9, "DOING"),
        ([DONE], 20, "DONE"),
        ([FAILED], 20, "FAILED"),
        ([BROKEN_OFF], 12, "DOING"),
        ([BROKEN_OFF], 15, "INIT"),
        ([FAILED, Attempt(30, 40, "DONE", 2)], 35, "DOING"),
        ([FAILED, Attempt(30, 40, "DONE", 2)], 40, "DONE"),
        ([FAILED, Attempt(30, 40, None, 2)], 40, "FAILED"),
        # A unit that is DONE or DOING is not migrated again.
        ([DONE, Attempt(30, 40, "FAILED", 2)], 35, "DONE"),
        ([DONE, Attempt(15, 40, "FAILED", 2)], 30, "DONE"),
        # A forced failure counts in any case, and a later attempt can complete the unit.
        ([DONE, INJECTED], 24, "DONE"),
        ([DONE, INJECTED], 25, "FAILED"),
        ([Attempt(10, 30, "DONE", 1), INJECTED], 30, "FAILED"),
        ([DONE, INJECTED, Attempt(30, 40, "DONE", 2)], 40, "DONE"),
    ],
)
def test_attempts_determine_a_status(attempts: list[Attempt], moment: float, status: str) -> None:
    assert unit_status(attempts, moment) == status


@pytest.mark.parametrize(
    ("partitions", "status"),
    [
        (["INIT", "INIT"], "INIT"),
        (["INIT", "DOING"], "DOING"),
        (["DONE", "DOING", "FAILED"], "DOING"),
        (["DONE", "DONE"], "DONE"),
        (["DONE", "INIT"], "PART_DONE"),
        (["DONE", "FAILED"], "PART_DONE"),
        (["FAILED", "INIT"], "FAILED"),
        (["FAILED", "FAILED"], "FAILED"),
    ],
)
def test_partitions_determine_the_status_of_their_table(partitions: list[str], status: str) -> None:
    assert states.table_tally(len(partitions), partitions).status == status


@pytest.mark.parametrize("status", ["INIT", "DOING", "DONE", "FAILED"])
def test_a_table_without_partitions_has_its_own_status(status: str) -> None:
    assert states.table_tally(0, [status]) == (status, 0, 0, 0, 0)


def test_the_plan_retries_half_of_the_failures_successfully() -> None:
    planner = Planner(WorldOptions(tables=60, failure_rate=0.4))
    retried = 0
    for variant in range(16):
        tasks = [task for job in planner.wave(variant).jobs for task in job.tasks]
        again = [task for task in tasks if task.retried]
        failed = [(task.table, task.units) for task in tasks if task.failed_phase]
        assert all((task.table, task.units) in failed and task.outcome == "DONE" for task in again)
        retried += len(again)
    assert retried


def test_jobs_of_a_wave_are_consecutive() -> None:
    planner = Planner(WorldOptions(tables=60))
    for variant in range(16):
        plan = planner.wave(variant)
        ends = [job.start + job.seconds for job in plan.jobs]
        assert plan.job_starts == pytest.approx([0.0, *ends[:-1]])
        assert all(task.end < job.seconds for job in plan.jobs for task in job.tasks)
