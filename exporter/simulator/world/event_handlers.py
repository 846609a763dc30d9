"""Handlers of events: what each changes in the world."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from exporter.mms.models.statuses import UNFINISHED_JOB_STATUSES
from exporter.simulator.api import creation
from exporter.simulator.api.creation import JobOutcome
from exporter.simulator.api.parameters import Refusal, bad_parameter, not_found
from exporter.simulator.world import states
from exporter.simulator.world.events import (
    TEXT_FIELDS,
    AddSource,
    Change,
    CreateJob,
    CreateTimer,
    Event,
    Fail,
    RemoveJob,
    RemoveSource,
    RemoveTimer,
    RenameSource,
    RetryFailed,
    ScanMetadata,
    SetAgent,
    SetPermission,
    SetText,
    SetType,
    Stall,
    StopJob,
    StopTimer,
    Succeed,
)
from exporter.simulator.world.job_store import SimulatedJob
from exporter.simulator.world.options import chance
from exporter.simulator.world.source import AGENT, STALL, Site
from exporter.simulator.world.states import Attempt
from exporter.simulator.world.timers import SimulatedTimer
from exporter.simulator.world.world import World

_FAIL = 601


def apply_event(world: World, event: Event) -> int:
    """Apply an event; returns an id, a count or 0.

    Raises: Refusal if it is about an object that does not exist.
    """
    return _HANDLERS[type(event)](world, event)


def _add_source(world: World, event: AddSource) -> int:
    site = world.add(moving=event.moving)
    site.source.name = event.name or site.source.name
    site.source.type = event.source_type or site.source.type
    return site.id


def _remove_source(world: World, event: RemoveSource) -> int:
    world.remove(event.source_id)
    return 0


def _rename_source(world: World, event: RenameSource) -> int:
    world.site(event.source_id).source.name = event.name
    return 0


def _set_type(world: World, event: SetType) -> int:
    world.site(event.source_id).source.type = event.source_type
    return 0


def _set_agent(world: World, event: SetAgent) -> int:
    return _pause(world, event.source_id, AGENT, begins=not event.online)


def _set_permission(world: World, event: SetPermission) -> int:
    world.site(event.source_id).is_writable = event.granted
    return 0


def _stall(world: World, event: Stall) -> int:
    return _pause(world, event.source_id, STALL, begins=event.stalled)


def _pause(world: World, source_id: int, reason: str, *, begins: bool) -> int:
    clock = world.site(source_id).source.clock
    (clock.pause if begins else clock.resume)(reason, world.seconds())
    return 0


def _stop_job(world: World, event: StopJob) -> int:
    site = world.site(event.source_id)
    at = world.at(site)
    job = site.job_store.find(event.job_id, at)
    if job is None:
        raise not_found("Job", event.job_id)
    if job.stopped(at.moment) or job.status(at.moment) not in UNFINISHED_JOB_STATUSES:
        raise Refusal(400, "InvalidStatus", f"The job {event.job_id} is not running.")
    _abort_attempts(site, job, at.moment)
    site.job_store.stopped[job.id] = at.moment
    return 0


def _remove_job(world: World, event: RemoveJob) -> int:
    site = world.site(event.source_id)
    at = world.at(site)
    made = next(
        (made for made in site.job_store.created if made.job.id == event.job_id and made.exists(at.seconds)), None
    )
    if made is None:
        raise not_found("Job", event.job_id)
    _abort_attempts(site, made.job, at.moment)
    made.is_removed = True
    return 0


def _abort_attempts(site: Site, job: SimulatedJob, moment: float) -> None:
    for table in job.tables():
        site.inventory.touch(table, moment).stop(job.id, moment)


def _force(world: World, event: Fail | Succeed, outcome: str, share: float) -> int:
    """Force an outcome on the selected units now."""
    site = world.site(event.source_id)
    moment = world.at(site).moment
    attempt = Attempt(moment, moment, outcome, 0, forced=True)
    forced: dict[int, list[int]] = {}
    for table, unit in _selected_units(world, site, event, share):
        forced.setdefault(table, []).append(unit)
    for table, units in forced.items():
        site.inventory.touch(table, moment).add(units, attempt)
    return sum(map(len, forced.values()))


def _change(world: World, event: Change) -> int:
    site = world.site(event.source_id)
    return _mark_changed(world, site, event, 0.0, world.at(site).moment)


def _mark_changed(world: World, site: Site, event: Change | ScanMetadata, share: float, since: float) -> int:
    """Mark the selected migrated units as changed; returns their number."""
    moment = world.at(site).moment
    chosen = [
        (table, unit)
        for table, unit in _selected_units(world, site, event, share)
        if site.inventory.unit_status(table, unit, moment) == states.DONE
        and unit not in site.inventory.updated(table, moment)
    ]
    for table, unit in chosen:
        site.inventory.touch(table, moment).changed[unit] = since
    return len(chosen)


def _scan(world: World, event: ScanMetadata) -> int:
    site = world.site(event.source_id)
    at = world.at(site)
    scan = site.scans.start(at.moment, event.seconds, is_successful=not event.failed)
    if not event.failed:
        _mark_changed(world, site, event, event.share, scan.end)
    return site.scan(at)[0]


def _selected_units(
    world: World, site: Site, event: Fail | Succeed | Change | ScanMetadata, share: float
) -> Iterator[tuple[int, int]]:
    """Yield each named unit and a share of the others."""
    at, named = world.at(site), set[tuple[int, int]]()
    moment = at.moment
    for table in event.table_ids:
        plan = site.inventory.plan(table, moment)
        if plan is None:
            raise not_found("Table", table)
        named.update((table, unit) for unit in range(plan.units))
    for partition in event.partition_ids:
        place = site.partition_place(partition, at)
        if place is None:
            raise not_found("Partition", partition)
        named.add(place)
    yield from sorted(named)
    for table in site.source.tables(moment) if share else ():
        plan = site.inventory.plan(table, moment)
        for unit in range(plan.units if plan else 0):
            if (table, unit) not in named and chance(*site.source.seed, _FAIL, table, unit) < share:
                yield table, unit


def _create_job(world: World, event: CreateJob) -> int:
    site, outcome = world.site(event.source_id), JobOutcome(event.seconds, event.failure_rate, slots=2)
    return creation.create_job(site, world.at(site), {"srcDbName": event.database}, outcome)


def _retry_failed(world: World, event: RetryFailed) -> int:
    site = world.site(event.source_id)
    return creation.retry_failed(site, world.at(site))


def _create_timer(world: World, event: CreateTimer) -> int:
    site = world.site(event.source_id)
    names = {site.source.database_name(number): number for number in site.inventory.databases(world.at(site).moment)}
    if event.database not in names:
        raise not_found("Database", event.database)
    facts = event.name, names[event.database], event.schedule_type, event.value, world.seconds(), event.failure_rate
    return world.add_timer(site, SimulatedTimer(max(site.timers, default=0) + 1, *facts))


def _timer(world: World, event: StopTimer | RemoveTimer) -> SimulatedTimer:
    timer = world.site(event.source_id).timers.get(event.timer_id)
    if timer is None:
        raise not_found("Timer", event.timer_id)
    return timer


def _stop_timer(world: World, event: StopTimer) -> int:
    timer = _timer(world, event)
    world.schedule_timer(timer)
    timer.stopped = event.stopped
    return 0


def _remove_timer(world: World, event: RemoveTimer) -> int:
    return world.site(event.source_id).timers.pop(_timer(world, event).id).id


def _set_text(world: World, event: SetText) -> int:
    site = world.site(event.source_id)
    given = ((kind, getattr(event, f"{kind}_id")) for kind in TEXT_FIELDS if kind != "source")
    kind, number = next(((kind, number) for kind, number in given if number is not None), ("source", site.id))
    if event.field not in TEXT_FIELDS[kind]:
        raise bad_parameter("field", "one of " + ", ".join(sorted(TEXT_FIELDS[kind])))
    if kind == "source" and event.field in {"name", "type"}:
        setattr(site.source, event.field, event.text)
    elif kind == "source" and event.field == "region":
        site.region = event.text
    else:
        site.texts.setdefault((kind, number), {})[event.field] = event.text
    return 0


_HANDLERS: Final[dict[type, Callable[[World, Any], int]]] = {
    AddSource: _add_source,
    RemoveSource: _remove_source,
    RenameSource: _rename_source,
    SetType: _set_type,
    SetAgent: _set_agent,
    SetPermission: _set_permission,
    Stall: _stall,
    StopJob: _stop_job,
    RemoveJob: _remove_job,
    Fail: lambda world, event: _force(world, event, states.FAILED, event.share),
    Succeed: lambda world, event: _force(world, event, states.DONE, 0.0),
    Change: _change,
    ScanMetadata: _scan,
    CreateJob: _create_job,
    RetryFailed: _retry_failed,
    CreateTimer: _create_timer,
    StopTimer: _stop_timer,
    RemoveTimer: _remove_timer,
    SetText: _set_text,
}
