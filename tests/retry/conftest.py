"""A retry at work on a simulated MMS whose time moves only while the retry waits, so that no test does."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from exporter.clock import Clock
from exporter.errors import RetryStopped
from exporter.mms.client import Client
from exporter.mms.credentials import StaticCredentials
from exporter.mms.models import Job
from exporter.mms.signing import Credential
from exporter.mms.throttle import Limits
from exporter.retry.job_creation import follow_all
from exporter.retry.journal import Entry, Journal, RetryRun, entries_of, job_prefix
from exporter.retry.planning import RetryPlan
from exporter.retry.selection import RetrySelection, planned
from exporter.retry.sending import RetryContext, create_jobs
from exporter.simulator import ManualClock, Simulator, World, WorldOptions, happen
from exporter.simulator.world import events
from tests.conftest import IDENTITY
from tests.leaping import loops_of

pytest_asyncio_loop_factories = loops_of

SOURCE = 2_000_001
ALL_FAILED = RetrySelection(failed=True)
PATIENT = Limits(requests_per_second=0, timeout_seconds=10.0)
HASTY = Limits(requests_per_second=0, timeout_seconds=0.2)
"""Where a fault stalls, so that nobody waits for long. Unless time leaps, a slow machine looks like a fault, too."""

UNFINISHED_CALLS = 5
"""Of ListMmsJobs, to learn which jobs are unfinished."""

UnitName = tuple[str | None, str | None, str]


class Deaf:
    """An observer that does not listen."""

    def attempted(self, operation: str, seconds: float, reason: str | None) -> None: ...
    def retried(self, operation: str) -> None: ...
    def waited(self, operation: str, seconds: float) -> None: ...
    def unexpected(self, operation: str, fields: Sequence[str]) -> None: ...


@dataclass
class Stage:
    """A simulated MMS, a client that may write, and the folder of journals."""

    simulator: Simulator
    client: Client
    ticks: ManualClock
    clock: Clock
    folder: Path
    hasty_client: Client
    """One with little patience, for faults that stall."""
    told: list[str] = field(default_factory=list)

    @contextmanager
    def in_a_hurry(self) -> Iterator[None]:
        """Have what stalls given up soon; who goes on later has time."""
        patient, self.client = self.client, self.hasty_client
        try:
            yield
        finally:
            self.client = patient

    @property
    def world(self) -> World:
        return self.simulator.world

    def statuses(self) -> dict[UnitName, str | None]:
        """Return the status of every partition, and of every table without any, by database, table and value."""
        truth = self.world.truth()
        plain = (table for table in truth.tables(SOURCE) if not table.has_partitions)
        known: dict[UnitName, str | None] = {(table.db_name, table.name, ""): table.status for table in plain}
        for row in truth.partitions(SOURCE):
            known[row.db_name, row.table_name, row.value or ""] = row.status
        return known

    def failed(self) -> set[UnitName]:
        return {name for name, status in self.statuses().items() if status == "FAILED"}

    def fail(self, share: float) -> None:
        happen(self.world, events.Fail(source_id=SOURCE, share=share))

    def jobs(self) -> list[Job]:
        """Return the jobs that a retry made."""
        return [job for job in self.world.truth().jobs(SOURCE) if (job.name or "").startswith("mms-exporter-")]

    def jobs_by_name(self) -> Counter[str | None]:
        return Counter(job.name for job in self.jobs())

    async def plan(self, selection: RetrySelection = ALL_FAILED) -> RetryPlan:
        return await planned(self.client, SOURCE, selection)

    def course(self, plan: RetryPlan, token: str = "c0ffee") -> RetryRun:  # noqa: S107 - part of a name
        prefix = job_prefix("20250615T120000Z", token)
        return RetryRun(
            account="test",
            endpoint=self.simulator.url,
            source_id=SOURCE,
            source="hive-sales-001",
            began="2025-06-15T12:00:00+00:00",
            prefix=prefix,
            entries=entries_of(prefix, plan.batches),
        )

    def means(self, journal: Journal, *, resend: bool = False) -> RetryContext:
        return RetryContext(self.client, journal, self.told.append, self.clock, resend=resend)

    async def carry_out(self, journal: Journal, *, resend: bool = False) -> None:
        """Have every job made, and follow it until it is."""
        await create_jobs(self.means(journal, resend=resend))
        await follow_all(self.means(journal))

    async def pass_time(self, seconds: float) -> None:
        self.ticks.advance(seconds)
        await asyncio.sleep(0)


async def resume(stage: Stage, path: Path) -> tuple[Entry, ...]:
    """Take a retry up again, as a new process would, and return how far its jobs are then.

    Where it stops for a job in doubt, a person looks whether that is there, and says so if it is not.
    """
    with Journal.resumed(path) as journal:
        with suppress(RetryStopped):
            await stage.carry_out(journal)
        doubtful = {entry.name for entry in journal.entries if entry.state == "sending"}
        assert not doubtful & stage.jobs_by_name().keys()
        await stage.carry_out(journal, resend=bool(doubtful))
        return journal.entries


def assert_made_once(stage: Stage, entries: tuple[Entry, ...]) -> None:
    assert {entry.state for entry in entries} == {"made"}
    assert stage.jobs_by_name() == Counter(entry.name for entry in entries)
    assert len(stage.world.site(SOURCE).roster.created) == len(entries)
    assert {job.id for job in stage.jobs()} == {entry.job_id for entry in entries}


@asynccontextmanager
async def stage_on(
    world_options: WorldOptions, folder: Path, limits: Limits = PATIENT, *, is_wall_virtual: bool = False
) -> AsyncIterator[Stage]:
    """Provide a stage on a world of its own, whose wall clock is the machine's or moves with its time."""
    ticks = ManualClock()

    async def sleep(seconds: float) -> None:
        ticks.advance(seconds)
        await asyncio.sleep(0)

    clock = Clock(wall=ticks if is_wall_virtual else time.time, monotonic=ticks, sleep=sleep)
    credentials = StaticCredentials(Credential(IDENTITY.access_key_id, IDENTITY.access_key_secret))
    async with AsyncExitStack() as stack:
        world = World(world_options, clock=ticks)
        simulator = await stack.enter_async_context(Simulator(world, identities=[IDENTITY], wall_clock=clock.wall))
        client, hasty = (
            Client(simulator.url, credentials, Deaf(), limits=each, clock=clock, may_write=True)
            for each in (limits, HASTY)
        )
        await stack.enter_async_context(client)
        await stack.enter_async_context(hasty)
        yield Stage(simulator, client, ticks, clock, folder, hasty)


QUIET_WORLD = WorldOptions(
    sources=1,
    idle_share=1.0,
    special_sources=False,
    incidents=False,
    databases=2,
    tables=8,
    partitions=4,
    finished_jobs_per_source=6,
    failure_rate=0.2,
    untouched_share=0.3,
)
"""One source in which nothing moves by itself, and something is done, failed and never tried."""


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """Provide a small source of which a good part failed."""
    async with stage_on(QUIET_WORLD, tmp_path) as made:
        made.fail(0.4)
        yield made
