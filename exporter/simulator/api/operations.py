"""Routing of requests to operations, and the `data` of each answer. Paths are the vendor's."""

import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from exporter.simulator.api import creation, lists, rows, timer_lists
from exporter.simulator.api.pages import Tweaks
from exporter.simulator.api.parameters import Query, Refusal, integer, not_found
from exporter.simulator.world.source import Site
from exporter.simulator.world.source_clock import SourceTime
from exporter.simulator.world.world import World

_ROOT: Final = "/api/v1/mms/datasources"
_SOURCE: Final = rf"{_ROOT}/(?P<source>[^/]+)"
_ROUTES: Final = tuple(
    (method, re.compile(pattern), operation)
    for method, pattern, operation in (
        ("GET", _ROOT, "ListMmsDataSources"),
        ("GET", rf"{_SOURCE}/dbs", "ListMmsDbs"),
        ("GET", rf"{_SOURCE}/jobs", "ListMmsJobs"),
        ("GET", rf"{_SOURCE}/jobs/(?P<object>[^/]+)", "GetMmsJob"),
        ("POST", rf"{_SOURCE}/jobs", "CreateMmsJob"),
        ("GET", rf"{_SOURCE}/tasks", "ListMmsTasks"),
        ("GET", rf"{_SOURCE}/tasks/(?P<object>[^/]+)/logs", "ListMmsTaskLogs"),
        ("GET", rf"{_SOURCE}/timers", "ListMmsTimers"),
        ("GET", rf"{_SOURCE}/timers/(?P<object>[^/]+)/logs", "ListMmsTimerLogs"),
        ("GET", rf"{_SOURCE}/tables", "ListMmsTables"),
        ("GET", rf"{_SOURCE}/tables/(?P<object>[^/]+)", "GetMmsTable"),
        ("GET", rf"{_SOURCE}/partitions", "ListMmsPartitions"),
        ("GET", rf"{_SOURCE}/partitions/(?P<object>[^/]+)", "GetMmsPartition"),
        ("GET", rf"{_SOURCE}/scans/(?P<object>[^/]+)", "GetMmsFetchMetadataJob"),
        ("GET", rf"{_SOURCE}/asyncTasks/(?P<object>[^/]+)", "GetMmsAsyncTask"),
    )
)
OPERATIONS: Final = tuple(operation for _, _, operation in _ROUTES)
WRITING: Final = frozenset(operation for method, _, operation in _ROUTES if method != "GET")
"""Operations that change something."""

Data = dict[str, Any] | list[dict[str, Any]]
"""The `data` of an answer."""


@dataclass(frozen=True, slots=True)
class ApiRoute:
    """The operation and ids of a method and path."""

    operation: str
    source: str | None
    object: str | None

    @property
    def source_id(self) -> int | None:
        """The source id, or None without a numeric one."""
        return int(self.source) if self.source and re.fullmatch(r"[0-9]{1,18}", self.source, re.ASCII) else None


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A verified request for an operation."""

    route: ApiRoute
    query: Sequence[tuple[str, str]]
    body: bytes
    page_size_cap: int
    tweaks: Tweaks


def route(method: str, path: str) -> ApiRoute | None:
    """Return the route of an encoded path, or None."""
    for known, pattern, operation in _ROUTES:
        match = pattern.fullmatch(path)
        if match is not None and known == method:
            parts = {name: unquote(part) for name, part in match.groupdict().items()}
            return ApiRoute(operation, parts.get("source"), parts.get("object"))
    return None


def known_route(found: ApiRoute | None, action: str, missing: Container[str] = ()) -> ApiRoute:
    """Return the route if the region has it and `action` matches."""
    if found is None or found.operation != action or action in missing:
        raise Refusal(404, "InvalidAction.NotFound", "Specified api is not found, please check your url and method.")
    return found


def answer(world: World, call: ApiCall) -> Data:
    """Run an operation and return its `data`.

    Raises: Refusal.
    """
    if call.route.operation == "ListMmsDataSources":
        return lists.data_sources(world, call.query, call.page_size_cap, call.tweaks)
    site = world.site(integer("sourceId", call.route.source or "", least=1))
    at = _served_at(world, site, call.route.operation)
    listing = _LISTS.get(call.route.operation)
    request = lists.ListRequest(site, at, call.query, call.page_size_cap, call.tweaks)
    if listing is not None:
        return listing(request)
    if call.route.operation == "ListMmsTimerLogs":
        return timer_lists.logs(request, integer("timerId", call.route.object or ""))
    Query(call.query, ())
    if call.route.operation == "CreateMmsJob":
        return creation.create(site, at, call.body)
    return _GETS[call.route.operation](site, at, integer("id", call.route.object or ""))


def _served_at(world: World, site: Site, operation: str) -> SourceTime:
    options, now = world.options, world.seconds()
    match operation:
        case "ListMmsJobs":
            lags = options.job_list_lag_seconds, options.job_status_lag_seconds
        case "GetMmsJob":
            lags = 0.0, options.job_status_lag_seconds
        case "ListMmsDbs":
            lags = options.database_lag_seconds, options.database_lag_seconds
        case "ListMmsTables" | "GetMmsTable":
            lags = options.table_lag_seconds, options.table_lag_seconds
        case "ListMmsPartitions" | "GetMmsPartition":
            lags = options.partition_lag_seconds, options.partition_lag_seconds
        case _:
            lags = 0.0, 0.0
    # `seconds` decides which created jobs exist, `moment` which status everything has.
    known, status = (world.at(site, max(0.0, now - lag)) for lag in lags)
    return SourceTime(known.seconds, status.moment)


def _job(site: Site, at: SourceTime, number: int) -> dict[str, Any]:
    job = site.job_store.find(number, at)
    if job is None:
        raise not_found("Job", number)
    return rows.job(site, job, at)


def _task_logs(site: Site, at: SourceTime, number: int) -> list[dict[str, Any]]:
    found = site.job_store.find_task(number, at)
    if found is None:
        raise not_found("Task", number)
    return rows.logs(site, *found)


def _table(site: Site, at: SourceTime, number: int) -> dict[str, Any]:
    if site.inventory.plan(number, at.moment) is None:
        raise not_found("Table", number)
    return rows.table(site, number, at)


def _partition(site: Site, at: SourceTime, number: int) -> dict[str, Any]:
    place = site.partition_place(number, at)
    if place is None:
        raise not_found("Partition", number)
    return rows.partition(site, *place, at)


def _scan(site: Site, at: SourceTime, number: int) -> dict[str, Any]:
    scan = site.scans.find(number, at.moment)
    if scan is None:
        raise not_found("Scan", number)
    return rows.scan(site, number, scan, at)


_LISTS: Final[Mapping[str, Callable[[lists.ListRequest], dict[str, Any]]]] = {
    "ListMmsDbs": lists.databases,
    "ListMmsJobs": lists.jobs,
    "ListMmsTasks": lists.tasks,
    "ListMmsTimers": timer_lists.timers,
    "ListMmsTables": lists.tables,
    "ListMmsPartitions": lists.partitions,
}
_GETS: Final[Mapping[str, Callable[[Site, SourceTime, int], Data]]] = {
    "GetMmsJob": _job,
    "ListMmsTaskLogs": _task_logs,
    "GetMmsTable": _table,
    "GetMmsPartition": _partition,
    "GetMmsFetchMetadataJob": _scan,
    "GetMmsAsyncTask": creation.async_task,
}
