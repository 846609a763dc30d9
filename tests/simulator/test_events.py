"""Events change what they name, and nothing else."""

import msgspec
import pytest

from exporter.simulator import ManualClock, World, WorldOptions, apply_event
from exporter.simulator.api import creation
from exporter.simulator.api.parameters import Refusal
from exporter.simulator.world import events

SOURCE = 2000001


@pytest.fixture
def world(clock: ManualClock) -> World:
    return World(WorldOptions(sources=2, special_sources=False, idle_share=0, incidents=False), clock=clock)


def test_a_source_is_added_and_removed_permanently(world: World) -> None:
    added = apply_event(world, events.AddSource(name="fresh", source_type="Snowflake"))
    row = world.truth().data_source(added)
    assert (row.name, row.type) == ("fresh", "SNOWFLAKE")
    apply_event(world, events.RemoveSource(source_id=added))
    assert added not in world.truth().data_sources()
    with pytest.raises(Refusal, match="does not exist"):
        world.site(added)
    assert apply_event(world, events.AddSource()) == added + 1


def test_a_source_is_renamed_and_changes_its_type(world: World) -> None:
    apply_event(world, events.RenameSource(source_id=SOURCE, name="other"))
    apply_event(world, events.SetType(source_id=SOURCE, source_type="HiVe"))
    row = world.truth().data_source(SOURCE)
    assert (row.id, row.name, row.type) == (SOURCE, "other", "HIVE")
    assert next(world.truth().jobs(SOURCE)).source_name == "other"


