"""The lists of timers and of their logs."""

from typing import Any, Final

from exporter.simulator.api import rows, timer_runs
from exporter.simulator.api.lists import ListRequest, Row, fits_filters, text_filters
from exporter.simulator.api.pages import group
from exporter.simulator.api.parameters import Match, not_found
from exporter.simulator.world.plans import DATABASE
from exporter.simulator.world.source import Site
from exporter.simulator.world.source_clock import SourceTime
from exporter.simulator.world.timers import SimulatedTimer, TimerRun

_TIMER_TEXTS: Final = ("name", "srcDbName", "srcTableName")


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
        "status": timer_runs.status(site, entry, at),
        "action": "start job",
        "msg": site.text("timer", timer.id, "msg", message),
        "createTime": site.world_time(entry.seconds),
    }
    return rows.as_sent(row)


def timers(request: ListRequest) -> Row:
    """Return ListMmsTimers, ascending by id."""
    query = request.query(*_TIMER_TEXTS, "stopped")
    page, stopped, texts = request.page(query), query.boolean("stopped"), text_filters(query, _TIMER_TEXTS)
    tables = texts.pop("srcTableName", None)
    found = [
        row
        for timer in request.site.timers.values()
        if (stopped is None or timer.stopped == stopped)
        and (tables is None or _has_table(request, timer.database, tables))
        and fits_filters(row := timer_row(request.site, timer), texts)
    ]
    return page.of([group(found)], lambda row: row)


def _has_table(request: ListRequest, database: int, name: Match) -> bool:
    site, moment = request.site, request.at.moment
    tables = (table for table in site.source.tables(moment) if site.inventory.database(table, moment) == database)
    return any(name(site.table_name(table)) for table in tables)


def logs(request: ListRequest, timer_id: int) -> Row:
    """Return ListMmsTimerLogs, newest first."""
    page, timer = request.page(request.query()), request.site.timers.get(timer_id)
    if timer is None:
        raise not_found("Timer", timer_id)
    found = group(timer.runs[::-1])
    return page.of([found], lambda entry: log_row(request.site, timer, entry, request.at))
