"""Fixtures: a service on the simulated MMS, its HTTP client, certificates."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from exporter.app.service import Service
from exporter.exposition.telemetry import Telemetry
from exporter.simulator import Simulator
from exporter.web.handlers import application
from tests.conftest import config_on
from tests.harness import eventually
from tests.web.http_fixture import Certificates, certificates_in


@pytest.fixture
async def service(simulator: Simulator) -> AsyncIterator[Service]:
    """Provide a service after its first refresh of the simulated MMS."""
    running = Service(Telemetry())
    await running.apply(config_on(simulator.url))
    await eventually(lambda: running.is_ready)
    yield running
    await running.close()


@pytest.fixture
async def http(service: Service) -> AsyncIterator[ClientSession]:
    """Provide an HTTP client of the service, with every path enabled."""

    async def reload() -> None:
        return None

    async with (
        TestServer(application(service, "/metrics", reload)) as server,
        ClientSession(server.make_url("/"), auto_decompress=False) as session,
    ):
        yield session


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Provide certificates in the folder of the test."""
    return certificates_in(tmp_path)
