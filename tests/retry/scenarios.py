"""Random scenarios of one state folder: runs, kills, lost answers, old journals and a lagging MMS, from a seed.

The simulator checks that no unit is created twice, and that a successful run leaves nothing FAILED.
"""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import permutations
from math import inf
from pathlib import Path
from random import Random
from typing import Any

from exporter.clock import Clock
from exporter.console.output.terminal import OutputStyle, Terminal
from exporter.console.retry_command import Outcome, retry
from exporter.console.retry_options import RetryOptions
from exporter.errors import ExporterError
from exporter.mms.models.statuses import UNFINISHED_JOB_STATUSES
from exporter.retry.journal import read_run
from exporter.retry.selection import RetrySelection
from exporter.retry.unit_reader import UnitReader
from exporter.simulator import Fault, WorldOptions, apply_event
from exporter.simulator.faults.fault_plan import Kind
from exporter.simulator.world import events
from exporter.simulator.world.job_store import Created
from tests.conftest import config_on
from tests.retry.conftest import QUIET_WORLD, SOURCE, RetryEnv, env_on

SETTLE_SECONDS = 300.0
DAYS_2 = 2 * 86_400.0
LAST_RUNS = 12
"""Runs after which everything must be DONE."""
LOST_ANSWERS: tuple[Kind, ...] = ("lost_answer", "lost_answer", "truncated", "reset", "html")


class Killed(BaseException):
    """The end of a process; nothing handles it."""


@dataclass
class KillingClock:
    """A clock that ends its process at its n-th reading."""

    clock: Clock
    readings_left: int

    def wall(self) -> float:
        self._count_reading()
        return self.clock.wall()

    async def sleep(self, seconds: float) -> None:
        self._count_reading()
        await self.clock.sleep(seconds)

    def _count_reading(self) -> None:
        self.readings_left -= 1
        if self.readings_left < 0:
            raise Killed


def world_of(rng: Random) -> WorldOptions:
    """Return a small world with lagging lists and statuses."""
    list_lag = rng.choice((0.0, rng.uniform(0, 60), rng.uniform(0, SETTLE_SECONDS), rng.uniform(300, 3000)))
    return replace(
        QUIET_WORLD,
        seed=rng.randrange(1000),
        tables=4,
        partitions=rng.choice((0, 2, 3)),
        finished_jobs_per_source=rng.choice((0, 3)),
        retry_failure_rate=rng.choice((0.0, 0.0, 0.3)),
        job_seconds=rng.choice((40.0, 400.0, 2000.0)),
        async_task_seconds=rng.choice((1.0, 15.0, 100.0)),
        job_name_filters_source=rng.random() < 0.1,
        job_list_lag_seconds=list_lag,
        job_status_lag_seconds=rng.choice((0.0, rng.uniform(0, 120))),
        table_lag_seconds=rng.choice((0.0, rng.uniform(0, SETTLE_SECONDS))),
        partition_lag_seconds=rng.choice((0.0, rng.uniform(0, SETTLE_SECONDS))),
        hides_stopped=rng.random() < 0.5,
    )


