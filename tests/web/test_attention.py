"""The attention items have the conditions and severities of the alerts."""

import html
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

from benchmarks.worlds import source
from exporter.app.service import Service
from exporter.cli import arguments
from exporter.collect.collectors.datasources import DataSourcesCollector
from exporter.collect.collectors.watch import WatchCollector
from exporter.collect.snapshot import (
    AccountSnapshot,
    DatabasesStats,
    FailedUnit,
    FailedUnits,
    FailuresStats,
    ReasonsStats,
    Snapshot,
    SourceSnapshot,
    TimersStats,
    TimerStats,
)
from exporter.collect.state.source_state import COLLECTORS
from exporter.exposition.publisher import Publisher
from exporter.exposition.telemetry import Telemetry
from exporter.mms.diagnosis.reason_rules import HINTS, Reason
from exporter.mms.models.statuses import UNFINISHED_JOB_STATUSES, DataSourceStatus, JobStatus, ScanStatus
from exporter.mms.models.timer_records import Timer
from exporter.simulator import Simulator, apply_event
from exporter.simulator.world import events
from exporter.web.status.attention import COLLECTED, RUNBOOKS, SOURCE_RULES, SourceRule
from exporter.web.status.page import page
from exporter.web.status.progress_bars import left_of
from exporter.web.status.source_schema import JobEntry
from exporter.web.status.status_report import Load, StatusInput, build_report
from exporter.web.status.status_schema import Attention, StatusReport
from tests.conftest import config_on
from tests.exposition_parser import read
from tests.harness import eventually
from tests.programs import program, said
from tests.rules.loading import ALERTS, GROUPS, RULES
from tests.rules.loading import RUNBOOKS as RUNBOOKS_FOLDER

ELSEWHERE = {
    "MmsExporterAbsent": "there is no page then",
    "MmsReplicaAbsent": "an exporter does not know its replicas",
    "MmsFailureBurst": "needs a history of 30 minutes",
    "MmsFailureReasonDominates": "needs a history of 30 minutes; failures are listed with their reasons",
    "MmsVerificationFailed": "needs a history of 30 minutes; failures are listed with their reasons",
    "MmsMigrationStalled": "needs a history of 1 hour",
    "MmsMigrationFinished": "needs no attention",
    "MmsScheduledRunFailed": "needs a history of 1 hour",
}
NOW = 35 * 60.0
"""promtool starts at 0; the failures of jobs happen in the last 30 minutes."""
DAY = 86400


def test_each_collector_has_a_name() -> None:
    assert set(COLLECTED) == {DataSourcesCollector.name, *COLLECTORS, WatchCollector.name}


def with_row(made: SourceSnapshot, **changes: object) -> SourceSnapshot:
    """Return a data source with changed fields of its row."""
    assert made.stats is not None
    return structs.replace(made, stats=structs.replace(made.stats, row=structs.replace(made.stats.row, **changes)))


def with_jobs(made: SourceSnapshot, **changes: object) -> SourceSnapshot:
    """Return a data source with changed job values."""
    assert made.jobs is not None
    return structs.replace(made, jobs=structs.replace(made.jobs, **changes))


def quiet(number: int) -> SourceSnapshot:
    """Return a data source without problems, with work left."""
    made = with_row(source(number), tables_failed_num=0, partitions_failed_num=0)
    assert made.stats is not None
    assert made.jobs is not None
    stats = structs.replace(made.stats, synced_at=NOW, created_at=NOW)
    jobs = tuple(structs.replace(each, created_at=NOW, eta_at=NOW) for each in made.jobs.jobs)
    counts = {**made.jobs.counts, "FAILED": 0}
    return structs.replace(with_jobs(made, jobs=jobs, counts=counts), stats=stats, last_success_at=NOW)


def at_rest(made: SourceSnapshot) -> SourceSnapshot:
    """Return a data source without work left."""
    row = {"table_num": 5, "tables_done_num": 5, "tables_doing_num": 0, "tables_part_done_num": 0}
    row |= {"partition_num": 9, "partitions_done_num": 9, "partitions_doing_num": 0}
    return with_jobs(with_row(made, **row), counts={"INIT": 0, "DOING": 0, "FAILED": 0, "DONE": 7}, jobs=())


