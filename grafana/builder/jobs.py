"""Dashboard of jobs: running, expected end, failed and stopped ones."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import stat, table
from grafana_foundation_sdk.models import units

from grafana.builder import palette, panels, promql, tables
from grafana.builder.page import Page, Row, Variable, choice, values
from grafana.builder.panels import Frame, instant_query, range_query
from grafana.builder.promql import JOB, SHOWN_AT_MOST, by_job, by_source, equals, source

_ONE: Final = "on (account, source_id, job_id)"
_UNFINISHED: Final = 'status=~"INIT|DOING"'
_FAILED: Final = equals("status", "FAILED")
_DONE: Final = equals("status", "DONE")
_LEGEND: Final = "{{source}} / {{job_name}}"


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
            "Failed jobs, without those whose tables and partitions were migrated later. Retry them in the MMS console "
            "or with `mms-exporter retry`.",
            _open(),
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
            # Without an ETA, no job is overdue.
            f"sum(({overdue}) and {_ONE} ({unfinished})) or 0 * {promql.total(source('mms_jobs'))}",
            palette.ZERO_IS_GOOD,
        ),
        _figure(
            "Not listed",
            "Unfinished jobs beyond `jobs.max_series_per_source`, which the tables do not show.",
            promql.total(source("mms_job_series_omitted")),
            beyond,
        ),
    ]


def _open() -> str:
    failed = by_source(source("mms_jobs", _FAILED))
    # A job that was resolved long ago has no series. Without FAILED tables and partitions, every job is resolved.
    remains = f"sum by ({promql.SOURCE}) ({source('mms:source:failed:sum')}) > bool 0"
    known = f"sum by ({promql.SOURCE}) ({by_job(source('mms_job_unresolved'))})"
    return f"sum({known} or {failed} * on ({promql.SOURCE}) ({remains}) or {failed})"


def _count(status: str) -> str:
    return promql.total(source("mms_jobs", equals("status", status)))


def _figure(title: str, description: str, expr: str, thresholds: build.ThresholdsConfig) -> stat.Panel:
    of = " Database, project and status do not filter this value."
    return panels.figure(Frame(title, description + of, 4, 3), instant_query(expr), units.LocaleFormat, thresholds)


def _unfinished() -> table.Panel:
    frame = Frame(
        "Unfinished jobs",
        "One row for each running or waiting job. Click the source to open its dashboard. Due in is red if the ETA "
        "has passed.",
        24,
        9,
    )
    coded = promql.coded("mms_job_status", palette.JOB_STATES, labels=JOB)
    states = tables.worded(palette.states(palette.JOB_STATES))
    stopped = _chosen(by_job(source("mms_job_stopped")), _UNFINISHED)
    due = _chosen(f"{by_job(source('mms_job_eta_timestamp_seconds'))} - time()", _UNFINISHED)
    late = tables.judged(palette.steps(palette.FAILED, (0, "text")))
    columns = [
        *_NAME,
        tables.number("Status", _chosen(coded, _UNFINISHED), units.NoUnit, 85, *states),
        tables.number("Stopped", stopped, units.NoUnit, 85, *tables.worded(palette.STOPPED)),
        *_progress(_UNFINISHED),
        tables.number("Due in", due, units.Seconds, 95, tables.decimals(1), *late),
        *_identity(_UNFINISHED),
    ]
    return _listing(frame, columns, "Status", _UNFINISHED, "No unfinished jobs")


def _failed() -> table.Panel:
    frame = Frame(
        "Failed jobs",
        "One row for each failed job, the newest first. The MMS console shows the reason. Resolved: nothing in the "
        "scope of the job is failed any more.",
        24,
        8,
    )
    resolution = _chosen(by_job(source("mms_job_unresolved")), _FAILED)
    words = tables.worded(palette.RESOLUTION)
    columns = [
        *_NAME,
        tables.number("Resolution", resolution, units.NoUnit, 95, *words),
        *_progress(_FAILED),
        *_identity(_FAILED),
    ]
    unlisted = "Failed, but not listed: resolved, limit or filter"
    otherwise = promql.none_listed(_listed(_FAILED), _count("FAILED"), "job_name", "No failed jobs", unlisted)
    return tables.listing(frame, columns, "Age", descending=False, otherwise=otherwise)


def _listed(status: str) -> str:
    return _chosen(by_job(source("mms_job_status")), status)


def _listing(frame: Frame, columns: list[tables.Column], first: str, status: str, nothing: str) -> table.Panel:
    otherwise = promql.otherwise(_listed(status), source("mms_jobs"), "job_name", nothing)
    return tables.listing(frame, columns, first, descending=first == "Created", otherwise=otherwise)


_NAME: Final = (tables.text("Job", "job_name", 205), tables.text("Source", "source", 185, tables.LINKED))


def _identity(status: str) -> list[tables.Column]:
    labels = by_job(source("mms_job_info"), "job_type", "src_db", "dst_project")
    return [
        tables.hidden(_chosen(labels, status)),
        tables.text("Database", "src_db", 115),
        tables.text("Project", "dst_project", 115),
        tables.text("Type", "job_type", 95),
        tables.text("Id", "job_id", 85),
        tables.text("Account", "account", 90),
    ]


def _progress(status: str) -> list[tables.Column]:
    tasks = by_job(source("mms_job_tasks"))
    done = f"{by_job(source('mms_job_tasks_done'))} / ({tasks} > 0)"
    created = promql.age(by_job(source("mms_job_created_timestamp_seconds")))
    return [
        tables.progress("Progress", _chosen(done, status), 130),
        tables.number("Tasks", _chosen(tasks, status), units.LocaleFormat, 70),
        tables.number("Age", _chosen(created, status), units.Seconds, 95, tables.decimals(1)),
    ]


def _latest(figure: str) -> str:
    """Return the latest selected jobs of `figure` at the end."""
    created = promql.at_the_end("{}", source("mms_job_created_timestamp_seconds"))
    status = promql.at_the_end("{}", source("mms_job_status", 'status=~"$status"'))
    info = promql.at_the_end("{}", source("mms_job_info", 'src_db=~"$database"', 'dst_project=~"$project"'))
    fitting = f"{by_job(created)} and {_ONE} ({status} == 1) and {_ONE} {info}"
    return f"({figure}) and {_ONE} topk({SHOWN_AT_MOST}, {fitting})"


def _tasks_done() -> panels.Graph:
    frame = Frame("Tasks done", "Completed tasks of each job, for the 20 newest jobs.", 24, 9)
    done = _latest(by_job(source("mms_job_tasks_done")))
    return panels.many(panels.graph(frame, units.LocaleFormat, range_query(done, _LEGEND)))


def _job_states() -> panels.Timeline:
    frame = Frame("Status", "Status of each job, for the 20 newest jobs.", 24, 14)
    status = _latest(promql.coded("mms_job_status", palette.JOB_STATES, labels=JOB))
    never = promql.never(source("mms_job_status"))
    return panels.timeline(frame, palette.states(palette.JOB_STATES), range_query(status, _LEGEND), never)


def _finished() -> table.Panel:
    frame = Frame(
        "Recently finished",
        "Jobs that finished within `jobs.linger`. Older jobs are counted, but have no series of their own.",
        24,
        8,
    )
    tasks = _chosen(by_job(source("mms_job_tasks_done")), _DONE)
    created = promql.moment(by_job(source("mms_job_created_timestamp_seconds")))
    columns = [
        *_NAME,
        tables.number("Tasks done", tasks, units.LocaleFormat, 105),
        tables.number("Created", _chosen(created, _DONE), units.DateTimeFromNow, 140),
        *_identity(_DONE),
    ]
    return _listing(frame, columns, "Created", _DONE, "No recently finished jobs")


def page() -> Page:
    """Return the dashboard `mms-jobs`."""
    return Page(
        uid="mms-jobs",
        description="Jobs of MaxCompute Migration Service (MMS): unfinished, failed and recently finished.",
        hours=6,
        rows=[
            Row("Now", [*_figures(), _unfinished(), _failed()]),
            Row("History", [_tasks_done(), _job_states(), _finished()]),
        ],
        variables=_variables(),
    )
