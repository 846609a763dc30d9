"""The attention items of the report: problems with affected objects, next step and runbook. Pure.

SOURCE_RULES has one row per problem that the values of a data source show; other items come from refresh errors.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from msgspec import structs

from exporter import DOCUMENTS
from exporter.collect.snapshot import AccountSnapshot, CollectorSnapshot, RefreshError, Snapshot, SourceSnapshot
from exporter.mms.models import DataSource
from exporter.mms.statuses import DataSourceStatus, ScanStatus
from exporter.web.status.formatting import truncated
from exporter.web.status.progress_bars import progress_of
from exporter.web.status.status_schema import Attention, Concerned

RUNBOOK_URL: Final = f"{DOCUMENTS}/runbooks"
MAX_CONCERNED: Final = 5
"""Maximum objects listed in one item."""
MAX_ITEMS: Final = 100

Severity = Literal["critical", "warning"]


@dataclass(frozen=True, slots=True)
class SourceRule:
    """One kind of problem of a data source."""

    runbook: str
    severity: Severity
    title: str
    count: Callable[[SourceSnapshot], int | bool | None]
    """Returns the number of occurrences, or True without a number; 0, False and None mean no problem."""


def _of_row(count: Callable[[DataSource], int | bool | None]) -> Callable[[SourceSnapshot], int | bool | None]:
    # A stale data source has no row.
    return lambda source: count(source.stats.row) if source.stats is not None else None


def _has_offline_agent(row: DataSource) -> bool:
    # Unknown progress counts as remaining work.
    progress = progress_of(row)
    return row.agent_is_online is False and (progress is None or progress.left > 0)


def _has_status(status: DataSourceStatus) -> Callable[[SourceSnapshot], bool | int | None]:
    return _of_row(lambda row: row.status == status)


def _has_failed_scan(row: DataSource) -> bool:
    return row.scan_status == ScanStatus.FAILED


def _failed_jobs(source: SourceSnapshot) -> int | None:
    return source.jobs.counts.get("FAILED") if source.jobs is not None else None


SOURCE_RULES: Final = (
    SourceRule("MmsAgentOffline", "critical", "Agent offline with work remaining", _of_row(_has_offline_agent)),
    SourceRule(
        "MmsSourceStartFailed", "critical", "Data source failed to start", _has_status(DataSourceStatus.START_FAILED)
    ),
    SourceRule("MmsSourceStale", "warning", "Values are stale", lambda source: source.stats is None),
    SourceRule("MmsTablesFailed", "warning", "Tables failed", _of_row(lambda row: row.tables_failed_num)),
    SourceRule("MmsTablesFailed", "warning", "Partitions failed", _of_row(lambda row: row.partitions_failed_num)),
    SourceRule("MmsJobFailed", "warning", "Jobs failed", _failed_jobs),
    SourceRule(
        "MmsSourceStopFailed", "warning", "Data source failed to stop", _has_status(DataSourceStatus.STOP_FAILED)
    ),
    SourceRule("MmsMetadataScanFailed", "warning", "Metadata scan failed", _of_row(_has_failed_scan)),
)

_COLLECTED: Final = {
    "datasources": "The data sources",
    "jobs": "Jobs",
    "failures": "Failed tables and partitions",
    "watch": "Watched tables and partitions",
    "tasks": "Tasks",
}
RUNBOOK_BY_REASON: Final = {
    "auth": "MmsCredentialsRefused",
    "credentials": "MmsCredentialsRefused",
    "permission": "MmsPermissionRefused",
    "throttled": "MmsThrottled",
}
"""Runbooks of reasons that determine the next step."""
ACCOUNT_RUNBOOK: Final = "MmsAccountUnreadable"
SOURCE_RUNBOOK: Final = "MmsSourceStale"
COLLECTOR_RUNBOOK: Final = "MmsCollectorStale"
RELOAD_RUNBOOK: Final = "MmsConfigReloadFailed"
RUNBOOKS: Final = {
    *(rule.runbook for rule in SOURCE_RULES),
    *RUNBOOK_BY_REASON.values(),
    *(ACCOUNT_RUNBOOK, SOURCE_RUNBOOK, COLLECTOR_RUNBOOK, RELOAD_RUNBOOK),
}
"""All runbooks that items link."""


def attention_in(snapshot: Snapshot, problems: Sequence[str], runbook_url: str) -> tuple[Attention, ...]:
    """Return the attention items, critical first; `problems` are configuration problems."""
    items = [*_configuration_items(problems), *_account_items(snapshot.accounts), *_source_items(snapshot)]
    items.sort(key=lambda item: item.severity != "critical")
    return tuple(structs.replace(each, runbook=f"{runbook_url}/{each.runbook}.md") for each in items[:MAX_ITEMS])


def needs_attention(source: SourceSnapshot) -> bool:
    """Return whether a data source has a problem."""
    return not source.refreshed or any(rule.count(source) for rule in SOURCE_RULES)


def _configuration_items(problems: Sequence[str]) -> Iterator[Attention]:
    if problems:
        title = "Configuration reload failed; the previous configuration stays active"
        concerned = [Concerned(name=truncated(problem), count=None) for problem in problems]
        yield _item(RELOAD_RUNBOOK, "warning", title, concerned, hint="fix the configuration and reload")


def _account_items(accounts: Iterable[AccountSnapshot]) -> Iterator[Attention]:
    for account in accounts:
        for collector in account.collectors:
            by_reason: dict[str, list[RefreshError]] = defaultdict(list)
            for error in collector.errors:
                by_reason[error.reason].append(error)
            for reason, errors in by_reason.items():
                yield _error_item(collector, reason, errors)


def _error_item(collector: CollectorSnapshot, reason: str, errors: Sequence[RefreshError]) -> Attention:
    is_listing = collector.collector == "datasources"
    about = [error.about for error in errors if error.about]
    runbook = ACCOUNT_RUNBOOK if is_listing else SOURCE_RUNBOOK if about else COLLECTOR_RUNBOOK
    whose = "some data sources of account" if about else "account"
    return _item(
        RUNBOOK_BY_REASON.get(reason, runbook),
        "critical" if is_listing else "warning",
        f"{_COLLECTED.get(collector.collector, collector.collector)} of {whose} {collector.account} could not be read",
        [Concerned(name=truncated(name), count=None) for name in about],
        message=f"{reason}: {errors[0].message}",
        hint=errors[0].hint,
    )


def _source_items(snapshot: Snapshot) -> Iterator[Attention]:
    sources = [source for account in snapshot.accounts for source in account.sources]
    for rule in SOURCE_RULES:
        affected = [(count, source) for source in sources if (count := rule.count(source))]
        if affected:
            affected.sort(key=lambda each: -each[0])
            concerned = [
                Concerned(name=truncated(str(source.name)), count=None if count is True else count)
                for count, source in affected
            ]
            yield _item(rule.runbook, rule.severity, rule.title, concerned)


def _item(
    runbook: str, severity: Severity, title: str, concerned: Sequence[Concerned], *, message: str = "", hint: str = ""
) -> Attention:
    return Attention(
        severity=severity,
        title=title,
        message=truncated(message),
        hint=hint,
        runbook=runbook,
        concerned=tuple(concerned[:MAX_CONCERNED]),
        omitted=max(0, len(concerned) - MAX_CONCERNED),
    )
