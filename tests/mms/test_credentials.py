"""Every way in which credentials are had, and what happens when they are not."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from exporter.config.credential_types import AccessKey, Sts
from exporter.config.sections import Secret
from exporter.mms.credentials import credential_source
from exporter.mms.signing import Credential
from tests.connect_proxy import proxying
from tests.mms.conftest import Serve

CANARY = "canary7f3a"
KEYS = {"AccessKeyId": "STS.EXAMPLE", "AccessKeySecret": f"secret-{CANARY}", "SecurityToken": f"token-{CANARY}"}
TEMPORARY = {**KEYS, "Expiration": "2099-01-01T00:00:00Z"}
FOUND = list(KEYS.values())
ROLE = {"role_arn": "acs:ram::1234567890123456:role/mms"}
CALLER = {"access_key_id": "LTAI-EXAMPLE", "access_key_secret": f"caller-{CANARY}"}
NO_METADATA = {"ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"}

ASK = """
import asyncio, json, sys
from exporter.config.loading import config_from
from exporter.errors import MmsError
from exporter.mms.credentials import credential_source

async def ask(spec):
    account = {"name": "a", "region": "cn-shanghai", "credentials": spec}
    if "proxy" in spec:
        account["proxy"] = spec.pop("proxy")
    account = config_from({"accounts": [account]}).accounts[0]
    try:
        found = await credential_source(account.credentials, account.proxy).get()
    except MmsError as error:
        return {"reason": error.reason, "text": str(error), "repr": repr(error), "hint": error.hint}
    return [found.access_key_id, found.access_key_secret, found.security_token]

async def main():
    return [await ask(spec) for spec in json.load(sys.stdin)]

print(json.dumps(asyncio.run(main())))
"""


@dataclass
class Outcome:
    """How a program ended."""

    code: int | None
    out: str
    errors: str


async def run(program: str, home: Path, env: Mapping[str, str] | None = None, standard_input: str = "") -> Outcome:
    """Run a Python program that sees no credentials but those in `env` and `home`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parent.parent.parent,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true",
            **(env or {}),
        },
    )
    try:
        out, errors = await asyncio.wait_for(process.communicate(standard_input.encode()), 20)
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise
    return Outcome(process.returncode, out.decode(), errors.decode())


@dataclass
class Asker:
    """Asks for credentials in a process of its own, since the vendor's library reads its environment when imported."""

    home: Path
    env: dict[str, str] = field(default_factory=dict)

    async def ask(self, **spec: object) -> object:
        """Return the three parts of what is found, or the facts of the error."""
        return (await self.ask_all(spec))[0]

    async def ask_all(self, *specs: Mapping[str, object]) -> list[object]:
        """Return what comes of each; nothing may have been logged."""
        outcome = await run(ASK, self.home, self.env, json.dumps(specs))
        assert CANARY not in outcome.errors
        assert "Traceback" not in outcome.errors
        assert outcome.code == 0, outcome.errors
        found: list[object] = json.loads(outcome.out)
        return found


@pytest.fixture
def asker(tmp_path: Path) -> Asker:
    """Return who asks, in an empty home."""
    return Asker(tmp_path)


