"""No secret is disclosed by logs, metrics, pages, commands or reprs.

All secrets contain CANARY, also those in the `config` of the simulated data sources.
"""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from msgspec.structs import replace as fault_like

from exporter import logs
from exporter.config.loading import Config, config_from
from exporter.console.output.printing import printed
from exporter.console.output.terminal import OutputStyle
from exporter.simulator import Fault, Identity, ManualClock, Simulator, apply_event
from exporter.simulator.api.rows import CANARY
from exporter.simulator.world import events
from tests.conftest import config_on
from tests.console.conftest import shown
from tests.faults.expectations import FAULT_CASES
from tests.harness import harness_on
from tests.mms.conftest import sample
from tests.mms.test_credentials import run as run_python
from tests.processes import Running, run, serving, write_config
from tests.web.http_fixture import basic

SECRET, TOKEN = f"{CANARY}-secret", f"{CANARY}-token"
LONG_LIVED = Identity("LTAI-EXAMPLE", SECRET)
TEMPORARY_IDENTITY = Identity("STS.EXAMPLE", SECRET, TOKEN)
TEMPORARY = {"AccessKeyId": "STS.EXAMPLE", "AccessKeySecret": SECRET, "SecurityToken": TOKEN}
ISSUED = {"Code": "Success", "Expiration": "2099-01-01T00:00:00Z", **TEMPORARY}
MESSAGE = f"the password {CANARY} is wrong; signed with {SECRET} and {TOKEN}"
FAULTS = {
    name: fault_like(each.fault, message=MESSAGE, text=each.fault.text or MESSAGE) for name, each in FAULT_CASES.items()
}
REFUSED = Fault(kind="error", status=403, code="SignatureDoesNotMatch", message=MESSAGE)


SAMPLED = {
    "ListMmsDataSources": "vendor",
    "ListMmsJobs": "vendor",
    "ListMmsDbs": "listed",
    "ListMmsTasks": "listed",
    "ListMmsTaskLogs": "listed",
}
"""Operations that succeed, with the sample of their response; others fail."""


def fail_tasks(simulator: Simulator, clock: ManualClock, message: str) -> int:
    """Let some tasks of SOURCE fail with a message, and return the id of one."""
    world = simulator.world
    tables = tuple(table.id for table in world.truth().tables(SOURCE))
    apply_event(world, events.Change(source_id=SOURCE, table_ids=tables))
    for database in world.truth().databases(SOURCE):
        apply_event(world, events.CreateJob(source_id=SOURCE, database=database.name or "", failure_rate=1.0))
    apply_event(world, events.SetText(source_id=SOURCE, field="msg", text=message, task_id=EVERY_TASK))
    clock.advance(3600)
    return next(task.id for task in world.truth().tasks(SOURCE) if (task.status or "").endswith("_FAILED"))


def assert_no_secret(*texts: object) -> None:
    """Check that no text contains a secret."""
    for text in map(str, texts):
        place = text.lower().find(CANARY)
        assert place < 0, text[max(0, place - 200) : place + 200]


@pytest.fixture
async def vault(simulator: Simulator) -> Simulator:
    """Return the simulated MMS, which accepts the secret keys."""
    simulator.identities.add(LONG_LIVED)
    simulator.identities.add(TEMPORARY_IDENTITY)
    return simulator