@dataclass
class Scenario:
    """One scenario, step by step."""

    env: RetryEnv
    rng: Random
    failed_at: float = 0.0
    """Time of the last failure outside a job; lagging statuses do not show it at once."""
    story: list[str] = field(default_factory=list)
    """A log of the events, printed if a check fails."""

    @property
    def folder(self) -> Path:
        return self.env.folder / "state"

    def journals(self) -> list[Path]:
        return sorted(self.folder.glob("retry-*.json"))

    async def step(self) -> None:
        """Run one random step and check the invariants."""
        steps = (
            *(self.run_once, self.run_once, self.run_once, self.run_twice_at_once, self.resume, self.resume),
            *(self.pass_time, self.pass_time, self.fail, self.stop_job, self.remove_job, self.restore_a_copy),
        )
        step = self.rng.choice(steps)
        self.story.append(f"{self.env.ticks():.0f} {step.__name__}")
        await step()
        self.check()

    def check(self) -> None:
        assert not self.env.world.truth().created_twice(SOURCE), "\n".join(self.story)
        assert len(self._existing()) == len(set(self._existing())), "\n".join(self.story)
        assert not self._sent_while_stopped(), "\n".join(self.story)

    def _sent_while_stopped(self) -> list[str]:
        """Return requests for units in stopped jobs that MMS lists in time."""
        site = self.env.world.site(SOURCE)
        if self.env.world.options.job_list_lag_seconds > SETTLE_SECONDS:
            return []
        return [
            f"{later.job.id} has units of the stopped job {earlier.job.id}"
            for earlier, later in permutations([made for made in site.job_store.created if made.is_successful], 2)
            if site.job_store.stopped.get(earlier.job.id, inf) <= site.source.clock.moment(later.requested_at)
            and not earlier.is_removed
            and units_in(earlier) & units_in(later)
        ]

    async def run_once(self) -> None:
        await self._run(watch=self.rng.random() < 0.4)

    async def run_twice_at_once(self) -> None:
        await asyncio.gather(
            self._run(is_alone=False, watch=self.rng.random() < 0.5), self._run(is_alone=False, watch=False)
        )

    async def resume(self) -> None:
        if self.journals():
            path = self.rng.choice(self.journals())
            await self._run(watch=self.rng.random() < 0.4, resume=path, resend=self._can_resend(path))

    async def pass_time(self) -> None:
        await self.env.pass_time(self.rng.choice((5.0, 60.0, 400.0, 4000.0)))

    async def restore_a_copy(self) -> None:
        """Resume a run twice, once from its earlier journal."""
        if self.journals():
            path = self.rng.choice(self.journals())
            copy = path.read_bytes()
            await self._run(resume=path, resend=self._can_resend(path))
            path.write_bytes(copy)
            await self._run(resume=path, resend=self._can_resend(path))

    async def fail(self) -> None:
        rows = [row.id for row in self.env.world.truth().partitions(SOURCE) if row.status == "DONE"]
        if rows:
            apply_event(self.env.world, events.Fail(source_id=SOURCE, partition_ids=(self.rng.choice(rows),)))
            self.failed_at = self.env.ticks()

    async def remove_job(self) -> None:
        jobs = self.env.jobs()
        if jobs and self.rng.random() < 0.3:
            apply_event(self.env.world, events.RemoveJob(source_id=SOURCE, job_id=self.rng.choice(jobs).id))

    async def stop_job(self) -> None:
        jobs = [job for job in self.env.jobs() if job.status in UNFINISHED_JOB_STATUSES and not job.stopped]
        if jobs:
            stopped = events.StopJob(source_id=SOURCE, job_id=self.rng.choice(jobs).id)
            apply_event(self.env.world, stopped)

    def _can_resend(self, path: Path) -> bool:
        """Return whether none of the jobs in doubt was created."""
        # The asynchronous task of a job that MMS accepted always shows its result here.
        doubtful = {entry.name for entry in read_run(path).entries if entry.state == "sending"}
        return not doubtful & set(self._existing())

    def _existing(self) -> list[str | None]:
        """Return the names of all existing jobs, listed or not."""
        created = self.env.world.site(SOURCE).job_store.created
        return [each.job.name for each in created if each.is_successful and not each.is_removed]

    async def _run(self, *, may_be_killed: bool = True, is_alone: bool = True, **given: Any) -> bool:
        """Run the command and check a successful result."""
        clock, rng = self.env.clock, self.rng
        if may_be_killed and rng.random() < 0.3:
            killing_clock = KillingClock(clock, rng.randrange(120))
            clock = replace(clock, wall=killing_clock.wall, sleep=killing_clock.sleep)
        if may_be_killed and rng.random() < 0.3:
            operation = rng.choice(("CreateMmsJob", "CreateMmsJob", "ListMmsJobs", "GetMmsAsyncTask"))
            fault = Fault(kind=rng.choice(LOST_ANSWERS), operation=operation, times=1, skip=rng.randrange(3))
            self.env.simulator.faults.add(fault)
        try:
            outcome = await self._retry(clock, **given)
        except (ExporterError, Killed) as error:
            self.story.append(f"  {given} {type(error).__name__} {error}"[:300])
            return False
        finally:
            self.env.simulator.faults.clear()
        self.story.append(f"  {given} fine={outcome.succeeded}")
        if outcome.succeeded and given.get("watch") and self.env.ticks() - self.failed_at > SETTLE_SECONDS:
            await self._check_success(outcome, is_alone=is_alone)
        return outcome.succeeded

    async def _retry(self, clock: Clock, **given: Any) -> Outcome:
        is_new = given.get("resume") is None
        options = RetryOptions(
            state_folder=self.folder,
            source=str(SOURCE) if is_new else None,
            selection=RetrySelection(failed=is_new),
            yes=True,
            **given,
        )
        terminal = Terminal(io.StringIO(), stderr := io.StringIO(), OutputStyle(None))
        try:
            return await retry(config_on(self.env.simulator.url), options, terminal, clock)
        finally:
            self.story += [f"    {line}" for line in stderr.getvalue().splitlines()]

    async def _check_success(self, outcome: Outcome, *, is_alone: bool) -> None:
        """Check that a run left nothing FAILED."""
        if is_alone:
            assert not await UnitReader(self.env.client, SOURCE).failed(), "\n".join(self.story)
        names = {line.split()[2] for line in outcome.output.decode().splitlines()}
        created = [each for each in self.env.world.site(SOURCE).job_store.created if each.job.name in names]
        at = self.env.world.at(self.env.world.site(SOURCE))
        inventory = self.env.world.site(SOURCE).inventory
        statuses = {
            inventory.unit_status(task.table + each.job.first_table, unit, at.moment)
            for each in created
            for task in each.job.plan.tasks
            for unit in task.units
        }
        assert statuses <= {"DONE"}, "\n".join(self.story)

    async def finish(self) -> None:
        """Check that everything becomes DONE without further kills."""
        await self.env.pass_time(DAYS_2)
        for path in self.journals():
            await self._run(may_be_killed=False, resume=path, resend=self._can_resend(path))
            self.check()
        for job in self.env.jobs():
            if job.stopped:  # its units are blocked until a person deletes it
                apply_event(self.env.world, events.RemoveJob(source_id=SOURCE, job_id=job.id))
        await self.env.pass_time(DAYS_2)
        for _ in range(LAST_RUNS):
            await self.env.pass_time(self.env.world.options.job_seconds)
            succeeded = await self._run(may_be_killed=False, watch=True)
            self.check()
            if succeeded:
                assert not await UnitReader(self.env.client, SOURCE).failed(), "\n".join(self.story)
                return
        raise AssertionError("\n".join(self.story))


def units_in(created: Created) -> set[tuple[int, int]]:
    """Return table and unit numbers in the scope of a job."""
    return {(table, unit) for table, units in created.scope.items() for unit in units}


@asynccontextmanager
async def scenario_of(seed: int, folder: Path) -> AsyncIterator[Scenario]:
    """Provide the scenario of a seed."""
    rng = Random(seed)
    async with env_on(world_of(rng), folder, is_wall_virtual=True) as env:
        env.fail(0.4)
        yield Scenario(env, rng)
