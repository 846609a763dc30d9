"""The attention items of the report: problems with affected objects, next step and runbook. Pure.

SOURCE_RULES has one row per problem that the values of a data source show; other items come from refresh errors.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Final, Literal

from msgspec import structs

from exporter import DOCUMENTS
from exporter.collect.snapshot import (
    AccountSnapshot,
    CollectorSnapshot,
    JobStats,
    RefreshError,
    Snapshot,
    SourceSnapshot,
)
from exporter.errors import SelectionUnmatched
from exporter.mms.models.records import DataSource
from exporter.mms.models.statuses import UNFINISHED_JOB_STATUSES, DataSourceStatus, JobStatus, ScanStatus
from exporter.web.status.failure_reasons import reasons_status
from exporter.web.status.formatting import number, truncated, with_noun
from exporter.web.status.omissions import omissions, omissions_detail
from exporter.web.status.progress_bars import left_of
from exporter.web.status.status_schema import Attention, Concerned

RUNBOOK_URL: Final = f"{DOCUMENTS}/runbooks"
MAX_CONCERNED: Final = 5
"""Maximum objects listed in one item."""
MAX_ITEMS: Final = 100

METADATA_AGE_SECONDS: Final = 2 * 86400
OVERDUE_SECONDS: Final = 900
"""As in deploy/prometheus/rules/mms-thresholds.yaml, like METADATA_AGE_SECONDS."""

Severity = Literal["critical", "warning", "info"]
SEVERITIES: Final[tuple[Severity, ...]] = ("critical", "warning", "info")


@dataclass(frozen=True, slots=True)
class SourceRule:
    """One kind of problem of a data source, with the name and the condition of its alert."""

    alert: str
    severity: Severity
    title: str
    hint: str
    """The next step."""
    count: Callable[[SourceSnapshot, float], int | bool | None]
    """Returns the number of occurrences at a Unix time, or True without a number; 0, False and None mean no problem."""
    commands: tuple[str, ...] = ()
    """Commands of the next step, without the flags that name the data source; those of its alert."""
    detail: Callable[[SourceSnapshot], str] = lambda _: ""
    """Returns what the count counts; "" if the title says it."""
    chosen: Callable[[SourceSnapshot], Iterable[str]] | None = None
    """Returns the commands that apply to a data source, if not all of them do."""

    def commands_for(self, source: SourceSnapshot) -> tuple[str, ...]:
        """Return the complete commands for a data source."""
        flags = f"--account={quote(source.name.account)} --source={source.name.source_id}"
        commands = self.commands if self.chosen is None else self.chosen(source)
        return tuple(f"mms-exporter {command} {flags}" for command in commands)

    def hint_for(self, sources: Iterable[SourceSnapshot]) -> str:
        """Return the next step for some data sources."""
        is_retry = "retry --failed" in self.commands
        # `retry` skips what an unfinished job may still migrate.
        return self.hint + _AFTER_JOBS if is_retry and any(map(_unfinished_jobs, sources)) else self.hint


_AFTER_JOBS: Final = "; wait for unfinished jobs that migrate them"


def _of_row(count: Callable[[DataSource], int | bool | None]) -> Callable[[SourceSnapshot, float], int | bool | None]:
    # A stale data source has no row.
    return lambda source, _: count(source.stats.row) if source.stats is not None else None


def _has_status(status: DataSourceStatus) -> Callable[[SourceSnapshot, float], int | bool | None]:
    return _of_row(lambda row: row.status == status)


def _is_stopped(source: SourceSnapshot) -> bool:
    stopped = (DataSourceStatus.STOPPED, DataSourceStatus.STOPPING)
    return source.stats is not None and source.stats.row.status in stopped


def _unfinished_jobs(source: SourceSnapshot) -> int:
    counts = source.jobs.counts if source.jobs is not None else {}
    return sum(counts.get(status, 0) for status in UNFINISHED_JOB_STATUSES)


def _units_left(source: SourceSnapshot) -> int:
    return left_of(source.stats.row) if source.stats is not None else 0


def _work_left(source: SourceSnapshot) -> int:
    # Jobs count only without tables and partitions: they contain them.
    return _units_left(source) or _unfinished_jobs(source)


def _work_detail(source: SourceSnapshot) -> str:
    left = _units_left(source)
    if not left:
        return with_noun(_unfinished_jobs(source), "unfinished job")
    return "1 table or partition left" if left == 1 else f"{number(left)} tables and partitions left"


def _waiting_for_agent(source: SourceSnapshot, _: float) -> int:
    is_offline = source.stats is not None and source.stats.row.agent_is_online is False
    return _work_left(source) if is_offline and not _is_stopped(source) else 0


def _waiting_for_start(source: SourceSnapshot, _: float) -> int:
    return _work_left(source) if _is_stopped(source) else 0


def _failed_units(source: SourceSnapshot, _: float = 0) -> int:
    row = source.stats.row if source.stats is not None else None
    return (row.tables_failed_num or 0) + (row.partitions_failed_num or 0) if row is not None else 0


def _has_no_failures(source: SourceSnapshot) -> bool:
    # Jobs whose objects were migrated by another job stay FAILED.
    row = source.stats.row if source.stats is not None else None
    return row is not None and row.tables_failed_num == row.partitions_failed_num == 0


def _failed_jobs(source: SourceSnapshot, _: float) -> int:
    return source.jobs_failed_recently if source.jobs is not None and not _has_no_failures(source) else 0


def resolved_jobs(source: SourceSnapshot) -> int | None:
    """Return the number of failed jobs without failures in their scope."""
    jobs = source.jobs
    failed = jobs.counts.get(JobStatus.FAILED) if jobs is not None else None
    if jobs is None or failed is None:
        return None
    return failed if _has_no_failures(source) else min(failed, jobs.resolved)


def is_overdue(source: SourceSnapshot, job: JobStats, now: float) -> bool:
    """Return whether a job is unfinished OVERDUE_SECONDS after its ETA."""
    is_active = job.row.status in UNFINISHED_JOB_STATUSES and not job.row.stopped and not _is_stopped(source)
    return is_active and job.eta_at is not None and now - job.eta_at > OVERDUE_SECONDS


def _overdue_jobs(source: SourceSnapshot, now: float) -> int:
    return sum(is_overdue(source, job, now) for job in source.jobs.jobs) if source.jobs is not None else 0


def _stopped_jobs(source: SourceSnapshot, _: float) -> int | None:
    return source.jobs.stopped if source.jobs is not None and not _is_stopped(source) else None


def _has_old_metadata(source: SourceSnapshot, now: float) -> bool:
    synced_at = source.stats.synced_at if source.stats is not None else None
    is_old = synced_at is not None and now - synced_at > METADATA_AGE_SECONDS
    return is_old and not _is_stopped(source) and _work_left(source) > 0


SOURCE_RULES: Final = (
    SourceRule(
        *("MmsAgentOffline", "critical", "Agent offline with work remaining", "start the agent on its host"),
        *(_waiting_for_agent, ("sources",)),
        detail=_work_detail,
    ),
    SourceRule(
        *("MmsSourceStartFailed", "critical", "Data source failed to start"),
        "read the error message of the data source in the MMS console, correct its settings and start it",
        *(_has_status(DataSourceStatus.START_FAILED), ("sources",)),
    ),
    SourceRule(
        *("MmsSourceStale", "warning", "Values are stale", "run the command, which prints the reason"),
        *(lambda source, _: source.stats is None, ("jobs",)),
    ),
    SourceRule(
        *("MmsTablesFailed", "warning", "Tables or partitions failed"),
        *("list them by cause, correct the causes, then retry them", _failed_units, ("failed --why", "retry --failed")),
    ),
    SourceRule(
        *("MmsJobFailed", "warning", "Jobs failed in the last 30 minutes"),
        "list what failed by cause, correct the causes, then retry it",
        *(_failed_jobs, ("failed --why", "retry --failed")),
    ),
    SourceRule(
        *("MmsJobOverdue", "warning", "Jobs are overdue"),
        *("find the jobs, then inform the users of the data or correct the ETA", _overdue_jobs, ("jobs",)),
    ),
    SourceRule(
        *("MmsMetadataOld", "warning", "Metadata is outdated with work remaining"),
        *("start a metadata scan in the MMS console", _has_old_metadata, ("sources",)),
    ),
    SourceRule(
        *("MmsSourceStopFailed", "warning", "Data source failed to stop"),
        *("stop it again in the MMS console", _has_status(DataSourceStatus.STOP_FAILED), ("jobs",)),
    ),
    SourceRule(
        *("MmsMetadataScanFailed", "warning", "Metadata scan failed"),
        "read the error message of the scan in the MMS console, then scan again",
        _of_row(lambda row: row.scan_status == ScanStatus.FAILED),
        # Columns have no status of the scan.
        ("sources --output=json",),
    ),
    SourceRule(
        *("MmsSourceStopped", "info", "Data source is stopped with work remaining"),
        *("start it in the MMS console, unless the pause is planned", _waiting_for_start, ("sources",)),
        detail=_work_detail,
    ),
    SourceRule(
        *("MmsJobStopped", "info", "Jobs are stopped"),
        *("start them again in the MMS console, or delete them", _stopped_jobs, ("jobs",)),
    ),
    SourceRule(
        *("MmsSeriesOmitted", "info", "Databases, jobs or failures have no series of their own"),
        "list them with the commands; if metrics need the names, make the change above, then reload the exporter",
        *(lambda source, _: sum(each.count for each in omissions(source)), ("jobs",)),
        detail=omissions_detail,
        chosen=lambda source: dict.fromkeys(each.command for each in omissions(source)),
    ),
)

COLLECTED: Final = {
    "datasources": "The data sources",
    "jobs": "Jobs",
    "databases": "Databases",
    "scan": "Metadata scans and outdated partitions",
    "failures": "Failed tables and partitions",
    "reasons": "Reasons of failed tasks",
    "timers": "Schedules",
    "watch": "Watched tables and partitions",
    "tasks": "Tasks",
}
"""What each collector reads."""
RUNBOOK_BY_REASON: Final = {
    "auth": "MmsCredentialsRefused",
    "credentials": "MmsCredentialsRefused",
    "permission": "MmsPermissionRefused",
    "throttled": "MmsThrottled",
    SelectionUnmatched.reason: "MmsCollectorStale",
}
"""Runbooks of reasons that determine the next step."""
ACCOUNT_RUNBOOK: Final = "MmsAccountUnreadable"
SOURCE_RUNBOOK: Final = "MmsSourceStale"
COLLECTOR_RUNBOOK: Final = "MmsCollectorStale"
RELOAD_RUNBOOK: Final = "MmsConfigReloadFailed"
RUNBOOKS: Final = {
    *(rule.alert for rule in SOURCE_RULES),
    *RUNBOOK_BY_REASON.values(),
    *(ACCOUNT_RUNBOOK, SOURCE_RUNBOOK, COLLECTOR_RUNBOOK, RELOAD_RUNBOOK),
}
"""All runbooks that items link."""


def attention_in(snapshot: Snapshot, problems: Sequence[str], runbook_url: str, now: float) -> tuple[Attention, ...]:
    """Return the attention items, critical first; `problems` are configuration problems."""
    items = [*_configuration_items(problems), *_account_items(snapshot.accounts), *_source_items(snapshot, now)]
    items.sort(key=lambda item: SEVERITIES.index(item.severity))
    return tuple(structs.replace(each, runbook=f"{runbook_url}/{each.alert}.md") for each in items[:MAX_ITEMS])


def needs_attention(source: SourceSnapshot, now: float) -> bool:
    """Return whether a data source has a problem at a Unix time."""
    return not source.refreshed or any(rule.count(source, now) for rule in SOURCE_RULES if rule.severity != "info")


def _configuration_items(problems: Sequence[str]) -> Iterator[Attention]:
    if problems:
        title = "Configuration reload failed; the previous configuration stays active"
        concerned = [_concerned(problem) for problem in problems]
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
    name, account = collector.collector, collector.account
    is_listing = name == "datasources"
    about = [error.about for error in errors if error.about]
    runbook = ACCOUNT_RUNBOOK if is_listing else SOURCE_RUNBOOK if about else COLLECTOR_RUNBOOK
    whose = f"{with_noun(len(set(about)), 'data source')} of account" if about else "account"
    is_unmatched = reason == SelectionUnmatched.reason
    problem = "do not match the configuration" if is_unmatched else "could not be read"
    return _item(
        RUNBOOK_BY_REASON.get(reason, runbook),
        "critical" if is_listing and not is_unmatched else "warning",
        f"{COLLECTED[name]} of {whose} {account} {problem}",
        [*map(_concerned, about)] or [_concerned(account, f"mms-exporter check --account={quote(account)}")],
        message=f"{reason}: {errors[0].message}",
        hint=errors[0].hint,
    )


def _source_items(snapshot: Snapshot, now: float) -> Iterator[Attention]:
    sources = [source for account in snapshot.accounts for source in account.sources]
    for rule in SOURCE_RULES:
        affected = [(count, source) for source in sources if (count := rule.count(source, now))]
        if affected:
            affected.sort(key=lambda each: -each[0])
            concerned = [
                Concerned(
                    name=truncated(str(source.name)),
                    count=None if count is True else count,
                    detail=rule.detail(source),
                    commands=rule.commands_for(source),
                    reasons=reasons_status(source) if rule.count is _failed_units else None,
                )
                for count, source in affected
            ]
            hint = rule.hint_for(source for _, source in affected)
            yield _item(rule.alert, rule.severity, rule.title, concerned, hint=hint)


def _concerned(name: str, *commands: str) -> Concerned:
    return Concerned(name=truncated(name), count=None, detail="", commands=commands, reasons=None)


def _item(
    alert: str, severity: Severity, title: str, concerned: Sequence[Concerned], *, message: str = "", hint: str = ""
) -> Attention:
    return Attention(
        severity=severity,
        title=title,
        message=truncated(message),
        hint=hint,
        alert=alert,
        runbook="",
        concerned=tuple(concerned[:MAX_CONCERNED]),
        omitted=max(0, len(concerned) - MAX_CONCERNED),
    )
