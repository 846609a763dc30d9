"""Due timers: they create jobs, or skip while earlier work is left, and log either.

The log of a skip is that of the service's open ancestor, where the creation of a job fails if tasks of its tables are
left. UNVERIFIED: a log of MMS settles it.
"""

from collections.abc import Iterator
from typing import Any, Final

from exporter.simulator.api import creation, rows
from exporter.simulator.api.creation import JobOutcome
from exporter.simulator.api.parameters import Refusal
from exporter.simulator.world import states
from exporter.simulator.world.job_store import FIRST_CREATED_ID
from exporter.simulator.world.plans import DATABASE
from exporter.simulator.world.source import Site
from exporter.simulator.world.source_clock import SourceTime
from exporter.simulator.world.timers import SimulatedTimer, TimerRun

_SKIPPED: Final = "There are tasks those are running or ready to run for {tables}"


def run(site: Site, timer: SimulatedTimer, at: SourceTime) -> None:
    """Create the job of a due timer, or log why not."""
    number = 2 * (FIRST_CREATED_ID + len(timer.runs))
    busy = sorted(_busy_tables(site, timer.database, at))
    name = site.source.database_name(timer.database)
    if busy:
        tables = ", ".join(f"{name}.{site.table_name(table)}" for table in busy)
        timer.runs.append(TimerRun(number, at.seconds, message=_SKIPPED.format(tables=tables)))
        return
    try:
        job_id = creation.create_job(site, at, {"srcDbName": name}, JobOutcome(failure_rate=timer.failure_rate))
    except Refusal as refusal:
        timer.runs.append(TimerRun(number, at.seconds, message=refusal.message))
    else:
        timer.runs.append(TimerRun(number + 1, at.seconds, job_id))


def _busy_tables(site: Site, database: int, at: SourceTime) -> Iterator[int]:
    """Yield the tables of a database with tasks that wait or run."""
    unfinished = [job for job in site.job_store.unfinished(at) if not job.stopped(at.moment)]
    pending = [made.job for made in site.job_store.created if made.ready_at > at.seconds]
    tables = {table for job in (*unfinished, *pending) for table in job.tables()}
    return (table for table in tables if site.inventory.database(table, at.moment) == database)


def status(site: Site, entry: TimerRun, at: SourceTime) -> str:
    """Return the status in the log of a due time."""
    if entry.job_id is None:
        return states.FAILED
    made = site.job_store.created[entry.job_id - FIRST_CREATED_ID]
    if not made.is_successful:
        return states.FAILED if at.seconds >= made.ready_at else states.DOING
    return made.job.status(at.moment)


def job_ids(timer: SimulatedTimer, site: Site, at: SourceTime) -> list[int]:
    """Return the jobs of a timer, newest first."""
    made = (entry.job_id for entry in reversed(timer.runs) if entry.job_id is not None)
    return [job_id for job_id in made if site.job_store.find(job_id, at) is not None]


def timer_row(site: Site, timer: SimulatedTimer) -> dict[str, Any]:
    """Return a row of ListMmsTimers."""
    facts = {
        "id": timer.id,
        "name": timer.name,
        "sourceId": site.id,
        "dbId": timer.database,
        "srcDbName": site.source.database_name(timer.database),
        "type": DATABASE,
        "createTime": site.world_time(timer.created),
        "scheduleType": timer.schedule_type,
        "value": timer.value,
        "stopped": timer.stopped,
    }
    return rows.as_sent(site.with_texts("timer", timer.id, facts))


def log_row(site: Site, timer: SimulatedTimer, entry: TimerRun, at: SourceTime) -> dict[str, Any]:
    """Return a row of ListMmsTimerLogs."""
    host = f"jdbc:hive2://mms:{rows.CANARY}-timer-{site.id}@10.0.3.7:10000/{site.source.database_name(timer.database)}"
    message = "start job success" if entry.job_id is not None else f"{entry.message}; {host}"
    row = {
        "id": entry.id,
        "sourceId": site.id,
        "status": status(site, entry, at),
        "action": "start job",
        "msg": site.text("timer", timer.id, "msg", message),
        "createTime": site.world_time(entry.seconds),
    }
    return rows.as_sent(row)
