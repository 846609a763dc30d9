"""The selected accounts and data sources are read, and errors are reported."""

from typing import Literal

import msgspec
import pytest
from rich.cells import cell_len

from exporter.config.loading import Config, config_from
from exporter.console.selection.name_filters import MAX_CHECKED
from exporter.errors import ConfigError
from exporter.mms.models.records import DataSource, Job, Partition, Table
from exporter.mms.protocol import PAGE_SIZE
from exporter.simulator import Fault, ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.world import events
from tests.conftest import IDENTITY, account_on, config_on
from tests.console.conftest import FIRST, shown

WRONG_KEY = {"type": "access_key", "access_key_id": "LTAI-EXAMPLE", "access_key_secret": "wrong"}

RECORDS = (DataSource, Job, Table, Partition)
LOSABLE = tuple({field.encode_name for record in RECORDS for field in msgspec.structs.fields(record)} - {"id"})
"""All optional fields of an answer."""


def two_accounts(url: str, **settings: object) -> Config:
    """Return a configuration with two accounts on one MMS."""
    return config_from({"accounts": [account_on(url), account_on(url, "other", **settings)]})


async def test_every_account_is_read(simulator: Simulator) -> None:
    found = await shown("sources", two_accounts(simulator.url))
    ids = list(simulator.world.source_ids())
    assert sorted((row["account"], row["id"]) for row in found.rows) == [
        (account, source_id) for account in ("other", "test") for source_id in ids
    ]
    assert found.table().splitlines()[0].startswith("ACCOUNT  ")


async def test_an_account_is_selected_by_name(simulator: Simulator) -> None:
    found = await shown("sources", two_accounts(simulator.url), accounts=["other"])
    assert {row["account"] for row in found.rows} == {"other"}


async def test_an_unknown_account_is_an_error_with_the_known_ones(simulator: Simulator) -> None:
    with pytest.raises(ConfigError, match=r"--account: no account is named 'othre'; known accounts: test, other$"):
        await shown("sources", two_accounts(simulator.url), accounts=["othre"])
    assert simulator.calls.total() == 0


async def test_an_unreadable_account_hides_no_other(simulator: Simulator) -> None:
    found = await shown("sources", two_accounts(simulator.url, credentials=WRONG_KEY))
    assert {row["account"] for row in found.rows} == {"test"}
    assert not found.report.succeeded
    (line,) = found.remarks
    assert line.startswith("account other: ListMmsDataSources failed (status ")
    assert line.endswith("check the access key, the security token and the clock of this machine")


