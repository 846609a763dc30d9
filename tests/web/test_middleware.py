"""Checks of every request and headers of every response, over real sockets."""

import logging
from http import HTTPStatus
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from structlog.testing import capture_logs

from exporter.app.service import Service
from exporter.exposition.telemetry import Telemetry
from exporter.web.handlers import application
from exporter.web.listener import ConnectionLimits
from exporter.web.security.web_config import DEFAULT_HEADERS
from tests.web.http_fixture import basic, running_server

DAVE = "$2y$05$rpuXrTplECsQ5ePBWc82peXm.9oqZajLTN9IShHh/ThbSxNiBQP3K"
"""Hash of dave123."""
GET = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def written(folder: Path, text: str) -> Path:
    file = folder / "web.yml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready", "/nothing"])
async def test_every_response_has_security_headers_and_no_server_version(path: str) -> None:
    async with (
        running_server() as ours,
        ClientSession() as session,
        session.get(f"http://127.0.0.1:{ours.port}{path}") as page,
    ):
        own = {"Content-Security-Policy", "Cache-Control"} if path == "/" else set()
        assert {name: page.headers.get(name) for name in DEFAULT_HEADERS.keys() - own} == {
            name: value for name, value in DEFAULT_HEADERS.items() if name not in own
        }
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        assert page.headers["Server"] == "mms-exporter"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"GET /<script> HTTP/9.9\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400),
        (GET % b"http://[canary/", 400),
        (GET % b"/canary", 404),
        (GET.replace(b"GET", b"DELETE") % b"/metrics", 405),
        ((GET % b"/metrics").replace(b"Host", b"Expect: canary\r\nHost"), 417),
        (GET % b"/boom", 500),
        (GET % b"/late", 504),
    ],
    ids=[
        *("TLS", "no HTTP", "no header", "no length", "no address", "nothing there", "a method that is not offered"),
        *("an expectation", "a bug", "a time-out within"),
    ],
)
async def test_an_error_response_has_its_status_and_no_internals_or_request_data(
    request_bytes: bytes, status: int
) -> None:
    app = application(Service(Telemetry(with_process=False)), "/metrics", None)

    async def boom(_: web.Request) -> web.Response:
        raise RuntimeError("canary")

    async def late(_: web.Request) -> web.Response:
        raise TimeoutError("canary")

    app.router.add_get("/boom", boom)
    app.router.add_get("/late", late)
    async with running_server(app=app) as ours:
        head, _, body = (await ours.send(request_bytes)).decode().partition("\r\n\r\n")
    assert head.split()[1] == str(status)
    assert "Server: mms-exporter\r\n" in head
    assert body.strip() in (HTTPStatus(status).phrase, f"{status}: {HTTPStatus(status).phrase}")
    assert "canary" not in head


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n\r\n",
        b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\nabc",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n",
        GET % b"http://[canary/",
    ],
    ids=["no gzip", "no chunk", "half a body", "no header", "no address"],
)
async def test_requests_do_not_fill_the_log(request_bytes: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with capture_logs() as logs:
        async with running_server(limits=ConnectionLimits(head_seconds=0.4, idle_seconds=0.4)) as ours:
            await ours.send(request_bytes)
    assert [each for each in logs if each["log_level"] != "debug"] == []
    assert [each.getMessage() for each in caplog.records if each.levelno > logging.DEBUG] == []


async def test_a_configured_header_takes_precedence_over_the_default(tmp_path: Path) -> None:
    text = (
        "http_server_config: {headers: {X-Frame-Options: sameorigin, Content-Security-Policy: '', X-XSS-Protection: 1}}"
    )
    async with running_server(written(tmp_path, text)) as ours:
        head = (await ours.send(GET % b"/")).decode()
    assert "X-Frame-Options: sameorigin\r\n" in head
    assert "X-XSS-Protection: 1\r\n" in head
    assert "Content-Security-Policy" not in head, "set to nothing, it is unset"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/-/healthy", b"200"),
        ("/-/ready", b"200"),
        ("/-/healthy?x=1", b"200"),
        ("/-/healthy/", b"401"),
        ("/-/healthyx", b"401"),
        ("//-/healthy", b"401"),
        ("/%2D/healthy", b"200"),
        ("/-%2Fhealthy", b"401"),
        ("/-/healthy%2F..%2F..%2Fmetrics", b"401"),
        ("/-/healthy%3F", b"401"),
        ("/-/healthy%00", b"401"),
        ("/metrics?/-/healthy", b"401"),
        ("/metrics#/-/healthy", b"401"),
        ("http://x/-/healthy", b"200"),
        ("http://x/metrics", b"401"),
        ("http://-/healthy", b"401"),
        ("/-/healthy/../../metrics", b"401"),
        ("/", b"401"),
        ("/metrics", b"401"),
    ],
)
async def test_only_the_exact_excluded_paths_need_no_login(tmp_path: Path, path: str, status: bytes) -> None:
    text = f"basic_auth_users: {{dave: {DAVE}}}\nauth_excluded_paths: [/-/healthy, /-/ready]\n"
    async with running_server(written(tmp_path, text)) as ours:
        assert (await ours.send(GET % path.encode())).split()[1] == status


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT"])
async def test_every_method_needs_a_login(tmp_path: Path, method: str) -> None:
    text = f"basic_auth_users: {{dave: {DAVE}}}\nauth_excluded_paths: [/-/healthy]\n"
    async with running_server(written(tmp_path, text)) as ours:
        assert (await ours.send((GET % b"/metrics").replace(b"GET", method.encode()))).split()[1] == b"401"