@pytest.mark.parametrize(
    ("begin", "end", "online"),
    [
        (events.SetAgent(source_id=SOURCE, online=False), events.SetAgent(source_id=SOURCE, online=True), False),
        (events.Stall(source_id=SOURCE), events.Stall(source_id=SOURCE, stalled=False), True),
    ],
)
def test_a_paused_source_migrates_nothing(
    clock: ManualClock,
    world: World,
    begin: events.Event,
    end: events.Event,
    online: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """Then it continues from the same state, while the others kept moving."""
    apply_event(world, begin)
    before = world.truth()
    held, free = before.data_source(SOURCE), before.data_source(SOURCE + 1)
    jobs = list(before.jobs(SOURCE))
    clock.advance(7200)
    assert world.truth().data_source(SOURCE) == held
    assert list(world.truth().jobs(SOURCE)) == jobs
    assert held.agent_is_online is online
    assert world.truth().data_source(SOURCE + 1) != free
    apply_event(world, end)
    clock.advance(7200)
    assert world.truth().data_source(SOURCE) != held
    assert world.truth().data_source(SOURCE).agent_is_online


def test_both_reasons_of_a_pause_must_end(clock: ManualClock, world: World) -> None:
    apply_event(world, events.Stall(source_id=SOURCE))
    apply_event(world, events.SetAgent(source_id=SOURCE, online=False))
    before = world.at(world.site(SOURCE)).moment
    apply_event(world, events.Stall(source_id=SOURCE, stalled=False))
    clock.advance(100)
    assert world.at(world.site(SOURCE)).moment == before
    apply_event(world, events.SetAgent(source_id=SOURCE, online=True))
    clock.advance(100)
    assert world.at(world.site(SOURCE)).moment == pytest.approx(before + 100)


def test_named_tables_and_partitions_fail_at_once(world: World) -> None:
    truth = world.truth()
    table = next(table for table in truth.tables(SOURCE) if table.has_partitions and table.status == "DONE")
    other = next(row for row in truth.partitions(SOURCE) if row.table_id != table.id and row.status == "DONE")
    failed_before = {row.id for row in truth.partitions(SOURCE) if row.status == "FAILED"}
    result = apply_event(world, events.Fail(source_id=SOURCE, table_ids=(table.id,), partition_ids=(other.id,)))
    failed = {row.id for row in world.truth().partitions(SOURCE) if row.status == "FAILED"}
    expected = {row.id for row in truth.partitions(SOURCE) if row.table_id == table.id} | {other.id}
    assert failed - failed_before == expected
    assert result == len(expected)


def test_failed_units_are_completed(world: World) -> None:
    truth = world.truth()
    table = next(table for table in truth.tables(SOURCE) if not table.has_partitions)
    partition = next(row for row in truth.partitions(SOURCE) if row.status == "DONE")
    apply_event(world, events.Fail(source_id=SOURCE, table_ids=(table.id,), partition_ids=(partition.id,)))
    assert (
        apply_event(world, events.Succeed(source_id=SOURCE, table_ids=(table.id,), partition_ids=(partition.id,))) == 2
    )
    after = world.truth()
    tables = {row.id: row.status for row in after.tables(SOURCE)}
    partitions = {row.id: row.status for row in after.partitions(SOURCE)}
    assert (tables[table.id], partitions[partition.id]) == ("DONE", "DONE")


def test_a_changed_unit_is_updated_until_it_is_migrated_again(clock: ManualClock, world: World) -> None:
    rows = list(world.truth().partitions(SOURCE))
    done, waiting = (next(row for row in rows if row.status == status) for status in ("DONE", "INIT"))
    plain = next(table for table in world.truth().tables(SOURCE) if table.status == "DONE" and not table.has_partitions)
    event = events.Change(source_id=SOURCE, table_ids=(plain.id,), partition_ids=(done.id, waiting.id))
    assert apply_event(world, event) == 2, "what was not migrated is not updated"
    assert updated(world) == {done.table_id, plain.id, done.id}
    site = world.site(SOURCE)
    creation.create(site, world.at(site), msgspec.json.encode({"partitions": [done.id]}))
    for seconds, status in ((world.options.job_seconds / 4, "DOING"), (world.options.job_seconds, "DONE")):
        clock.advance(seconds)
        assert next(row.status for row in world.truth().partitions(SOURCE) if row.id == done.id) == status
    assert updated(world) == {plain.id}
    assert not world.truth().created_twice(SOURCE)


def updated(world: World) -> set[int]:
    truth = world.truth()
    tables, partitions = truth.tables(SOURCE), truth.partitions(SOURCE)
    return {row.id for row in tables if row.updated} | {row.id for row in partitions if row.updated}


def test_a_share_fails(world: World) -> None:
    units = sum(table.partitions or 1 for table in world.truth().tables(SOURCE))
    result = apply_event(world, events.Fail(source_id=SOURCE, share=0.25))
    assert 0.1 * units < result < 0.4 * units


@pytest.mark.parametrize(
    "event",
    [
        events.RemoveSource(source_id=1),
        events.Fail(source_id=SOURCE, table_ids=(99999,)),
        events.Fail(source_id=SOURCE, partition_ids=(99999999,)),
        events.StopJob(source_id=SOURCE, job_id=99999),
        events.StopJob(source_id=SOURCE, job_id=1),
        events.SetText(source_id=SOURCE, field="tableNum", text="12"),
    ],
)
def test_an_event_for_a_missing_object_is_rejected(world: World, event: events.Event) -> None:
    with pytest.raises(Refusal):
        apply_event(world, event)


def test_a_stopped_job_stays_unfinished_and_its_tasks_are_aborted(clock: ManualClock, world: World) -> None:
    site = world.site(SOURCE)
    job = next(job for job in site.job_store.unfinished(world.at(site)) if job.stopped_at is None)
    apply_event(world, events.StopJob(source_id=SOURCE, job_id=job.id))
    before = next(row for row in world.truth().jobs(SOURCE) if row.id == job.id)
    clock.advance(36_000)
    after = next(row for row in world.truth().jobs(SOURCE) if row.id == job.id)
    assert after == before
    assert (after.stopped, after.status in {"INIT", "DOING"}) == (True, True)
    at = world.at(site)
    found = site.job_store.find(job.id, at)
    assert found is not None
    broken_off = [task for task in found.tasks(at.moment) if task.status == "INIT"]
    units = [(task.table, unit) for task in broken_off for unit in task.plan.units]
    assert {site.inventory.unit_status(table, unit, at.moment) for table, unit in units} == {"INIT"}
    assert not any(task.status.endswith("_DOING") for task in found.tasks(at.moment))


@pytest.mark.parametrize("text", ['a"b\\c\nd', "\u202e\u200b\u0000\U0001d518", "x" * 10_000, '{job="mms"}'])
def test_texts_can_be_hostile(world: World, text: str) -> None:
    site = world.site(SOURCE)
    partition = next(world.truth().partitions(SOURCE))
    apply_event(world, events.SetText(source_id=SOURCE, field="name", text=text))
    apply_event(world, events.SetText(source_id=SOURCE, field="name", text=text, table_id=2))
    apply_event(world, events.SetText(source_id=SOURCE, field="value", text=text, partition_id=partition.id))
    apply_event(world, events.SetText(source_id=SOURCE, field="eta", text=text, job_id=1))
    truth = world.truth()
    assert truth.data_source(SOURCE).name == text.strip()
    assert next(table for table in truth.tables(SOURCE) if table.id == 2).name == text.strip()
    assert next(truth.partitions(SOURCE)).value == text.strip()
    job = site.job_store.find(1, world.at(site))
    assert job is not None
    assert site.job_eta(job) == text
