"""The lists: parameters, filters and order of the rows. Jobs and tasks are listed newest first."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from exporter.mms.models import statuses
from exporter.simulator.api import rows, timer_runs
from exporter.simulator.api.pages import PAGE_NAMES, Group, ResultPage, Tweaks, group, page_of
from exporter.simulator.api.parameters import ORDERS, Match, Query, bad_parameter
from exporter.simulator.world import states
from exporter.simulator.world.job_store import SimulatedJob, SimulatedTask
from exporter.simulator.world.source import Site
from exporter.simulator.world.source_clock import SourceTime
from exporter.simulator.world.world import World

SOURCE_TYPES: Final = ("HIVE", "BIGQUERY", "MAXCOMPUTE", "DATABRICKS", "SNOWFLAKE", "REDSHIFT")
_SORTERS: Final = ("sorter.lastDdlTime", "sorter.numRows", "sorter.size")
_JOB_TEXTS: Final = ("name", "srcDbName", "srcTableName", "dstDbName", "dstTableName")
_TASK_TEXTS: Final = ("jobName", "srcDbName", "srcTableName", "dstDbName", "dstTableName")
_TABLE_TEXTS: Final = ("dbName", "name", "dstName", "dstProjectName", "dstSchemaName", "type")
_TASK_SORTERS: Final = ("sorter.status", "sorter.startTime")
_DATABASE_SORTERS: Final = ("updateTime", "numRows", "size")
_DDL_NAMES: Final = ("lastDdlTimeStart", "lastDdlTimeEnd")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ListRequest:
    """A list request for one source."""

    site: Site
    at: SourceTime
    pairs: Sequence[tuple[str, str]]
    cap: int
    tweaks: Tweaks

    def query(self, *names: str) -> Query:
        """Return the parameters; only `names` and paging are allowed."""
        return Query(self.pairs, {*names, *PAGE_NAMES})

    def page(self, query: Query) -> ResultPage:
        """Return the requested page."""
        return page_of(query, self.cap, self.tweaks)


def data_sources(world: World, pairs: Sequence[tuple[str, str]], cap: int, tweaks: Tweaks) -> Row:
    """Return ListMmsDataSources."""
    query = Query(pairs, {"name", "type", "region", *PAGE_NAMES})
    page = page_of(query, cap, tweaks, all_by_default=True)
    kind, region, name = query.text("type"), query.text("region"), query.like("name")
    if kind and kind.upper() not in SOURCE_TYPES:
        raise bad_parameter("type", "one of " + ", ".join(SOURCE_TYPES))
    ids: Sequence[int] = world.source_ids()
    if kind or region or name:
        sites = (world.site(source_id) for source_id in ids)
        ids = [site.id for site in sites if _is_wanted(site, kind, region, name)]
    now = world.seconds()

    def row(source_id: int) -> Row:
        site = world.site(source_id)
        return rows.data_source(site, world.at(site, now))

    return page.of([group(ids)], row)


def _is_wanted(site: Site, kind: str | None, region: str | None, name: Match | None) -> bool:
    if kind and site.source.type.upper() != kind.upper():
        return False
    return (not region or site.region == region) and (name is None or name(site.source.name))


def text_filters(query: Query, names: Iterable[str]) -> dict[str, Match]:
    """Return the text filters of a request, by field."""
    found = ((name, query.like(name)) for name in names)
    return {name: match for name, match in found if match is not None}


def fits_filters(row: Row, filters: dict[str, Match]) -> bool:
    """Return whether a row matches all filters."""
    return all(match(str(row[name]).rstrip("\n")) for name, match in filters.items())


def jobs(request: ListRequest) -> Row:
    """Return ListMmsJobs."""
    query = request.query(*_JOB_TEXTS, "status", "stopped", "timerId", "sorter.status")
    page = request.page(query)
    status = query.choice("status", statuses.JobStatus)
    stopped = _stopped_filter(request, status, query.boolean("stopped"))
    order, texts = query.choice("sorter.status", ORDERS), text_filters(query, _JOB_TEXTS)
    if "timerId" in query:
        timer = request.site.timers.get(query.integer("timerId"))
        found = group([] if timer is None else timer_runs.job_ids(timer, request.site, request.at))
    elif texts or order:
        chosen = [
            job
            for job in _all_jobs(request)
            if _job_fits(request, job, status, stopped) and _job_texts(request, job, texts)
        ]
        if order:
            chosen.sort(key=lambda job: job.status(request.at.moment), reverse=order == "desc")
        found = group([job.id for job in chosen])
    else:
        found = _jobs_by_status(request, status, stopped=stopped)
    return page.of([found], lambda job_id: _job_row(request, job_id))


def _stopped_filter(request: ListRequest, status: str | None, stopped: bool | None) -> bool | None:  # noqa: FBT001 - a filter, not a switch
    """Return the effective filter; None for stopped and other ones."""
    if not request.site.source.options.hides_stopped:
        return stopped
    return (stopped or None) if status is None else False


def _all_jobs(request: ListRequest) -> Iterator[SimulatedJob]:
    found = (request.site.job_store.find(job_id, request.at) for job_id in request.site.job_store.ids(request.at))
    return (job for job in found if job is not None)


def _job_row(request: ListRequest, job_id: int) -> Row:
    job = request.site.job_store.find(job_id, request.at)
    return {} if job is None else rows.job(request.site, job, request.at)


def _job_fits(request: ListRequest, job: SimulatedJob, status: str | None, stopped: bool | None) -> bool:  # noqa: FBT001 - a filter, not a switch
    right_status = status is None or job.status(request.at.moment) == status
    return right_status and (stopped is None or job.stopped(request.at.moment) == stopped)


def _job_texts(request: ListRequest, job: SimulatedJob, texts: dict[str, Match]) -> bool:
    tables = [request.site.table_name(table) for table in job.tables()]
    row = rows.job_facts(request.site, job, request.at)
    if request.site.source.options.job_name_filters_source:
        row["name"] = row["sourceName"]
    return all(
        any(map(match, tables)) if name.endswith("TableName") else match(row[name]) for name, match in texts.items()
    )


def _jobs_by_status(request: ListRequest, status: str | None, *, stopped: bool | None) -> Group[int]:
    """Return the jobs of a status, scanning only unfinished ones."""
    job_store, at = request.site.job_store, request.at
    unfinished = job_store.unfinished(at)
    stopped_ids = {job.id for job in unfinished if job.stopped(at.moment)}
    if stopped or status in statuses.UNFINISHED_JOB_STATUSES:
        return group([job.id for job in unfinished if _job_fits(request, job, status, stopped)])
    everything, failed = job_store.count(at), job_store.count_failed(at)
    count = {states.FAILED: failed, states.DONE: everything - failed - len(unfinished)}.get(status or "", everything)
    if status is not None:
        return Group(count, lambda: (job_id for job_id in job_store.ids(at) if job_store.status(job_id, at) == status))
    hidden = stopped_ids if stopped is False else set[int]()
    return Group(count - len(hidden), lambda: (job_id for job_id in job_store.ids(at) if job_id not in hidden))


def tasks(request: ListRequest) -> Row:
    """Return ListMmsTasks."""
    query = request.query(*_TASK_TEXTS, "jobId", "status", "partition", *_TASK_SORTERS)
    page = request.page(query)
    status, value = query.choice("status", statuses.TaskStatus), query.like("partition")
    texts = text_filters(query, _TASK_TEXTS)
    sorters = [sorter for sorter in _TASK_SORTERS if query.choice(sorter, ORDERS)]
    if "jobId" not in query and value is None and not texts and not sorters:
        return page.of([_tasks_by_status(request, status)], lambda pair: rows.task(request.site, *pair))
    chosen = _all_jobs(request)
    stopped = _stopped_filter(request, status, None)
    if "jobId" in query:
        job = request.site.job_store.find(query.integer("jobId"), request.at)
        chosen = iter(() if job is None else (job,))
    found = [
        (job, task)
        for job in chosen
        if _job_fits(request, job, None, stopped)
        for task in job.tasks(request.at.moment)
        if (status is None or task.status == status)
        and (value is None or _task_holds(request.site, task, value))
        and (not texts or fits_filters(rows.task(request.site, job, task), texts))
    ]
    for sorter in sorters:
        name = sorter.removeprefix("sorter.")
        found.sort(
            key=lambda pair: str(rows.task(request.site, *pair).get(name, "")), reverse=query.text(sorter) == "desc"
        )
    return page.of([group(found)], lambda pair: rows.task(request.site, *pair))


def _tasks_by_status(request: ListRequest, status: str | None) -> Group[tuple[SimulatedJob, SimulatedTask]]:
    """Return the tasks of a status without scanning ended jobs."""
    counts, moment = request.site.job_store.task_counts(request.at), request.at.moment
    stopped = _stopped_filter(request, status, None)
    if stopped is False:
        hidden = (job for job in request.site.job_store.unfinished(request.at) if job.stopped(moment))
        counts -= Counter(task.status for job in hidden for task in job.tasks(moment))

    def items() -> Iterator[tuple[SimulatedJob, SimulatedTask]]:
        jobs = (job for job in _all_jobs(request) if _job_fits(request, job, None, stopped))
        pairs = ((job, task) for job in jobs for task in job.tasks(moment))
        return (pair for pair in pairs if status is None or pair[1].status == status)

    return Group(counts.total() if status is None else counts[status], items)


def _task_holds(site: Site, task: SimulatedTask, value: Match) -> bool:
    return any(value(site.partition_value(task.table, unit)) for unit in task.plan.units)


def databases(request: ListRequest) -> Row:
    """Return ListMmsDbs."""
    query = request.query("name", "status", "sorter")
    page, status, name = request.page(query), query.choice("status", statuses.TableStatus), query.like("name")
    found = [
        row
        for row in rows.databases(request.site, request.at)
        if (status is None or row["status"] == status) and (name is None or name(row["name"]))
    ]
    for field, order in query.sorters("sorter", _DATABASE_SORTERS).items():
        found.sort(key=lambda row: row.get(field, ""), reverse=order == "desc")
    return page.of([group(found)], lambda row: row)


def tables(request: ListRequest) -> Row:
    """Return ListMmsTables."""
    names = (*_TABLE_TEXTS, *_DDL_NAMES, *_SORTERS, "dbId", "hasPartitions", "onlyName", "status")
    query = request.query(*names)
    page = request.page(query)
    wanted, only_name = query.choices("status", statuses.TableStatus), query.boolean("onlyName")
    texts = text_filters(query, _TABLE_TEXTS)
    keep = _table_filter(request, texts, _database(query), query.boolean("hasPartitions"), _time_filter(query))
    inventory, moment = request.site.inventory, request.at.moment
    numbers = (table for table in request.site.source.tables(moment) if keep(table))
    found = [table for table in numbers if wanted is None or inventory.tally(table, moment).status in wanted]
    _sort(found, query, lambda table: rows.table(request.site, table, request.at))

    def row(table: int) -> Row:
        whole = rows.table(request.site, table, request.at)
        return {"id": table, "name": whole["name"]} if only_name else whole

    return page.of([group(found)], row)


def _table_filter(
    request: ListRequest,
    texts: dict[str, Match],
    database: int | None,
    has_partitions: bool | None = None,  # noqa: FBT001 - a filter, not a switch
    times: Match | None = None,
) -> Callable[[int], bool]:
    """Return a predicate for the parameters about tables."""
    if not texts and database is None and has_partitions is None and times is None:
        return lambda _: True

    def keep(table: int) -> bool:
        facts = rows.table_facts(request.site, table, request.at)
        return (
            (database is None or facts["dbId"] == database)
            and (has_partitions is None or facts["hasPartitions"] == has_partitions)
            and (times is None or times(facts["lastDdlTime"]))
            and fits_filters(facts, texts)
        )

    return keep


def _database(query: Query) -> int | None:
    return query.integer("dbId") if "dbId" in query else None


def _time_filter(query: Query) -> Match | None:
    first, last = (query.time(name) for name in _DDL_NAMES)
    if first is None and last is None:
        return None
    return lambda text: (first is None or text >= first) and (last is None or text <= last)


def _sort(found: list[Any], query: Query, row: Callable[[Any], Row]) -> None:
    for sorter in _SORTERS:
        order, name = query.choice(sorter, ORDERS), sorter.removeprefix("sorter.")
        if order:
            found.sort(key=lambda item: row(item)[name], reverse=order == "desc")


def partitions(request: ListRequest) -> Row:
    """Return ListMmsPartitions."""
    names = ("dbId", "dbName", "tableId", "tableName", "value", "updated", "status", *_DDL_NAMES, *_SORTERS)
    query = request.query(*names)
    page = request.page(query)
    wanted = query.choices("status", statuses.PartitionStatus)
    groups = [_partition_group(request, query, table, wanted) for table in _tables_of_partitions(request, query)]
    if any(query.choice(sorter, ORDERS) for sorter in _SORTERS):
        found = [place for part in groups for place in part.items()]
        _sort(found, query, lambda place: rows.partition(request.site, place[0], place[1], request.at))
        groups = [group(found)]
    return page.of(groups, lambda place: rows.partition(request.site, *place, request.at))


def _tables_of_partitions(request: ListRequest, query: Query) -> Iterator[int]:
    site, moment = request.site, request.at.moment
    texts = {"dbName": query.like("dbName"), "name": query.like("tableName")}
    keep = _table_filter(request, {name: match for name, match in texts.items() if match}, _database(query))
    numbers: Iterable[int] = site.source.tables(moment)
    if query.boolean("updated"):
        numbers = (table for table in numbers if table in site.inventory.touched)
    if "tableId" in query:
        table = query.integer("tableId")
        numbers = () if site.inventory.plan(table, moment) is None else (table,)
    return (table for table in numbers if keep(table))


def _partition_group(
    request: ListRequest, query: Query, table: int, wanted: frozenset[str] | None
) -> Group[tuple[int, int]]:
    site, moment = request.site, request.at.moment
    tally = site.inventory.tally(table, moment)
    fits = _partition_filter(request, query)

    def items() -> Iterator[tuple[int, int]]:
        for unit in range(tally.partitions):
            right_status = wanted is None or site.inventory.unit_status(table, unit, moment) in wanted
            if right_status and (fits is None or fits(table, unit)):
                yield table, unit

    if fits is not None:
        return group(list(items()))
    untouched = tally.partitions - tally.doing - tally.done - tally.failed
    counts = {states.INIT: untouched, states.DOING: tally.doing, states.DONE: tally.done, states.FAILED: tally.failed}
    return Group(sum(count for status, count in counts.items() if wanted is None or status in wanted), items)


def _partition_filter(request: ListRequest, query: Query) -> Callable[[int, int], bool] | None:
    value, updated, times = query.like("value"), query.boolean("updated"), _time_filter(query)
    if value is None and updated is None and times is None:
        return None

    def fits(table: int, unit: int) -> bool:
        return (
            (value is None or value(request.site.partition_value(table, unit)))
            and (updated is None or updated == (unit in request.site.inventory.updated(table, request.at.moment)))
            and (times is None or times(request.site.last_ddl(table, unit)))
        )

    return fits