async def test_the_first_of_two_logins_in_a_request_counts(tmp_path: Path) -> None:
    # As in the toolkit, so that a proxy in front checks the same login.
    logins = "\r\n".join(f"Authorization: {basic('dave', password)}" for password in ("wrong", "dave123"))
    request = (GET % b"/metrics").replace(b"Host", logins.encode() + b"\r\nHost")
    async with running_server(written(tmp_path, f"basic_auth_users: {{dave: {DAVE}}}\n")) as ours:
        assert (await ours.send(request)).split()[1] == b"401"


async def test_a_rejected_login_gets_a_challenge(tmp_path: Path) -> None:
    async with running_server(written(tmp_path, f"basic_auth_users: {{dave: {DAVE}}}\n")) as ours:
        response = (await ours.send(GET % b"/metrics")).decode()
    assert 'WWW-Authenticate: Basic realm="mms-exporter"\r\n' in response
    assert response.endswith("\r\n\r\nUnauthorized\n")


async def test_a_request_above_the_rate_limit_gets_retry_after(tmp_path: Path) -> None:
    async with running_server(written(tmp_path, "rate_limit: {interval: 1h, burst: 2}\n")) as ours:
        responses = [await ours.send(GET % b"/-/healthy") for _ in range(3)]
    assert [response.split()[1] for response in responses] == [b"200", b"200", b"429"]
    assert b"Retry-After: 3600\r\n" in responses[-1]


@pytest.mark.parametrize(
    "header",
    [
        b"Basic",
        b"Basic ",
        b"Basic ????",
        b"Basic Zm9v",
        b"Bearer Zm9vOmJhcg==",
        b"Basic Zm9vOmJhcg",
        b"Basic \xff\xfe",
        b"\x80",
    ],
)
async def test_a_malformed_login_is_rejected(tmp_path: Path, header: bytes) -> None:
    async with running_server(written(tmp_path, f"basic_auth_users: {{dave: {DAVE}}}\n")) as ours:
        request = (GET % b"/metrics").replace(b"\r\n\r\n", b"\r\nAuthorization: " + header + b"\r\n\r\n")
        assert (await ours.send(request)).split()[1] == b"401"