def with_late_jobs(made: SourceSnapshot, seconds: float = 1000, **changes: object) -> SourceSnapshot:
    """Return a data source whose jobs are late."""
    assert made.jobs is not None
    jobs = (structs.replace(each, eta_at=NOW - seconds) for each in made.jobs.jobs)
    jobs = (structs.replace(each, row=structs.replace(each.row, **changes)) for each in jobs)
    return with_jobs(made, jobs=tuple(jobs))


def with_timer(made: SourceSnapshot, due_at: float) -> SourceSnapshot:
    """Return a data source with one timer."""
    timer = TimerStats(Timer(id=7, name="hourly", stopped=False), None, due_at)
    return structs.replace(made, timers=TimersStats(made.name, (timer,), 1))


def with_old_metadata(made: SourceSnapshot) -> SourceSnapshot:
    """Return a data source that was scanned more than 2 days ago."""
    assert made.stats is not None
    return structs.replace(made, stats=structs.replace(made.stats, synced_at=NOW - 2 * DAY - 600))


def with_failed_jobs(made: SourceSnapshot, recently: int = 3) -> SourceSnapshot:
    """Return a data source with failed jobs, of which some failed in the last 30 minutes."""
    assert made.jobs is not None
    jobs = with_jobs(made, counts={**made.jobs.counts, "FAILED": 3})
    return structs.replace(jobs, jobs_failed_recently=recently)


def stopped(made: SourceSnapshot) -> SourceSnapshot:
    """Return a data source that somebody stopped."""
    return with_row(made, status=DataSourceStatus.STOPPED)


def offline(made: SourceSnapshot) -> SourceSnapshot:
    """Return a data source whose agent is offline."""
    return with_row(made, agent_is_online=False)


CASES: dict[str, tuple[Callable[[SourceSnapshot], SourceSnapshot], set[str]]] = {
    "quiet": (lambda made: made, set()),
    "offline": (offline, {"MmsAgentOffline"}),
    "offline at rest": (lambda made: at_rest(offline(made)), set()),
    "offline without counts": (lambda made: with_row(offline(made), partition_num=None), {"MmsAgentOffline"}),
    "offline and stopped": (lambda made: stopped(offline(made)), {"MmsSourceStopped"}),
    "stopping": (lambda made: with_row(made, status=DataSourceStatus.STOPPING), {"MmsSourceStopped"}),
    "stopped at rest": (lambda made: stopped(at_rest(made)), set()),
    "start failed": (lambda made: with_row(made, status=DataSourceStatus.START_FAILED), {"MmsSourceStartFailed"}),
    "stop failed": (lambda made: with_row(made, status=DataSourceStatus.STOP_FAILED), {"MmsSourceStopFailed"}),
    "scan failed": (lambda made: with_row(made, scan_status=ScanStatus.FAILED), {"MmsMetadataScanFailed"}),
    "tables failed": (lambda made: with_row(made, tables_failed_num=2), {"MmsTablesFailed"}),
    "partitions failed": (lambda made: with_row(made, partitions_failed_num=2), {"MmsTablesFailed"}),
    "jobs failed": (
        lambda made: with_failed_jobs(with_row(made, tables_failed_num=2)),
        {"MmsJobFailed", "MmsTablesFailed"},
    ),
    "failed jobs were retried": (with_failed_jobs, set()),
    "jobs failed long ago": (
        lambda made: with_failed_jobs(with_row(made, tables_failed_num=2), recently=0),
        {"MmsTablesFailed"},
    ),
    "jobs failed, units unknown": (
        lambda made: with_failed_jobs(with_row(made, tables_failed_num=None)),
        {"MmsJobFailed"},
    ),
    "timer late": (lambda made: with_timer(made, NOW - 1900), {"MmsScheduleMissed"}),
    "timer due": (lambda made: with_timer(made, NOW - 1700), set()),
    "timer late and stopped": (lambda made: stopped(with_timer(made, NOW - 1900)), {"MmsSourceStopped"}),
    "late": (with_late_jobs, {"MmsJobOverdue"}),
    "nearly late": (lambda made: with_late_jobs(made, 800), set()),
    "late and ended": (lambda made: with_late_jobs(made, status=JobStatus.DONE), set()),
    "late jobs stopped": (lambda made: with_jobs(with_late_jobs(made, stopped=True), stopped=7), {"MmsJobStopped"}),
    "late and stopped": (lambda made: stopped(with_late_jobs(made)), {"MmsSourceStopped"}),
    "old metadata": (with_old_metadata, {"MmsMetadataOld"}),
    "old metadata at rest": (lambda made: at_rest(with_old_metadata(made)), set()),
    "old metadata and stopped": (lambda made: stopped(with_old_metadata(made)), {"MmsSourceStopped"}),
    "stale": (
        lambda made: structs.replace(made, stats=None, jobs=None, refreshed=False, last_success_at=NOW - 400),
        {"MmsSourceStale"},
    ),
    "jobs omitted": (lambda made: with_jobs(made, omitted=4), {"MmsSeriesOmitted"}),
    "databases omitted": (
        lambda made: structs.replace(made, databases=DatabasesStats(made.name, (), 4)),
        {"MmsSeriesOmitted"},
    ),
    "failures omitted": (
        lambda made: structs.replace(made, failures=FailuresStats(made.name, FailedUnits((), 4), FailedUnits((), 0))),
        {"MmsSeriesOmitted"},
    ),
}
"""Changes of a data source without problems, with the alerts that fire."""
NAMES = {str(number): name for number, name in enumerate(CASES)}


