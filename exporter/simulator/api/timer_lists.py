"""The lists of timers and of their logs."""

from typing import Final

from exporter.simulator.api import timer_runs
from exporter.simulator.api.lists import ListRequest, Row, fits_filters, text_filters
from exporter.simulator.api.pages import group
from exporter.simulator.api.parameters import Match, not_found

_TIMER_TEXTS: Final = ("name", "srcDbName", "srcTableName")


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
        and fits_filters(row := timer_runs.timer_row(request.site, timer), texts)
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
    return page.of([found], lambda entry: timer_runs.log_row(request.site, timer, entry, request.at))
