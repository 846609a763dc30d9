"""Named objects are found exactly, although the API's filters match loosely."""

from dataclasses import replace
from pathlib import Path

import pytest

from exporter.errors import ConfigError, MmsError, OperationUnsupported
from exporter.mms.models.records import Table
from exporter.mms.protocol import JobRequest
from exporter.mms.throttle import Limits
from exporter.retry import unit_reader
from exporter.retry.job_lookup import unfinished_jobs
from exporter.retry.journal import Journal
from exporter.retry.planning import MAX_UNITS
from exporter.retry.selection import RetrySelection
from exporter.simulator import Fault, WorldOptions, apply_event
from exporter.simulator.world import events
from tests.retry.conftest import ALL_FAILED, QUIET_WORLD, SOURCE, RetryEnv, UnitName, env_on


async def migrated(env: RetryEnv, selection: RetrySelection) -> set[UnitName]:
    """Run a selection and return the changed units."""
    before = env.statuses()
    with Journal.create(env.folder, env.new_run(await env.plan(selection))) as journal:
        await env.create_all(journal)
    await env.pass_time(3 * env.world.options.job_seconds)
    return {name for name, status in env.statuses().items() if status != before[name]}


async def refusals(env: RetryEnv, selection: RetrySelection) -> list[tuple[str, str]]:
    made = await env.plan(selection)
    assert not made.batches
    return [(refused.what, refused.reason) for refused in made.refused]


def tables(env: RetryEnv, status: str, *, has_partitions: bool) -> list[Table]:
    found = env.world.truth().tables(SOURCE)
    return [row for row in found if row.status == status and row.has_partitions == has_partitions]


async def test_all_that_failed_is_migrated_and_nothing_else(env: RetryEnv) -> None:
    wanted = env.failed()
    assert await migrated(env, RetrySelection(failed=True)) == wanted
    assert not env.failed()


async def test_only_the_named_partition_is_migrated(env: RetryEnv) -> None:
    row = next(row for row in env.world.truth().partitions(SOURCE) if row.status == "FAILED")
    changed = await migrated(env, RetrySelection(partitions=[row.id]))
    assert changed == {(row.db_name, row.table_name, row.value)}


async def test_a_named_table_migrates_its_failed_partitions(env: RetryEnv) -> None:
    row = next(each for each in env.world.truth().partitions(SOURCE) if each.status == "FAILED")
    wanted = {name for name in env.failed() if name[:2] == (row.db_name, row.table_name)}
    assert await migrated(env, RetrySelection(tables=[f"{row.db_name}.{row.table_name}"])) == wanted


async def test_a_table_can_be_named_by_its_id(env: RetryEnv) -> None:
    (row, *_) = tables(env, "FAILED", has_partitions=False)
    assert await migrated(env, RetrySelection(tables=[str(row.id)])) == {(row.db_name, row.name, "")}


async def test_a_table_can_be_named_without_its_database(env: RetryEnv) -> None:
    """As with `failed`; tables that did not fail are not meant."""
    (row, *_) = tables(env, "FAILED", has_partitions=False)
    others = [other for other in env.world.truth().tables(SOURCE) if other.name == row.name and other.id != row.id]
    assert others
    apply_event(env.world, events.Succeed(source_id=SOURCE, table_ids=tuple(other.id for other in others)))
    assert await migrated(env, RetrySelection(tables=[row.name or ""])) == {(row.db_name, row.name, "")}


async def test_an_ambiguous_name_lists_the_candidates(env: RetryEnv) -> None:
    named: dict[str | None, list[Table]] = {}
    for row in env.world.truth().tables(SOURCE):
        named.setdefault(row.name, []).append(row)
    name, rows = next((name, rows) for name, rows in named.items() if len(rows) > 1)
    apply_event(env.world, events.Fail(source_id=SOURCE, table_ids=tuple(row.id for row in rows)))
    candidates = ", ".join(f"{row.db_name}.{row.name} ({row.id})" for row in rows)
    reason = f"several tables have this name: {candidates}; use DATABASE.TABLE or the ID"
    assert await refusals(env, RetrySelection(tables=[name or ""])) == [(f"table {name}", reason)]