async def test_an_unknown_source_is_a_remark_while_an_account_is_unreadable(
    simulator: Simulator,
) -> None:
    found = await shown("sources", two_accounts(simulator.url, credentials=WRONG_KEY), sources=["elsewhere"])
    assert found.rows == []
    warning, error = found.remarks
    assert error.startswith("account other: ")
    assert warning.startswith("--source: no data source is named 'elsewhere' in the accounts that could be read; ")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("999", "no data source has the name or ID '999'; known data sources: "),
        ("hvie-*", "no data source matches 'hvie-*'; known data sources: "),
    ],
)
async def test_an_unknown_id_or_glob_is_not_called_a_name(simulator: Simulator, name: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await shown("sources", config_on(simulator.url), sources=[name])
    assert str(caught.value).startswith(f"--source: {problem}")


async def test_a_failed_call_is_retried(simulator: Simulator) -> None:
    simulator.faults.add(Fault(kind="reset", operation="ListMmsDataSources", times=1))
    found = await shown("sources", two_accounts(simulator.url), accounts=["test"])
    assert found.report.succeeded
    assert len(found.rows) == len(simulator.world.source_ids())


@pytest.mark.parametrize("command", ["sources", "jobs", "failed", "show", "report"])
async def test_no_command_writes(simulator: Simulator, command: str) -> None:
    await shown(command, two_accounts(simulator.url), record=("table", 1), sources=[str(FIRST)])
    assert simulator.calls
    assert all(operation.startswith(("List", "Get")) for operation, _ in simulator.calls)


async def test_an_incomplete_list_is_shown_with_an_error(simulator: Simulator) -> None:
    simulator.faults.add(Fault(kind="total", total=99))
    found = await shown("sources", two_accounts(simulator.url), accounts=["test"], sources=[str(FIRST), "elsewhere"])
    assert [row["id"] for row in found.rows] == [FIRST]
    assert not found.report.succeeded
    assert "the list is incomplete or changed" in found.remarks[-1]


@pytest.mark.parametrize("command", ["sources", "jobs", "failed", "show"])
@pytest.mark.parametrize("kind", ["nulls", "missing", "wrong_types"])
async def test_a_row_with_only_an_id_is_shown(
    simulator: Simulator, command: str, kind: Literal["nulls", "missing", "wrong_types"]
) -> None:
    simulator.faults.add(Fault(kind=kind, fields=LOSABLE))
    found = await shown(command, config_on(simulator.url), record=("table", 1), limit=1)
    assert found.report.succeeded
    assert {bool(row["id"]) for row in found.rows} == {True}
    assert len(found.csv) == len(found.rows)
    assert "None" not in found.table() + found.table(100)


async def test_no_name_reaches_standard_error_raw(simulator: Simulator) -> None:
    apply_event(simulator.world, events.RenameSource(source_id=FIRST, name="a\x1b[31m\nb\u202e"))
    simulator.faults.add(Fault(kind="error", status=403, code="NoPermission", source_id=FIRST))
    (line,) = (await shown("jobs", config_on(simulator.url))).remarks
    assert line.startswith("account test, a\\x1b[31m\\nb\\u202e: ")
    with pytest.raises(ConfigError) as caught:
        await shown("jobs", config_on(simulator.url), sources=["\x1b[31m"])
    assert str(caught.value).isprintable()


async def test_a_source_is_selected_by_a_glob(simulator: Simulator) -> None:
    found = await shown("sources", config_on(simulator.url), sources=["bigquery-*", str(FIRST)])
    assert {row["name"] for row in found.rows} == {"bigquery-sales-002", "bigquery-finance-005", "hive-sales-001"}


async def test_an_unknown_source_is_an_error_with_near_names(simulator: Simulator) -> None:
    with pytest.raises(ConfigError) as caught:
        await shown("sources", config_on(simulator.url), sources=["hive-sale-001"])
    expected = "--source: no data source is named 'hive-sale-001'; did you mean hive-sales-001"
    assert str(caught.value).startswith(expected)


async def test_a_pattern_that_selects_nothing_is_reported_with_the_existing_names(simulator: Simulator) -> None:
    config = config_on(simulator.url, {"sources": {"include": ["hive.*", "prod-.*"]}})
    found = await shown("sources", config)
    assert [row["id"] for row in found.rows] == [FIRST]
    (line,) = found.remarks
    assert line.startswith(
        "account test: sources.include 'prod-.*' matches no data source; a pattern is a regular expression"
    )
    assert "; existing names: bigquery-" in line
    assert found.report.succeeded


async def test_an_exclude_pattern_without_a_match_is_no_warning(simulator: Simulator) -> None:
    found = await shown("sources", config_on(simulator.url, {"sources": {"exclude": ["old-.*"]}}))
    assert (found.remarks, found.report.succeeded) == ([], True)


@pytest.mark.parametrize("command", ["sources", "databases", "jobs", "failed", "report"])
@pytest.mark.parametrize(
    ("patterns", "warning"),
    [
        ({"include": ["prod-.*"]}, "account test: sources.include 'prod-.*' matches no data source"),
        ({"exclude": [".*"]}, "account test: `sources` selects none of the 6 data sources; correct"),
        ({"types": ["HIV"]}, "account test: `sources` selects none of the 6 data sources; correct"),
    ],
)
async def test_a_configuration_that_selects_no_data_source_is_a_failure(
    simulator: Simulator, command: str, patterns: dict[str, list[str]], warning: str
) -> None:
    found = await shown(command, config_on(simulator.url, {"sources": patterns}))
    (line,) = found.remarks
    assert line.startswith(warning)
    assert not found.report.succeeded


IMPORTANT = {
    "sources": ({"SOURCE", "STATUS", "FAILED"}, {"ID", "AGENT"}),
    "jobs": ({"ID", "JOB", "STATUS"}, {"DATABASE", "CREATED", "ETA"}),
    "databases": ({"SOURCE", "DATABASE", "FAILED"}, {"STATUS", "SIZE"}),
    "failed": ({"ID", "TABLE", "PARTITION"}, {"SOURCE", "KIND"}),
    "check": ({"CHECK", "RESULT"}, {"DETAIL"}),
}
"""Columns at 40 columns, and further ones at 80."""


@pytest.mark.parametrize("command", IMPORTANT)
async def test_a_narrow_terminal_shows_the_important_columns(simulator: Simulator, command: str) -> None:
    apply_event(simulator.world, events.Fail(source_id=FIRST, share=1.0))
    apply_event(
        simulator.world, events.RenameSource(source_id=FIRST, name="a-data-source-with-a-name-of-49-letters-and-signs")
    )
    found = await shown(command, config_on(simulator.url))
    for width in range(40, 81):
        lines = found.table(width).splitlines()
        assert max(map(cell_len, lines)) <= width
        always, at_80 = IMPORTANT[command]
        assert always <= set(lines[0].split())
    assert at_80 <= set(lines[0].split())


@pytest.mark.parametrize("command", ["sources", "jobs", "failed", "databases", "check"])
@pytest.mark.parametrize("width", [50, 60, 80])
async def test_the_account_is_shown_if_there_are_several(simulator: Simulator, command: str, width: int) -> None:
    apply_event(simulator.world, events.Fail(source_id=FIRST, share=1.0))
    assert (await shown(command, two_accounts(simulator.url))).table(width).startswith("ACCOUNT  ")


async def test_what_was_left_out_names_its_account(simulator: Simulator) -> None:
    found = await shown("jobs", two_accounts(simulator.url), statuses=["DONE"], sources=[str(FIRST)], limit=1)
    assert [line.partition(" more jobs of ")[2] for line in found.remarks] == [
        "hive-sales-001 of account test",
        "hive-sales-001 of account other",
    ]


NAMED = {
    "database": ({"databases": ["salse"]}, "--database: no database with tables is named 'salse'; did you mean sales?"),
    "glob": (
        {"databases": ["x*"]},
        "--database: no database with tables matches 'x*'; known databases: finance, sales",
    ),
    "table": ({"tables": ["order"]}, "--table: no table is named 'order'; did you mean orders?"),
    "dotted table": (
        {"tables": ["sales.order"]},
        "--table: no table is named 'sales.order'; did you mean sales.orders",
    ),
    "table of another database": (
        {"databases": ["sales"], "tables": ["finance.orders"]},
        "--table: no table is named 'finance.orders' in the selected databases; did you mean sales.orders?",
    ),
    "table id": ({"tables": ["999999"]}, "--table: no table has ID 999999"),
    "one of two": (
        {"databases": ["sales", "salse"]},
        "--database: no database with tables is named 'salse'; did you mean sales?",
    ),
    "both": (
        {"databases": ["salse"], "tables": ["orders"]},
        "--database: no database with tables is named 'salse'; did you mean sales?",
    ),
}


@pytest.mark.parametrize("command", ["failed", "jobs"])
@pytest.mark.parametrize(("options", "message"), NAMED.values(), ids=NAMED)
async def test_an_unknown_name_is_an_error_with_near_names(
    simulator: Simulator, command: str, options: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        await shown(command, config_on(simulator.url), sources=[str(FIRST)], **options)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("command", ["failed", "jobs"])
async def test_a_known_name_without_a_match_is_no_error(simulator: Simulator, command: str) -> None:
    table = next(row for row in simulator.world.truth().tables(FIRST) if row.name == "orders")
    succeed = events.Succeed(source_id=FIRST, table_ids=tuple(row.id for row in simulator.world.truth().tables(FIRST)))
    apply_event(simulator.world, succeed)
    for named in ({"databases": ["sales"]}, {"tables": ["orders"]}, {"tables": [str(table.id)]}):
        found = await shown(command, config_on(simulator.url), sources=[str(FIRST)], statuses=["DONE"], **named)
        assert found.report.succeeded


async def test_no_name_is_unknown_while_a_list_is_unreadable(simulator: Simulator) -> None:
    simulator.faults.add(Fault(kind="error", status=403, code="NoPermission", operation="ListMmsTables"))
    found = await shown("jobs", config_on(simulator.url), sources=[str(FIRST)], databases=["salse"])
    (line,) = found.remarks
    assert "ListMmsTables failed (status 403" in line
    assert not found.report.succeeded


async def test_databases_and_tables_are_selected_by_a_glob(simulator: Simulator) -> None:
    apply_event(simulator.world, events.Fail(source_id=FIRST, share=1.0))
    config, options = config_on(simulator.url), {"sources": [str(FIRST)], "limit": 1000}
    everything = (await shown("failed", config, **options)).rows
    for named in ({"databases": ["sal*"]}, {"tables": ["sales.*"]}, {"databases": ["sal*"], "tables": ["sales.*"]}):
        rows = (await shown("failed", config, **options, **named)).rows
        assert rows == [row for row in everything if row["db_name"] == "sales"] != []
    rows = (await shown("failed", config, **options, tables=["ord*"])).rows
    assert rows == [row for row in everything if row["table_name"].startswith("ord")] != []
    listed = (await shown("jobs", config, **options, databases=["fin*"], statuses=["DONE", "DOING", "INIT"])).rows
    assert {row["src_db_name"] for row in listed} == {"finance"}


async def test_a_glob_reads_each_page_once(simulator: Simulator) -> None:
    simulator.page_size_cap = 1
    tables = list(simulator.world.truth().tables(FIRST))
    failed = [row for row in tables if row.status == "FAILED"]
    with pytest.raises(ConfigError, match=r"no table matches 'zzz\*'"):
        await shown("failed", config_on(simulator.url), sources=[str(FIRST)], tables=["zzz*"])
    # The failed tables, the check of the name, and the tables whose names are suggested.
    assert simulator.calls["ListMmsTables", FIRST] <= len(failed) + 2 * len(tables)


async def test_the_check_of_a_name_is_bounded() -> None:
    """Beyond the bound, a name may exist."""
    world = World(
        WorldOptions(sources=1, databases=1, tables=MAX_CHECKED + 200, partitions=1, special_sources=False),
        clock=ManualClock(),
    )
    async with Simulator(world, identities=[IDENTITY]) as simulator:
        config = config_on(simulator.url)
        found = await shown("failed", config, tables=["zzz*"])
        calls = simulator.calls["ListMmsTables", FIRST]
        with pytest.raises(ConfigError, match="no table is named 'zzz'"):
            await shown("failed", config, tables=["zzz"])
    assert found.report.succeeded
    assert found.remarks == ["no failed tables or partitions with these names"]
    assert calls <= 2 + MAX_CHECKED // PAGE_SIZE


@pytest.mark.parametrize("width", [40, 60, 70, 80])
async def test_a_narrow_row_of_failed_names_its_object(simulator: Simulator, width: int) -> None:
    """`show` needs the data source and the ID; the destination is hidden before names are cut."""
    apply_event(simulator.world, events.Fail(source_id=FIRST, share=1.0))
    found = await shown("failed", config_on(simulator.url), sources=[str(FIRST)])
    titles, *lines = found.table(width).splitlines()
    for row, line in zip(found.rows, lines, strict=False):
        texts = dict(zip(titles.split(), line.split(), strict=False))
        assert texts["SOURCE"] in {str(FIRST), "hive-sales-001"}
        assert texts["ID"] == str(row["id"])
        names = [f"{row['db_name']}.{row['table_name']}", row["value"]]
        assert all(name in line for name in names if name) or (width == 40 and "TO" not in texts)


async def test_a_source_whose_name_does_not_fit_has_its_id(simulator: Simulator) -> None:
    name = "a-data-source-with-a-name-of-49-letters-and-signs"
    apply_event(simulator.world, events.RenameSource(source_id=FIRST, name=name))
    apply_event(simulator.world, events.Fail(source_id=FIRST, share=1.0))
    for command in ("failed", "jobs"):
        found = await shown(command, config_on(simulator.url), sources=[str(FIRST)])
        assert {line.split()[0] for line in found.table(70).splitlines()[1:3]} == {str(FIRST)}
        assert name in found.table(200)
