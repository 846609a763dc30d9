"""`jobs`: the jobs that matter, the newest first."""

import pytest

from exporter.simulator import Fault, Simulator, happen
from exporter.simulator.world import events
from tests.console.conftest import FIRST, Look

UNFINISHED_OR_FAILED = {"INIT", "DOING", "FAILED"}


def ids(rows: list[dict[str, object]], source_id: int = FIRST) -> list[object]:
    """Return the ids of a source's jobs, as they come."""
    return [row["id"] for row in rows if row["source_id"] == source_id]


def truth(simulator: Simulator, statuses: set[str], source_id: int = FIRST) -> list[int]:
    """Return the ids of the jobs that a source has in some states, the newest first."""
    return [job.id for job in simulator.world.truth().jobs(source_id) if job.status in statuses]


@pytest.mark.parametrize("source_id", [FIRST, FIRST + 1, FIRST + 4])
async def test_unfinished_and_failed_ones_are_shown_newest_first(
    simulator: Simulator, look: Look, source_id: int
) -> None:
    assert ids((await look("jobs")).rows, source_id) == truth(simulator, UNFINISHED_OR_FAILED, source_id)


async def test_done_ones_are_shown_where_they_are_asked_for(simulator: Simulator, look: Look) -> None:
    assert ids((await look("jobs", statuses=["done"])).rows) == truth(simulator, {"DONE"})


async def test_each_source_is_asked_for_one_list_of_each_status(simulator: Simulator, look: Look) -> None:
    await look("jobs")
    assert simulator.calls["ListMmsJobs", FIRST] == 3
    simulator.calls_reset()
    await look("jobs", statuses=["DONE"])
    assert simulator.calls["ListMmsJobs", FIRST] == 1


async def test_what_is_beyond_the_limit_is_counted(simulator: Simulator, look: Look) -> None:
    found = await look("jobs", statuses=["DONE"], sources=[str(FIRST)], limit=2)
    everything = truth(simulator, {"DONE"})
    assert ids(found.rows) == everything[:2]
    assert found.remarks == [f"{len(everything) - 2} more jobs of hive-sales-001"]


async def test_unfinished_ones_are_not_crowded_out_by_failed_ones(simulator: Simulator, look: Look) -> None:
    unfinished = truth(simulator, {"INIT", "DOING"})
    found = await look("jobs", statuses=["DOING", "INIT", "DONE"], sources=[str(FIRST)], limit=len(unfinished))
    assert set(ids(found.rows)) == set(truth(simulator, {"INIT", "DOING"}))


async def test_a_database_is_meant_exactly(simulator: Simulator, look: Look) -> None:
    job = truth(simulator, UNFINISHED_OR_FAILED)[0]
    happen(simulator.world, events.SetText(source_id=FIRST, job_id=job, field="srcDbName", text="sales_eu"))
    rows = (await look("jobs", databases=["sales"])).rows
    assert {row["src_db_name"] for row in rows} == {"sales"}
    assert ids((await look("jobs", databases=["sales_eu"])).rows) == [job]


async def test_a_table_is_meant_exactly_where_the_job_names_its_tables(simulator: Simulator, look: Look) -> None:
    job = next(job for job in simulator.world.truth().jobs(FIRST) if job.status == "DOING" and job.type == "Tables")
    assert job.config is not None
    assert job.config.tables is not None
    assert job.id in ids((await look("jobs", tables=[job.config.tables[0]])).rows)
    assert job.id not in ids((await look("jobs", tables=[job.config.tables[0][:-1]])).rows)
    assert job.id in ids((await look("jobs", tables=[f"{job.src_db_name}.{job.config.tables[0]}"])).rows)
    assert job.id not in ids((await look("jobs", tables=[f"other.{job.config.tables[0]}"])).rows)


async def test_a_stopped_job_says_so(simulator: Simulator, look: Look) -> None:
    job = truth(simulator, {"DOING"})[0]
    happen(simulator.world, events.StopJob(source_id=FIRST, job_id=job))
    found = await look("jobs", sources=[str(FIRST)])
    assert next(row["stopped"] for row in found.rows if row["id"] == job) is True
    assert "DOING (stopped)" in found.table()


async def test_a_source_that_cannot_be_read_hides_no_other(simulator: Simulator, look: Look) -> None:
    simulator.faults.add(Fault(kind="error", status=403, code="NoPermission", source_id=FIRST))
    found = await look("jobs")
    assert ids(found.rows) == []
    assert ids(found.rows, FIRST + 1) == truth(simulator, UNFINISHED_OR_FAILED, FIRST + 1)
    assert not found.report.is_fine
    (complaint,) = found.remarks
    assert complaint.startswith("account test, hive-sales-001: ListMmsJobs failed (status 403, code NoPermission")
    assert "grant this identity" in complaint


async def test_trouble_that_all_have_is_told_once(simulator: Simulator, look: Look) -> None:
    simulator.faults.add(Fault(kind="error", status=403, code="NoPermission", operation="ListMmsJobs"))
    (complaint,) = (await look("jobs")).remarks
    assert ", hive-sales-001, maxcompute-finance-006 and 1 more: " in complaint
