"""The command `retry`: shows what it would do, asks, and has it done. Only here a client is made that may write."""

import asyncio
import secrets
from collections.abc import Awaitable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from math import ceil
from pathlib import Path
from typing import Final, TypeVar

from exporter.clock import SYSTEM_CLOCK, Clock
from exporter.config.loading import Account, Config
from exporter.config.sections import duration_text
from exporter.console.columns import Found
from exporter.console.command_report import complaints
from exporter.console.options import Options
from exporter.console.plan_text import amounts, beside_lines, entry_line, left_lines, plan_lines
from exporter.console.queries import NullObserver, QueryPart, QueryTarget, ask
from exporter.console.retry_options import RetryOptions
from exporter.console.terminal import Terminal
from exporter.errors import ConfigError, ExporterError, MmsError, Problem, RetryStopped
from exporter.masking import printable
from exporter.mms.client import Client
from exporter.mms.client_factory import create_client
from exporter.mms.models import DataSource, Job
from exporter.mms.protocol import create_mms_job
from exporter.retry.earlier_runs import EarlierJobs, EarlierRuns
from exporter.retry.job_creation import duplicate_jobs, follow_all
from exporter.retry.journal import OPEN, Journal, RetryRun, entries_of, job_prefix
from exporter.retry.planning import RetryPlan
from exporter.retry.selection import planned
from exporter.retry.sending import RetryContext, create_jobs
from exporter.retry.source_lock import claimed, other_journals
from exporter.retry.verification import incomplete_units, other_failures
from exporter.retry.watching import watch
from exporter.runtime import DAEMON_THREADS

T = TypeVar("T")
TOKEN_BYTES: Final = 6
"""Of the random part of job names."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to."""

    is_fine: bool
    """Whether all that was asked for is under way; or DONE, where that was waited for."""
    output: bytes = b""
    """For standard output: bodies of requests, or a line for each job."""


@dataclass(frozen=True, slots=True)
class RetrySession:
    """What a run is carried out with."""

    client: Client
    terminal: Terminal
    options: RetryOptions
    clock: Clock
    claim: ExitStack
    """The right to make jobs in the data source; closed as soon as all are made."""


async def retry(config: Config, options: RetryOptions, terminal: Terminal, clock: Clock = SYSTEM_CLOCK) -> Outcome:
    """Migrate again what is meant. Raises: ConfigError for what is unclear; ExporterError where nothing was sent."""
    asyncio.get_running_loop().set_default_executor(DAEMON_THREADS)
    if problems := list(options.problems(is_interactive=terminal.is_interactive)):
        raise ConfigError(*problems)
    with ExitStack() as claim:
        if options.resume is not None:
            return await _resumed(config, options.resume, options, terminal, clock, claim)
        found = await _source(config, options, terminal, clock)
        if found is None:
            return Outcome(is_fine=False)
        if not options.dry_run:
            claim.enter_context(claimed(options.state_folder, found.account.url, found.source.id))
        async with _writer(found.account, clock) as client:
            return await _planned(found, RetrySession(client, terminal, options, clock, claim))


async def _resumed(
    config: Config, path: Path, options: RetryOptions, terminal: Terminal, clock: Clock, claim: ExitStack
) -> Outcome:
    """Take an earlier run up again. Raises: RetryStopped, with nothing sent, where another one is in the way."""
    with Journal.resumed(path, clock) as journal:
        course, is_open = journal.course, any(entry.state in OPEN for entry in journal.entries)
        account = _account_of(course, config)
        if is_open:
            claim.enter_context(claimed(options.state_folder, course.endpoint, course.source_id, journal.path))
        async with _writer(account, clock) as client:
            scene = RetrySession(client, terminal, options, clock, claim)
            runs = _earlier_runs(scene, course.endpoint, course.source_id, journal.path)
            earlier = await _read(runs.jobs()) if is_open else EarlierJobs()
            return await _carried_out(journal, scene, earlier=earlier.jobs)


