"""Web configuration files have the same outcomes as with the exporter-toolkit of Prometheus.

A real Prometheus runs them too; options newer than that Prometheus are compared with the documentation only.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from exporter.errors import ConfigError
from exporter.web.security.web_config_watcher import WebConfigWatcher
from tests.programs import program, said
from tests.web.http_fixture import Certificates, running_server
from tests.web.toolkit_cases import (
    ACCEPTED,
    BEHAVIOUR,
    GIVEN,
    NEWER_ACCEPTED,
    NEWER_BEHAVIOUR,
    NEWER_REFUSED,
    NO_HTTP2_CIPHER,
    REFUSED_AT_START,
    Client,
)


def starts(file: Path) -> bool:
    try:
        WebConfigWatcher(file)
    except ConfigError:
        return False
    return True


def written(certificates: Certificates, text: str) -> Path:
    file = certificates.folder / "web.yml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("name", [*ACCEPTED, *REFUSED_AT_START])
def test_the_exporter_starts_with_the_files_that_the_toolkit_accepts(certificates: Certificates, name: str) -> None:
    file = written(certificates, {**ACCEPTED, **REFUSED_AT_START}[name])
    code, output = said(program("PROMTOOL"), "check", "web-config", file)
    assert (code == 0) == (name in ACCEPTED), output
    assert starts(file) == (code == 0)


@pytest.mark.parametrize("name", [*NEWER_ACCEPTED, *NEWER_REFUSED])
def test_the_exporter_starts_with_the_files_that_newer_toolkits_accept(certificates: Certificates, name: str) -> None:
    file = written(certificates, {**NEWER_ACCEPTED, **NEWER_REFUSED}[name])
    assert starts(file) == (name in NEWER_ACCEPTED)


@pytest.mark.parametrize("name", [*BEHAVIOUR, *NEWER_BEHAVIOUR])
async def test_the_exporter_responds_as_the_toolkit_documents(certificates: Certificates, name: str) -> None:
    text, cases = {**BEHAVIOUR, **NEWER_BEHAVIOUR}[name]
    async with running_server(written(certificates, text)) as ours:
        assert await outcomes(ours.port, certificates, cases) == expected(cases)


@pytest.mark.parametrize("name", BEHAVIOUR)
async def test_the_toolkit_responds_the_same(certificates: Certificates, name: str) -> None:
    text, cases = BEHAVIOUR[name]
    async with prometheus_with(written(certificates, text)) as port:
        assert await outcomes(port, certificates, cases) == expected(cases)


async def test_both_reject_ciphers_that_http2_forbids(certificates: Certificates) -> None:
    file = written(certificates, GIVEN + NO_HTTP2_CIPHER)
    assert not starts(file)
    process, _ = await started_prometheus(file)
    async with asyncio.timeout(30):
        assert await process.wait() != 0


def expected(cases: list[tuple[str, Client, int | str]]) -> dict[str, list[int | str]]:
    return {case: [outcome] * client.times for case, client, outcome in cases}


async def outcomes(
    port: int, certificates: Certificates, cases: list[tuple[str, Client, int | str]]
) -> dict[str, list[int | str]]:
    return {case: await client.asks(port, certificates) for case, client, _ in cases}


@asynccontextmanager
async def prometheus_with(web_config: Path) -> AsyncIterator[int]:
    """Provide the port of a Prometheus with a web configuration."""
    process, port = await started_prometheus(web_config)
    try:
        async with asyncio.timeout(30):
            while not await is_open(port):  # noqa: ASYNC110 - another process cannot set an event
                await asyncio.sleep(0.05)
        yield port
    finally:
        process.terminate()
        await process.wait()


async def started_prometheus(web_config: Path) -> tuple[asyncio.subprocess.Process, int]:
    """Start a Prometheus with a web configuration; return it and its port."""
    folder = web_config.parent
    (folder / "prometheus.yml").write_text("{}\n", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        program("PROMETHEUS"),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--web.config.file={web_config}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    return process, port


async def is_open(port: int) -> bool:
    """Return whether a server listens on a port."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