def made(name: str, number: int) -> SourceSnapshot:
    """Return the data source of a case, named after it."""
    changed = CASES[name][0](quiet(number))
    own = structs.replace(changed.name, source=name)
    parts = {part: getattr(changed, part) for part in ("stats", "jobs", "databases", "failures", "timers")}
    return structs.replace(
        changed, name=own, **{part: value and structs.replace(value, name=own) for part, value in parts.items()}
    )


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    """Provide an account with a data source for each case."""
    sources = tuple(made(name, number) for number, name in enumerate(CASES))
    return Snapshot((AccountSnapshot("account", up=True, sources=sources),))


def report_of(snapshot: Snapshot) -> StatusReport:
    """Return the report at NOW."""
    return build_report(StatusInput(snapshot, 1, NOW, NOW, Load(NOW, is_current=True), ()))


@pytest.mark.parametrize("name", CASES)
def test_a_case_has_exactly_the_items_of_its_alerts_with_their_severities(name: str) -> None:
    report = report_of(Snapshot((AccountSnapshot("account", up=True, sources=(made(name, 1),)),)))
    items = {item.alert: item.severity for item in report.attention}
    assert all(item.runbook.endswith(f"/{item.alert}.md") for item in report.attention)
    assert all(re.fullmatch(r"[a-z][^\n]{15,}[^\n.]", item.hint) for item in report.attention)
    shown = page(report, "/metrics").decode()
    assert all(f"Alert: {item.alert}" in shown and item.hint in shown for item in report.attention)
    assert items == {alert: ALERTS[alert]["labels"]["severity"] for alert in CASES[name][1]}
    matters = any(severity != "info" for severity in items.values())
    assert report.sources[0].needs_attention == matters


def test_commands_of_items_are_those_of_the_alerts_and_name_the_data_source() -> None:
    descriptions = {alert: " ".join(rule["annotations"]["description"].split()) for alert, rule in ALERTS.items()}
    flags = "--account={{ $labels.account }} --source={{ $labels.source_id }}"
    for rule in SOURCE_RULES:
        first = [f"`mms-exporter {command} {flags}`" for command in rule.commands[:1]]
        assert re.findall(rf"`mms-exporter [^`]*{re.escape(flags)}`", descriptions[rule.alert])[:1] == first
        assert all(f"`mms-exporter {command} {flags}`" in str(descriptions.values()) for command in rule.commands)