async def _planned(found: Found[DataSource], scene: RetrySession) -> Outcome:
    """Say what is to be made of what is meant, and do it if that is wanted."""
    plan = await _settled_plan(found, scene)
    for line in plan_lines(plan, _name(found.source)):
        scene.terminal.say(line)
    return await _decided(plan, _course(found, plan, scene.options, scene.clock), scene)


async def _settled_plan(found: Found[DataSource], scene: RetrySession) -> RetryPlan:
    """Return what is to be made, once the statuses behind jobs of earlier runs that ended have settled."""
    runs = _earlier_runs(scene, found.account.url, found.source.id)
    settled: set[int] = set()
    while True:
        earlier = partial(runs.jobs, settled)
        plan = await _read(planned(scene.client, found.source.id, scene.options.selection, earlier))
        if not plan.settles_in or scene.options.dry_run:
            return plan
        wait = max(plan.settles_in.values())
        scene.terminal.say(
            f"jobs of earlier runs have ended; MMS may still list old statuses: waiting {duration_text(ceil(wait))} "
            "(--settle)"
        )
        await scene.clock.sleep(wait)
        settled |= plan.settles_in.keys()


def _earlier_runs(scene: RetrySession, endpoint: str, source_id: int, own: Path | None = None) -> EarlierRuns:
    return EarlierRuns(
        client=scene.client,
        journals=tuple(other_journals(scene.options.state_folder, endpoint, source_id, own)),
        clock=scene.clock,
        settle_seconds=scene.options.settle_seconds,
        may_note=not scene.options.dry_run,
    )


async def _read(reading: Awaitable[T]) -> T:
    """Return what is read before anything is sent. Raises: ExporterError."""
    try:
        return await reading
    except MmsError as error:
        raise ExporterError(f"{error}; {error.hint}; nothing was sent") from None


async def _decided(plan: RetryPlan, course: RetryRun, scene: RetrySession) -> Outcome:
    """Do what is planned, if that is wanted."""
    options, terminal, planned_at = scene.options, scene.terminal, scene.clock.monotonic()
    if options.dry_run:
        return Outcome(is_fine=not plan.refused, output=_bodies(course))
    if not plan.batches:
        return Outcome(is_fine=not plan.refused)
    question = f"Migrate {amounts(plan.batches)} of {printable(course.source or str(course.source_id))} again?"
    if not options.yes and not await terminal.agrees(question):
        terminal.say("nothing was sent")
        return Outcome(is_fine=False)
    with Journal.begun(options.state_folder, course, scene.clock) as journal:
        return await _carried_out(journal, scene, planned_at)


async def _carried_out(
    journal: Journal, scene: RetrySession, planned_at: float | None = None, earlier: tuple[Job, ...] = ()
) -> Outcome:
    """Have all jobs made, and watched where that is wanted. Whatever ends it, it says how to go on."""
    terminal, options = scene.terminal, scene.options
    means = RetryContext(
        *(scene.client, journal, terminal.say, scene.clock, planned_at),
        settle_seconds=options.settle_seconds,
        earlier=earlier,
        resend=options.resend,
    )
    # Before the first request: what ends this process may leave it no time to say so.
    terminal.say(f"each step is written down in {printable(str(journal.path))}")
    try:
        await create_jobs(means)
        await follow_all(means)
        scene.claim.close()
        is_fine = await _is_all_right(means, terminal, options)
    except RetryStopped as error:
        terminal.say(f"{printable(str(error))}\n{_how_to_go_on(journal, options)}")
        is_fine = False
    except asyncio.CancelledError:
        terminal.say(f"\ninterrupted; {_how_to_go_on(journal, options)}")
        raise
    return Outcome(is_fine, "".join(f"{entry_line(entry)}\n" for entry in journal.entries).encode())


async def _is_all_right(means: RetryContext, terminal: Terminal, options: RetryOptions) -> bool:
    """Return whether all is as it was meant, once every job is made; or done, where that is waited for."""
    course = means.journal.course
    if course.refused:
        terminal.say(f"the plan of this run left out {course.refused:,} of what was asked for")
    is_right = not await _has_duplicate_jobs(means, terminal) and not course.refused
    good = {"made", "done"}
    if options.watch:
        good = {"done"}
        with terminal.watching() as show:
            async for jobs in watch(means):
                show(jobs)
        # Of two requests that came through, one may have come late.
        is_right = await _is_done(means, terminal) and is_right and not await _has_duplicate_jobs(means, terminal)
    return is_right and all(entry.state in good and not entry.left_out for entry in means.journal.entries)


