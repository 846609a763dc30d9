"""The jobs for failed units and the refusals, from rows to requests. Pure."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from exporter.mms.models.api_record import record_from
from exporter.mms.models.records import Job
from exporter.mms.protocol import JobRequest
from exporter.retry.coverage import Coverage
from exporter.retry.planning import MAX_SCOPE_BYTES, MAX_UNITS, Wanted, plan
from exporter.retry.units import Unit


def table(number: int, name: str = "orders", db: str | None = "sales", **facts: Any) -> Unit:
    return Unit(kind="table", id=number, table_id=number, table=name, db=db, **{"status": "FAILED", **facts})


def partition(number: int, name: str = "orders", db: str | None = "sales", **facts: Any) -> Unit:
    return Unit(kind="partition", id=number, table=name, db=db, **{"status": "FAILED", "table_id": 1, **facts})


def job(number: int, db: str | None = "sales", status: str = "DOING", **facts: Any) -> Job:
    config = facts.pop("config", {})
    return record_from(
        {"id": number, "name": f"job_{number}", "srcDbName": db, "status": status, "config": config, **facts}, Job
    )


def requests(wanted: list[Unit], failed: tuple[Job, ...] = (), unfinished: tuple[Job, ...] = ()) -> list[JobRequest]:
    made = plan(map(Wanted, wanted), Coverage(failed), Coverage(unfinished))
    return [batch.request("n", None) for batch in made.batches]


def reasons(wanted: list[Unit], *unfinished: Job) -> dict[str, str]:
    made = plan(map(Wanted, wanted), Coverage(()), Coverage(unfinished))
    assert not made.batches
    return {refused.what: refused.reason for refused in made.refused}


@dataclass
class Case:
    """Selected units and the expected requests."""

    wanted: list[Unit]
    expected: list[dict[str, Any]]
    failed: tuple[Job, ...] = field(default=())


ORDERS = {"tables": ("orders",)}
CASES = {
    "partitions by their ids": Case([partition(3), partition(2)], [{"src_db_name": "sales", "partitions": (2, 3)}]),
    "a table without partitions by its name": Case([table(1)], [{"src_db_name": "sales", "tables": ("orders",)}]),
    "a failed table by the ids of its failed partitions, and not by its name": Case(
        [table(1, has_partitions=True, partitions_failed=2), partition(7), partition(8)],
        [{"src_db_name": "sales", "partitions": (7, 8)}],
    ),
    "a table that failed before any of its partitions by its name": Case(
        [table(1, has_partitions=True)], [{"src_db_name": "sales", "tables": ("orders",)}]
    ),
    "tables and partitions apart": Case(
        [table(9, "plain"), partition(2)],
        [{"src_db_name": "sales", "partitions": (2,)}, {"src_db_name": "sales", "tables": ("plain",)}],
    ),
    "separate jobs for databases with the same table names": Case(
        [
            table(1),
            table(2, db="logs"),
            partition(3, "clicks", table_id=8),
            partition(4, "clicks", "logs", table_id=9),
        ],
        [
            {"src_db_name": "logs", "partitions": (4,)},
            {"src_db_name": "logs", "tables": ("orders",)},
            {"src_db_name": "sales", "partitions": (3,)},
            {"src_db_name": "sales", "tables": ("orders",)},
        ],
    ),
    "each destination apart": Case(
        [partition(1, dst_project="a"), partition(2, dst_project="b"), partition(3, dst_project="b", dst_schema="s")],
        [
            {"src_db_name": "sales", "dst_db_name": "a", "partitions": (1,)},
            {"src_db_name": "sales", "dst_db_name": "b", "partitions": (2,)},
            {"src_db_name": "sales", "dst_db_name": "b", "dst_schema_name": "s", "partitions": (3,)},
        ],
    ),
    "a renamed table with its destination name": Case(
        [table(1, dst_table="orders_2"), table(2, "plain", dst_table="plain")],
        [{"src_db_name": "sales", "tables": ("orders", "plain"), "table_mapping": {"orders": "orders_2"}}],
    ),
    "two destinations of one table in two jobs": Case(
        [partition(1, dst_table="a"), partition(2, dst_table="b")],
        [
            {"src_db_name": "sales", "partitions": (1,), "table_mapping": {"orders": "a"}},
            {"src_db_name": "sales", "partitions": (2,), "table_mapping": {"orders": "b"}},
        ],
    ),
    "the settings of the last failed job over it": Case(
        [partition(1), partition(2), partition(3, "clicks")],
        [
            {"src_db_name": "sales", "partitions": (3,)},
            {
                "src_db_name": "sales",
                "src_schema_name": "layer",
                "dst_db_name": "p",
                "task_type": "HIVE_SPARK",
                "enable_schema_migration": False,
                "enable_verification": False,
                "partitions": (1, 2),
                "table_mapping": {"orders": "kept"},
            },
        ],
        (
            job(7, config={"tables": ["orders"], "taskType": "OSS"}),
            job(
                8,
                srcSchemaName="layer",
                dstDbName="p",
                config={
                    "partitions": [1, 2],
                    "taskType": "HIVE_SPARK",
                    "enableSchemaMigration": False,
                    "enableVerification": False,
                    "tableMapping": {"orders": "kept"},
                },
            ),
        ),
    ),
    "the settings of the newest failed job with its destination": Case(
        [table(1, dst_project="p", dst_schema="one")],
        [{"src_db_name": "sales", "src_schema_name": "s1", "dst_db_name": "p", "dst_schema_name": "one", **ORDERS}],
        (
            job(7, srcSchemaName="s1", dstDbName="P", dstSchemaName="one", config={"tables": ["orders"]}),
            job(8, srcSchemaName="s2", dstDbName="p", dstSchemaName="two", config={"tables": ["orders"]}),
            job(9, srcSchemaName="s3", dstDbName="q", dstSchemaName="one", config={"tables": ["orders"]}),
        ),
    ),
    "the settings of a failed job without a destination": Case(
        [table(1, dst_project="p", dst_schema="one")],
        [{"src_db_name": "sales", "task_type": "OSS", "dst_db_name": "p", "dst_schema_name": "one", **ORDERS}],
        (job(7, config={"tables": ["orders"], "taskType": "OSS"}),),
    ),
    "the settings of a failed job that names it, not of a newer one over its database": Case(
        [table(1)],
        [{"src_db_name": "sales", "task_type": "OSS", **ORDERS}],
        (job(7, config={"tables": ["orders"], "taskType": "OSS"}), job(8, config={"taskType": "HIVE_SPARK"})),
    ),
    "the settings of a failed job over its database if none names it": Case(
        [table(1)],
        [{"src_db_name": "sales", "task_type": "OSS", **ORDERS}],
        (job(7, config={"taskType": "OSS"}), job(8, config={"tables": ["clicks"], "taskType": "HIVE_SPARK"})),
    ),
    "with its data, although the failed job was schema-only": Case(
        [table(1)],
        [{"src_db_name": "sales", "task_type": "OSS", **ORDERS}],
        (job(7, config={"tables": ["orders"], "taskType": "OSS", "schemaOnly": True, "enableDataMigration": False}),),
    ),
    "one request for an object named twice": Case(
        [partition(1), partition(1)], [{"src_db_name": "sales", "partitions": (1,)}]
    ),
    "no request for no failures": Case([], []),
}


@pytest.mark.parametrize("name", CASES)
def test_failed_units_are_requested(name: str) -> None:
    case = CASES[name]
    made = requests(case.wanted, case.failed)
    expected = [JobRequest(name="n", **fields) for fields in case.expected]
    assert sorted(made, key=repr) == sorted(expected, key=repr)


REFUSED = {
    "is DONE": (partition(1, status="DONE"), "the status is DONE, not FAILED"),
    "is under way": (partition(1, status="DOING"), "the status is DOING, not FAILED"),
    "says no status": (partition(1, status=None), "MMS reports no status"),
    "has no database": (partition(1, db=None), "MMS reports no database or no table"),
    "has no name": (partition(1, None), "MMS reports no database or no table"),  # type: ignore[arg-type]  # as MMS may leave it out
    "hides its failed partitions": (
        table(1, has_partitions=True, partitions_failed=2),
        "2 of its partitions failed, but MMS lists none of them; try again",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_units_that_cannot_be_retried_are_refused(name: str) -> None:
    unit, reason = REFUSED[name]
    assert reasons([unit]) == {str(unit): reason}


BLOCKED = {
    "by its id": (partition(5), job(9, config={"partitions": [4, 5]})),
    "by its table": (partition(5), job(9, config={"tables": ["orders"]})),
    "by its table in another case": (partition(5), job(9, "SALES", config={"tables": ["Orders"]})),
    "by an expression over its table": (partition(5), job(9, config={"partitionFilters": {"orders": "ds > 1"}})),
    "by its database": (table(5), job(9)),
    "by a database without the tables on its black list": (table(5), job(9, config={"tableBlackList": ["clicks"]})),
    "by a database with only the tables on its white list": (table(5), job(9, config={"tableWhiteList": ["orders"]})),
    "by a black list, which overrides the white list": (
        table(5),
        job(9, config={"tableBlackList": ["clicks"], "tableWhiteList": ["clicks"]}),
    ),
    "by a job without a configuration": (table(5), job(9, config=None)),
    "by a job without a database": (table(5), job(9, None)),
    "by a job over partitions of an unknown table": (
        table(5, has_partitions=True),
        job(9, config={"partitions": [100]}),
    ),
}


@pytest.mark.parametrize("how", BLOCKED)
def test_units_in_an_unfinished_job_are_refused(how: str) -> None:
    unit, unfinished = BLOCKED[how]
    assert reasons([unit], unfinished) == {str(unit): "job 9 (job_9) is DOING, and may migrate the same data"}


def test_a_stopped_job_is_named_as_such() -> None:
    assert reasons([table(5)], job(9, stopped=True)) == {
        "table 5 sales.orders": "job 9 (job_9) is DOING and stopped, and may migrate the same data"
    }


UNBLOCKED = {
    "other partitions": (partition(5), job(9, config={"partitions": [4]})),
    "another table": (partition(5), job(9, config={"tables": ["clicks"]})),
    "another database": (partition(5), job(9, "logs")),
    "on the black list": (table(5), job(9, config={"tableBlackList": ["orders"]})),
    "not on the white list": (table(5), job(9, config={"tableWhiteList": ["clicks"]})),
    "a table without partitions and a job over partitions": (table(5), job(9, config={"partitions": [100]})),
}


@pytest.mark.parametrize("how", UNBLOCKED)
def test_units_outside_unfinished_jobs_are_migrated(how: str) -> None:
    unit, unfinished = UNBLOCKED[how]
    assert len(requests([unit], unfinished=(unfinished,))) == 1


def test_a_named_job_keeps_its_data_settings() -> None:
    named = job(7, config={"tables": ["orders"], "schemaOnly": True, "enableDataMigration": False})
    (batch,) = plan([Wanted(table(1), named)], Coverage(()), Coverage(())).batches
    request = batch.request("n", None)
    assert (request.schema_only, request.enable_data_migration) == (True, False)


def test_two_tables_with_one_name_are_refused() -> None:
    both = [table(1), table(2)]
    assert set(reasons(both)) == {"table 1 sales.orders", "table 2 sales.orders"}


def test_a_large_request_is_split() -> None:
    made = requests([partition(number) for number in range(2 * MAX_UNITS + 1)])
    assert [len(request.partitions or ()) for request in made] == [MAX_UNITS, MAX_UNITS, 1]
    assert [number for request in made for number in request.partitions or ()] == list(range(2 * MAX_UNITS + 1))


def test_long_names_split_the_request() -> None:
    made = requests([table(number, f"{number}{'ü' * 500}", dst_table=f"to_{number}") for number in range(300)])
    assert max(len(msgspec.json.encode(request)) for request in made) < MAX_SCOPE_BYTES + 1000
    assert sum(len(request.tables or ()) for request in made) == 300


def test_a_batch_without_some_of_it_keeps_the_rest() -> None:
    units = [partition(1, "a", dst_table="x"), partition(2, "b", dst_table="y"), partition(3, "b", dst_table="y")]
    (batch,) = plan(map(Wanted, units), Coverage(()), Coverage(())).batches
    request = batch.without(lambda unit: unit.table == "a" or unit.id == 2).request("n", None)
    assert (request.partitions, request.table_mapping) == ((3,), {"b": "y"})
    assert batch.without(lambda _: True).size == 0
