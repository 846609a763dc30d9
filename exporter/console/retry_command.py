"""The command `retry`: shows the plan, asks for confirmation, runs it. Only here a client may write."""

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
from exporter.console.output.command_report import Found, error_lines
from exporter.console.output.terminal import Terminal
from exporter.console.plan_text import amounts, entry_line, incomplete_lines, other_failure_lines, plan_lines
from exporter.console.retry_options import RetryOptions
from exporter.console.selection.queries import NullObserver, Options, QueryPart, QueryTarget, query_sources
from exporter.errors import ConfigError, ExporterError, MmsError, Problem, RetryStopped
from exporter.masking import printable
from exporter.mms.client import Client, create_client
from exporter.mms.models.names import MAX_SUGGESTED
from exporter.mms.models.records import DataSource, Job
from exporter.mms.protocol import create_mms_job
from exporter.retry.earlier_runs import EarlierJobs, EarlierRuns, lock_source, other_journals
from exporter.retry.journal import OPEN, Journal, RetryRun, job_prefix, new_entries
from exporter.retry.planning import RetryPlan
from exporter.retry.run_context import RetryContext
from exporter.retry.selection import read_plan
from exporter.retry.sending import await_job_ids, create_jobs
from exporter.retry.verification import incomplete_units, other_failures
from exporter.retry.watching import duplicate_jobs, watch
from exporter.runtime import DAEMON_THREADS

T = TypeVar("T")
TOKEN_BYTES: Final = 6
"""Length of the random part of job names."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run."""

    succeeded: bool
    """Whether all jobs were created; with --watch, whether all units are DONE."""
    output: bytes = b""
    """Standard output: request bodies, or one line per job."""


@dataclass(frozen=True, slots=True)
class RetrySession:
    """What a run needs."""

    client: Client
    terminal: Terminal
    options: RetryOptions
    clock: Clock
    source_lock: ExitStack
    """Lock of the data source; released once all jobs exist."""

    @property
    def sends_nothing(self) -> bool:
        """Whether it ends with the plan."""
        return _sends_nothing(self.options, self.terminal)


async def retry(config: Config, options: RetryOptions, terminal: Terminal, clock: Clock = SYSTEM_CLOCK) -> Outcome:
    """Run the command. Raises: ConfigError; ExporterError if nothing was sent."""
    asyncio.get_running_loop().set_default_executor(DAEMON_THREADS)
    if problems := list(options.problems()):
        raise ConfigError(*problems)
    with ExitStack() as source_lock:
        if options.resume is not None:
            return await _resume_run(config, options.resume, options, terminal, clock, source_lock)
        found = await _source(config, options, terminal, clock)
        if found is None:
            return Outcome(succeeded=False)
        if not _sends_nothing(options, terminal):
            _lock(source_lock, options, found.account.url, found.source.id)
        async with _writing_client(found.account, clock) as client:
            return await _plan_and_run(found, RetrySession(client, terminal, options, clock, source_lock))


async def _resume_run(
    config: Config, path: Path, options: RetryOptions, terminal: Terminal, clock: Clock, source_lock: ExitStack
) -> Outcome:
    """Resume an earlier run. Raises: RetryStopped if another run blocks it."""
    with Journal.open(path, clock) as journal:
        run, is_open = journal.run, any(entry.state in OPEN for entry in journal.entries)
        account = _account_of(run, config)
        if is_open:
            _lock(source_lock, options, run.endpoint, run.source_id, journal.path)
        async with _writing_client(account, clock) as client:
            session = RetrySession(client, terminal, options, clock, source_lock)
            earlier = EarlierJobs()
            if is_open:
                earlier = await _read(_earlier_runs(session, run.endpoint, run.source_id, journal.path).jobs())
            return await _create_and_watch(journal, session, earlier=earlier.jobs)


def _sends_nothing(options: RetryOptions, terminal: Terminal) -> bool:
    is_confirmable = options.yes or terminal.is_interactive or options.resume is not None
    return options.dry_run or not is_confirmable


def _lock(
    source_lock: ExitStack, options: RetryOptions, endpoint: str, source_id: int, own: Path | None = None
) -> None:
    """Lock a data source. Raises: RetryStopped with the command to run first."""
    try:
        source_lock.enter_context(lock_source(options.state_folder, endpoint, source_id, own))
    except RetryStopped as error:
        if error.resume is None:
            raise
        raise RetryStopped(f"{error}: {options.resume_command(error.resume)}", error.resume) from None


