"""A retry on a simulated MMS with a virtual clock that moves only while the retry waits."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from exporter.clock import Clock
from exporter.console.selection.queries import NullObserver
from exporter.errors import RetryStopped
from exporter.mms.client import Client
from exporter.mms.credentials import StaticCredentials
from exporter.mms.models.records import Job
from exporter.mms.signing import Credential
from exporter.mms.throttle import Limits
from exporter.retry.journal import Entry, Journal, RetryRun, job_prefix, new_entries
from exporter.retry.planning import RetryPlan
from exporter.retry.run_context import RetryContext
from exporter.retry.selection import RetrySelection, read_plan
from exporter.retry.sending import await_job_ids, create_jobs
from exporter.simulator import ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.world import events
from tests.conftest import IDENTITY
from tests.virtual_time import loop_factories

pytest_asyncio_loop_factories = loop_factories

SOURCE = 2_000_001
ALL_FAILED = RetrySelection(failed=True)
LONG_TIMEOUT = Limits(requests_per_second=0, timeout_seconds=10.0)
SHORT_TIMEOUT = Limits(requests_per_second=0, timeout_seconds=0.2)
"""For faults that stall. Without virtual time a slow machine would look like a fault."""

UNFINISHED_CALLS = 6
"""Calls of ListMmsJobs that read the unfinished jobs."""
PLAN_CALLS = UNFINISHED_CALLS + 2
"""Calls of ListMmsJobs of a plan, which also reads the failed and the stopped jobs."""

UnitName = tuple[str | None, str | None, str]


@dataclass
class RetryEnv:
    """A simulated MMS with a writing client and journals."""

    simulator: Simulator
    client: Client
    ticks: ManualClock
    clock: Clock
    folder: Path
    short_timeout_client: Client
    """A client with a short timeout, for faults that stall."""
    messages: list[str] = field(default_factory=list)

    @contextmanager
    def short_timeouts(self) -> Iterator[None]:
        """Use the client with the short timeout."""
        usual_client, self.client = self.client, self.short_timeout_client
        try:
            yield
        finally:
            self.client = usual_client

    @property
    def world(self) -> World:
        return self.simulator.world

    def statuses(self) -> dict[UnitName, str | None]:
        """Return all partition and table statuses by name."""
        truth = self.world.truth()
        plain = (table for table in truth.tables(SOURCE) if not table.has_partitions)
        known: dict[UnitName, str | None] = {(table.db_name, table.name, ""): table.status for table in plain}
        for row in truth.partitions(SOURCE):
            known[row.db_name, row.table_name, row.value or ""] = row.status
        return known

    def failed(self) -> set[UnitName]:
        return {name for name, status in self.statuses().items() if status == "FAILED"}

    def fail(self, share: float) -> None:
        apply_event(self.world, events.Fail(source_id=SOURCE, share=share))

    def jobs(self) -> list[Job]:
        """Return the jobs that retries created."""
        return [job for job in self.world.truth().jobs(SOURCE) if (job.name or "").startswith("mms-exporter-")]

    def jobs_by_name(self) -> Counter[str | None]:
        return Counter(job.name for job in self.jobs())

    async def plan(self, selection: RetrySelection = ALL_FAILED) -> RetryPlan:
        return await read_plan(self.client, SOURCE, selection)

    def new_run(self, plan: RetryPlan, token: str = "c0ffee") -> RetryRun:  # noqa: S107 - part of a name
        prefix = job_prefix("20250615T120000Z", token)
        return RetryRun(
            account="test",
            endpoint=self.simulator.url,
            source_id=SOURCE,
            source="hive-sales-001",
            began="2025-06-15T12:00:00+00:00",
            prefix=prefix,
            entries=new_entries(prefix, plan.batches),
        )

    def context(self, journal: Journal, *, resend: bool = False) -> RetryContext:
        return RetryContext(self.client, journal, self.messages.append, self.clock, resend=resend)

    async def create_all(self, journal: Journal, *, resend: bool = False) -> None:
        """Create all jobs of a journal; wait for their IDs."""
        await create_jobs(self.context(journal, resend=resend))
        await await_job_ids(self.context(journal))

    async def pass_time(self, seconds: float) -> None:
        self.ticks.advance(seconds)
        await asyncio.sleep(0)


async def resume(env: RetryEnv, path: Path) -> tuple[Entry, ...]:
    """Resume a run like a new process; return its entries."""
    # A run that stops for a job in doubt continues with `resend`, if the job does not exist.
    with Journal.open(path) as journal:
        with suppress(RetryStopped):
            await env.create_all(journal)
        doubtful = {entry.name for entry in journal.entries if entry.state == "sending"}
        assert not doubtful & env.jobs_by_name().keys()
        await env.create_all(journal, resend=bool(doubtful))
        return journal.entries


def assert_made_once(env: RetryEnv, entries: tuple[Entry, ...]) -> None:
    assert {entry.state for entry in entries} == {"made"}
    assert env.jobs_by_name() == Counter(entry.name for entry in entries)
    assert len(env.world.site(SOURCE).job_store.created) == len(entries)
    assert {job.id for job in env.jobs()} == {entry.job_id for entry in entries}


@asynccontextmanager
async def env_on(
    world_options: WorldOptions, folder: Path, limits: Limits = LONG_TIMEOUT, *, is_wall_virtual: bool = False
) -> AsyncIterator[RetryEnv]:
    """Provide an environment on a new world."""
    ticks = ManualClock()

    async def sleep(seconds: float) -> None:
        ticks.advance(seconds)
        await asyncio.sleep(0)

    clock = Clock(wall=ticks if is_wall_virtual else time.time, monotonic=ticks, sleep=sleep)
    credentials = StaticCredentials(Credential(IDENTITY.access_key_id, IDENTITY.access_key_secret))
    async with AsyncExitStack() as stack:
        world = World(world_options, clock=ticks)
        simulator = await stack.enter_async_context(Simulator(world, identities=[IDENTITY], wall_clock=clock.wall))
        client, short_timeout_client = (
            Client(simulator.url, credentials, NullObserver(), limits=each, clock=clock, may_write=True)
            for each in (limits, SHORT_TIMEOUT)
        )
        await stack.enter_async_context(client)
        await stack.enter_async_context(short_timeout_client)
        yield RetryEnv(simulator, client, ticks, clock, folder, short_timeout_client)


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
"""One source without changes of its own, with done, failed and untried objects."""


@pytest.fixture
async def env(tmp_path: Path) -> AsyncIterator[RetryEnv]:
    """Provide a small source with many failures."""
    async with env_on(QUIET_WORLD, tmp_path) as made:
        made.fail(0.4)
        yield made