@pytest.fixture
async def issuer() -> AsyncIterator[str]:
    """Return the URL of a simulated credentials URI, STS and metadata service."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if "Action" in request.query:
            return web.json_response({"Credentials": ISSUED})
        is_role = request.path.endswith(("/mms-role", "/uri"))
        return web.json_response(ISSUED) if is_role else web.Response(text="mms-role")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


def credentials(issuer: str, home: Path) -> dict[str, dict[str, str]]:
    """Return settings for each credential type."""
    (home / ".alibabacloud").mkdir()
    profile = f"[default]\ntype = access_key\naccess_key_id = LTAI-EXAMPLE\naccess_key_secret = {SECRET}\n"
    (home / ".alibabacloud" / "credentials.ini").write_text(profile, encoding="utf-8")
    (home / "token").write_text(TOKEN, encoding="utf-8")
    key = {"access_key_id": "LTAI-EXAMPLE", "access_key_secret": SECRET}
    role = {"role_arn": "acs:ram::1:role/mms", "sts_endpoint": issuer}
    oidc = {"oidc_provider_arn": "acs:ram::1:oidc-provider/ack", "oidc_token_file_path": str(home / "token")}
    return {
        "default": {},
        "access_key": key,
        "sts": {"access_key_id": "STS.EXAMPLE", "access_key_secret": SECRET, "security_token": TOKEN},
        "ram_role_arn": {**key, **role},
        "ecs_ram_role": {},
        "oidc_role_arn": {**role, **oidc},
        "credentials_uri": {"uri": f"{issuer}/uri"},
        "profile": {},
    }


def environment(issuer: str) -> dict[str, str]:
    """Return the environment for the credential types without settings."""
    return {
        "HTTP_PROXY": issuer,  # the metadata service has a fixed address
        "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "false",
        "ALIBABA_CLOUD_ACCESS_KEY_ID": "STS.EXAMPLE",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": SECRET,
        "ALIBABA_CLOUD_SECURITY_TOKEN": TOKEN,
    }


def raw_account(url: str, kind: str, spec: dict[str, str], name: str = "test") -> dict[str, Any]:
    account = {"name": name, "region": "cn-shanghai", "endpoint": url, "rate_limit": 0, "timeout": "250ms"}
    return {**account, "credentials": {"type": kind, **spec}}


def sts_config(url: str) -> Config:
    keys = {"access_key_id": "STS.EXAMPLE", "access_key_secret": SECRET, "security_token": TOKEN}
    account = {**raw_account(url, "sts", keys), "sources": {"include": ["hive-sales.*"]}}
    return config_from({"accounts": [account], "tasks": {"enabled": True}})


@pytest.mark.usefixtures("restored_logging")
@pytest.mark.parametrize("log_format", logs.FORMATS)
async def test_faults_disclose_no_secret_in_logs_and_metrics(
    vault: Simulator, clock: ManualClock, log_format: str
) -> None:
    stream = io.StringIO()
    logs.configure("debug", log_format, stream)
    logging.root.setLevel(logging.DEBUG)
    fail_tasks(vault, clock, MESSAGE)
    async with harness_on(sts_config(vault.url), clock) as harness:
        for fault in (*FAULTS.values(), REFUSED):
            vault.faults.add(fault)
            await harness.refresh()
            pages = [harness.publisher.body(each, gzip=False) for each in ("text", "openmetrics")]
            assert_no_secret(*pages, repr(harness.refresher.snapshot()))
            vault.faults.clear()
        assert (await harness.refresh()).value("mms_up") == 1
    assert "ListMmsTaskLogs" in {operation for operation, _ in vault.calls}, "logs have secrets too"
    assert "read failed" in stream.getvalue(), "the log has debug lines"
    assert_no_secret(stream.getvalue())


REFUSALS = [(200, ""), (400, "InvalidParameter"), (403, "NoPermission"), (404, "NotFound"), (429, "Throttling.User")]
REFUSALS += [(401, "InvalidSecurityToken.Expired"), (302, ""), (500, "InternalError"), (503, "")]
HEADERS = {
    "Set-Cookie": f"session={SECRET}; Path=/",
    "Date": f"Tue, 17 Dec 2024 {SECRET} GMT",
    "Retry-After": SECRET,
    "X-Acs-Retry-After": SECRET,
    "X-Acs-Request-Id": f"{SECRET} {TOKEN}",  # a text in the form of a request ID is shown, because support needs it
    "WWW-Authenticate": f'Basic realm="{SECRET}"',
    "Location": f"https://mms.example.com/?token={TOKEN}",
    "Content-Type": f"application/json; charset={SECRET}",
    "X-Other": TOKEN,
}


@pytest.fixture
async def talkative() -> AsyncIterator[tuple[list[tuple[int, str]], str]]:
    """Return pending error responses and URL of an MMS with secrets in all headers."""
    refusals: list[tuple[int, str]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        operation = request.headers["x-acs-action"]
        status, code = refusals.pop(0) if refusals else (200, "")
        body = (
            sample(operation, SAMPLED[operation])
            if status == 200 and operation in SAMPLED
            else json.dumps({"Code": code}).encode()
        )
        return web.Response(status=status, body=body, headers=HEADERS)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        yield refusals, str(server.make_url("")).rstrip("/")


@pytest.mark.usefixtures("restored_logging")
@pytest.mark.parametrize("log_format", logs.FORMATS)
async def test_response_headers_disclose_no_secret_in_logs_and_metrics(
    talkative: tuple[list[tuple[int, str]], str], clock: ManualClock, log_format: str
) -> None:
    refusals, url = talkative
    stream = io.StringIO()
    logs.configure("debug", log_format, stream)
    logging.root.setLevel(logging.DEBUG)
    async with harness_on(sts_config(url), clock) as harness:
        for refusal in [(200, ""), *REFUSALS]:
            refusals[:] = [refusal] * 4  # one for each attempt
            await harness.refresh()
            pages = [harness.publisher.body(each, gzip=False) for each in ("text", "openmetrics")]
            assert_no_secret(*pages, repr(harness.refresher.snapshot()))
        failed = (await harness.served()).having("mms_api_request_failures_total", operation="ListMmsDataSources")
    assert {dict(labels)["reason"] for labels, count in failed.items() if count} >= {"auth", "server", "throttled"}
    assert "refresh failed" in stream.getvalue()
    assert_no_secret(stream.getvalue())


async def test_the_serving_process_discloses_no_credentials(vault: Simulator, issuer: str, tmp_path: Path) -> None:
    """All credential types, on every page, after a rejection, a failed reload and the exit."""
    specs = credentials(issuer, tmp_path)
    accounts = [raw_account(vault.url, kind, spec, name=kind) for kind, spec in specs.items()]
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps({"accounts": accounts, "refresh": {"interval": "1s"}}), encoding="utf-8")
    arguments = (f"--config.file={file}", "--log.level=debug", "--web.enable-lifecycle")
    surroundings = {"HOME": str(tmp_path), **environment(issuer)}
    async with serving(*arguments, environment=surroundings) as exporter:
        await exporter.until_ready()
        served = await exporter.metrics()
        assert served.by("mms_up", "account") == dict.fromkeys(specs, 1)
        vault.faults.add(REFUSED)
        await exporter.until(lambda served: set(served.by("mms_up", "account").values()) == {0})
        for path in ("/metrics", "/", "/api/v1/status", "/-/ready", "/nothing"):
            for accept in ("text/html", "application/openmetrics-text"):
                assert_no_secret((await exporter.get(path, accept=accept))[1])
        key = f"{SECRET}7"  # letters alone would look like a mistyped key
        broken = {"type": "access_key", "access_key_id": 7, "access_key_secret": [SECRET], key: TOKEN}
        file.write_text(json.dumps({"accounts": [{"name": "a", "credentials": broken}], key: 1}), encoding="utf-8")
        async with ClientSession() as session, session.post(f"{exporter.urls[0]}/-/reload") as response:
            assert response.status == 400
            assert_no_secret(await response.text())
        assert_no_secret((await exporter.get("/"))[1], (await exporter.get("/api/v1/status"))[1])
        ended = await exporter.end()
    assert ended.err.count("\n") > 5
    assert_no_secret(ended.out, ended.err)


PASSWORD = f"{CANARY}-password"
LOGIN, WRONG_LOGIN = basic("scraper", PASSWORD), basic("mallory", PASSWORD)
QUERY = f"token={CANARY}&{CANARY}"
REQUEST_HEADERS = {
    "a login that is right": {"Authorization": LOGIN},
    "a login that is wrong": {"Authorization": WRONG_LOGIN},
    "a login that is none": {"Authorization": f"Basic {CANARY}"},
    "a token": {"Authorization": f"Bearer {CANARY}"},
    "other headers": {
        "Authorization": LOGIN,
        **dict.fromkeys(("Cookie", "Referer", "User-Agent", "X-Api-Key", "Proxy-Authorization"), CANARY),
        **dict.fromkeys(("Accept", "Accept-Encoding", "If-None-Match", "X-Forwarded-For", "Forwarded"), CANARY),
    },
    "an expectation": {"Authorization": LOGIN, "Expect": CANARY},
}
INVALID_REQUESTS = {
    "a method": f"{CANARY} /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
    "a version": f"GET /metrics HTTP/{CANARY}\r\nHost: x\r\n\r\n",
    "a host": f"GET /metrics HTTP/1.1\r\nHost: {CANARY}\r\n\r\n",
    "a header that is broken": f"GET /metrics HTTP/1.1\r\nHost: x\r\nCookie: {CANARY}\0\r\n\r\n",
    "a header that is long": f"GET /metrics HTTP/1.1\r\nHost: x\r\nCookie: {CANARY * 2000}\r\n\r\n",
    "a body that is long": f"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n{CANARY}",
    "a body of broken chunks": f"GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{CANARY}\r\n",
}


async def test_the_serving_process_discloses_no_scraper_secret(simulator: Simulator, tmp_path: Path) -> None:
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    web_file = tmp_path / "web.yml"
    web_file.write_text(json.dumps({"basic_auth_users": {"scraper": hashed}}), encoding="utf-8")
    arguments = (f"--config.file={write_config(tmp_path, simulator.url)}", f"--web.config.file={web_file}")
    texts, statuses = [], set()
    async with (
        serving(*arguments, "--log.level=debug", "--web.enable-lifecycle") as exporter,
        ClientSession() as session,
    ):
        for path, headers in product(("/metrics", "/", "/api/v1/status", f"/{CANARY}"), REQUEST_HEADERS.values()):
            async with session.get(f"{exporter.urls[0]}{path}?{QUERY}", headers=headers) as response:
                texts += [repr(response.headers), await response.text()]
                statuses.add(response.status)
        texts += [await raw_answer(exporter, request) for request in INVALID_REQUESTS.values()]
        for path in ("/metrics", "/", "/api/v1/status"):
            async with session.get(exporter.urls[0] + path, headers={"Authorization": LOGIN}) as response:
                assert response.status == 200
                texts.append(await response.text())
        ended = await exporter.end()
    assert {200, 401, 404, 417} <= statuses
    assert "level=debug" in ended.err
    assert_no_secret(*texts, ended.out, ended.err)
    for login in (LOGIN, WRONG_LOGIN, hashed):
        assert login.removeprefix("Basic ") not in "".join((*texts, ended.out, ended.err))


async def raw_answer(exporter: Running, request: str) -> str:
    """Return the response to an invalid request."""
    host, _, port = exporter.urls[0].removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request.encode())
    async with asyncio.timeout(10):
        answer = await reader.readuntil(b"\r\n\r\n")
    answer += await reader.read(1024)
    writer.close()
    await writer.wait_closed()
    return answer.decode()


QUOTES = {
    "a URL": f"jdbc:mysql://root:{SECRET}@db.example.com:3306/sales",
    "a query": f"https://db.example.com/sales?token={TOKEN}",
    "JSON": json.dumps({"user": "root", "password": SECRET}),
    "a header": f"refused: Authorization: Bearer {TOKEN}",
}
"""Texts with a secret, as MMS may return them."""
FREE_TEXTS = {
    "source": ("networklink", "errMsg", "scanErrMsg"),
    "scan": ("errorMsg", "result", "startTime", "endTime"),
    "job": ("eta",),
    "table": ("owner", "location", "inputFormat", "outputFormat", "serde", "extra", "lastDdlTime"),
    "partition": ("lastDdlTime",),
    "task": ("msg",),
}
"""Free-text fields by type of object."""
EVERY_TASK = 0
THINGS = {"table": 1, "partition": 11, "job": 15, "task": EVERY_TASK}
SOURCE = 2000001


def plant(simulator: Simulator, text: str) -> None:
    """Set every free-text field of a source, its scan, a table, partition, job, and the logs of failed tasks."""
    apply_event(simulator.world, events.ScanMetadata(source_id=SOURCE, seconds=100_000))
    for kind, fields in FREE_TEXTS.items():
        place = {f"{kind}_id": THINGS.get(kind, 0)} if kind != "source" else {}
        for field in fields:
            apply_event(simulator.world, events.SetText(source_id=SOURCE, field=field, text=text, **place))


@pytest.mark.parametrize("text", QUOTES.values(), ids=QUOTES)
async def test_commands_mask_secrets_quoted_by_mms(simulator: Simulator, clock: ManualClock, text: str) -> None:
    plant(simulator, text)
    config = config_on(simulator.url)
    records = {**THINGS, "task": fail_tasks(simulator, clock, text)}
    things = [("show", {"record": record, "sources": [str(SOURCE)]}) for record in records.items()]
    for command, options in [("sources", {}), ("jobs", {}), ("failed", {}), ("failed --why", {}), *things]:
        found = await shown(command, config, **options)
        assert found.rows
        assert_no_secret(found.rows, found.csv, found.table(), found.table(200), *found.remarks)
    report = (await shown("report", config)).report
    assert_no_secret(*(printed(report, output, OutputStyle()) for output in ("md", "html", "json", "csv")))


@pytest.mark.parametrize("text", QUOTES.values(), ids=QUOTES)
async def test_pages_and_metrics_mask_secrets_quoted_by_mms(simulator: Simulator, tmp_path: Path, text: str) -> None:
    plant(simulator, text)
    watch = f"""watch:
  tables: [{{source_id: {SOURCE}, table_ids: [{THINGS["table"]}]}}]
  partitions: [{{source_id: {SOURCE}, partition_ids: [{THINGS["partition"]}]}}]"""
    file = write_config(tmp_path, simulator.url, watch)
    async with serving(f"--config.file={file}", "--log.level=debug") as exporter:
        await exporter.until_ready()
        for path in ("/metrics", "/", "/api/v1/status"):
            status, page = await exporter.get(path)
            assert status == 200
            assert_no_secret(page)
        ended = await exporter.end()
    assert_no_secret(ended.out, ended.err)


COMMANDS = {
    "serve --config.check": ("--config.check",),
    "once": ("once",),
    "sources": ("sources",),
    "jobs": ("jobs",),
    "failed": ("failed",),
    "failed --why": ("failed", "--why", "--output", "json"),
    "show": ("show", "job", "1", "--source", "2000001"),
    "show table": ("show", "table", "1", "--source", "2000001", "--output", "json"),
    "show partition": ("show", "partition", "1", "--source", "2000001", "--output", "csv"),
    "retry": ("retry", "--source", "2000001", "--failed", "--dry-run"),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(
    "fault",
    [None, REFUSED, pytest.param(FAULTS["code_in_200"], marks=pytest.mark.scale)],
    ids=["fine", "refused", "failing"],
)
async def test_commands_disclose_no_credentials(
    vault: Simulator, tmp_path: Path, command: tuple[str, ...], fault: Fault | None
) -> None:
    keys = {"access_key_id": "STS.EXAMPLE", "access_key_secret": SECRET, "security_token": TOKEN}
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps({"accounts": [raw_account(vault.url, "sts", keys)]}), encoding="utf-8")
    if fault is not None:
        vault.faults.add(fault)
    ended = await run(*command, f"--config.file={file}", "--log.level=debug")
    assert ended.out + ended.err
    assert "Traceback" not in ended.err
    assert_no_secret(ended.out, ended.err)


async def test_the_repr_of_objects_with_secrets_is_redacted(
    vault: Simulator, clock: ManualClock, issuer: str, tmp_path: Path
) -> None:
    accounts = [raw_account(vault.url, kind, spec, name=kind) for kind, spec in credentials(issuer, tmp_path).items()]
    config = config_from({"accounts": accounts})
    assert_no_secret(repr(config), str(config), *map(repr, config.accounts), repr(replace(TEMPORARY_IDENTITY)))
    async with harness_on(sts_config(vault.url), clock) as harness:
        await harness.refresh()
        holders = [harness.refresher, vars(harness.refresher), harness.publisher, harness.telemetry]
        assert_no_secret(*map(repr, holders))


SHOW = """
import asyncio, json, sys
from exporter.config.loading import config_from
from exporter.exposition.telemetry import Telemetry
from exporter.mms.client import create_client