async def test_a_table_name_can_have_dots(env: RetryEnv) -> None:
    row = tables(env, "FAILED", has_partitions=False)[0]
    apply_event(env.world, events.SetText(source_id=SOURCE, table_id=row.id, field="name", text="a.b"))
    for text in ("a.b", f"{row.db_name}.a.b"):
        plan = await env.plan(RetrySelection(tables=[text]))
        assert [unit.id for batch in plan.batches for unit in batch.units()] == [row.id], text


@pytest.mark.parametrize(
    ("operation", "selection"),
    [
        ("GetMmsPartition", RetrySelection(partitions=[1])),
        ("GetMmsTable", RetrySelection(tables=["1"])),
        ("GetMmsJob", RetrySelection(jobs=[1])),
        ("ListMmsPartitions", ALL_FAILED),
    ],
)
async def test_an_operation_that_mms_does_not_offer_is_no_missing_object(
    env: RetryEnv, operation: str, selection: RetrySelection
) -> None:
    env.simulator.missing_operations.add(operation)
    with pytest.raises(OperationUnsupported):
        await env.plan(selection)


async def test_names_match_exactly(env: RetryEnv) -> None:
    row = tables(env, "FAILED", has_partitions=False)[0]
    for number, text in enumerate(("orderXs%_", "orderXs%_2", "ORDERXS%_")):
        apply_event(env.world, events.SetText(source_id=SOURCE, table_id=row.id + number, field="name", text=text))
    changed = await migrated(env, RetrySelection(tables=[f"{row.db_name}.orderXs%_"]))
    assert changed == {(row.db_name, "orderXs%_", "")}


@pytest.mark.parametrize("max_names", [unit_reader.MAX_NAMES, 0], ids=["by name", "by database"])
async def test_a_table_that_shares_its_name_with_another_is_refused(
    env: RetryEnv, monkeypatch: pytest.MonkeyPatch, max_names: int
) -> None:
    """A job over the name would migrate both tables."""
    monkeypatch.setattr(unit_reader, "MAX_NAMES", max_names)
    row, other = tables(env, "FAILED", has_partitions=False)[0], tables(env, "DONE", has_partitions=True)[0]
    for name, text in (("dbName", row.db_name), ("name", row.name)):
        apply_event(env.world, events.SetText(source_id=SOURCE, table_id=other.id, field=name, text=text or ""))
    reason = "several tables of this database have this name, so a job over the name would migrate all of them"
    for selection in (RetrySelection(failed=True), RetrySelection(tables=[str(row.id)])):
        plan = await env.plan(selection)
        assert (f"table {row.id} {row.db_name}.{row.name}", reason) in [
            (each.what, each.reason) for each in plan.refused
        ]
        assert row.name not in {table.name for batch in plan.batches for table in batch.tables}


async def test_a_named_job_migrates_its_failed_units_with_its_settings(env: RetryEnv) -> None:
    row = tables(env, "FAILED", has_partitions=False)[0]
    request = JobRequest(
        name="first", src_db_name=row.db_name, tables=(row.name or "",), task_type="HIVE_SPARK", schema_only=True,
        dst_db_name="elsewhere", table_mapping={row.name or "": "renamed"},
    )  # fmt: skip
    async with env_on(replace(QUIET_WORLD, retry_failure_rate=1.0), env.folder) as other:
        other.fail(0.4)
        await other.client.create_job(SOURCE, request)
        await other.pass_time(3 * other.world.options.job_seconds)
        failed = next(job for job in other.world.truth().jobs(SOURCE) if job.name == "first")
        (batch,) = (await other.plan(RetrySelection(jobs=[failed.id]))).batches
    asked = batch.request("again", None)
    assert (asked.tables, asked.dst_db_name, asked.task_type) == ((row.name,), "elsewhere", "HIVE_SPARK")
    assert (asked.schema_only, asked.table_mapping) == (True, {row.name: "renamed"})


async def test_a_job_with_a_partition_filter_is_refused(tmp_path: Path) -> None:
    async with env_on(replace(QUIET_WORLD, retry_failure_rate=1.0), tmp_path) as env:
        env.fail(0.4)
        row = next(each for each in env.world.truth().partitions(SOURCE) if each.status == "FAILED")
        filters = {row.table_name or "": "ds > '0'"}
        request = JobRequest(name="first", src_db_name=row.db_name, partition_filters=filters)
        await env.client.create_job(SOURCE, request)
        await env.pass_time(3 * env.world.options.job_seconds)
        job = next(job for job in env.world.truth().jobs(SOURCE) if job.name == "first")
        ((what, reason),) = await refusals(env, RetrySelection(jobs=[job.id]))
    assert what == f"job {job.id}"
    assert "filter expressions, which only MMS evaluates" in reason


