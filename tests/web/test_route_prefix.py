"""The exporter behind a path of a reverse proxy: endpoints, links, redirects and the health check."""

import re
from pathlib import Path

import pytest
from aiohttp import ClientSession

from exporter.simulator import Fault, Simulator
from tests.processes import Running, run, serving, write_config

BEHIND = "--web.external-url=https://example.com/mms/"


async def answer(exporter: Running, path: str, method: str = "GET") -> tuple[int, str]:
    """Return status and location of an answer, from the root of the server."""
    root = "/".join(exporter.urls[0].split("/")[:3])
    async with ClientSession() as session, session.request(method, root + path, allow_redirects=False) as response:
        return response.status, response.headers.get("location", "")


@pytest.mark.parametrize("flag", [BEHIND, "--web.route-prefix=/mms/"])
async def test_every_path_has_the_prefix(simulator: Simulator, tmp_path: Path, flag: str) -> None:
    file = write_config(tmp_path, simulator.url)
    async with serving(f"--config.file={file}", flag, "--web.enable-lifecycle") as exporter:
        assert exporter.urls[0].endswith("/mms")
        await exporter.until_ready()
        assert (await exporter.metrics()).value("mms_up") == 1
        for path in ("/mms/metrics", "/mms/", "/mms/api/v1/status", "/mms/-/healthy", "/mms/-/ready"):
            assert await answer(exporter, path) == (200, "")
        for path in ("/metrics", "/api/v1/status", "/-/healthy", "/-/ready"):
            assert await answer(exporter, path) == (404, "")
        for path in ("/", "/mms"):
            assert await answer(exporter, path) == (302, "/mms/")
        assert (await answer(exporter, "/mms/-/reload", "POST"))[0] == 200
        _, page = await exporter.get("/")
    assert own_links(page) == {f"/mms{path}" for path in ("/metrics", "/-/healthy", "/-/ready", "/api/v1/status")}


async def test_a_proxy_may_add_the_prefix(simulator: Simulator, tmp_path: Path) -> None:
    file = write_config(tmp_path, simulator.url)
    flags = ("--web.external-url=https://example.com/", "--web.route-prefix=/mms")
    async with serving(f"--config.file={file}", *flags) as exporter:
        for path in ("/", "/mms"):
            assert await answer(exporter, path) == (302, "/mms/")


async def test_a_proxy_may_strip_the_prefix(simulator: Simulator, tmp_path: Path) -> None:
    file = write_config(tmp_path, simulator.url)
    async with serving(f"--config.file={file}", BEHIND, "--web.route-prefix=/") as exporter:
        await exporter.until_ready()
        assert await answer(exporter, "/metrics") == (200, "")
        _, page = await exporter.get("/")
    assert own_links(page) == {f"/mms{path}" for path in ("/metrics", "/-/healthy", "/-/ready", "/api/v1/status")}


async def test_the_health_check_uses_the_prefix(simulator: Simulator, tmp_path: Path) -> None:
    file = write_config(tmp_path, simulator.url)
    async with serving(f"--config.file={file}", BEHIND) as exporter:
        address = f"--web.listen-address={exporter.urls[0].split('/')[2]}"
        variables = {"MMS_EXPORTER_WEB_EXTERNAL_URL": "https://example.com/mms"}
        assert (await run("probe", address, environment=variables)).code == 0
        assert (await run("probe", address)).code == 1


async def test_the_page_links_the_configured_runbooks_and_dashboards(simulator: Simulator, tmp_path: Path) -> None:
    simulator.faults.add(Fault(kind="error", status=403, code="NoPermission", operation="ListMmsDataSources"))
    file = write_config(tmp_path, simulator.url)
    flags = ("--web.runbook-url=https://wiki.example.com/mms/", "--web.dashboard-url=https://grafana.example.com/")
    async with serving(f"--config.file={file}", *flags) as exporter:
        await exporter.until_ready()
        _, page = await exporter.get("/")
        _, status = await exporter.get("/api/v1/status")
    assert 'href="https://wiki.example.com/mms/MmsPermissionRefused.md"' in page
    assert '"runbook":"https://wiki.example.com/mms/MmsPermissionRefused.md"' in status
    assert 'href="https://grafana.example.com/d/mms-overview"' in page
    assert "blob/main/docs/runbooks" not in page


@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        ("--web.external-url=example.com/mms", "expected a URL such as https://example.com/mms"),
        ("--web.external-url=https://example.com/a?b", "expected a URL such as https://example.com/mms"),
        ("--web.external-url=https://example.com/<a>", "expected a path such as /mms"),
        ("--web.route-prefix=mms", "expected a path such as /mms"),
        ("--web.route-prefix=/a/../b", "expected a path such as /mms"),
    ],
)
async def test_an_invalid_address_is_a_usage_error(flag: str, reason: str) -> None:
    ended = await run("demo", flag)
    assert ended.code == 2
    assert reason in ended.err


def own_links(page: str) -> set[str]:
    """Return the links to the exporter itself."""
    return set(re.findall(r'href="(/[^"]*)"', page))
