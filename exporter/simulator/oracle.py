"""Ground truth of a world: every attempt, unit and task, counted one by one without any precomputed sum.

Tests compare served rows with it. It shares names and positions with the code that serves rows, but no count.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from exporter.mms.models.api_record import record_from
from exporter.mms.models.records import Database, DataSource, Job, MetadataScanJob, Partition, Table
from exporter.mms.models.task_records import Task, TaskLog
from exporter.mms.models.timer_records import Timer, TimerLog
from exporter.simulator.api import rows, timer_runs
from exporter.simulator.world import states
from exporter.simulator.world.job_store import FIRST_CREATED_ID, SimulatedJob
from exporter.simulator.world.plans import PARTITIONS
from exporter.simulator.world.source import Site
from exporter.simulator.world.source_clock import SourceTime
from exporter.simulator.world.states import Attempt


class Sources(Protocol):
    """What the oracle reads of a world."""

    start: float

    def seconds(self) -> float:
        """Return the seconds since the start."""

    def at(self, site: Site, seconds: float | None = None) -> SourceTime:
        """Return a time as a source sees it."""

    def sites(self) -> Iterator[Site]:
        """Yield every source."""

    def site(self, source_id: int) -> Site:
        """Return one source."""


class Oracle:
    """A world at one second, texts without stray newlines."""

    def __init__(self, world: Sources) -> None:
        self._world = world
        self.seconds = world.seconds()
        """World seconds."""
        self._now = world.start + self.seconds

    @property
    def now(self) -> float:
        """Simulated time in Unix seconds."""
        return self._now

    def data_sources(self) -> dict[int, DataSource]:
        """Return every source's row, by id."""
        return {site.id: self.data_source(site.id) for site in self._world.sites()}

    def data_source(self, source_id: int) -> DataSource:
        """Return one source's row with its counters counted."""
        site = self._world.site(source_id)
        tables = list(self.tables(source_id))
        partitions = Counter[str | None](partition.status for partition in self.partitions(source_id))
        statuses = Counter[str | None](table.status for table in tables)
        moment = self._world.at(site, self.seconds).moment
        counted = {
            "dbNum": len(site.inventory.databases(moment)),
            "tableNum": len(tables),
            "partitionNum": partitions.total(),
            "tablesDoingNum": statuses[states.DOING],
            "tablesDoneNum": statuses[states.DONE],
            "tablesPartDoneNum": statuses[states.PART_DONE],
            "tablesFailedNum": statuses[states.FAILED],
            "partitionsDoingNum": partitions[states.DOING],
            "partitionsDoneNum": partitions[states.DONE],
            "partitionsFailedNum": partitions[states.FAILED],
        }
        facts = rows.source_facts(site, self._world.at(site, self.seconds))
        return record_from({**facts, **counted}, DataSource)

    def scan(self, source_id: int) -> MetadataScanJob | None:
        """Return the last metadata scan of a source."""
        site = self._world.site(source_id)
        at = self._world.at(site, self.seconds)
        number = site.scan(at)[0]
        scan = site.scans.find(number, at.moment)
        return None if scan is None else record_from(rows.scan(site, number, scan, at), MetadataScanJob)

    def databases(self, source_id: int) -> Iterator[Database]:
        """Yield the databases of a source."""
        site = self._world.site(source_id)
        at = self._world.at(site, self.seconds)
        tables, partitions = list(self.tables(source_id)), list(self.partitions(source_id))
        for number in sorted(site.inventory.databases(at.moment)):
            held = [table for table in tables if table.db_id == number]
            found = Counter[str | None](table.status for table in held)
            units = Counter[str | None](each.status for each in partitions if each.db_id == number)
            counted = {
                "status": _database_status(found),
                "tables": found.total(),
                "tablesDoing": found[states.DOING],
                "tablesDone": found[states.DONE],
                "tablesPartDone": found[states.PART_DONE],
                "tablesFailed": found[states.FAILED],
                "partitions": units.total(),
                "partitionsDoing": units[states.DOING],
                "partitionsDone": units[states.DONE],
                "partitionsFailed": units[states.FAILED],
                "size": sum(table.size or 0 for table in held),
                "numRows": sum(table.num_rows or 0 for table in held),
            }
            yield record_from({**rows.database_facts(site, number, at), **counted}, Database)

    def tables(self, source_id: int) -> Iterator[Table]:
        """Yield the tables of a source."""
        site = self._world.site(source_id)
        at = self._world.at(site, self.seconds)
        for number in site.source.tables(at.moment):
            units = [_status(site, number, unit, at.moment) for unit in range(_units(site, number, at.moment))]
            facts = rows.table_facts(site, number, at)
            counted = Counter(units if facts["hasPartitions"] else ())
            status = _table_status(units) if facts["hasPartitions"] else units[0]
            facts |= {"partitionsDoing": counted[states.DOING], "partitionsDone": counted[states.DONE]}
            yield record_from({**facts, "partitionsFailed": counted[states.FAILED], "status": status}, Table)

    def partitions(self, source_id: int) -> Iterator[Partition]:
        """Yield the partitions of a source."""
        site = self._world.site(source_id)
        at = self._world.at(site, self.seconds)
        for number in site.source.tables(at.moment):
            plan = site.inventory.plan(number, at.moment)
            for unit in range(plan.partitions if plan else 0):
                facts = rows.partition_facts(site, number, unit, at)
                yield record_from({**facts, "status": _status(site, number, unit, at.moment)}, Partition)

    def jobs(self, source_id: int) -> Iterator[Job]:
        """Yield the jobs of a source, newest first."""
        site = self._world.site(source_id)
        at = self._world.at(site, self.seconds)
        for job_id in site.job_store.ids(at):
            job = site.job_store.find(job_id, at)
            if job is not None:
                tasks = [task.status for task in job.tasks(at.moment)]
                counted = {"taskNum": len(tasks), "taskDone": tasks.count(states.DONE)}
                status = _job_status(job, tasks, at.moment)
                sent = rows.job(site, job, at)
                facts = {**rows.job_facts(site, job, at), "config": sent["config"], "status": status, **counted}
                yield record_from(facts, Job)

    def created_twice(self, source_id: int) -> list[tuple[int, int, int]]:
        """Return job, table and unit of every needless migration.

        A unit needs none if an earlier created job had it pending or had migrated it. A job by name of a partitioned
        table leaves out DONE units, so there only pending units count.
        """
        site = self._world.site(source_id)
        found = []
        for made in site.job_store.created:
            requested = site.source.clock.moment(made.requested_at)
            for table, units in made.scope.items() if made.is_successful else ():
                by_name = made.job.plan.kind != PARTITIONS and _units(site, table, requested) > 1
                touched = site.inventory.touched.get(table)
                for unit in set(units) - site.inventory.updated(table, requested):
                    attempts = touched.attempts(unit) if touched else ()
                    earlier = [each for each in attempts if each.job < made.job.id]
                    if _is_pending(earlier, requested) or (not by_name and _is_migrated(earlier, requested)):
                        found.append((made.job.id, table, unit))
        return found

    def tasks(self, source_id: int) -> Iterator[Task]:
        """Yield the tasks of a source, newest job first."""
        site = self._world.site(source_id)
        at = self._world.at(site, self.seconds)
        for job_id in site.job_store.ids(at):
            job = site.job_store.find(job_id, at)
            if job is not None:
                yield from (record_from(rows.task(site, job, task), Task) for task in job.tasks(at.moment))

    def timers(self, source_id: int) -> dict[Timer, list[TimerLog]]:
        """Return the timers of a source with their logs, oldest first."""
        site = self._world.site(source_id)
        at = self._world.at(site, self.seconds)
        return {
            record_from(timer_runs.timer_row(site, timer), Timer): [
                record_from(timer_runs.log_row(site, timer, entry, at), TimerLog) for entry in timer.runs
            ]
            for timer in site.timers.values()
        }

    def timer_dues(self, source_id: int) -> dict[int, float]:
        """Return when each timer that is not stopped runs next, in Unix seconds."""
        timers = self._world.site(source_id).timers.values()
        return {timer.id: self._world.start + timer.due for timer in timers if not timer.stopped}

    def task_logs(self, source_id: int, task_id: int) -> tuple[TaskLog, ...]:
        """Return the log of a task, oldest row first."""
        site = self._world.site(source_id)
        found = site.job_store.find_task(task_id, self._world.at(site, self.seconds))
        return tuple(record_from(row, TaskLog) for row in rows.logs(site, *found)) if found is not None else ()


