"""Accounts and configurations do not wait for each other while requests hang."""

import asyncio
from collections import Counter
from typing import Final

from exporter.app.service import Service
from exporter.config.loading import Config, config_from
from exporter.exposition.telemetry import Telemetry
from exporter.simulator import Fault, Simulator
from tests.conftest import IDENTITY, account_on, config_on
from tests.exposition_parser import Exposition, read
from tests.harness import eventually

LONGER: Final = "300s"
"""Timeout of hanging requests, longer than the test."""


def served(service: Service) -> Exposition:
    return read(service.publisher.body("text", gzip=False))


async def test_nine_hanging_accounts_do_not_delay_the_tenth(simulator: Simulator) -> None:
    async with Simulator(simulator.world, identities=[IDENTITY]) as hanging:
        hanging.faults.add(Fault(kind="hang"))
        accounts = [account_on(hanging.url, f"hanging-{number}", timeout=LONGER) for number in range(9)]
        accounts.insert(4, account_on(simulator.url, "live"))
        service = Service(Telemetry())
        await service.apply(config_from({"accounts": accounts, "refresh": {"interval": "1s"}}))
        await eventually(lambda: simulator.calls["ListMmsDataSources", None] >= 3)
        await eventually(lambda: served(service).value("mms_up", account="live") == 1)
        page = served(service)
        assert page.by("mms_up", "account") == {"live": 1}
        assert page.value("mms_refresh_skipped_total", account="live") == 0
        assert service.is_healthy
        assert len(service.awaited_accounts) == 9
        async with asyncio.timeout(30):
            await service.close()


async def test_a_reload_during_a_refresh_cancels_it_cleanly(simulator: Simulator) -> None:
    """The old refresh is cancelled, its results are kept, and the new one is right."""

    def paced(concurrency: int) -> Config:
        return config_on(simulator.url, {"concurrency": concurrency, "timeout": LONGER}, refresh={"interval": "1s"})

    service = Service(Telemetry())
    await service.apply(paced(8))
    await eventually(lambda: service.is_ready)
    before = tasks()
    number = simulator.faults.add(Fault(kind="hang", operation="ListMmsJobs"))
    await eventually(lambda: simulator.faults.happened(number) > 0)
    async with asyncio.timeout(30):
        await service.apply(paced(4))
    assert len(served(service).by("mms_tables", "source_id", status="DONE")) == 6
    simulator.faults.clear()
    await eventually(lambda: set(served(service).by("mms_datasource_refresh_success", "source_id").values()) == {1})
    await eventually(lambda: tasks() == before)
    await service.close()
    assert not tasks()


async def test_a_reload_during_a_refresh_exports_the_new_accounts_only(simulator: Simulator) -> None:
    service = Service(Telemetry())
    number = simulator.faults.add(Fault(kind="hang", operation="ListMmsJobs", times=1))
    await service.apply(config_from({"accounts": [account_on(simulator.url, "old", timeout=LONGER)]}))
    await eventually(lambda: simulator.faults.happened(number) > 0)
    async with asyncio.timeout(30):
        await service.apply(config_from({"accounts": [account_on(simulator.url, "new")]}))
    await eventually(lambda: service.is_ready)
    page = served(service)
    accounts = {dict(labels).get("account") for samples in page.samples.values() for labels in samples}
    assert accounts - {None} == {"new"}
    assert page.value("mms_up", account="new") == 1
    await service.close()


def tasks() -> Counter[str]:
    """Return the names of the service's long-running tasks."""
    names = (task.get_name() for task in asyncio.all_tasks())
    return Counter(name for name in names if name.startswith(("account ", "publish")))