async def _has_duplicate_jobs(means: RetryContext, terminal: Terminal) -> bool:
    try:
        names = await duplicate_jobs(means)
    except MmsError as error:
        terminal.say(f"whether each job is there only once could not be read: {error}")
        return False
    for name in names:
        terminal.say(f"WARNING: there is more than one job {name}; stop one of them in the MMS console")
    return bool(names)


async def _is_done(means: RetryContext, terminal: Terminal) -> bool:
    """Return whether all that was to be migrated is DONE, and say what is not, or is FAILED beside it."""
    try:
        left = await incomplete_units(means.client, means.journal, means.clock, means.settle_seconds)
        beside = await other_failures(means.client, means.journal) if means.journal.course.all_failed else []
    except MmsError as error:
        terminal.say(f"the jobs have ended; whether all of it is DONE could not be read: {error}; {error.hint}")
        return False
    for line in (*left_lines(left), *beside_lines(beside)):
        terminal.say(line)
    return not left and not beside


def _how_to_go_on(journal: Journal, options: RetryOptions) -> str:
    watching = " --watch" if options.watch else ""
    return f"go on, with the same configuration: mms-exporter retry --resume={journal.path}{watching}"


async def _source(config: Config, options: RetryOptions, terminal: Terminal, clock: Clock) -> Found[DataSource] | None:
    """Return the one data source that is meant; None where that could not be read.

    Raises: ConfigError where there is none, or more than one.
    """

    async def itself(target: QueryTarget) -> QueryPart[DataSource]:
        return QueryPart((target.source,))

    accounts = [options.account] if options.account else []
    told = await ask(config, Options(accounts=accounts, sources=[options.source or ""]), itself, clock)
    for line in complaints(told.troubles):
        terminal.say(line)
    if told.troubles or not told.found:
        return None
    if len(told.found) > 1:
        places = ", ".join(f"{found.source.id} of account {printable(found.account.name)}" for found in told.found)
        raise ConfigError(Problem("--source", f"several are called so: {places}; give the id, and --account"))
    return told.found[0]


def _course(found: Found[DataSource], plan: RetryPlan, options: RetryOptions, clock: Clock) -> RetryRun:
    now = datetime.fromtimestamp(clock.wall(), UTC)
    prefix = job_prefix(now.strftime("%Y%m%dT%H%M%SZ"), secrets.token_hex(TOKEN_BYTES))
    return RetryRun(
        account=found.account.name,
        endpoint=found.account.url,
        source_id=found.source.id,
        source=found.source.name,
        began=now.isoformat(timespec="seconds"),
        prefix=prefix,
        entries=entries_of(prefix, plan.batches),
        all_failed=options.selection.failed,
        tables=plan.tables,
        refused=len(plan.refused),
    )


def _bodies(course: RetryRun) -> bytes:
    """Return the body of each request, one on a line, as it would be sent."""
    calls = (
        create_mms_job(course.source_id, entry.batch.request(entry.name, course.source)) for entry in course.entries
    )
    return b"".join((call.body or b"") + b"\n" for call in calls)


def _account_of(course: RetryRun, config: Config) -> Account:
    """Return the account of an earlier run. Raises: ConfigError where the configuration has no such account now."""
    for account in config.accounts:
        if (account.name, account.url) == (course.account, course.endpoint):
            return account
    where = f"account {printable(course.account)!r} at {course.endpoint}"
    raise ConfigError(Problem("--resume", f"belongs to {where}, which the configuration does not have"))


def _writer(account: Account, clock: Clock) -> Client:
    return create_client(account, NullObserver(), clock, make=partial(Client, may_write=True))


def _name(source: DataSource) -> str:
    return f"{source.name or 'data source'} ({source.id})"