def _is_pending(attempts: list[Attempt], moment: float) -> bool:
    """Return whether a created job still had the unit pending."""
    return any(each.job >= FIRST_CREATED_ID and each.end > moment for each in attempts)


def _is_migrated(attempts: list[Attempt], moment: float) -> bool:
    """Return whether a created job finished the unit last."""
    ended = [each for each in attempts if each.end <= moment and each.outcome is not None]
    last = max(ended, key=lambda each: each.end, default=None)
    return last is not None and last.job >= FIRST_CREATED_ID and last.outcome == states.DONE


def _units(site: Site, table: int, moment: float) -> int:
    plan = site.inventory.plan(table, moment)
    return plan.units if plan else 0


def _status(site: Site, table: int, unit: int, moment: float) -> str:
    """Return a unit's status by replaying all its attempts."""
    placement = site.source.placement(table, moment)
    touched = site.inventory.touched.get(table)
    if touched is not None:
        tries = touched.attempts(unit)
    elif placement is not None:
        tries, moment = [span.attempt for span in placement.plan.spans if unit in span.units], moment - placement.begin
    status, until = states.INIT, float("-inf")
    result = states.INIT
    for attempt in tries:
        if attempt.start > moment:
            break
        if not _counts(attempt, status, result, until):
            continue
        before = result if status == states.DOING and until <= attempt.start else status
        status, until, result = states.DOING, attempt.end, attempt.outcome or before
    return result if until <= moment else status


def _counts(attempt: Attempt, status: str, result: str, until: float) -> bool:
    settled = result if until <= attempt.start else status
    return attempt.forced or settled not in {states.DOING, states.DONE}


def _table_status(units: list[str]) -> str:
    found = set(units)
    if states.DOING in found:
        return states.DOING
    if states.DONE in found:
        return states.DONE if len(found) == 1 else states.PART_DONE
    return states.FAILED if states.FAILED in found else states.INIT


def _database_status(tables: Counter[str | None]) -> str:
    if tables[states.DOING]:
        return states.DOING
    if tables[states.DONE] or tables[states.PART_DONE]:
        return states.DONE if set(tables) == {states.DONE} else states.PART_DONE
    return states.FAILED if tables[states.FAILED] else states.INIT


def _job_status(job: SimulatedJob, tasks: list[str], moment: float) -> str:
    age = job.age(moment)
    if age < job.plan.seconds:
        return states.INIT if age < job.plan.begins else states.DOING
    return states.FAILED if any(status.endswith("_FAILED") for status in tasks) else states.DONE
