"""Watches the jobs of a run until they end; writes each end to the journal."""

from collections import Counter
from collections.abc import Callable, Container, Mapping
from typing import Final

from msgspec.structs import replace

from exporter.errors import NotFound
from exporter.mms.client import Client
from exporter.mms.models.records import Job
from exporter.mms.protocol import get_mms_job
from exporter.retry.job_lookup import all_jobs, jobs_of_run
from exporter.retry.journal import Entry, RetryRun
from exporter.retry.run_context import Polling, RetryContext, stop_on_error
from exporter.retry.units import DONE, FAILED

WATCH: Final = Polling(first_seconds=5.0, max_seconds=30.0, max_failures=10, growth=1.2)


async def watch(context: RetryContext, show: Callable[[tuple[Job, ...]], None]) -> None:
    """Show the jobs of a run until all have ended.

    A stopped or deleted job counts as ended. Raises: RetryStopped if the jobs stay unreadable.
    """
    absent: dict[int, float] = {}
    seen: dict[int, Job] = {}

    async def has_ended(_: bool) -> bool | None:  # noqa: FBT001 - as `poll` calls it
        nonlocal absent
        jobs, now = await created_jobs(context.client, context.journal.run), context.clock.monotonic()
        absent = {job_id: absent.get(job_id, now) for job_id in _running_ids(context) if job_id not in jobs}
        # Absent for longer than a list may lag: the job was deleted.
        gone = {job_id for job_id, since in absent.items() if now - since >= context.settle_seconds}
        if changed := changed_entries(context.journal.run, jobs, gone):
            context.journal.update(*changed)
        seen.update(jobs)
        show(tuple(seen.values()))
        return not _running_ids(context) or None

    if _running_ids(context):
        with stop_on_error("the jobs were created, but cannot be watched now"):
            await context.poll(WATCH, has_ended)


async def created_jobs(client: Client, run: RetryRun) -> dict[int, Job]:
    """Return the jobs of a run by ID. Raises: MmsError."""
    jobs = {job.id: job for job in await jobs_of_run(client, run.source_id, run.prefix)}
    for entry in run.entries:
        if entry.state == "made" and entry.job_id is not None and entry.job_id not in jobs:
            # The list lags, or its name filter misses the job.
            try:
                jobs[entry.job_id] = await client.send(get_mms_job(run.source_id, entry.job_id))
            except NotFound as error:
                if not error.code:  # the page of a gateway says nothing about the job
                    raise
    return jobs


def changed_entries(run: RetryRun, jobs: Mapping[int, Job], gone: Container[int]) -> list[Entry]:
    """Return the entries of existing jobs that changed; `gone` are deleted job IDs."""
    entries = [entry for entry in run.entries if entry.state == "made" and entry.job_id is not None]
    return [now for entry in entries if (now := _updated(entry, jobs, gone)) != entry]


def _running_ids(context: RetryContext) -> list[int]:
    entries = context.journal.entries
    return [entry.job_id for entry in entries if entry.state == "made" and entry.job_id is not None]


def _updated(entry: Entry, jobs: Mapping[int, Job], gone: Container[int]) -> Entry:
    job = jobs.get(entry.job_id or 0)
    if job is None:
        is_gone = entry.job_id in gone
        return replace(entry, state="failed", reason="the job no longer exists in MMS") if is_gone else entry
    entry = replace(entry, seen=True)
    if job.status == DONE:
        return replace(entry, state="done")
    if job.status == FAILED:
        return replace(entry, state="failed", reason="the job is FAILED")
    return replace(entry, state="failed", reason="the job was stopped") if job.stopped else entry


async def duplicate_jobs(context: RetryContext) -> list[str]:
    """Return the names that more than one job has. Raises: MmsError."""
    run, entries = context.journal.run, context.journal.entries
    jobs = await jobs_of_run(context.client, run.source_id, run.prefix)
    listed, names = {job.id for job in jobs}, [job.name for job in jobs]
    if seen := [replace(entry, seen=True) for entry in entries if not entry.seen and entry.job_id in listed]:
        context.journal.update(*seen)
    if any(entry.job_id is not None and entry.name not in names for entry in entries):
        # The name filter misses existing jobs.
        names = [job.name for job in await all_jobs(context.client, run.source_id)]
    counts = Counter(names)
    return [name for name, count in counts.items() if name in context.journal.names and count > 1]
