"""Formats plans and results of `retry` as text. Pure; names from the warehouse are escaped."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from exporter.masking import printable
from exporter.retry.journal import Entry
from exporter.retry.planning import Refused, RetryPlan
from exporter.retry.units import Batch, Unit

MAX_LINES: Final = 20
"""Jobs, reasons or units that are listed one by one."""
MAX_NAMES: Final = 3


def plan_lines(plan: RetryPlan, source: str) -> Iterator[str]:
    """Yield what a plan migrates and what it skips."""
    if plan.batches:
        jobs = _count(len(plan.batches), "job")
        yield f"to retry in {printable(source)}: {amounts(plan.batches)} in {jobs}"
        yield from _limited([f"  {batch_line(batch)}" for batch in plan.batches], "jobs")
    else:
        yield f"nothing to retry in {printable(source)}{' yet' if plan.settles_in else ''}"
    if plan.tables:
        yield f"not counted: {_count(len(plan.tables), 'FAILED table')} whose FAILED partitions are counted"
    if plan.refused:
        yield f"skipped: {_count(len(plan.refused), 'object')}"
        yield from _limited([f"  {line}" for line in _refusal_lines(plan.refused)], "reasons")


def amounts(batches: Iterable[Batch]) -> str:
    """Return the number of units of several jobs."""
    partitions = tables = 0
    for batch in batches:
        partitions += sum(map(len, batch.partitions.values()))
        tables += len(batch.tables)
    parts = [_count(count, noun) for count, noun in ((partitions, "partition"), (tables, "table")) if count]
    return " and ".join(parts) or "nothing"


def batch_line(batch: Batch) -> str:
    """Return a job's units, destination and settings."""
    template = batch.template
    names = list(batch.partitions) or [table.name for table in batch.tables]
    more = f" and {len(names) - MAX_NAMES:,} more" if len(names) > MAX_NAMES else ""
    listed = ", ".join(map(printable, names[:MAX_NAMES])) + more
    destination = printable(".".join(part for part in (template.dst_project, template.dst_schema) if part))
    tables = f"{_count(len(batch.partitions), 'table')} of " if batch.partitions else ""
    contents = f"{amounts([batch])} of {tables}{printable(template.src_db)} ({listed})"
    if any(table.has_partitions for table in batch.tables):
        contents += ", including all their partitions that are not DONE"
    return "".join(
        (contents, f" to {destination}" if destination else "", *(f", {setting}" for setting in _settings_text(batch)))
    )


def entry_line(entry: Entry) -> str:
    """Return the state of one job."""
    number = "" if entry.job_id is None else f" {entry.job_id}"
    reason = f" ({printable(entry.reason)})" if entry.reason else ""
    state = "created" if entry.state == "made" else entry.state
    return f"job{number} {entry.name} {state}{reason}: {batch_line(entry.batch)}"


def incomplete_lines(left: Sequence[Unit]) -> Iterator[str]:
    """Yield the units that are not DONE."""
    if left:
        yield f"not DONE: {_count(len(left), 'object')}"
        yield from _limited(
            [f"  {printable(str(unit))}: {unit.status or 'no longer exists'}" for unit in left], "objects"
        )


def other_failure_lines(failed: Sequence[Unit]) -> Iterator[str]:
    """Yield the FAILED units outside the jobs."""
    if failed:
        yield f"FAILED outside these jobs: {_count(len(failed), 'object')}"
        yield from _limited([f"  {printable(str(unit))}" for unit in failed], "objects")


def _settings_text(batch: Batch) -> Iterator[str]:
    """Yield the settings that are not left to MMS."""
    template = batch.template
    if template.task_type:
        yield f"task type {printable(template.task_type)}"
    if template.schema_only:
        yield "schema only"
    if template.increment:
        yield "incremental"
    if template.enable_verification is not None:
        yield "with verification" if template.enable_verification else "without verification"
    if batch.renamed:
        yield f"{_count(len(batch.renamed), 'table')} renamed"


def _refusal_lines(refused: Iterable[Refused]) -> list[str]:
    by_reason: dict[str, list[str]] = {}
    for each in refused:
        by_reason.setdefault(each.reason, []).append(each.what)
    return [
        f"{printable(', '.join(names[:MAX_NAMES]))}"
        f"{f' and {len(names) - MAX_NAMES:,} more' if len(names) > MAX_NAMES else ''}: {printable(reason)}"
        for reason, names in by_reason.items()
    ]


def _limited(lines: list[str], noun: str) -> Iterator[str]:
    yield from lines[:MAX_LINES]
    if len(lines) > MAX_LINES:
        yield f"  and {len(lines) - MAX_LINES:,} more {noun}"


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