@pytest.mark.parametrize("rule", SOURCE_RULES, ids=lambda rule: rule.alert)
def test_each_item_has_a_command_of_its_runbook(rule: SourceRule) -> None:
    commands = re.findall(r"^ *mms-exporter (.*)$", (RUNBOOKS_FOLDER / f"{rule.alert}.md").read_text(), re.MULTILINE)
    command = f'{rule.commands[0]} --account="$account" --source="$source_id"'
    assert any(each.startswith(command) for each in commands)


def item_of(case: SourceSnapshot, alert: str) -> Attention:
    """Return the attention item of an alert for one data source; the page shows its details."""
    report = report_of(Snapshot((AccountSnapshot("a", up=True, sources=(case,)),)))
    item = next(item for item in report.attention if item.alert == alert)
    assert html.escape(item.concerned[0].detail) in page(report, "/metrics").decode()
    return item


@pytest.mark.parametrize("alert", ["MmsAgentOffline", "MmsSourceStopped"])
def test_work_remaining_is_what_the_row_of_the_data_source_has_left(alert: str) -> None:
    idle = offline if alert == "MmsAgentOffline" else stopped
    (busy,) = item_of(idle(quiet(1)), alert).concerned
    row = idle(quiet(1)).stats
    assert row is not None
    assert busy.count == left_of(row.row)
    assert busy.detail == f"{busy.count:,} tables and partitions left"
    (waiting,) = item_of(with_jobs(idle(at_rest(quiet(1))), counts={"INIT": 1}), alert).concerned
    assert (waiting.count, waiting.detail) == (1, "1 unfinished job")


def test_the_item_of_omitted_series_says_what_is_omitted_and_what_lists_it() -> None:
    def omitted(**changes: object) -> tuple[str, list[str]]:
        (found,) = item_of(structs.replace(quiet(1), **changes), "MmsSeriesOmitted").concerned
        return found.detail, [command.split()[1] for command in found.commands]

    name = quiet(1).name
    unit = FailedUnit("db", "t", None, None, None, None)
    databases = DatabasesStats(name, (), 3)
    named, unnamed = FailedUnits((unit,), 5), FailedUnits((), 4)
    assert omitted(databases=databases) == ("3 databases: raise databases.max_per_source", ["databases"])
    assert omitted(failures=FailuresStats(name, named, named)) == (
        "4 failed tables: raise failures.max_per_source; 4 failed partitions: raise failures.max_per_source",
        ["failed"],
    )
    assert omitted(failures=FailuresStats(name, None, unnamed)) == (
        "4 failed partitions: raise failures.max_per_source, or grant ListMmsPartitions if MMS denies it",
        ["jobs"],
    )
    both = with_jobs(quiet(1), omitted=1)
    assert omitted(databases=databases, jobs=both.jobs) == (
        "3 databases: raise databases.max_per_source; 1 job: raise jobs.max_series_per_source",
        ["databases", "jobs"],
    )


def with_reasons(made: SourceSnapshot, counts: dict[str, int] | None) -> SourceSnapshot:
    """Return a data source with failed tables and the reasons of its failed tasks."""
    failed = with_row(made, tables_failed_num=2)
    return structs.replace(failed, reasons=ReasonsStats(made.name, {"DATA": 30}, counts))


