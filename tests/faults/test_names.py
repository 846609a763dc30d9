"""The endpoint's DNS name resolves in one refresh and fails in the next."""

import socket

import pytest
from aiohttp import ThreadedResolver

from exporter.simulator import ManualClock, Simulator
from tests.conftest import config_on
from tests.exposition_parser import Exposition
from tests.faults.stage import domain
from tests.harness import harness_on

FIGURES = ("mms_datasource_info", "mms_tables", "mms_partitions", "mms_jobs", "mms_job_status")


async def unresolved(*_: object, **__: object) -> None:
    """Simulate an unreachable name server."""
    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


async def test_a_dns_failure_keeps_the_values_and_is_reported(
    simulator: Simulator, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_on(simulator.url.replace("127.0.0.1", "localhost"))
    async with harness_on(config, clock) as harness:
        before = await harness.refresh()
        assert before.value("mms_up") == 1
        await harness.client.close()  # a new connection is needed, and the DNS cache is empty
        monkeypatch.setattr(ThreadedResolver, "resolve", unresolved)
        served = await harness.refresh()
        assert served.value("mms_up") == 0
        failed = {reason for reason, count in reasons(served).items() if count}
        assert failed == {"connection"}
        assert [served.samples[name] for name in FIGURES] == [before.samples[name] for name in FIGURES]
        assert set(served.by("mms_datasource_refresh_success", "source_id").values()) == {0}
        monkeypatch.undo()
        assert domain(await harness.refresh()) == domain(before)


def reasons(served: Exposition) -> dict[str, float]:
    """Return the failed requests by reason."""
    return served.by("mms_api_request_failures_total", "reason", operation="ListMmsDataSources")
