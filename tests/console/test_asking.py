"""Which accounts and data sources are asked, and what becomes of those that cannot be."""

import pytest

from exporter.config import Config, config_from
from exporter.errors import ConfigError
from exporter.simulator import Fault, Simulator
from tests.conftest import account_on
from tests.console.conftest import FIRST, shown

WRONG_KEY = {"type": "access_key", "access_key_id": "LTAI-EXAMPLE", "access_key_secret": "wrong"}


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
    with pytest.raises(ConfigError, match=r"--account: no account is called 'othre'; there are test, other$"):
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
