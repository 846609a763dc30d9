"""Which accounts and data sources are asked, and what becomes of those that cannot be."""

from typing import Literal

import msgspec
import pytest

from exporter.config.loading import Config, config_from
from exporter.errors import ConfigError
from exporter.mms.models import DataSource, Job, Partition, Table
from exporter.simulator import Fault, Simulator, happen
from exporter.simulator.world import events
from tests.conftest import account_on, config_on
from tests.console.conftest import FIRST, shown

WRONG_KEY = {"type": "access_key", "access_key_id": "LTAI-EXAMPLE", "access_key_secret": "wrong"}


RECORDS = (DataSource, Job, Table, Partition)
LOSABLE = tuple({field.encode_name for record in RECORDS for field in msgspec.structs.fields(record)} - {"id"})
"""Every field that an answer can do without."""


def two_accounts(url: str, **settings: object) -> Config:
    """Return the configuration of the accounts `test` and `other`, on one simulated MMS."""
    return config_from({"accounts": [account_on(url), account_on(url, "other", **settings)]})


async def test_every_account_is_asked_and_told_apart(simulator: Simulator) -> None:
    found = await shown("sources", two_accounts(simulator.url))
    ids = list(simulator.world.source_ids())
    assert sorted((row["account"], row["id"]) for row in found.rows) == [
        (account, source_id) for account in ("other", "test") for source_id in ids
    ]
    assert found.table().splitlines()[0].startswith("ACCOUNT  ")


async def test_an_account_is_meant_by_its_name(simulator: Simulator) -> None:
    found = await shown("sources", two_accounts(simulator.url), accounts=["other"])
    assert {row["account"] for row in found.rows} == {"other"}


async def test_an_account_that_is_not_there_is_told_with_those_that_are(simulator: Simulator) -> None:
    with pytest.raises(ConfigError, match=r"--account: no account is named 'othre'; known accounts: test, other$"):
        await shown("sources", two_accounts(simulator.url), accounts=["othre"])
    assert simulator.calls.total() == 0


async def test_an_account_that_cannot_be_read_hides_no_other(simulator: Simulator) -> None:
    found = await shown("sources", two_accounts(simulator.url, credentials=WRONG_KEY))
    assert {row["account"] for row in found.rows} == {"test"}
    assert not found.report.is_fine
    (complaint,) = found.remarks
    assert complaint.startswith("account other: ListMmsDataSources failed (status ")
    assert complaint.endswith("check the access key, the security token and the clock of this machine")


async def test_a_source_that_may_be_in_an_account_that_cannot_be_read_is_not_called_unknown(
    simulator: Simulator,
) -> None:
    found = await shown("sources", two_accounts(simulator.url, credentials=WRONG_KEY), sources=["elsewhere"])
    assert found.rows == []
    assert [complaint.partition(":")[0] for complaint in found.remarks] == ["account other"]


async def test_one_answer_of_many_that_fails_once_is_asked_again(simulator: Simulator) -> None:
    simulator.faults.add(Fault(kind="reset", operation="ListMmsDataSources", times=1))
    found = await shown("sources", two_accounts(simulator.url), accounts=["test"])
    assert found.report.is_fine
    assert len(found.rows) == len(simulator.world.source_ids())


@pytest.mark.parametrize("command", ["sources", "jobs", "failed", "show"])
async def test_no_command_writes(simulator: Simulator, command: str) -> None:
    await shown(command, two_accounts(simulator.url), thing=("table", 1), sources=[str(FIRST)])
    assert simulator.calls
    assert all(operation.startswith(("List", "Get")) for operation, _ in simulator.calls)


async def test_a_list_that_is_not_whole_is_shown_and_told(simulator: Simulator) -> None:
    simulator.faults.add(Fault(kind="total", total=99))
    found = await shown("sources", two_accounts(simulator.url), accounts=["test"], sources=[str(FIRST), "elsewhere"])
    assert [row["id"] for row in found.rows] == [FIRST]
    assert not found.report.is_fine
    assert "the list is incomplete or changed" in found.remarks[0]


@pytest.mark.parametrize("command", ["sources", "jobs", "failed", "show"])
@pytest.mark.parametrize("kind", ["nulls", "missing", "wrong_types"])
async def test_a_row_of_which_only_the_id_is_left_is_shown(
    simulator: Simulator, command: str, kind: Literal["nulls", "missing", "wrong_types"]
) -> None:
    simulator.faults.add(Fault(kind=kind, fields=LOSABLE))
    found = await shown(command, config_on(simulator.url), thing=("table", 1), limit=1)
    assert found.report.is_fine
    assert {bool(row["id"]) for row in found.rows} == {True}
    assert len(found.csv) == len(found.rows)
    assert "None" not in found.table() + found.table(100)


async def test_no_name_reaches_standard_error_raw(simulator: Simulator) -> None:
    happen(simulator.world, events.RenameSource(source_id=FIRST, name="a\x1b[31m\nb\u202e"))
    simulator.faults.add(Fault(kind="error", status=403, code="NoPermission", source_id=FIRST))
    (complaint,) = (await shown("jobs", config_on(simulator.url))).remarks
    assert complaint.startswith("account test, a\\x1b[31m\\nb\\u202e: ")
    with pytest.raises(ConfigError) as caught:
        await shown("jobs", config_on(simulator.url), sources=["\x1b[31m"])
    assert str(caught.value).isprintable()