async def test_missing_partitions_and_jobs_are_refused(env: RetryEnv) -> None:
    named = RetrySelection(partitions=[999_999_999], jobs=[999_999])
    assert [what for what, _ in await refusals(env, named)] == ["partition 999999999", "job 999999"]


async def test_objects_that_did_not_fail_are_refused_with_their_status(env: RetryEnv) -> None:
    done = next(row for row in env.world.truth().tables(SOURCE) if row.status == "DONE")
    job = next(job for job in env.world.truth().jobs(SOURCE) if job.status == "DONE")
    assert await refusals(env, RetrySelection(tables=[str(done.id)], jobs=[job.id])) == [
        (f"job {job.id}", "the status is DONE, not FAILED"),
        (f"table {done.id} {done.db_name}.{done.name}", "the status is DONE, not FAILED"),
    ]


@pytest.mark.parametrize("kind", ["broken_rows", "missing", "error", "total"])
@pytest.mark.parametrize("operation", ["ListMmsTables", "ListMmsPartitions", "ListMmsJobs"])
async def test_an_incomplete_list_is_an_error(env: RetryEnv, operation: str, kind: str) -> None:
    env.simulator.faults.add(Fault(kind=kind, operation=operation, total=10**6))  # type: ignore[arg-type]  # kinds
    with pytest.raises(MmsError):
        await env.plan()


AWKWARD = [
    "ds=a b",
    "ds=ä/ö=%2F",
    "ds='x'\"y\"",
    "ds=\\n\\",
    "ds=line\nbreak",
    "ds=\x1b[31mred",
    "ds=\u202eevil",
    "ds=😀",
]


async def test_values_with_awkward_characters_change_nothing(env: RetryEnv) -> None:
    failed = [row for row in env.world.truth().partitions(SOURCE) if row.status == "FAILED"]
    assert len(failed) >= 3
    for row, value in zip(failed, AWKWARD, strict=False):
        apply_event(env.world, events.SetText(source_id=SOURCE, partition_id=row.id, field="value", text=value))
        name = f"t{value}"
        apply_event(env.world, events.SetText(source_id=SOURCE, table_id=row.table_id or 0, field="name", text=name))
    wanted = env.failed()
    assert await migrated(env, RetrySelection(failed=True)) == wanted


async def test_databases_with_the_same_table_names_are_separate(tmp_path: Path) -> None:
    options = replace(QUIET_WORLD, databases=50, tables=200, partitions=3)
    async with env_on(options, tmp_path) as env:
        env.fail(0.2)
        wanted = env.failed()
        assert len({db for db, *_ in wanted}) > 40
        plan = await env.plan()
        assert len({batch.template.src_db for batch in plan.batches}) == len({db for db, *_ in wanted})
        assert await migrated(env, RetrySelection(failed=True)) == wanted


@pytest.mark.parametrize("at_least", [3_000, pytest.param(100_000, marks=pytest.mark.scale)])
async def test_many_failed_partitions_are_split_and_sent(tmp_path: Path, at_least: int) -> None:
    options = WorldOptions(
        sources=1,
        idle_share=1.0,
        special_sources=False,
        incidents=False,
        databases=4,
        tables=165,
        partitions=at_least // 100,
    )
    async with env_on(options, tmp_path, Limits(requests_per_second=0, timeout_seconds=10)) as env:
        env.fail(1.0)
        plan = await env.plan()
        ids = [number for batch in plan.batches for number in batch.partition_ids]
        assert len(ids) == len(set(ids)) >= at_least
        assert all(len(tuple(batch.partition_ids)) <= MAX_UNITS for batch in plan.batches)
        with Journal.create(env.folder, env.new_run(plan)) as journal:
            await env.create_all(journal)
        assert env.jobs_by_name().total() == len(plan.batches)
        made = {number for job in env.jobs() if job.config for number in job.config.partitions or ()}
    assert made == set(ids)


