"""The five lists: their parameters, what those filter, and the order of the rows. Jobs and tasks come newest first."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from exporter.mms import models
from exporter.simulator.api import rows
from exporter.simulator.api.error_answers import bad_parameter
from exporter.simulator.api.pages import PAGE_NAMES, Group, ResultPage, Tweaks, group, page_of
from exporter.simulator.http.parameters import Match, Query
from exporter.simulator.world import states
from exporter.simulator.world.job_progress import SimulatedJob, SimulatedTask
from exporter.simulator.world.source import Site
from exporter.simulator.world.source_clock import SourceTime
from exporter.simulator.world.world import World

SOURCE_TYPES: Final = ("HIVE", "BIGQUERY", "MAXCOMPUTE", "DATABRICKS", "SNOWFLAKE", "REDSHIFT")
_ORDERS: Final = ("asc", "desc")
_SORTERS: Final = ("sorter.lastDdlTime", "sorter.numRows", "sorter.size")
_JOB_TEXTS: Final = ("name", "srcDbName", "srcTableName", "dstDbName", "dstTableName")
_TASK_TEXTS: Final = ("jobName", "srcDbName", "srcTableName", "dstDbName", "dstTableName")
_TABLE_TEXTS: Final = ("dbName", "name", "dstName", "dstProjectName", "dstSchemaName", "type")
_TASK_SORTERS: Final = ("sorter.status", "sorter.startTime")
_DDL_NAMES: Final = ("lastDdlTimeStart", "lastDdlTimeEnd")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """A list that is asked of one source."""

    site: Site
    at: SourceTime
    pairs: Sequence[tuple[str, str]]
    cap: int
    tweaks: Tweaks

    def query(self, *names: str) -> Query:
        """Return the parameters, of which `names` and those of paging are known."""
        return Query(self.pairs, {*names, *PAGE_NAMES})

    def page(self, query: Query) -> ResultPage:
        """Return the page that is asked for."""
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


def _texts(query: Query, names: Iterable[str]) -> dict[str, Match]:
    """Return the text filters that are given, by parameter."""
    found = ((name, query.like(name)) for name in names)
    return {name: match for name, match in found if match is not None}


def _fits(row: Row, filters: dict[str, Match]) -> bool:
    return all(match(str(row[name]).rstrip("\n")) for name, match in filters.items())


def jobs(asked: Asked) -> Row:
    """Return ListMmsJobs."""
    query = asked.query(*_JOB_TEXTS, "status", "stopped", "timerId", "sorter.status")
    page = asked.page(query)
    status, stopped = query.choice("status", models.JOB_STATUSES), query.boolean("stopped")
    order, texts = query.choice("sorter.status", _ORDERS), _texts(query, _JOB_TEXTS)
    query.integer("timerId")
    if "timerId" in query:
        # No job of this world was made by a timer.
        found = group(list[int]())
    elif texts or order:
        chosen = [
            job for job in _all_jobs(asked) if _job_fits(asked, job, status, stopped) and _job_texts(asked, job, texts)
        ]
        if order:
            chosen.sort(key=lambda job: job.status(asked.at.moment), reverse=order == "desc")
        found = group([job.id for job in chosen])
    else:
        found = _jobs_by_status(asked, status, stopped=stopped)
    return page.of([found], lambda job_id: _job_row(asked, job_id))


def _all_jobs(asked: Asked) -> Iterator[SimulatedJob]:
    found = (asked.site.roster.find(job_id, asked.at) for job_id in asked.site.roster.ids(asked.at))
    return (job for job in found if job is not None)


def _job_row(asked: Asked, job_id: int) -> Row:
    job = asked.site.roster.find(job_id, asked.at)
    return {} if job is None else rows.job(asked.site, job, asked.at)


def _job_fits(asked: Asked, job: SimulatedJob, status: str | None, stopped: bool | None) -> bool:  # noqa: FBT001 - a filter, not a switch
    right_status = status is None or job.status(asked.at.moment) == status
    return right_status and (stopped is None or job.stopped(asked.at.moment) == stopped)


def _job_texts(asked: Asked, job: SimulatedJob, texts: dict[str, Match]) -> bool:
    tables = [asked.site.table_name(table) for table in job.tables()]
    row = rows.job_facts(asked.site, job, asked.at)
    if asked.site.source.options.job_name_filters_source:
        row["name"] = row["sourceName"]
    return all(
        any(map(match, tables)) if name.endswith("TableName") else match(row[name]) for name, match in texts.items()
    )


def _jobs_by_status(asked: Asked, status: str | None, *, stopped: bool | None) -> Group[int]:
    """Return the jobs of a status: unfinished ones one by one, the others by counting, however many they are."""
    roster, at = asked.site.roster, asked.at
    unfinished = roster.unfinished(at)
    stopped_ids = {job.id for job in unfinished if job.stopped(at.moment)}
    if stopped or status in models.UNFINISHED_JOB_STATUSES:
        return group([job.id for job in unfinished if _job_fits(asked, job, status, stopped)])
    everything, failed = roster.count(at), roster.count_failed(at)
    count = {states.FAILED: failed, states.DONE: everything - failed - len(unfinished)}.get(status or "", everything)
    if status is not None:
        return Group(count, lambda: (job_id for job_id in roster.ids(at) if roster.status(job_id, at) == status))
    hidden = stopped_ids if stopped is False else set[int]()
    return Group(count - len(hidden), lambda: (job_id for job_id in roster.ids(at) if job_id not in hidden))


def tasks(asked: Asked) -> Row:
    """Return ListMmsTasks."""
    query = asked.query(*_TASK_TEXTS, "jobId", "status", "partition", *_TASK_SORTERS)
    page = asked.page(query)
    status, value = query.choice("status", models.TASK_STATUSES), query.like("partition")
    texts = _texts(query, _TASK_TEXTS)
    sorters = [sorter for sorter in _TASK_SORTERS if query.choice(sorter, _ORDERS)]
    if "jobId" not in query and value is None and not texts and not sorters:
        return page.of([_tasks_by_status(asked, status)], lambda pair: rows.task(asked.site, *pair))
    chosen = _all_jobs(asked)
    if "jobId" in query:
        job = asked.site.roster.find(query.integer("jobId"), asked.at)
        chosen = iter(() if job is None else (job,))
    found = [
        (job, task)
        for job in chosen
        for task in job.tasks(asked.at.moment)
        if (status is None or task.status == status)
        and (value is None or _task_holds(asked.site, task, value))
        and (not texts or _fits(rows.task(asked.site, job, task), texts))
    ]
    for sorter in sorters:
        name = sorter.removeprefix("sorter.")
        found.sort(
            key=lambda pair: str(rows.task(asked.site, *pair).get(name, "")), reverse=query.text(sorter) == "desc"
        )
    return page.of([group(found)], lambda pair: rows.task(asked.site, *pair))


def _tasks_by_status(asked: Asked, status: str | None) -> Group[tuple[SimulatedJob, SimulatedTask]]:
    """Return the tasks of a status, of all jobs: counted without a look at those of jobs long ended."""
    counts, moment = asked.site.roster.task_counts(asked.at), asked.at.moment

    def items() -> Iterator[tuple[SimulatedJob, SimulatedTask]]:
        pairs = ((job, task) for job in _all_jobs(asked) for task in job.tasks(moment))
        return (pair for pair in pairs if status is None or pair[1].status == status)

    return Group(counts.total() if status is None else counts[status], items)


def _task_holds(site: Site, task: SimulatedTask, value: Match) -> bool:
    return any(value(site.partition_value(task.table, unit)) for unit in task.plan.units)


def tables(asked: Asked) -> Row:
    """Return ListMmsTables."""
    names = (*_TABLE_TEXTS, *_DDL_NAMES, *_SORTERS, "dbId", "hasPartitions", "onlyName", "status")
    query = asked.query(*names)
    page = asked.page(query)
    wanted, only_name = query.choices("status", models.TABLE_STATUSES), query.boolean("onlyName")
    texts = _texts(query, _TABLE_TEXTS)
    keep = _table_filter(asked, texts, _database(query), query.boolean("hasPartitions"), _time_filter(query))
    inventory, moment = asked.site.inventory, asked.at.moment
    numbers = (table for table in asked.site.source.tables(moment) if keep(table))
    found = [table for table in numbers if wanted is None or inventory.tally(table, moment).status in wanted]
    _sort(found, query, lambda table: rows.table(asked.site, table, asked.at))

    def row(table: int) -> Row:
        whole = rows.table(asked.site, table, asked.at)
        return {"id": table, "name": whole["name"]} if only_name else whole

    return page.of([group(found)], row)


def _table_filter(
    asked: Asked,
    texts: dict[str, Match],
    database: int | None,
    has_partitions: bool | None = None,  # noqa: FBT001 - a filter, not a switch
    times: Match | None = None,
) -> Callable[[int], bool]:
    """Return whether a table fits the parameters about tables."""
    if not texts and database is None and has_partitions is None and times is None:
        return lambda _: True

    def keep(table: int) -> bool:
        facts = rows.table_facts(asked.site, table, asked.at)
        return (
            (database is None or facts["dbId"] == database)
            and (has_partitions is None or facts["hasPartitions"] == has_partitions)
            and (times is None or times(facts["lastDdlTime"]))
            and _fits(facts, texts)
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
        order, name = query.choice(sorter, _ORDERS), sorter.removeprefix("sorter.")
        if order:
            found.sort(key=lambda item: row(item)[name], reverse=order == "desc")


def partitions(asked: Asked) -> Row:
    """Return ListMmsPartitions."""
    names = ("dbId", "dbName", "tableId", "tableName", "value", "updated", "status", *_DDL_NAMES, *_SORTERS)
    query = asked.query(*names)
    page = asked.page(query)
    wanted = query.choices("status", models.PARTITION_STATUSES)
    groups = [_partition_group(asked, query, table, wanted) for table in _tables_of_partitions(asked, query)]
    if any(query.choice(sorter, _ORDERS) for sorter in _SORTERS):
        found = [place for part in groups for place in part.items()]
        _sort(found, query, lambda place: rows.partition(asked.site, place[0], place[1], asked.at))
        groups = [group(found)]
    return page.of(groups, lambda place: rows.partition(asked.site, *place, asked.at))


def _tables_of_partitions(asked: Asked, query: Query) -> Iterator[int]:
    site, moment = asked.site, asked.at.moment
    texts = {"dbName": query.like("dbName"), "name": query.like("tableName")}
    keep = _table_filter(asked, {name: match for name, match in texts.items() if match}, _database(query))
    numbers: Iterable[int] = site.source.tables(moment)
    if "tableId" in query:
        table = query.integer("tableId")
        numbers = () if site.inventory.plan(table, moment) is None else (table,)
    return (table for table in numbers if keep(table))


def _partition_group(asked: Asked, query: Query, table: int, wanted: frozenset[str] | None) -> Group[tuple[int, int]]:
    """Return the partitions of one table, counted by its tally where no parameter looks into them."""
    site, moment = asked.site, asked.at.moment
    tally = site.inventory.tally(table, moment)
    fits = _partition_filter(asked, query)

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


def _partition_filter(asked: Asked, query: Query) -> Callable[[int, int], bool] | None:
    value, updated, times = query.like("value"), query.boolean("updated"), _time_filter(query)
    if value is None and updated is None and times is None:
        return None

    def fits(table: int, unit: int) -> bool:
        return (
            (value is None or value(asked.site.partition_value(table, unit)))
            # Nothing in this world is changed after its scan.
            and not updated
            and (times is None or times(asked.site.last_ddl(table, unit)))
        )

    return fits