async def _plan_and_run(found: Found[DataSource], session: RetrySession) -> Outcome:
    plan, read_at = await _settled_plan(found, session)
    for line in plan_lines(plan, _source_label(found.source)):
        session.terminal.print_line(line)
    return await _confirm_and_run(plan, _new_run(found, plan, session.options, session.clock), session, read_at)


async def _settled_plan(found: Found[DataSource], session: RetrySession) -> tuple[RetryPlan, float]:
    """Return the plan and when its first list was read, in monotonic seconds.

    Waits until statuses behind ended jobs are reliable.
    """
    runs = _earlier_runs(session, found.account.url, found.source.id)
    settled: set[int] = set()
    while True:
        earlier, read_at = partial(runs.jobs, settled), session.clock.monotonic()
        plan = await _read(read_plan(session.client, found.source.id, session.options.selection, earlier))
        if not plan.settles_in:
            return plan, read_at
        wait, is_dry = max(plan.settles_in.values()), session.sends_nothing
        session.terminal.print_line(
            "jobs of earlier runs have ended; MMS may still list old statuses: "
            f"{'a run would wait' if is_dry else 'waiting'} {duration_text(ceil(wait))} (--settle)"
        )
        if is_dry:
            return plan, read_at
        await session.clock.sleep(wait)
        settled |= plan.settles_in.keys()


def _earlier_runs(session: RetrySession, endpoint: str, source_id: int, own: Path | None = None) -> EarlierRuns:
    return EarlierRuns(
        client=session.client,
        journals=tuple(other_journals(session.options.state_folder, endpoint, source_id, own)),
        clock=session.clock,
        settle_seconds=session.options.settle_seconds,
        may_update=not session.sends_nothing,
    )


async def _read(answer: Awaitable[T]) -> T:
    """Await a read that precedes any write. Raises: ExporterError."""
    try:
        return await answer
    except MmsError as error:
        raise ExporterError(f"{error}; {error.hint}; nothing was sent") from None


async def _confirm_and_run(plan: RetryPlan, run: RetryRun, session: RetrySession, read_at: float) -> Outcome:
    options, terminal = session.options, session.terminal
    if options.dry_run:
        return Outcome(succeeded=not plan.refused, output=_bodies(run))
    if not plan.batches:
        return Outcome(succeeded=not plan.refused)
    if session.sends_nothing:
        raise ConfigError(Problem("--yes", "is required without a terminal; nothing was sent"))
    question = f"Migrate {amounts(plan.batches)} of {printable(run.source or str(run.source_id))} again?"
    if not options.yes and not await _confirm(question, terminal):
        return Outcome(succeeded=False)
    with Journal.create(options.state_folder, run, session.clock) as journal:
        return await _create_and_watch(journal, session, read_at)


async def _confirm(question: str, terminal: Terminal) -> bool:
    try:
        is_confirmed = await terminal.confirm(question)
    except asyncio.CancelledError:
        terminal.print_line("\nnothing was sent")
        raise
    if not is_confirmed:
        terminal.print_line("nothing was sent")
    return is_confirmed


async def _create_and_watch(
    journal: Journal, session: RetrySession, planned_at: float | None = None, earlier: tuple[Job, ...] = ()
) -> Outcome:
    """Create all jobs and watch them with --watch."""
    terminal, options = session.terminal, session.options
    context = RetryContext(
        *(session.client, journal, terminal.print_line, session.clock, planned_at),
        settle_seconds=options.settle_seconds,
        earlier=earlier,
        resend=options.resend,
    )
    # Printed before the first request: a kill leaves no time for it later.
    terminal.print_line(f"journal of this run: {printable(str(journal.path))}")
    try:
        await create_jobs(context)
        await await_job_ids(context)
        session.source_lock.close()
        succeeded = await _verify_run(context, terminal, options)
    except RetryStopped as error:
        terminal.print_line(f"{printable(str(error))}\n{_resume_hint(journal, options)}")
        succeeded = False
    except asyncio.CancelledError:
        terminal.print_line(f"\ninterrupted; {_resume_hint(journal, options)}")
        raise
    return Outcome(succeeded, "".join(f"{entry_line(entry)}\n" for entry in journal.entries).encode())


