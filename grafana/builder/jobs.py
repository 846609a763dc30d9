"""Dashboard of jobs: running, expected end, failed and stopped ones."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import stat, table
from grafana_foundation_sdk.models import units

from grafana.builder import palette, panels, promql, tables
from grafana.builder.page import Page, Row, Variable, choice, values
from grafana.builder.panels import Frame, instant_query, range_query
from grafana.builder.promql import JOB, SHOWN_AT_MOST, by_job, equals, source

_ONE: Final = "on (account, source_id, job_id)"
_UNFINISHED: Final = 'status=~"INIT|DOING"'
_NOT_DONE: Final = 'status!="DONE"'
_LEGEND: Final = "{{job_name}}"


def _variables() -> list[Variable]:
    info = source("mms_job_info")
    return [
        choice("database", "Database", values(info, "src_db"), ".*"),
        choice("project", "Project", values(info, "dst_project"), ".*"),
        choice("status", "Status", values(source("mms_job_status"), "status")),
    ]


def _chosen(figure: str, *statuses: str) -> str:
    """Return the selected jobs of `figure` in certain statuses."""
    status = source("mms_job_status", 'status=~"$status"', *statuses)
    info = source("mms_job_info", 'src_db=~"$database"', 'dst_project=~"$project"')
    return f"({figure}) and {_ONE} ({status} == 1) and {_ONE} {info}"


def _figures() -> list[stat.Panel]:
    overdue = f"{by_job(source('mms_job_eta_timestamp_seconds'))} < bool time()"
    unfinished = f"{source('mms_job_status', _UNFINISHED)} == 1"
    beyond = palette.steps(palette.DONE, (1, palette.WARNING))
    return [
        _figure("Running", "Jobs that MMS is running.", _count("DOING"), palette.steps(palette.DOING)),
        _figure("Waiting", "Jobs that have not started.", _count("INIT"), palette.NO_JUDGEMENT),
        _figure(
            "Failed",
            "Jobs that failed. Retry them in the MMS console or with `mms-exporter retry`.",
            _count("FAILED"),
            palette.ZERO_IS_GOOD,
        ),
        _figure(
            "Stopped",
            "Unfinished jobs that are stopped. MMS does not resume them automatically.",
            promql.total(source("mms_jobs_stopped")),
            beyond,
        ),
        _figure(
            "Overdue",
            "Unfinished jobs whose ETA, the requested finish time, has passed.",
            f"sum(({overdue}) and {_ONE} ({unfinished}))",
            palette.ZERO_IS_GOOD,
        ).no_value("no ETA"),
        _figure(
            "Not listed below",
            "Unfinished jobs beyond `jobs.max_series_per_source`, which the tables do not show.",
            promql.total(source("mms_job_series_omitted")),
            beyond,
        ),
    ]


def _count(status: str) -> str:
    return promql.total(source("mms_jobs", equals("status", status)))


def _figure(title: str, description: str, expr: str, thresholds: build.ThresholdsConfig) -> stat.Panel:
    of = " Database, project and status do not filter this value."
    return panels.figure(Frame(title, description + of, 4, 4), instant_query(expr), units.LocaleFormat, thresholds)


def _under_way() -> table.Panel:
    frame = Frame(
        "Unfinished and failed jobs",
        "One row for each job that is not done, failed ones first. Click the source to open its dashboard. Due in is "
        "red if the ETA has passed.",
        24,
        12,
    )
    columns = [*_condition(), *_NAME, *_counts(), *_times(), *_identity(_NOT_DONE)]
    nothing = "No unfinished or failed jobs"
    return tables.listing(frame, columns, "Status", descending=False, nothing=nothing)


def _condition() -> list[tables.Column]:
    coded = promql.coded("mms_job_status", palette.JOB_STATES, labels=JOB)
    stopped = _chosen(by_job(source("mms_job_stopped")), _NOT_DONE)
    states = palette.states(palette.JOB_STATES)
    return [
        tables.number("Status", _chosen(coded, _NOT_DONE), units.NoUnit, 75, *tables.worded(states)),
        tables.number("Stopped", stopped, units.NoUnit, 80, *tables.worded(palette.STOPPED)),
    ]


_NAME: Final = (tables.text("Job", "job_name", None, tables.Property("custom.minWidth", 220)),)


def _identity(status: str) -> list[tables.Column]:
    labels = by_job(source("mms_job_info"), "job_type", "src_db", "dst_project")
    return [
        tables.text("Source", "source", None, tables.LINKED),
        tables.hidden(_chosen(labels, status)),
        tables.text("Database", "src_db", 110),
        tables.text("Project", "dst_project", 120),
        tables.text("Account", "account", 125),
        tables.text("Type", "job_type", 90),
        tables.text("Id", "job_id", 80),
    ]


def _counts() -> list[tables.Column]:
    done = by_job(source("mms_job_tasks_done"))
    tasks = by_job(source("mms_job_tasks"))
    return [
        tables.progress("Progress", _chosen(f"{done} / ({tasks} > 0)", _NOT_DONE), 150),
        tables.number("Tasks done", _chosen(done, _NOT_DONE), units.LocaleFormat, 95),
        tables.number("Tasks", _chosen(tasks, _NOT_DONE), units.LocaleFormat, 70),
    ]


def _times() -> list[tables.Column]:
    created = promql.age(by_job(source("mms_job_created_timestamp_seconds")))
    due = f"{by_job(source('mms_job_eta_timestamp_seconds'))} - time()"
    late = palette.steps(palette.FAILED, (0, "text"))
    return [
        tables.number("Age", _chosen(created, _NOT_DONE), units.Seconds, 90, tables.decimals(1)),
        tables.number("Due in", _chosen(due, _NOT_DONE), units.Seconds, 95, tables.decimals(1), *tables.judged(late)),
    ]


def _latest(figure: str) -> str:
    """Return the latest selected jobs of `figure` at the end."""
    created = promql.at_the_end(source("mms_job_created_timestamp_seconds"))
    status = promql.at_the_end(source("mms_job_status", 'status=~"$status"'))
    info = promql.at_the_end(source("mms_job_info", 'src_db=~"$database"', 'dst_project=~"$project"'))
    fitting = f"{by_job(created)} and {_ONE} ({status} == 1) and {_ONE} {info}"
    return f"({figure}) and {_ONE} topk({SHOWN_AT_MOST}, {fitting})"


def _tasks_done() -> panels.Graph:
    frame = Frame("Tasks done", "Completed tasks of each job, for the 20 newest jobs.", 12, 9)
    done = _latest(by_job(source("mms_job_tasks_done")))
    return panels.many(panels.graph(frame, units.LocaleFormat, range_query(done, _LEGEND)))


def _job_states() -> panels.Timeline:
    frame = Frame("Status", "Status of each job, for the 20 newest jobs.", 12, 9)
    status = _latest(promql.coded("mms_job_status", palette.JOB_STATES, labels=JOB))
    return panels.timeline(frame, palette.states(palette.JOB_STATES), range_query(status, _LEGEND))


def _finished() -> table.Panel:
    frame = Frame(
        "Recently finished",
        "Jobs that finished within `jobs.linger`. Older jobs are counted, but have no series of their own.",
        24,
        8,
    )
    done = equals("status", "DONE")
    tasks = _chosen(by_job(source("mms_job_tasks_done")), done)
    created = f"1000 * {by_job(source('mms_job_created_timestamp_seconds'))}"
    columns = [
        *_NAME,
        *_identity(done),
        tables.number("Tasks done", tasks, units.LocaleFormat, 95),
        tables.number("Created", _chosen(created, done), units.DateTimeFromNow, 130),
    ]
    return tables.listing(frame, columns, "Created", descending=True, nothing="No recently finished jobs")


def page() -> Page:
    """Return the dashboard `mms-jobs`."""
    return Page(
        uid="mms-jobs",
        description="Jobs of MaxCompute Migration Service (MMS): failed, unfinished and recently finished.",
        hours=6,
        rows=[
            Row("Now", [*_figures(), _under_way()]),
            Row("History", [_tasks_done(), _job_states(), _finished()]),
        ],
        variables=_variables(),
    )
