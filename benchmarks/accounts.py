"""An account refreshed in the measuring process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.settings import config
from exporter.app.service import Service
from exporter.collect.refresh import AccountRefresher
from exporter.exposition.telemetry import Telemetry


@asynccontextmanager
async def refresher(url: str) -> AsyncIterator[tuple[AccountRefresher, Telemetry]]:
    """Provide an account's refresher on a simulated MMS, and telemetry."""
    settings, telemetry = config(url), Telemetry(with_process=False)
    account, client = Service(telemetry).refresher(settings.accounts[0], settings)
    try:
        yield account, telemetry
    finally:
        await client.close()


def calls(telemetry: Telemetry) -> int:
    """Return how many requests were sent."""
    samples = (each for metric in telemetry.calls.requests.collect() for each in metric.samples)
    return int(sum(each.value for each in samples if each.name.endswith("_total")))


def seconds_in_calls(telemetry: Telemetry) -> float:
    """Return the total duration of all requests."""
    samples = (each for metric in telemetry.calls.duration.collect() for each in metric.samples)
    return sum(each.value for each in samples if each.name.endswith("_sum"))
