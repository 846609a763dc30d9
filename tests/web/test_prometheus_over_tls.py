"""A real Prometheus scrapes with a client certificate and a login during rotations."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession

from exporter.simulator import Simulator
from tests.processes import Running, serving, write_config
from tests.test_prometheus import prometheus_on, query
from tests.web.http_fixture import Certificates, ask
from tests.web.test_middleware import DAVE

WEB_CONFIG = f"""tls_server_config:
  cert_file: server.pem
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: clients_ca.pem
  client_allowed_sans: [prometheus]
basic_auth_users:
  dave: {DAVE}
auth_excluded_paths: [/-/ready]
"""
SCRAPING = (
    "scrape_interval: {seconds}s, scrape_timeout: {seconds}s, scheme: https, "
    "tls_config: {{ca_file: {folder}/ca.pem, cert_file: {folder}/both.pem, key_file: {folder}/both.pem}}, "
    "basic_auth: {{username: dave, password: dave123}}, "
)
ROTATIONS = 15


@asynccontextmanager
async def scraped(
    certificates: Certificates, simulator: Simulator, seconds: int = 1, scrapers: int = 1
) -> AsyncIterator[tuple[Running, str, Path]]:
    """Provide the exporter, the URL of the scraping Prometheus, and the log of Prometheus."""
    folder = certificates.folder
    issue_scraper(certificates)
    certificates.authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    (folder / "web.yml").write_text(WEB_CONFIG, encoding="utf-8")
    config = write_config(folder, simulator.url)
    async with serving(f"--config.file={config}", f"--web.config.file={folder}/web.yml") as exporter:
        target = exporter.urls[0].removeprefix("https://")
        async with prometheus_on(
            target, folder, SCRAPING.format(folder=folder, seconds=seconds), scrapers=scrapers
        ) as (url, log):
            await until(url, f"sum(up) == {scrapers}")
            yield exporter, url, log


def issue_scraper(certificates: Certificates) -> None:
    """Replace the certificate and key of the scraper."""
    certificates.issue("prometheus", "prometheus")
    both = certificates.folder / "both.new"
    both.write_bytes(b"".join((certificates.folder / f"prometheus.{part}").read_bytes() for part in ("pem", "key")))
    both.replace(certificates.folder / "both.pem")


async def until(url: str, expression: str) -> None:
    """Wait until a query has a result."""
    async with asyncio.timeout(20):
        while not await query(url, expression):  # noqa: ASYNC110 - another process cannot set an event
            await asyncio.sleep(0.1)


async def errors_of_scrapes(url: str) -> list[str]:
    """Return why the last scrape of each target failed."""
    async with ClientSession() as session, session.get(f"{url}/api/v1/targets") as response:
        answer = await response.json()
    return [each["lastError"] for each in answer["data"]["activeTargets"]]


@pytest.mark.long
async def test_no_scrape_fails_while_certificates_are_rotated_on_both_sides(
    certificates: Certificates, simulator: Simulator
) -> None:
    # Two scrapes a second, each of which has time enough on a busy machine.
    async with scraped(certificates, simulator, seconds=5, scrapers=10) as (exporter, url, log):
        port = int(exporter.urls[0].rpartition(":")[2])
        statuses = []
        for _ in range(ROTATIONS):
            certificates.issue_server()
            issue_scraper(certificates)
            context = certificates.client_context("prometheus")
            statuses += [await ask(port, context, ("dave", "dave123"), "/metrics") for _ in range(5)]
            await until(url, f"timestamp(up) > {time.time():.3f}")
        assert set(statuses) == {200}
        assert await query(url, "min_over_time(up[1h])") == [1] * 10, await errors_of_scrapes(url)
        # A certificate and its key that are written slowly do not match at first.
        await until(url, "min(mms_exporter_config_last_reload_successful) == 1")
        assert "level=error" not in log.read_text(encoding="utf-8")


async def test_a_changed_password_fails_at_once_and_works_again_when_restored(
    certificates: Certificates, simulator: Simulator
) -> None:
    async with scraped(certificates, simulator) as (exporter, url, _):
        file = certificates.folder / "web.yml"
        file.write_text(WEB_CONFIG.replace("dave:", "carol:"), encoding="utf-8")
        await until(url, "up == 0")
        file.write_text(WEB_CONFIG, encoding="utf-8")
        await until(url, "up == 1")
        port = int(exporter.urls[0].rpartition(":")[2])
        assert await ask(port, certificates.client_context("prometheus"), path="/-/ready") == 200, (
            "a probe has no password"
        )
        assert await ask(port, certificates.client_context("client"), ("dave", "dave123")) == "refused", "another name"


async def test_a_connected_scraper_does_not_delay_the_shutdown(
    certificates: Certificates, simulator: Simulator
) -> None:
    async with scraped(certificates, simulator) as (exporter, _, _):
        ended = await exporter.end()
    assert ended.code == 0
    assert "Traceback" not in ended.err