async def main():
    config = config_from(json.load(sys.stdin))
    for account in config.accounts:
        async with create_client(account, Telemetry(with_process=False).account(account.name)) as client:
            source, transport = client._credentials, client._transport
            credential = await source.get()
            if account.proxy is None:
                await client.list_data_sources()
            assert credential.access_key_secret
            for each in (account, source, credential, client, transport, transport._route, transport._session):
                print(account.name, repr(each), str(each), repr(getattr(each, "__dict__", None)))
    print("all", repr(config), str(config))

asyncio.run(main())
"""


async def test_the_repr_of_clients_and_credentials_is_redacted(vault: Simulator, issuer: str, tmp_path: Path) -> None:
    specs = credentials(issuer, tmp_path)
    accounts = [raw_account(vault.url, kind, spec, name=kind) for kind, spec in specs.items()]
    proxy = {"url": "http://127.0.0.1:1", "username": TOKEN, "password": SECRET}
    accounts.append({**raw_account(vault.url, "access_key", specs["access_key"], name="by proxy"), "proxy": proxy})
    ended = await run_python(SHOW, tmp_path, environment(issuer), json.dumps({"accounts": accounts}))
    assert ended.code == 0, ended.errors.replace(CANARY, "CANARY")[-2000:]
    assert len(ended.out.splitlines()) == 7 * len(accounts) + 1
    assert_no_secret(ended.out, ended.errors)
