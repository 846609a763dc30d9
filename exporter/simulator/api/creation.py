"""CreateMmsJob and GetMmsAsyncTask: the units in a request's scope, and the job that migrates them."""

from collections.abc import Callable, Iterable, Iterator
from math import ceil
from typing import Any, Final, NamedTuple

import msgspec

from exporter.mms.models.records import Count, JobConfig
from exporter.simulator.api.parameters import Refusal, bad_parameter, not_found
from exporter.simulator.api.partition_filter import partition_filter
from exporter.simulator.world import states
from exporter.simulator.world.job_store import FIRST_CREATED_ID, Created, SimulatedJob
from exporter.simulator.world.options import chance, pick
from exporter.simulator.world.planner import schedule
from exporter.simulator.world.plans import DATABASE, PARTITIONS, TABLES, JobPlan, TaskPlan
from exporter.simulator.world.source import Site
from exporter.simulator.world.source_clock import SourceTime
from exporter.simulator.world.states import Attempt

_TASK_PARTITIONS: Final = 50
"""Largest number of partitions of one task."""
_SLOTS: Final = 4
_FAILS, _TASK_FAILS = 501, 502
_TASK_ERROR: Final = "cannot plan the job: jdbc://root:canary-task@metastore refused the connection"
"""Error message of a failed task; the vendor's messages can contain a secret."""
_NOT_IN_CONFIG: Final = frozenset({"sourceId", "name", "sourceName", "srcDbName", "srcSchemaName", "eta", "tables"})