async def test_a_row_that_moves_between_two_pages_is_migrated(env: RetryEnv) -> None:
    row = next(row for row in env.world.truth().partitions(SOURCE) if row.status == "FAILED")
    fix = events.Succeed(source_id=SOURCE, partition_ids=(row.id,))
    env.simulator.page_size_cap = 3
    env.simulator.faults.add(Fault(kind="meanwhile", operation="ListMmsPartitions", event=fix, times=1))
    plan = await env.plan()
    failed = {row.id for row in env.world.truth().partitions(SOURCE) if row.status == "FAILED"}
    assert {number for batch in plan.batches for number in batch.partition_ids} == failed


async def test_a_list_that_keeps_changing_is_an_error(env: RetryEnv) -> None:
    rows = [row.id for row in env.world.truth().partitions(SOURCE) if row.status == "FAILED"]
    env.simulator.page_size_cap = len(rows) - 4
    for number in rows[:3]:
        fix = events.Succeed(source_id=SOURCE, partition_ids=(number,))
        env.simulator.faults.add(Fault(kind="meanwhile", operation="ListMmsPartitions", event=fix, times=1))
        env.simulator.faults.add(Fault(kind="meanwhile", operation="ListMmsPartitions", times=1))
    with pytest.raises(MmsError, match="changed while it was read in each of 3 attempts"):
        await env.plan()


async def test_an_unfinished_job_that_moves_between_two_pages_is_found(env: RetryEnv) -> None:
    """The removal of a job moves up the next one."""
    done = [row for row in env.world.truth().partitions(SOURCE) if row.status == "FAILED"]
    for number, row in enumerate(done[:3]):
        request = JobRequest(name=f"other-{number}", src_db_name=row.db_name, partitions=(row.id,))
        await env.client.create_job(SOURCE, request)
    await env.pass_time(2 * env.world.options.async_task_seconds)
    unfinished = [job for job in env.world.truth().jobs(SOURCE) if job.status in {"INIT", "DOING"}]
    assert {job.status for job in unfinished} == {unfinished[0].status}
    assert len(unfinished) == 3
    env.simulator.page_size_cap = 1
    gone = max(unfinished, key=lambda job: job.id)
    removed = events.RemoveJob(source_id=SOURCE, job_id=gone.id)
    skip = 0 if unfinished[0].status == "INIT" else 1
    env.simulator.faults.add(Fault(kind="meanwhile", operation="ListMmsJobs", event=removed, skip=skip, times=1))
    found = await unfinished_jobs(env.client, SOURCE, ())
    assert {job.id for job in found} == {job.id for job in unfinished} - {gone.id}


async def test_tables_that_did_not_fail_make_no_name_ambiguous(env: RetryEnv) -> None:
    named: dict[str | None, list[Table]] = {}
    for row in env.world.truth().tables(SOURCE):
        named.setdefault(row.name, []).append(row)
    name, rows = next((name, rows) for name, rows in named.items() if len(rows) > 1)
    apply_event(env.world, events.Succeed(source_id=SOURCE, table_ids=tuple(row.id for row in rows)))
    reasons = await refusals(env, RetrySelection(tables=[name or ""]))
    assert reasons == [(f"table {name}", "no table of this name is FAILED, and none of its partitions")]


async def test_an_unknown_table_is_an_error_with_near_names(env: RetryEnv) -> None:
    (row, *_) = tables(env, "FAILED", has_partitions=False)
    name = f"{row.db_name}.{row.name}"
    with pytest.raises(ConfigError) as caught:
        await env.plan(RetrySelection(tables=[name, f"{name}s", "999999999", "sales.nothing", "nodot"]))
    first, second, *others = map(str, caught.value.problems)
    assert first.startswith(f"--table: no table is named '{name}s'; did you mean {name}")
    assert second == "--table: no table has ID 999999999"
    assert [each.partition(";")[0] for each in others] == [
        "--table: no table is named 'sales.nothing'",
        "--table: no table is named 'nodot'",
    ]


async def test_a_pattern_is_no_name_of_a_table(env: RetryEnv) -> None:
    with pytest.raises(ConfigError, match=r"no table is named 'sales\.\*'; retry takes exact names"):
        await env.plan(RetrySelection(tables=["sales.*"]))
