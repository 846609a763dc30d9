"""What a retry is about to do, and what it did, in words. Pure; names of the warehouse come out printable."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from exporter.masking import printable
from exporter.retry.batches import Batch
from exporter.retry.journal import Entry
from exporter.retry.planning import Refused, RetryPlan
from exporter.retry.units import Unit

MAX_LINES: Final = 20
"""Jobs, reasons or units that are told one by one."""
MAX_NAMES: Final = 3


def plan_lines(plan: RetryPlan, source: str) -> Iterator[str]:
    """Yield what a plan does in a data source, and what it does not."""
    if plan.batches:
        jobs = _number(len(plan.batches), "job")
        yield f"to retry in {printable(source)}: {amounts(plan.batches)} in {jobs}"
        yield from _cut([f"  {batch_line(batch)}" for batch in plan.batches], "jobs")
    else:
        yield f"nothing to retry in {printable(source)}"
    if plan.refused:
        yield f"skipped: {_number(len(plan.refused), 'object')}"
        yield from _cut([f"  {line}" for line in _refusal_lines(plan.refused)], "reasons")


def amounts(batches: Iterable[Batch]) -> str:
    """Return how much several jobs migrate."""
    partitions = tables = 0
    for batch in batches:
        partitions += sum(map(len, batch.partitions.values()))
        tables += len(batch.tables)
    parts = [_number(count, noun) for count, noun in ((partitions, "partition"), (tables, "table")) if count]
    return " and ".join(parts) or "nothing"


def batch_line(batch: Batch) -> str:
    """Return what one job migrates, where to, and how."""
    frame = batch.frame
    names = list(batch.partitions) or [table.name for table in batch.tables]
    more = f" and {len(names) - MAX_NAMES:,} more" if len(names) > MAX_NAMES else ""
    listed = ", ".join(map(printable, names[:MAX_NAMES])) + more
    place = printable(".".join(part for part in (frame.dst_project, frame.dst_schema) if part))
    tables = f"{_number(len(batch.partitions), 'table')} of " if batch.partitions else ""
    what = f"{amounts([batch])} of {tables}{printable(frame.src_db)} ({listed})"
    if any(table.has_partitions for table in batch.tables):
        what += ", including all their partitions that are not DONE"
    return "".join((what, f" to {place}" if place else "", *(f", {way}" for way in _ways(batch))))


def entry_line(entry: Entry) -> str:
    """Return how far one job of a retry is."""
    number = "" if entry.job_id is None else f" {entry.job_id}"
    reason = f" ({printable(entry.reason)})" if entry.reason else ""
    return f"job{number} {entry.name} {entry.state}{reason}: {batch_line(entry.batch)}"


def left_lines(left: Sequence[Unit]) -> Iterator[str]:
    """Yield what is not DONE after all."""
    if left:
        yield f"not DONE: {_number(len(left), 'object')}"
        yield from _cut([f"  {printable(str(unit))}: {unit.status or 'no longer exists'}" for unit in left], "objects")


def beside_lines(failed: Sequence[Unit]) -> Iterator[str]:
    """Yield what is FAILED and was not in the jobs."""
    if failed:
        yield f"FAILED outside these jobs: {_number(len(failed), 'object')}"
        yield from _cut([f"  {printable(str(unit))}" for unit in failed], "objects")


def _ways(batch: Batch) -> Iterator[str]:
    """Yield how a job migrates, where that is not left to the service."""
    frame = batch.frame
    if frame.task_type:
        yield f"task type {printable(frame.task_type)}"
    if frame.schema_only:
        yield "schema only"
    if frame.increment:
        yield "incremental"
    if frame.enable_verification is not None:
        yield "with verification" if frame.enable_verification else "without verification"
    if batch.renamed:
        yield f"{_number(len(batch.renamed), 'table')} renamed"


def _refusal_lines(refused: Iterable[Refused]) -> list[str]:
    """Return the reasons, each with what it is said of."""
    by_reason: dict[str, list[str]] = {}
    for each in refused:
        by_reason.setdefault(each.reason, []).append(each.what)
    return [
        f"{printable(', '.join(things[:MAX_NAMES]))}"
        f"{f' and {len(things) - MAX_NAMES:,} more' if len(things) > MAX_NAMES else ''}: {printable(reason)}"
        for reason, things in by_reason.items()
    ]


def _cut(lines: list[str], noun: str) -> Iterator[str]:
    yield from lines[:MAX_LINES]
    if len(lines) > MAX_LINES:
        yield f"  and {len(lines) - MAX_LINES:,} more {noun}"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