def test_failures_are_listed_with_the_most_frequent_reasons_and_their_hints() -> None:
    counts = {each.value: 0 for each in Reason} | {"unknown": 1, "timeout": 3, "permission": 12, "network": 3}
    case = with_reasons(quiet(1), counts)
    (concerned,) = item_of(case, "MmsTablesFailed").concerned
    assert concerned.reasons is not None
    assert concerned.reasons.examined == 19
    expected = {"permission": 12, "network": 3, "timeout": 3}
    assert [(each.reason, each.tasks, each.hint) for each in concerned.reasons.listed] == [
        (reason, count, HINTS[Reason(reason)]) for reason, count in expected.items()
    ]
    assert concerned.reasons.omitted == 1
    assert f"mms-exporter failed --why --account=account --source={case.name.source_id}" in concerned.commands
    report = report_of(Snapshot((AccountSnapshot("a", up=True, sources=(case,)),)))
    shown = page(report, "/metrics").decode()
    assert "<b>permission</b> 12 of the newest 19 failed tasks." in shown
    assert html.escape(HINTS[Reason.PERMISSION]) in shown
    assert "1 more reason<" in shown
    assert [each.reasons for each in report.sources] == [concerned.reasons]


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (lambda made: with_reasons(made, None), ": reasons —<"),
        (lambda made: structs.replace(with_reasons(made, None), reasons=None), ": reasons —<"),
        (lambda made: with_reasons(made, dict.fromkeys(Reason, 0)), ": no failed task with a message was found<"),
    ],
    ids=["no log was read", "not read", "none has a message"],
)
def test_reasons_that_are_unknown_are_null_and_a_dash(
    change: Callable[[SourceSnapshot], SourceSnapshot], shown: str
) -> None:
    report = report_of(Snapshot((AccountSnapshot("a", up=True, sources=(change(quiet(1)),)),)))
    (item,) = report.attention
    assert shown in page(report, "/metrics").decode()
    assert (item.concerned[0].reasons is None) == (report.sources[0].reasons is None) == ("—" in shown)


@pytest.mark.parametrize("alert", ["MmsTablesFailed", "MmsJobFailed"])
def test_the_retry_of_objects_waits_for_unfinished_jobs(alert: str) -> None:
    failed = with_failed_jobs(with_row(quiet(1), tables_failed_num=2))
    assert "wait for unfinished jobs" in item_of(failed, alert).hint
    assert "ended" not in item_of(with_jobs(failed, counts={"FAILED": 3}), alert).hint


@pytest.mark.parametrize("name", CASES)
def test_commands_on_the_page_can_be_pasted(name: str) -> None:
    case = made(name, 1)
    case = structs.replace(case, name=structs.replace(case.name, account="it's prod"))
    report = report_of(Snapshot((AccountSnapshot("account", up=True, sources=(case,)),)))
    text = re.sub("</?span>", "", page(report, "/metrics").decode())
    shown = re.findall("<code>(mms-exporter .*?)</code>", text)
    commands = [command for item in report.attention for each in item.concerned for command in each.commands]
    assert [html.unescape(each) for each in shown if "--account" in each] == commands
    for command in commands:
        assert {"--account=it's prod", f"--source={case.name.source_id}"} <= {*shlex.split(command)}
        arguments.parse(shlex.split(command)[1:], {})


def test_an_overdue_job_is_marked_where_its_eta_is() -> None:
    late, quiet_jobs = (
        report_of(Snapshot((AccountSnapshot("a", up=True, sources=(made(name, 1),)),)))
        for name in ("late", "nearly late")
    )
    assert {job.overdue for job in each_job(late)} == {True}
    assert {job.overdue for job in each_job(quiet_jobs)} == {False}
    assert '</time> <span class="chip warn">Overdue</span></td>' in page(late, "/metrics").decode()
    assert "Overdue" not in page(quiet_jobs, "/metrics").decode()


def each_job(report: StatusReport) -> list[JobEntry]:
    """Return the unfinished jobs that a report lists."""
    jobs = [job for source in report.sources if source.jobs for job in source.jobs.listed]
    return [job for job in jobs if job.status in UNFINISHED_JOB_STATUSES]


def test_the_tile_of_failed_jobs_counts_unresolved_ones() -> None:
    def tile(case: SourceSnapshot) -> str:
        text = page(report_of(Snapshot((AccountSnapshot("a", up=True, sources=(case,)),))), "/metrics").decode()
        found: str
        (found,) = re.findall(r'<div class="card tile([^>]*><dt>failed jobs.*?)</div>', text)
        return found

    failed = with_failed_jobs(quiet(1))
    partly = with_jobs(with_row(failed, tables_failed_num=1), resolved=2)
    note = '<span class="note">{} resolved</span>'
    assert tile(failed) == f'"><dt>failed jobs{note.format(3)}</dt><dd>0</dd>'
    assert tile(partly) == f' is-bad"><dt>failed jobs{note.format(2)}</dt><dd>1</dd>'
    assert tile(with_jobs(partly, resolved=0)) == ' is-bad"><dt>failed jobs</dt><dd>3</dd>'