async def _verify_run(context: RetryContext, terminal: Terminal, options: RetryOptions) -> bool:
    """Return whether the run succeeded; watch it with --watch."""
    run = context.journal.run
    if run.refused:
        terminal.print_line(f"the plan of this run skipped {run.refused:,} of the selected objects")
    is_verified = not await _has_duplicate_jobs(context, terminal) and not run.refused
    final_states = {"made", "done"}
    if options.watch:
        final_states = {"done"}
        with terminal.show_progress() as show:
            await watch(context, show)
        # The second of two requests may have arrived late.
        is_verified = (
            await _verify_units(context, terminal) and is_verified and not await _has_duplicate_jobs(context, terminal)
        )
    return is_verified and all(entry.state in final_states and not entry.left_out for entry in context.journal.entries)


async def _has_duplicate_jobs(context: RetryContext, terminal: Terminal) -> bool:
    """Return whether a job was created twice, or may have been."""
    try:
        names = await duplicate_jobs(context)
    except MmsError as error:
        terminal.print_line(f"could not check for duplicate jobs: {error}; {error.hint}")
        return True
    for name in names:
        terminal.print_line(f"WARNING: more than one job has the name {name}; stop one of them in the MMS console")
    return bool(names)


async def _verify_units(context: RetryContext, terminal: Terminal) -> bool:
    """Return whether all units are DONE; print those that are not."""
    try:
        left = await incomplete_units(context)
        others = await other_failures(context) if context.journal.run.all_failed else []
    except MmsError as error:
        terminal.print_line(f"the jobs have ended, but their units could not be checked: {error}; {error.hint}")
        return False
    for line in (*incomplete_lines(left), *other_failure_lines(others)):
        terminal.print_line(line)
    return not left and not others


def _resume_hint(journal: Journal, options: RetryOptions) -> str:
    return f"to continue: {options.resume_command(journal.path)}"


async def _source(config: Config, options: RetryOptions, terminal: Terminal, clock: Clock) -> Found[DataSource] | None:
    """Return the selected data source; None if it could not be read.

    Raises: ConfigError if there is none, or more than one.
    """

    async def source_of(target: QueryTarget) -> QueryPart[DataSource]:
        return QueryPart((target.source,))

    accounts = [options.account] if options.account else []
    result = await query_sources(config, Options(accounts=accounts, sources=[options.source or ""]), source_of, clock)
    for line in error_lines(result.errors):
        terminal.print_line(f"mms-exporter: {line}")
    if result.errors or not result.found:
        if len(config.accounts) > 1 and not options.account:
            terminal.print_line("mms-exporter: nothing was sent; --account=NAME limits the command to one account")
        return None
    if len(result.found) > 1:
        shown = [
            printable(f"{_source_label(each.source)} of account {each.account.name}")
            for each in result.found[:MAX_SUGGESTED]
        ]
        places = ", ".join([*shown, *(["..."] if len(result.found) > MAX_SUGGESTED else [])])
        raise ConfigError(Problem("--source", f"several data sources match: {places}; use the ID and --account"))
    return result.found[0]


def _new_run(found: Found[DataSource], plan: RetryPlan, options: RetryOptions, clock: Clock) -> RetryRun:
    now = datetime.fromtimestamp(clock.wall(), UTC)
    prefix = job_prefix(now.strftime("%Y%m%dT%H%M%SZ"), secrets.token_hex(TOKEN_BYTES))
    return RetryRun(
        account=found.account.name,
        endpoint=found.account.url,
        source_id=found.source.id,
        source=found.source.name,
        began=now.isoformat(timespec="seconds"),
        prefix=prefix,
        entries=new_entries(prefix, plan.batches),
        all_failed=options.selection.failed,
        tables=plan.tables,
        refused=len(plan.refused),
    )


def _bodies(run: RetryRun) -> bytes:
    """Return the request bodies, one per line."""
    calls = (create_mms_job(run.source_id, entry.batch.request(entry.name, run.source)) for entry in run.entries)
    return b"".join((call.body or b"") + b"\n" for call in calls)


def _account_of(run: RetryRun, config: Config) -> Account:
    """Return the account of a run. Raises: ConfigError if it is not configured."""
    for account in config.accounts:
        if (account.name, account.url) == (run.account, run.endpoint):
            return account
    where = f"account {printable(run.account)!r} at {run.endpoint}"
    raise ConfigError(Problem("--resume", f"belongs to {where}, which the configuration does not have"))


def _writing_client(account: Account, clock: Clock) -> Client:
    return create_client(account, NullObserver(), clock, may_write=True)


def _source_label(source: DataSource) -> str:
    return f"{source.name or 'data source'} ({source.id})"