@dataclass
class Issuer:
    """A service that hands out temporary credentials."""

    says: object
    status: int = 200
    queries: list[dict[str, str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.queries.append(dict(request.query))
        text = self.says if isinstance(self.says, str) else json.dumps(self.says)
        return web.Response(status=self.status, text=text, headers={"Connection": "close"})


async def test_a_key_that_stands_in_the_configuration() -> None:
    spec = AccessKey(access_key_id="LTAI-EXAMPLE", access_key_secret=Secret("not-a-secret"))
    source = credential_source(spec)
    source.forget(await source.get())
    assert await source.get() == Credential("LTAI-EXAMPLE", "not-a-secret", None)


async def test_a_temporary_key_that_stands_in_the_configuration() -> None:
    spec = Sts(access_key_id="STS.EXAMPLE", access_key_secret=Secret("not-a-secret"), security_token=Secret("token"))
    assert await credential_source(spec).get() == Credential("STS.EXAMPLE", "not-a-secret", "token")


async def test_a_uri_that_answers_with_credentials(serve: Serve, asker: Asker) -> None:
    url = await serve(Issuer({"Code": "Success", **TEMPORARY}).answer)
    assert await asker.ask(type="credentials_uri", uri=f"{url}/credentials") == FOUND


async def test_a_uri_in_the_environment(serve: Serve, asker: Asker) -> None:
    asker.env["ALIBABA_CLOUD_CREDENTIALS_URI"] = await serve(Issuer({"Code": "Success", **TEMPORARY}).answer)
    assert await asker.ask(type="credentials_uri") == FOUND


async def test_a_profile_of_the_credentials_file(asker: Asker) -> None:
    path = asker.home / ".alibabacloud" / "credentials.ini"
    path.parent.mkdir()
    profile = f"type = access_key\naccess_key_id = LTAI-EXAMPLE\naccess_key_secret = secret-{CANARY}\n"
    path.write_text(f"[default]\ntype = bearer\n[migration]\n{profile}")
    expected = ["LTAI-EXAMPLE", f"secret-{CANARY}", None]
    assert await asker.ask(type="profile", profile_name="migration") == expected


async def test_the_default_chain_takes_the_environment_first(asker: Asker) -> None:
    names = ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN")
    asker.env.update(zip(names, FOUND, strict=True))
    assert await asker.ask(type="default") == FOUND


async def test_the_default_chain_goes_on_to_the_credentials_file(asker: Asker) -> None:
    path = asker.home / ".alibabacloud" / "credentials.ini"
    path.parent.mkdir()
    path.write_text(f"[default]\ntype = access_key\naccess_key_id = LTAI-EXAMPLE\naccess_key_secret = {CANARY}\n")
    assert await asker.ask(type="default") == ["LTAI-EXAMPLE", CANARY, None]


async def test_a_role_assumed_with_a_key(serve: Serve, asker: Asker) -> None:
    """The library calls https where the endpoint names no scheme; one that names http is taken as it is."""
    issuer = Issuer({"Credentials": TEMPORARY})
    endpoint = await serve(issuer.answer)
    more = {"policy": "{}", "external_id": "e-1", "role_session_name": "watch"}
    assert await asker.ask(type="ram_role_arn", sts_endpoint=endpoint, **CALLER, **ROLE, **more) == FOUND
    query = issuer.queries[0]
    assert (query["Action"], query["RoleArn"]) == ("AssumeRole", ROLE["role_arn"])
    assert (query["Policy"], query["ExternalId"], query["RoleSessionName"]) == ("{}", "e-1", "watch")
    assert CANARY not in str(query)


async def test_a_role_assumed_with_a_service_accounts_token(serve: Serve, asker: Asker) -> None:
    issuer = Issuer({"Credentials": TEMPORARY})
    token = asker.home / "token"
    token.write_text("not-a-token")
    given = {**ROLE, "oidc_provider_arn": "acs:ram::1:oidc-provider/ack", "oidc_token_file_path": str(token)}
    assert await asker.ask(type="oidc_role_arn", sts_endpoint=await serve(issuer.answer), **given) == FOUND
    query = issuer.queries[0]
    assert (query["Action"], query["OIDCToken"]) == ("AssumeRoleWithOIDC", "not-a-token")
    assert query["RoleSessionName"] == "mms-exporter"


async def test_a_role_is_asked_for_through_the_proxy_of_the_account(asker: Asker) -> None:
    """No further than the proxy, since the library then trusts no authorities but those that it brings."""
    async with proxying({}, credentials=f"me:{CANARY}") as proxy:
        asked = {"url": proxy.url, "username": "me", "password": CANARY}
        told = await asker.ask(type="ram_role_arn", sts_endpoint="sts.example.com", proxy=asked, **CALLER, **ROLE)
    assert "sts.example.com:443" in proxy.admitted
    assert reason_of(told) == "credentials"
    assert CANARY not in str(told)


async def metadata(request: web.Request) -> web.StreamResponse:
    """Answer like the metadata service of an ECS instance, whose fixed address is reached through a proxy."""
    if request.path == "/latest/api/token":
        return web.Response(text="not-a-token")
    if request.path.endswith("/mms-role"):
        return web.json_response({"Code": "Success", **TEMPORARY})
    return web.Response(text="mms-role")


@pytest.mark.parametrize("spec", [{}, {"role_name": "mms-role"}], ids=["asked for", "given"])
async def test_the_role_of_an_instance(serve: Serve, asker: Asker, spec: dict[str, str]) -> None:
    asker.env |= {"HTTP_PROXY": await serve(metadata), "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "false"}
    assert await asker.ask(type="ecs_ram_role", **spec) == FOUND


NO_CREDENTIALS = {
    "refused": Issuer({"Code": "Forbidden", **TEMPORARY}, status=403),
    "no success": Issuer({"Code": "Failed", **TEMPORARY}),
    "a part missing": Issuer({"Code": "Success", **KEYS}),
    "no time": Issuer({"Code": "Success", **KEYS, "Expiration": CANARY}),
    "expired": Issuer({"Code": "Success", **KEYS, "Expiration": "2001-01-01T00:00:00Z"}),
    "no json": Issuer(f"<html>{CANARY}</html>"),
    "no object": Issuer([CANARY]),
}


async def test_what_a_uri_answers_instead_is_told_to_nobody(serve: Serve, asker: Asker) -> None:
    """Neither in the error nor in what the vendor's library logs."""
    uris = [await serve(issuer.answer) for issuer in NO_CREDENTIALS.values()]
    told = await asker.ask_all(*({"type": "credentials_uri", "uri": uri} for uri in uris))
    assert {name: reason_of(each) for name, each in zip(NO_CREDENTIALS, told, strict=True)} == dict.fromkeys(
        NO_CREDENTIALS, "credentials"
    )
    assert CANARY not in str(told)


async def test_what_an_sts_answers_instead_is_told_to_nobody(serve: Serve, asker: Asker) -> None:
    endpoint = await serve(Issuer({"Code": "NoPermission", "Message": CANARY}, status=403).answer)
    told = await asker.ask(type="ram_role_arn", sts_endpoint=endpoint, **CALLER, **ROLE)
    assert reason_of(told) == "credentials"
    assert CANARY not in str(told)


async def test_credentials_that_cannot_be_had_have_a_reason(asker: Asker) -> None:
    told = await asker.ask_all(
        {"type": "default"},
        {"type": "profile", "profile_name": "nobody"},
        {"type": "credentials_uri"},
        {"type": "oidc_role_arn"},
        {"type": "oidc_role_arn", "role_arn": "r", "oidc_provider_arn": "p", "oidc_token_file_path": "/does/not/exist"},
        {"type": "ecs_ram_role"},
    )
    assert [reason_of(each) for each in told] == ["credentials"] * 6


LACKS: dict[str, tuple[dict[str, object], str, str]] = {
    "role": (
        {"type": "oidc_role_arn"},
        "role_arn and the environment variable ALIBABA_CLOUD_ROLE_ARN are not set",
        "set role_arn, oidc_provider_arn and oidc_token_file_path, or ALIBABA_CLOUD_ROLE_ARN",
    ),
    "provider": (
        {"type": "oidc_role_arn", **ROLE},
        "oidc_provider_arn and the environment variable ALIBABA_CLOUD_OIDC_PROVIDER_ARN are not set",
        "set role_arn",
    ),
    "token": (
        {"type": "oidc_role_arn", **ROLE, "oidc_provider_arn": "acs:ram::1:oidc-provider/mms"},
        "oidc_token_file_path and the environment variable ALIBABA_CLOUD_OIDC_TOKEN_FILE are not set",
        "set role_arn",
    ),
    "token file": (
        {
            "type": "oidc_role_arn",
            **ROLE,
            "oidc_provider_arn": "acs:ram::1:oidc-provider/mms",
            "oidc_token_file_path": "/nowhere/token",
        },
        "cannot read /nowhere/token: No such file or directory",
        "set role_arn",
    ),
    "profile": (
        {"type": "profile", "profile_name": "other"},
        "HOME/.alibabacloud/credentials.ini does not exist or has no such profile",
        "add a profile [other]",
    ),
    "instance": (
        {"type": "ecs_ram_role"},
        "ALIBABA_CLOUD_ECS_METADATA_DISABLED disables the metadata service",
        "attach a RAM role to this instance",
    ),
    "URI": (
        {"type": "credentials_uri"},
        "uri and the environment variable ALIBABA_CLOUD_CREDENTIALS_URI are not set",
        "set uri or ALIBABA_CLOUD_CREDENTIALS_URI",
    ),
    "default chain": (
        {"type": "default"},
        "no provider of the default credential chain has credentials",
        "set a working credentials section",
    ),
}
"""What each type lacks, with what is said of it, and how the advice begins."""


async def test_what_each_type_lacks_is_told_with_what_to_do(asker: Asker) -> None:
    told = await asker.ask_all(*(spec for spec, _, _ in LACKS.values()))
    for answer, (_, text, hint) in zip(told, LACKS.values(), strict=True):
        assert isinstance(answer, dict)
        assert answer["text"].replace(str(asker.home), "HOME") == f"no credentials: {text}"
        assert answer["hint"].startswith(hint)


async def test_how_who_is_asked_for_credentials_refused_is_told_by_its_status(serve: Serve, asker: Asker) -> None:
    told = await asker.ask(type="credentials_uri", uri=await serve(Issuer(CANARY, 403).answer))
    assert isinstance(told, dict)
    assert told["text"] == "no credentials: the credential service returned HTTP status 403"


def reason_of(told: object) -> object:
    return told["reason"] if isinstance(told, dict) else told


async def test_the_library_is_imported_only_when_it_is_asked(tmp_path: Path) -> None:
    program = """
import sys, exporter.mms.client, exporter.cli.main
from exporter.config.credential_types import DefaultChain
from exporter.mms.credentials import credential_source
credential_source(DefaultChain())
print([name for name in sys.modules if name.startswith(("alibabacloud", "Tea"))])
"""
    assert (await run(program, tmp_path)).out == "[]\n"


@pytest.mark.parametrize("kind", ["default", "ecs_ram_role"])
async def test_forgetting_leaves_no_thread_behind(serve: Serve, tmp_path: Path, kind: str) -> None:
    """A wrong key is forgotten at every refresh, for as long as nobody mends it."""
    program = f"""
import asyncio, threading
from exporter.config.loading import config_from
from exporter.mms.credentials import credential_source

async def main():
    account = {{"name": "a", "region": "cn-shanghai", "credentials": {{"type": "{kind}"}}}}
    source = credential_source(config_from({{"accounts": [account]}}).accounts[0].credentials)
    for _ in range(6):
        source.forget(await source.get())
        print(threading.active_count())

asyncio.run(main())
"""
    env = {"HTTP_PROXY": await serve(metadata), "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "false"}
    outcome = await run(program, tmp_path, env)
    counts = [int(line) for line in outcome.out.split()]
    assert len(counts) == 6, outcome.errors
    assert counts[-1] <= counts[0] + 1, counts
