"""Renders the status page: one HTML document with inline style and script, and its Content-Security-Policy.

The only module that uses Jinja. Every text is escaped; the page loads no other resource.
"""

import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b, sha256
from itertools import islice
from typing import Any, Final

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from exporter import DOCUMENTS
from exporter.mms.models.statuses import UNFINISHED_JOB_STATUSES
from exporter.web.status import formatting
from exporter.web.status.attention import RUNBOOK_URL
from exporter.web.status.source_schema import FailedStatus, JobsStatus, Progress, SourceStatus
from exporter.web.status.status_schema import StatusReport

BAR_UNITS: Final = 1000
"""Width of a progress bar."""
MIN_SEGMENT_UNITS: Final = 8
"""Minimum width of a segment above 0, so that one failure among millions is visible."""
PIECES_PER_BLOCK: Final = 10
"""Rows, or the text between them: 1 ms of work, after which the thread yields to scrapes."""

_TONES: Final = {
    "STARTED": "good",
    "DONE": "good",
    "STARTING": "busy",
    "STOPPING": "busy",
    "DOING": "busy",
    "INIT": "quiet",
    "STOPPED": "quiet",
    "PART_DONE": "warn",
    "FAILED": "bad",
    "START_FAILED": "bad",
    "STOP_FAILED": "bad",
}


@dataclass(frozen=True, slots=True)
class Links:
    """Where the exporter is served, and what its page links; no text ends with a slash."""

    route_prefix: str = ""
    """Prefix of the paths that the exporter serves."""
    external_prefix: str = ""
    """The same as browsers see it; differs if a reverse proxy strips the prefix."""
    runbook_url: str = RUNBOOK_URL
    dashboard_url: str | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of a progress bar, in BAR_UNITS."""

    x: int
    width: int


def segments(progress: Progress) -> tuple[Segment, Segment]:
    """Return the segments of doing and failed objects."""
    # Objects in progress follow those that are done; failed objects stand at the end of the bar.
    done = BAR_UNITS * progress.done // progress.total
    doing, failed = (
        max(BAR_UNITS * count // progress.total, MIN_SEGMENT_UNITS) if count else 0
        for count in (progress.doing, progress.failed)
    )
    return Segment(min(done, BAR_UNITS - doing), doing), Segment(BAR_UNITS - failed, failed)


def unfinished(jobs: JobsStatus) -> int | None:
    """Return the number of unfinished jobs; None if unknown."""
    known = [jobs.counts[status] for status in UNFINISHED_JOB_STATUSES if status in jobs.counts]
    return sum(known) if known else None


def tone(status: str) -> str:
    """Return the CSS class of a status; `warn` if unknown."""
    return _TONES.get(status, "warn")


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("exporter.web.status"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (
        formatting.printable_text,
        formatting.shortened,
        formatting.tooltip,
        formatting.number,
        formatting.with_noun,
        formatting.percent,
        formatting.duration,
        formatting.size,
        formatting.utc_text,
    )
    environment.filters |= {each.__name__: each for each in (*filters, segments, tone, unfinished)}
    return environment


_ENVIRONMENT: Final = _environment()


def _source(name: str) -> str:
    loader = _ENVIRONMENT.loader
    assert loader is not None  # noqa: S101 - set above
    return loader.get_source(_ENVIRONMENT, name)[0]


_STYLE, _SCRIPT = _source("status.css"), _source("status.js")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        f"style-src {_hash(_STYLE)}",
        f"script-src {_hash(_SCRIPT)}",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""The Content-Security-Policy of the page: it allows only the inline style and script."""


def page(report: StatusReport, telemetry_path: str, links: Links = Links()) -> bytes:
    """Render the status page in UTF-8; `telemetry_path` is linked."""
    template = _ENVIRONMENT.get_template("status.html")
    pieces = template.generate(
        **_rows(report),
        **_scope(report),
        report=report,
        telemetry_path=telemetry_path,
        links=links,
        metrics_reference=f"{DOCUMENTS}/metrics.md",
        style=_STYLE,
        script=_SCRIPT,
    )
    return b"".join(_yielding(pieces))


def _rows(report: StatusReport) -> dict[str, Any]:
    summary = report.summary
    jobs = [(source, job) for source in report.sources if source.jobs for job in source.jobs.listed]
    jobs.sort(key=lambda each: (each[1].status == "FAILED", each[1].unresolved is False))
    omitted = max(0, (summary.jobs_unfinished or 0) + (summary.jobs_failed or 0) - len(jobs))
    resolved = (summary.jobs_resolved or 0) - sum(job.unresolved is False for _, job in jobs)
    databases = [
        (source, each) for source in report.sources if source.database_list for each in source.database_list.listed
    ]
    schedules = [(source, each) for source in report.sources if source.schedules for each in source.schedules.listed]
    schedules.sort(key=lambda each: not each[1].late)
    failures = list(_with_keys((source, failed) for source in report.sources for failed in _failed_objects(source)))
    return {
        "databases": databases,
        "are_databases_read": any(source.database_list for source in report.sources),
        "databases_omitted": sum(source.database_list.omitted for source in report.sources if source.database_list),
        "jobs": jobs,
        "jobs_omitted": omitted,
        "resolved_omitted": min(max(0, resolved), omitted),
        "failures": failures,
        "failures_omitted": max(0, (summary.tables_failed or 0) + (summary.partitions_failed or 0) - len(failures)),
        "schedules": schedules,
        "are_schedules_read": any(source.schedules for source in report.sources),
        "schedules_omitted": sum(source.schedules.omitted for source in report.sources if source.schedules),
        "watched": (*report.watched_tables, *report.watched_partitions),
    }


def _scope(report: StatusReport) -> dict[str, Any]:
    # Accounts whose data sources count in the overall progress; one without data sources is read completely.
    accounts = {each.name: each.progress is not None or each.sources == 0 for each in report.accounts}
    return {
        "accounts_counted": sum(accounts.values()),
        "accounts_configured": len(accounts.keys() | set(report.awaited_accounts)),
    }


def _yielding(pieces: Iterator[str]) -> Iterator[bytes]:
    while block := list(islice(pieces, PIECES_PER_BLOCK)):
        yield "".join(block).encode()
        time.sleep(0)


def _failed_objects(source: SourceStatus) -> Iterator[FailedStatus]:
    for failures in (source.failed_tables, source.failed_partitions):
        yield from failures.named if failures is not None else ()


def _with_keys(
    failures: Iterable[tuple[SourceStatus, FailedStatus]],
) -> Iterator[tuple[str, SourceStatus, FailedStatus]]:
    # The script recognizes rows by their keys.
    counts: Counter[str] = Counter()
    for source, failed in failures:
        names = blake2b(msgspec.json.encode(failed), digest_size=8).hexdigest()
        key = f"{source.account}/{source.id}/{names}"
        counts[key] += 1  # several failures may have the same names
        yield f"{key}/{counts[key]}", source, failed
