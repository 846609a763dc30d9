"""Report -> the status page: one HTML document with its style and script inside, and the policy that allows only these.

The only room that knows Jinja. Every text is escaped where it is put in; nothing is fetched from anywhere else.
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

from exporter.mms.models import UNFINISHED_JOB_STATUSES
from exporter.web.status import formatting as wording
from exporter.web.status.attention import DOCUMENTS
from exporter.web.status.source_schema import FailedStatus, JobsStatus, Progress, SourceStatus
from exporter.web.status.status_schema import StatusReport

BAR_UNITS: Final = 1000
"""The width of a progress bar."""
LEAST_MARK: Final = 8
"""So wide is what is not nothing, so that one failure among millions is seen."""
PIECES_AT_A_TIME: Final = 10
"""Rows, or what stands between them: 1 ms of work, after which a scrape may have its turn."""

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
class Mark:
    """A stretch of a progress bar."""

    x: int
    width: int


def marks(progress: Progress) -> tuple[Mark, Mark]:
    """Return what moves, behind what is done, and what failed, at the far end: the bar cannot get past it."""
    done = BAR_UNITS * progress.done // progress.total
    doing, failed = (
        max(BAR_UNITS * count // progress.total, LEAST_MARK) if count else 0
        for count in (progress.doing, progress.failed)
    )
    return Mark(min(done, BAR_UNITS - doing), doing), Mark(BAR_UNITS - failed, failed)


def unfinished(jobs: JobsStatus) -> int:
    """Return how many jobs have not ended."""
    return sum(jobs.counts.get(status, 0) for status in UNFINISHED_JOB_STATUSES)


def tone(word: str) -> str:
    """Return how a status looks; one that is not known asks to be looked at."""
    return _TONES.get(word, "warn")


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("exporter.web.status"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    spoken = (
        wording.visible,
        wording.short,
        wording.rest,
        wording.number,
        wording.counted,
        wording.percent,
        wording.duration,
        wording.size,
        wording.instant,
    )
    environment.filters |= {each.__name__: each for each in (*spoken, marks, tone, unfinished)}
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
"""The Content-Security-Policy of the page: its own style and script, and no other."""


def page(report: StatusReport, telemetry_path: str) -> bytes:
    """Return the status page, in UTF-8; the metrics stand at `telemetry_path`."""
    template = _ENVIRONMENT.get_template("status.html")
    pieces = template.generate(
        **_rows(report),
        report=report,
        telemetry_path=telemetry_path,
        documents=DOCUMENTS,
        style=_STYLE,
        script=_SCRIPT,
    )
    return b"".join(_yielding(pieces))


def _rows(report: StatusReport) -> dict[str, Any]:
    """Return the rows of the tables that span data sources, and how many of each are omitted."""
    summary = report.summary
    jobs = [(source, job) for source in report.sources if source.jobs for job in source.jobs.listed]
    jobs.sort(key=lambda each: each[1].status == "FAILED")
    failures = list(_keyed((source, failed) for source in report.sources for failed in _named(source)))
    return {
        "jobs": jobs,
        "jobs_omitted": max(0, summary.jobs_unfinished + summary.jobs_failed - len(jobs)),
        "failures": failures,
        "failures_omitted": max(0, summary.tables_failed + summary.partitions_failed - len(failures)),
        "watched": (*report.watched_tables, *report.watched_partitions),
    }


def _yielding(pieces: Iterator[str]) -> Iterator[bytes]:
    """Encode the pieces of a page, with pauses between blocks."""
    while block := list(islice(pieces, PIECES_AT_A_TIME)):
        yield "".join(block).encode()
        time.sleep(0)


def _named(source: SourceStatus) -> Iterator[FailedStatus]:
    for failures in (source.failed_tables, source.failed_partitions):
        yield from failures.named if failures is not None else ()


def _keyed(failures: Iterable[tuple[SourceStatus, FailedStatus]]) -> Iterator[tuple[str, SourceStatus, FailedStatus]]:
    """Give each failure a key of its own, by which the script knows it again; of those named alike, by its turn."""
    turns: Counter[str] = Counter()
    for source, failed in failures:
        names = blake2b(msgspec.json.encode(failed), digest_size=8).hexdigest()
        key = f"{source.account}/{source.id}/{names}"
        turns[key] += 1
        yield f"{key}/{turns[key]}", source, failed