class Request(JobConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of CreateMmsJob."""

    source_id: Count | None = None
    name: str | None = None
    source_name: str | None = None
    src_db_name: str | None = None
    src_schema_name: str | None = None
    dst_db_name: str | None = None
    dst_schema_name: str | None = None
    others: dict[str, Any] | None = None
    eta: str | None = None
    tunnel_quota: None = None
    """Of jobs only, not of requests."""


Scope = dict[int, list[int]]
"""Units by table number."""


class JobOutcome(NamedTuple):
    """How a created job runs; None is what the options say."""

    seconds: float | None = None
    """Duration of the job."""
    failure_rate: float | None = None
    """Share of the tasks that fail."""
    slots: int = _SLOTS
    """Tasks that run concurrently."""


AS_IN_OPTIONS: Final = JobOutcome()


def create(site: Site, at: SourceTime, body: bytes, outcome: JobOutcome = AS_IN_OPTIONS) -> dict[str, Any]:
    """Create a job and return the answer's `data`.

    Raises: Refusal if the request is invalid or names a missing object.
    """
    try:
        request = msgspec.json.decode(body, type=Request)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refusal(400, "InvalidParameter.Body", f"The request body is not valid: {error}") from error
    if request.source_id not in {None, site.id}:
        raise bad_parameter("sourceId", "the id in the path")
    database, kind, scope = _scope(site, at, request)
    made = _created(site, at, request, database, _plan(site, at, kind, scope, outcome))
    made.scope = scope
    site.job_store.created.append(made)
    if not site.is_writable:
        site.denied_jobs.add(made.job.id)
    if made.is_successful:
        _record_attempts(site, made.job, at)
    return {"asyncTaskId": made.job.id}


def create_job(site: Site, at: SourceTime, request: dict[str, Any], outcome: JobOutcome) -> int:
    """Create a job and return its id."""
    return int(create(site, at, msgspec.json.encode(request), outcome)["asyncTaskId"])


def retry_failed(site: Site, at: SourceTime) -> int:
    """Create successful jobs for all FAILED units; returns the job count."""
    requests = list(_retry_requests(site, at))
    return len([create_job(site, at, request, JobOutcome(failure_rate=0.0)) for request in requests])


def _retry_requests(site: Site, at: SourceTime) -> Iterator[dict[str, Any]]:
    """Yield requests for all FAILED partitions, and for the FAILED tables of each database."""
    inventory, partitions, tables = site.inventory, list[int](), dict[int, list[str]]()
    for table in site.source.tables(at.moment):
        tally = inventory.tally(table, at.moment)
        statuses = {unit: inventory.unit_status(table, unit, at.moment) for unit in range(tally.partitions)}
        partitions += (site.partition_id(table, unit) for unit in statuses if statuses[unit] == states.FAILED)
        if not tally.partitions and tally.status == states.FAILED:
            tables.setdefault(inventory.database(table, at.moment), []).append(site.table_name(table))
    if partitions:
        yield {"partitions": partitions}
    for database, names in tables.items():
        yield {"srcDbName": site.source.database_name(database), "tables": names}


def async_task(site: Site, at: SourceTime, number: int) -> dict[str, Any]:
    """Return GetMmsAsyncTask's `data` for the task of a job.

    Raises: Refusal if there is no such task.
    """
    place = number - FIRST_CREATED_ID
    if not 0 <= place < len(site.job_store.created):
        raise not_found("AsyncTask", number)
    made = site.job_store.created[place]
    over = at.seconds >= made.ready_at
    share = 1.0 if over else (at.seconds - made.requested_at) / (made.ready_at - made.requested_at)
    end = states.DONE if made.is_successful else states.FAILED
    answer = {
        "id": number,
        "sourceId": site.id,
        "type": "CreateJob",
        "status": end if over else states.DOING,
        "running": not over,
        "progress": int(100 * share),
        "errorMsg": _TASK_ERROR if over and not made.is_successful else "",
    }
    return answer | ({"objectId": made.job.id} if over and made.is_successful else {})


def _scope(site: Site, at: SourceTime, request: Request) -> tuple[int, str, Scope]:
    """Return database, job kind and all units in scope."""
    if request.partitions:
        return _partition_scope(site, at, request)
    database = _database(site, at, request.src_db_name)
    tables = {
        site.table_name(table): table
        for table in site.source.tables(at.moment)
        if site.inventory.database(table, at.moment) == database
    }
    wanted = {*(request.tables or ()), *(request.partition_filters or {})}
    for name in sorted(wanted - tables.keys()):
        raise not_found("Table", name)
    chosen = [tables[name] for name in tables if (not wanted or name in wanted) and _is_listed(name, request)]
    filters = {tables[name]: partition_filter(text) for name, text in (request.partition_filters or {}).items()}
    scope = {table: list(_units(site, at, table, filters.get(table))) for table in chosen}
    kind = PARTITIONS if filters else TABLES if wanted else DATABASE
    return database, kind, scope


def _is_listed(name: str, request: Request) -> bool:
    """Return whether a table passes the black or white list."""
    if request.table_black_list:
        return name not in request.table_black_list
    return not request.table_white_list or name in request.table_white_list


def _database(site: Site, at: SourceTime, name: str | None) -> int:
    if not name:
        raise bad_parameter("srcDbName", "the name of a database")
    for database in site.inventory.databases(at.moment):
        if site.source.database_name(database) == name:
            return database
    raise not_found("Database", name)


def _partition_scope(site: Site, at: SourceTime, request: Request) -> tuple[int, str, Scope]:
    scope: Scope = {}
    for number in dict.fromkeys(request.partitions or ()):
        place = site.partition_place(number, at)
        if place is None:
            raise not_found("Partition", number)
        scope.setdefault(place[0], []).append(place[1])
    databases = {site.inventory.database(table, at.moment) for table in scope}
    if request.src_db_name and databases != {_database(site, at, request.src_db_name)}:
        raise bad_parameter("partitions", "partitions of srcDbName")
    return min(databases), PARTITIONS, scope


def _units(site: Site, at: SourceTime, table: int, fits: Callable[[str], bool] | None) -> Iterator[int]:
    plan = site.inventory.plan(table, at.moment)
    if plan is None:
        return
    for unit in range(plan.units):
        if fits is None or not plan.partitions or fits(site.partition_value(table, unit)):
            yield unit


def _plan(site: Site, at: SourceTime, kind: str, scope: Scope, outcome: JobOutcome) -> JobPlan:
    """Plan the INIT, FAILED and updated units of a scope."""
    options = site.source.options
    rate = options.retry_failure_rate if outcome.failure_rate is None else outcome.failure_rate
    drafts = [
        TaskPlan(table - 1, piece, 0.0, 0.0, _failure(site, table, piece[0], rate), int(retried))
        for table, units in scope.items()
        for retried, left in _left(site, at, table, units)
        for piece in _pieces(left)
    ]
    seconds = outcome.seconds or options.job_seconds * min(1.0, 0.25 + 0.05 * len(drafts))
    seconds = seconds if drafts else 0.0
    return JobPlan(kind, 0.0, seconds, schedule(drafts, seconds, max(outcome.slots, ceil(len(drafts) / 20))))


def _left(site: Site, at: SourceTime, table: int, units: Iterable[int]) -> Iterator[tuple[bool, list[int]]]:
    """Yield the new, the FAILED and the updated units."""
    updated = site.inventory.updated(table, at.moment)
    known = [(unit, site.inventory.unit_status(table, unit, at.moment)) for unit in sorted(units)]
    for wanted in (states.INIT, states.FAILED, states.DONE):
        found = [unit for unit, status in known if status == wanted and (status != states.DONE or unit in updated)]
        if found:
            yield wanted == states.FAILED, found


def _pieces(units: list[int]) -> Iterator[tuple[int, ...]]:
    for first in range(0, len(units), _TASK_PARTITIONS):
        yield tuple(units[first : first + _TASK_PARTITIONS])


def _failure(site: Site, table: int, unit: int, rate: float) -> str | None:
    if not site.is_writable:
        return "DATA"
    keys = (*site.source.seed, _FAILS, table, unit, len(site.job_store.created))
    return pick(("SCHEMA", "DATA", "VERIFICATION"), *keys) if chance(*keys) < rate else None


def _created(site: Site, at: SourceTime, request: Request, database: int, plan: JobPlan) -> Created:
    wait = site.source.options.async_task_seconds
    given = msgspec.to_builtins(request).items()
    job = SimulatedJob(
        id=FIRST_CREATED_ID + len(site.job_store.created),
        plan=plan,
        created=at.moment + wait,
        created_at=at.seconds + wait,
        first_table=1,
        database=database,
        name=request.name,
        eta=request.eta or "",
        request={name: value for name, value in given if value is not None and name not in _NOT_IN_CONFIG},
    )
    fails = chance(*site.source.seed, _TASK_FAILS, job.id) < site.source.options.async_task_failure_rate
    return Created(job, at.seconds, at.seconds + wait, is_successful=not fails)


def _record_attempts(site: Site, job: SimulatedJob, at: SourceTime) -> None:
    for task in job.plan.tasks:
        table = job.first_table + task.table
        forced = task.units[0] in site.inventory.updated(table, at.moment)
        attempt = Attempt(job.created + task.start, job.created + task.end, task.outcome, job.id, forced=forced)
        site.inventory.touch(table, at.moment).add(task.units, attempt)
