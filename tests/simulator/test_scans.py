"""Metadata scans: their states, what they find, and which partitions they report as changed."""

import json
from typing import Any

import pytest

from exporter.simulator import ManualClock, World, WorldOptions, apply_event
from exporter.simulator.api import rows
from exporter.simulator.api.operations import ApiCall, answer, route
from exporter.simulator.api.pages import Tweaks
from exporter.simulator.api.parameters import Refusal
from exporter.simulator.world import events

SOURCE = 2000001
SCANS = f"/api/v1/mms/datasources/{SOURCE}/scans"


def quiet_world(clock: ManualClock) -> World:
    return World(WorldOptions(sources=1, special_sources=False, idle_share=1, untouched_share=0), clock=clock)


def scan_of(world: World, scan_id: int) -> dict[str, Any]:
    found = route("GET", f"{SCANS}/{scan_id}")
    assert found is not None
    assert found.operation == "GetMmsFetchMetadataJob"
    data = answer(world, ApiCall(found, (), b"", 100, Tweaks()))
    assert isinstance(data, dict)
    return data


def partitions(world: World, **filters: str) -> dict[str, Any]:
    found = route("GET", f"/api/v1/mms/datasources/{SOURCE}/partitions")
    assert found is not None
    data = answer(world, ApiCall(found, tuple(filters.items()), b"", 100, Tweaks()))
    assert isinstance(data, dict)
    return data


@pytest.mark.parametrize("lanes", [0, 1, 3])
def test_the_history_agrees_with_the_row_at_every_moment(lanes: int) -> None:
    clock = ManualClock()
    world = World(WorldOptions(sources=1, special_sources=False, running_jobs_per_source=lanes, waves=4), clock=clock)
    site, seen = world.site(SOURCE), dict[int, tuple[float, float]]()
    started = 0
    for minute in range(0, 60 * 24, 7):
        if minute % (7 * 60) == 0:
            apply_event(world, events.ScanMetadata(source_id=SOURCE, seconds=1000, failed=bool(started % 2)))
            started += 1
        at = world.at(site)
        number, status, success = site.scan(at)
        found = site.scans.find(number, at.moment)
        assert found is not None
        assert found.status(at.moment) == status
        assert found.begin <= at.moment
        assert seen.setdefault(number, (found.begin, found.end)) == (found.begin, found.end), "a scan does not move"
        assert success is not None
        assert number == max(seen), "ids rise"
        assert site.scans.find(number + 1, at.moment) is None
        clock.advance(7 * 60)
    assert len(seen) >= started
    begins = [begin for _, (begin, _) in sorted(seen.items())]
    assert begins == sorted(begins)


def test_the_row_has_the_status_of_its_scan_if_two_begin_while_the_source_stands_still() -> None:
    clock = ManualClock()
    world = quiet_world(clock)
    apply_event(world, events.SetAgent(source_id=SOURCE, online=False))
    for seconds in (600, 1):
        apply_event(world, events.ScanMetadata(source_id=SOURCE, seconds=seconds))
    apply_event(world, events.SetAgent(source_id=SOURCE, online=True))
    clock.advance(10)
    number, status, _ = world.site(SOURCE).scan(world.at(world.site(SOURCE)))
    assert scan_of(world, number)["status"] == status == "DOING"


def test_a_scan_progresses_and_ends() -> None:
    clock = ManualClock()
    world = quiet_world(clock)
    before = world.truth().data_source(SOURCE)
    number = apply_event(world, events.ScanMetadata(source_id=SOURCE, seconds=100))
    assert number == (before.scan_id or 0) + 1
    seen = []
    for _ in range(6):
        row, scan = world.truth().data_source(SOURCE), scan_of(world, number)
        assert (row.scan_id, row.scan_status) == (number, scan["status"])
        seen.append((scan["status"], scan["progress"]))
        clock.advance(20)
    doing = [("DOING", progress) for progress in (1, 2000, 4000, 6000, 8000)]
    assert seen == [*doing, ("DONE", 10000)]
    done = scan_of(world, number)
    assert json.loads(done["result"])["partitions"] == row.partition_num
    assert done["errorMsg"] == ""
    assert row.last_update_time == done["endTime"].strip()
    assert row.last_update_time != before.last_update_time


def test_a_failed_scan_has_an_error_and_changes_nothing() -> None:
    clock = ManualClock()
    world = quiet_world(clock)
    before = world.truth().data_source(SOURCE)
    number = apply_event(world, events.ScanMetadata(source_id=SOURCE, seconds=100, failed=True, share=1.0))
    clock.advance(100)
    scan, row = scan_of(world, number), world.truth().data_source(SOURCE)
    assert (scan["status"], row.scan_status, scan["progress"]) == ("FAILED", "FAILED", 6000)
    assert rows.CANARY in scan["errorMsg"]
    assert row.last_update_time == before.last_update_time
    assert partitions(world, updated="true")["total"] == 0


def test_a_scan_finds_changed_partitions_and_migrating_them_clears_them() -> None:
    clock = ManualClock()
    world = quiet_world(clock)
    done = [each for each in world.truth().partitions(SOURCE) if each.status == "DONE"]
    chosen = tuple(each.id for each in done[:5])
    apply_event(world, events.ScanMetadata(source_id=SOURCE, seconds=100, partition_ids=chosen))
    clock.advance(50)
    assert partitions(world, updated="true")["total"] == 0, "the scan still runs"
    clock.advance(50)
    found = partitions(world, updated="true")
    assert found["total"] == 5
    assert {row["id"] for row in found["objectList"]} == set(chosen)
    assert all(row["updated"] for row in found["objectList"])
    everything = partitions(world)["total"]
    assert partitions(world, updated="false")["total"] == everything - 5
    assert partitions(world, updated="true", status='["FAILED"]')["total"] == 0
    apply_event(world, events.CreateJob(source_id=SOURCE, database=done[0].db_name or "", seconds=60))
    clock.advance(10_000)
    assert sum(bool(each.updated) for each in world.truth().partitions(SOURCE)) == sum(
        bool(each.updated) for each in done[:5] if each.db_name != done[0].db_name
    )


def test_an_unknown_scan_is_not_found() -> None:
    world = quiet_world(ManualClock())
    for number in (1, 10**9):
        with pytest.raises(Refusal, match="does not exist"):
            scan_of(world, number)
