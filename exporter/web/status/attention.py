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
    RefreshError,
    Snapshot,
    SourceSnapshot,
)
from exporter.errors import SelectionUnmatched
from exporter.mms.models.statuses import DataSourceStatus, ScanStatus
from exporter.web.status import alert_conditions as conditions
from exporter.web.status.failure_reasons import reasons_status
from exporter.web.status.formatting import truncated, with_noun
from exporter.web.status.omissions import omissions, omissions_detail
from exporter.web.status.status_schema import Attention, Concerned

RUNBOOK_URL: Final = f"{DOCUMENTS}/runbooks"
MAX_CONCERNED: Final = 5
"""Maximum objects listed in one item."""
MAX_ITEMS: Final = 100

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
        return self.hint + _AFTER_JOBS if is_retry and any(map(conditions.unfinished_jobs, sources)) else self.hint


_AFTER_JOBS: Final = "; wait for unfinished jobs that migrate them"


SOURCE_RULES: Final = (
    SourceRule(
        *("MmsAgentOffline", "critical", "Agent offline with work remaining", "start the agent on its host"),
        *(conditions.waiting_for_agent, ("sources",)),
        detail=conditions.work_detail,
    ),
    SourceRule(
        *("MmsSourceStartFailed", "critical", "Data source failed to start"),
        "read the error message of the data source in the MMS console, correct its settings and start it",
        *(conditions.has_status(DataSourceStatus.START_FAILED), ("sources",)),
    ),
    SourceRule(
        *("MmsSourceStale", "warning", "Values are stale", "run the command, which prints the reason"),
        *(lambda source, _: source.stats is None, ("jobs",)),
    ),
    SourceRule(
        *("MmsTablesFailed", "warning", "Tables or partitions failed"),
        "list them by cause, correct the causes, then retry them",
        *(conditions.failed_units, ("failed --why", "retry --failed")),
    ),
    SourceRule(
        *("MmsJobFailed", "warning", "Jobs failed in the last 30 minutes"),
        "list what failed by cause, correct the causes, then retry it",
        *(conditions.failed_jobs, ("failed --why", "retry --failed")),
    ),
    SourceRule(
        *("MmsJobOverdue", "warning", "Jobs are overdue"),
        *("find the jobs, then inform the users of the data or correct the ETA", conditions.overdue_jobs, ("jobs",)),
    ),
    SourceRule(
        *("MmsScheduleMissed", "warning", "Timers did not run when they were due"),
        "find out whether earlier jobs run, or whether the timer has to be started again",
        *(conditions.late_schedules, ("report",)),
    ),
    SourceRule(
        *("MmsMetadataOld", "warning", "Metadata is outdated with work remaining"),
        *("start a metadata scan in the MMS console", conditions.has_old_metadata, ("sources",)),
    ),
    SourceRule(
        *("MmsSourceStopFailed", "warning", "Data source failed to stop"),
        *("stop it again in the MMS console", conditions.has_status(DataSourceStatus.STOP_FAILED), ("jobs",)),
    ),
    SourceRule(
        *("MmsMetadataScanFailed", "warning", "Metadata scan failed"),
        "read the error message of the scan in the MMS console, then scan again",
        conditions.of_row(lambda row: row.scan_status == ScanStatus.FAILED),
        # Columns have no status of the scan.
        ("sources --output=json",),
    ),
    SourceRule(
        *("MmsSourceStopped", "info", "Data source is stopped with work remaining"),
        *("start it in the MMS console, unless the pause is planned", conditions.waiting_for_start, ("sources",)),
        detail=conditions.work_detail,
    ),
    SourceRule(
        *("MmsJobStopped", "info", "Jobs are stopped"),
        *("start them again in the MMS console, or delete them", conditions.stopped_jobs, ("jobs",)),
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
                    reasons=reasons_status(source) if rule.count is conditions.failed_units else None,
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
