"""What somebody should look at: kinds of trouble, each with whom it concerns and its runbook. Pure.

One row of SOURCE_RULES for each kind that the figures of a data source tell of; what a refresh could not do comes from
the troubles of its collectors.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from exporter.collect.snapshot import AccountSnapshot, CollectorSnapshot, RefreshError, Snapshot, SourceSnapshot
from exporter.mms.models import DataSource
from exporter.web.status.progress_bars import progress_of
from exporter.web.status.status_schema import Attention, Concerned
from exporter.web.status.truncation import cut

DOCUMENTS: Final = "https://github.com/mms-exporter/mms-exporter/blob/main/docs"
MAX_CONCERNED: Final = 5
"""Named in one item."""
MAX_ITEMS: Final = 100

Severity = Literal["critical", "warning"]


@dataclass(frozen=True, slots=True)
class SourceRule:
    """One kind of trouble that a data source can be in."""

    runbook: str
    severity: Severity
    title: str
    amount: Callable[[SourceSnapshot], int | bool | None]
    """How much of it there is in a source, or whether it is so; 0, False and None for none of it."""


def _row(of: Callable[[DataSource], int | bool | None]) -> Callable[[SourceSnapshot], int | bool | None]:
    """Return what looks at the row of a data source, where it is not stale."""
    return lambda source: of(source.figures.row) if source.figures is not None else None


def _is_left_alone(row: DataSource) -> bool:
    """Tell whether the agent is offline while there is, or may be, work for it."""
    progress = progress_of(row)
    return row.agent_is_online is False and (progress is None or progress.left > 0)


def _has_status(status: str) -> Callable[[SourceSnapshot], bool | int | None]:
    return _row(lambda row: (row.status or "").upper() == status)


def _has_failed_scan(row: DataSource) -> bool:
    return (row.scan_status or "").upper() == "FAILED"


def _failed_jobs(source: SourceSnapshot) -> int | None:
    return source.jobs.counts.get("FAILED") if source.jobs is not None else None


SOURCE_RULES: Final = (
    SourceRule("MmsAgentOffline", "critical", "Agent offline with work remaining", _row(_is_left_alone)),
    SourceRule("MmsSourceStartFailed", "critical", "Data source failed to start", _has_status("START_FAILED")),
    SourceRule("MmsSourceStale", "warning", "Values are stale", lambda source: source.figures is None),
    SourceRule("MmsTablesFailed", "warning", "Tables failed", _row(lambda row: row.tables_failed_num)),
    SourceRule("MmsPartitionsFailed", "warning", "Partitions failed", _row(lambda row: row.partitions_failed_num)),
    SourceRule("MmsJobFailed", "warning", "Jobs failed", _failed_jobs),
    SourceRule("MmsSourceStopFailed", "warning", "Data source failed to stop", _has_status("STOP_FAILED")),
    SourceRule("MmsMetadataScanFailed", "warning", "Metadata scan failed", _row(_has_failed_scan)),
)

_READS: Final = {
    "datasources": "The data sources",
    "jobs": "Jobs",
    "failures": "Failed tables and partitions",
    "watch": "Watched tables and partitions",
    "tasks": "Tasks",
}
BY_REASON: Final = {
    "auth": "MmsCredentialsRefused",
    "credentials": "MmsCredentialsRefused",
    "permission": "MmsPermissionRefused",
    "throttled": "MmsThrottled",
}
"""The runbook, where the reason alone says what to do."""
UNREAD_ACCOUNT: Final = "MmsAccountUnreadable"
UNREAD_SOURCE: Final = "MmsSourceStale"
UNREAD_REST: Final = "MmsCollectorStale"
UNLOADED: Final = "MmsConfigReloadFailed"
RUNBOOKS: Final = {
    *(rule.runbook for rule in SOURCE_RULES),
    *BY_REASON.values(),
    *(UNREAD_ACCOUNT, UNREAD_SOURCE, UNREAD_REST, UNLOADED),
}
"""Every runbook that is ever named."""


def attention_in(snapshot: Snapshot, problems: Sequence[str]) -> tuple[Attention, ...]:
    """Return what somebody should look at, the critical first; `problems` are those of the configuration."""
    items = [*_of_configuration(problems), *_of_accounts(snapshot.accounts), *_of_sources(snapshot)]
    return tuple(sorted(items, key=lambda item: item.severity != "critical")[:MAX_ITEMS])


def needs_attention(source: SourceSnapshot) -> bool:
    """Tell whether somebody should look at a data source."""
    return not source.refreshed or any(rule.amount(source) for rule in SOURCE_RULES)


def _of_configuration(problems: Sequence[str]) -> Iterator[Attention]:
    if problems:
        title = "Configuration reload failed; the previous configuration stays active"
        concerned = [Concerned(name=cut(problem), count=None) for problem in problems]
        yield _attention(UNLOADED, "warning", title, concerned, hint="fix the configuration and reload")


def _of_accounts(accounts: Iterable[AccountSnapshot]) -> Iterator[Attention]:
    for account in accounts:
        for collector in account.collectors:
            by_reason: dict[str, list[RefreshError]] = defaultdict(list)
            for trouble in collector.errors:
                by_reason[trouble.reason].append(trouble)
            for reason, troubles in by_reason.items():
                yield _of_troubles(collector, reason, troubles)


def _of_troubles(collector: CollectorSnapshot, reason: str, troubles: Sequence[RefreshError]) -> Attention:
    is_listing = collector.collector == "datasources"
    about = [trouble.about for trouble in troubles if trouble.about]
    unread = UNREAD_ACCOUNT if is_listing else UNREAD_SOURCE if about else UNREAD_REST
    whose = "some data sources of account" if about else "account"
    return _attention(
        BY_REASON.get(reason, unread),
        "critical" if is_listing else "warning",
        f"{_READS.get(collector.collector, collector.collector)} of {whose} {collector.account} could not be read",
        [Concerned(name=cut(name), count=None) for name in about],
        message=f"{reason}: {troubles[0].message}",
        hint=troubles[0].hint,
    )


def _of_sources(snapshot: Snapshot) -> Iterator[Attention]:
    sources = [source for account in snapshot.accounts for source in account.sources]
    for rule in SOURCE_RULES:
        found = [(amount, source) for source in sources if (amount := rule.amount(source))]
        if found:
            found.sort(key=lambda each: -each[0])
            concerned = [
                Concerned(name=cut(str(source.name)), count=None if amount is True else amount)
                for amount, source in found
            ]
            yield _attention(rule.runbook, rule.severity, rule.title, concerned)


def _attention(
    runbook: str, severity: Severity, title: str, concerned: Sequence[Concerned], *, message: str = "", hint: str = ""
) -> Attention:
    return Attention(
        severity=severity,
        title=title,
        message=cut(message),
        hint=hint,
        runbook=f"{DOCUMENTS}/runbooks/{runbook}.md",
        concerned=tuple(concerned[:MAX_CONCERNED]),
        omitted=max(0, len(concerned) - MAX_CONCERNED),
    )
