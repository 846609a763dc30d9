"""Secrets are placed wherever there can be any, and every path is driven: none comes out anywhere.

The simulated MMS begins every secret in a source's `config` with the same word.
"""

import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from msgspec.structs import replace as fault_like

from exporter import logs
from exporter.config import Config, config_from
from exporter.simulator import Fault, Identity, ManualClock, Simulator
from exporter.simulator.rows import CANARY
from tests.faults.expectations import AILMENTS
from tests.harness import harness_on
from tests.processes import run, serving

SECRET, TOKEN = f"{CANARY}-secret", f"{CANARY}-token"
LASTING = Identity("LTAI-EXAMPLE", SECRET)
PASSING = Identity("STS.EXAMPLE", SECRET, TOKEN)
TEMPORARY = {"AccessKeyId": "STS.EXAMPLE", "AccessKeySecret": SECRET, "SecurityToken": TOKEN}
ISSUED = {"Code": "Success", "Expiration": "2099-01-01T00:00:00Z", **TEMPORARY}
MESSAGE = f"the password {CANARY} is wrong; signed with {SECRET} and {TOKEN}"
FAULTS = {
    name: fault_like(each.fault, message=MESSAGE, text=each.fault.text or MESSAGE) for name, each in AILMENTS.items()
}
REFUSED = Fault(kind="error", status=403, code="SignatureDoesNotMatch", message=MESSAGE)


def assert_kept(*texts: object) -> None:
    """Check that no secret is in any of these, nor in the parts of one."""
    for text in map(str, texts):
        place = text.lower().find(CANARY)
        assert place < 0, text[max(0, place - 200) : place + 200]


@pytest.fixture
async def vault(simulator: Simulator) -> Simulator:
    """Provide the simulated MMS, which takes the secret keys only."""
    simulator.identities.add(LASTING)
    simulator.identities.add(PASSING)
    return simulator


@pytest.fixture
async def issuer() -> AsyncIterator[str]:
    """Provide the URL of whatever hands out credentials: a URI, an STS, the metadata service of an instance."""

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
    """Return one way of each type to come by the keys."""
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


def raw_account(url: str, kind: str, spec: dict[str, str], name: str = "test") -> dict[str, Any]:
    account = {"name": name, "region": "cn-shanghai", "endpoint": url, "rate_limit": 0, "timeout": "250ms"}
    return {**account, "credentials": {"type": kind, **spec}}


def sts_config(url: str) -> Config:
    keys = {"access_key_id": "STS.EXAMPLE", "access_key_secret": SECRET, "security_token": TOKEN}
    account = {**raw_account(url, "sts", keys), "sources": {"include": ["hive-sales.*"]}}
    return config_from({"accounts": [account], "tasks": {"enabled": True}})


@pytest.fixture
def _as_before() -> Iterator[None]:
    """Put back what logging changes for the whole process."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.mark.usefixtures("_as_before")
@pytest.mark.parametrize("log_format", logs.FORMATS)
async def test_no_fault_brings_a_secret_to_a_log_or_a_metric(
    vault: Simulator, clock: ManualClock, log_format: str
) -> None:
    stream = io.StringIO()
    logs.configure("debug", log_format, stream)
    logging.root.setLevel(logging.DEBUG)
    async with harness_on(sts_config(vault.url), clock) as harness:
        for fault in (*FAULTS.values(), REFUSED):
            vault.faults.add(fault)
            await harness.refresh()
            pages = [harness.publisher.body(each, gzip=False) for each in ("text", "openmetrics")]
            assert_kept(*pages, repr(harness.refresher.snapshot()))
            vault.faults.clear()
        assert (await harness.refresh()).value("mms_up") == 1
    assert "not read" in stream.getvalue(), "debug lines were looked at"
    assert_kept(stream.getvalue())


async def test_no_way_to_credentials_brings_one_out_of_the_serving_process(
    vault: Simulator, issuer: str, tmp_path: Path
) -> None:
    """All types at once, on every page, through a refusal, a bad reload and the end."""
    specs = credentials(issuer, tmp_path)
    accounts = [raw_account(vault.url, kind, spec, name=kind) for kind, spec in specs.items()]
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps({"accounts": accounts, "refresh": {"interval": "1s"}}), encoding="utf-8")
    environment = {
        "HOME": str(tmp_path),
        "HTTP_PROXY": issuer,  # the metadata service has a fixed address
        "ALIBABA_CLOUD_ACCESS_KEY_ID": "STS.EXAMPLE",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": SECRET,
        "ALIBABA_CLOUD_SECURITY_TOKEN": TOKEN,
    }
    arguments = (f"--config.file={file}", "--log.level=debug", "--web.enable-lifecycle")
    async with serving(*arguments, environment=environment) as exporter:
        await exporter.until_ready()
        served = await exporter.metrics()
        assert served.by("mms_up", "account") == dict.fromkeys(specs, 1)
        vault.faults.add(REFUSED)
        await exporter.until(lambda served: set(served.by("mms_up", "account").values()) == {0})
        for path in ("/metrics", "/", "/api/v1/status", "/-/ready", "/nothing"):
            for accept in ("text/html", "application/openmetrics-text"):
                assert_kept((await exporter.get(path, accept=accept))[1])
        key = f"{SECRET}7"  # one of letters only passes for a word that is mistyped
        broken = {"type": "access_key", "access_key_id": 7, "access_key_secret": [SECRET], key: TOKEN}
        file.write_text(json.dumps({"accounts": [{"name": "a", "credentials": broken}], key: 1}), encoding="utf-8")
        async with ClientSession() as session, session.post(f"{exporter.urls[0]}/-/reload") as response:
            assert response.status == 400
            assert_kept(await response.text())
        assert_kept((await exporter.get("/"))[1], (await exporter.get("/api/v1/status"))[1])
        ended = await exporter.end()
    assert ended.err.count("\n") > 5
    assert_kept(ended.out, ended.err)


COMMANDS = {
    "serve --config.check": ("--config.check",),
    "once": ("once",),
    "sources": ("sources",),
    "jobs": ("jobs",),
    "failed": ("failed",),
    "show": ("show", "job", "1", "--source", "2000001"),
    "retry": ("retry", "--source", "2000001", "--failed", "--dry-run"),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("fault", [None, REFUSED, FAULTS["code_in_200"]], ids=["fine", "refused", "failing"])
async def test_no_command_brings_one_out(
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
    assert_kept(ended.out, ended.err)


async def test_nothing_that_holds_one_shows_it(
    vault: Simulator, clock: ManualClock, issuer: str, tmp_path: Path
) -> None:
    accounts = [raw_account(vault.url, kind, spec, name=kind) for kind, spec in credentials(issuer, tmp_path).items()]
    config = config_from({"accounts": accounts})
    assert_kept(repr(config), str(config), *map(repr, config.accounts), repr(replace(PASSING)))
    async with harness_on(sts_config(vault.url), clock) as harness:
        await harness.refresh()
        holders = [harness.refresher, vars(harness.refresher), harness.publisher, harness.telemetry]
        assert_kept(*map(repr, holders))