def test_every_alert_has_an_item_or_a_reason_for_none() -> None:
    assert set(ALERTS) == RUNBOOKS | ELSEWHERE.keys()
    assert not RUNBOOKS & ELSEWHERE.keys()
    assert {alert for _, alerts in CASES.values() for alert in alerts} == {rule.alert for rule in SOURCE_RULES}


@pytest.mark.parametrize("promtool", ["PROMTOOL", pytest.param("PROMTOOL3", marks=pytest.mark.scale)])
async def test_the_alerts_fire_for_the_same_data_sources(snapshot: Snapshot, promtool: str, tmp_path: Path) -> None:
    # Without `for`: the page shows the current state.
    publisher = Publisher(lambda: snapshot, Telemetry(with_process=False))
    await publisher.publish()
    alerts = {rule.alert for rule in SOURCE_RULES}
    expression = f'count by (alertname, source) (ALERTS{{alertstate="firing", alertname=~"{"|".join(alerts)}"}})'
    expected = [
        {"labels": f'{{alertname="{alert}", source="{name}"}}', "value": 1}
        for name, (_, fires) in CASES.items()
        for alert in fires
    ]
    test = {
        "rule_files": [str(without_delays(path, tmp_path)) for path in RULES],
        "evaluation_interval": "1m",
        "group_eval_order": list(GROUPS),
        "tests": [
            {
                "interval": "1m",
                "input_series": list(series(publisher.body("text", gzip=False), recently_failed(snapshot))),
                "promql_expr_test": [{"expr": expression, "eval_time": f"{NOW:.0f}s", "exp_samples": expected}],
            }
        ],
    }
    file = tmp_path / "test.json"
    file.write_text(json.dumps(test), encoding="utf-8")
    code, printed = said(program(promtool), "test", "rules", file)
    assert code == 0, printed


def without_delays(path: Path, folder: Path) -> Path:
    """Write a rule file without `for` and `keep_firing_for`."""
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.strip().startswith(("for:", "keep_firing_for:"))]
    (folder / path.name).write_text("\n".join(kept), encoding="utf-8")
    return folder / path.name


def recently_failed(snapshot: Snapshot) -> dict[str, int]:
    """Return the jobs that failed in the last 30 minutes, by data source."""
    return {each.name.source: each.jobs_failed_recently for each in snapshot.accounts[0].sources}


def series(body: bytes, recently: dict[str, int]) -> list[dict[str, str]]:
    """Return the samples of an exposition as constant series; jobs that failed recently fail after 10 minutes."""
    constant = []
    for name, samples in read(body).samples.items():
        for labels, value in samples.items():
            pairs = dict(labels) | {"job": "mms-exporter", "instance": "exporter:10180"}
            text = ", ".join(f"{label}={json.dumps(value)}" for label, value in sorted(pairs.items()))
            is_failed = name == "mms_jobs" and pairs["status"] == "FAILED"
            before = value - recently[pairs["source"]] if is_failed else value
            values = f"{before}x10 {value}x40"
            constant.append({"series": f"{name}{{{text}}}", "values": values})
    return constant


async def test_late_jobs_and_old_metadata_of_mms_need_attention(simulator: Simulator) -> None:
    source_id = simulator.world.source_ids()[0]
    jobs = simulator.world.truth().jobs(source_id)
    job_id = next(each.id for each in jobs if each.status in UNFINISHED_JOB_STATUSES and not each.stopped)
    old = events.SetText(source_id=source_id, field="lastUpdateTime", text="2020-01-01 00:00:00")
    late = events.SetText(source_id=source_id, field="eta", text="2020-01-01", job_id=job_id)
    for event in (old, late):
        apply_event(simulator.world, event)
    service = Service(Telemetry())
    await service.apply(config_on(simulator.url))
    await eventually(lambda: service.is_ready)
    report = build_report(service.status_input())
    await service.close()
    assert {"Jobs are overdue", "Metadata is outdated with work remaining"} <= {each.title for each in report.attention}
