"""Every credential type, with and without available credentials."""

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
    """Exit code and output of a program."""

    code: int | None
    out: str
    errors: str


async def run(program: str, home: Path, env: Mapping[str, str] | None = None, standard_input: str = "") -> Outcome:
    """Run a Python program with credentials only from `env` and `home`."""
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
class CredentialProcess:
    """Gets credentials in a separate process."""

    # The vendor's library reads its environment at import.

    home: Path
    env: dict[str, str] = field(default_factory=dict)

    async def ask(self, **spec: object) -> object:
        """Return the parts of the credential, or the details of the error."""
        return (await self.ask_all(spec))[0]

    async def ask_all(self, *specs: Mapping[str, object]) -> list[object]:
        """Return the result of each spec; check that nothing was logged."""
        outcome = await run(ASK, self.home, self.env, json.dumps(specs))
        assert CANARY not in outcome.errors
        assert "Traceback" not in outcome.errors
        assert outcome.code == 0, outcome.errors
        found: list[object] = json.loads(outcome.out)
        return found


@pytest.fixture
def process(tmp_path: Path) -> CredentialProcess:
    """Return a subprocess with an empty home directory."""
    return CredentialProcess(tmp_path)


@dataclass
class Issuer:
    """A service that issues temporary credentials."""

    body: object
    status: int = 200
    queries: list[dict[str, str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.queries.append(dict(request.query))
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return web.Response(status=self.status, text=text, headers={"Connection": "close"})


async def test_access_key() -> None:
    spec = AccessKey(access_key_id="LTAI-EXAMPLE", access_key_secret=Secret("not-a-secret"))
    source = credential_source(spec)
    source.forget(await source.get())
    assert await source.get() == Credential("LTAI-EXAMPLE", "not-a-secret", None)


async def test_sts_token() -> None:
    spec = Sts(access_key_id="STS.EXAMPLE", access_key_secret=Secret("not-a-secret"), security_token=Secret("token"))
    assert await credential_source(spec).get() == Credential("STS.EXAMPLE", "not-a-secret", "token")


async def test_credentials_uri(serve: Serve, process: CredentialProcess) -> None:
    url = await serve(Issuer({"Code": "Success", **TEMPORARY}).answer)
    assert await process.ask(type="credentials_uri", uri=f"{url}/credentials") == FOUND


async def test_credentials_uri_from_the_environment(serve: Serve, process: CredentialProcess) -> None:
    process.env["ALIBABA_CLOUD_CREDENTIALS_URI"] = await serve(Issuer({"Code": "Success", **TEMPORARY}).answer)
    assert await process.ask(type="credentials_uri") == FOUND


async def test_profile(process: CredentialProcess) -> None:
    path = process.home / ".alibabacloud" / "credentials.ini"
    path.parent.mkdir()
    profile = f"type = access_key\naccess_key_id = LTAI-EXAMPLE\naccess_key_secret = secret-{CANARY}\n"
    path.write_text(f"[default]\ntype = bearer\n[migration]\n{profile}")
    expected = ["LTAI-EXAMPLE", f"secret-{CANARY}", None]
    assert await process.ask(type="profile", profile_name="migration") == expected


async def test_the_default_chain_prefers_the_environment(process: CredentialProcess) -> None:
    names = ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN")
    process.env.update(zip(names, FOUND, strict=True))
    assert await process.ask(type="default") == FOUND


async def test_the_default_chain_reads_the_credentials_file(process: CredentialProcess) -> None:
    path = process.home / ".alibabacloud" / "credentials.ini"
    path.parent.mkdir()
    path.write_text(f"[default]\ntype = access_key\naccess_key_id = LTAI-EXAMPLE\naccess_key_secret = {CANARY}\n")
    assert await process.ask(type="default") == ["LTAI-EXAMPLE", CANARY, None]


async def test_ram_role_arn(serve: Serve, process: CredentialProcess) -> None:
    issuer = Issuer({"Credentials": TEMPORARY})
    endpoint = await serve(issuer.answer)
    more = {"policy": "{}", "external_id": "e-1", "role_session_name": "watch"}
    assert await process.ask(type="ram_role_arn", sts_endpoint=endpoint, **CALLER, **ROLE, **more) == FOUND
    query = issuer.queries[0]
    assert (query["Action"], query["RoleArn"]) == ("AssumeRole", ROLE["role_arn"])
    assert (query["Policy"], query["ExternalId"], query["RoleSessionName"]) == ("{}", "e-1", "watch")
    assert CANARY not in str(query)


async def test_oidc_role_arn(serve: Serve, process: CredentialProcess) -> None:
    issuer = Issuer({"Credentials": TEMPORARY})
    token = process.home / "token"
    token.write_text("not-a-token")
    given = {**ROLE, "oidc_provider_arn": "acs:ram::1:oidc-provider/ack", "oidc_token_file_path": str(token)}
    assert await process.ask(type="oidc_role_arn", sts_endpoint=await serve(issuer.answer), **given) == FOUND
    query = issuer.queries[0]
    assert (query["Action"], query["OIDCToken"]) == ("AssumeRoleWithOIDC", "not-a-token")
    assert query["RoleSessionName"] == "mms-exporter"


async def test_a_role_is_assumed_through_the_proxy_of_the_account(process: CredentialProcess) -> None:
    # The test ends at the proxy, because the library trusts only its own CA certificates.
    async with proxying({}, credentials=f"me:{CANARY}") as proxy:
        asked = {"url": proxy.url, "username": "me", "password": CANARY}
        result = await process.ask(type="ram_role_arn", sts_endpoint="sts.example.com", proxy=asked, **CALLER, **ROLE)
    assert "sts.example.com:443" in proxy.admitted
    assert reason_of(result) == "credentials"
    assert CANARY not in str(result)


async def metadata(request: web.Request) -> web.StreamResponse:
    """Respond like the metadata service of an ECS instance, through a proxy."""
    if request.path == "/latest/api/token":
        return web.Response(text="not-a-token")
    if request.path.endswith("/mms-role"):
        return web.json_response({"Code": "Success", **TEMPORARY})
    return web.Response(text="mms-role")


@pytest.mark.parametrize("spec", [{}, {"role_name": "mms-role"}], ids=["asked for", "given"])
async def test_ecs_ram_role(serve: Serve, process: CredentialProcess, spec: dict[str, str]) -> None:
    process.env |= {"HTTP_PROXY": await serve(metadata), "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "false"}
    assert await process.ask(type="ecs_ram_role", **spec) == FOUND


NO_CREDENTIALS = {
    "refused": Issuer({"Code": "Forbidden", **TEMPORARY}, status=403),
    "no success": Issuer({"Code": "Failed", **TEMPORARY}),
    "a part missing": Issuer({"Code": "Success", **KEYS}),
    "no time": Issuer({"Code": "Success", **KEYS, "Expiration": CANARY}),
    "expired": Issuer({"Code": "Success", **KEYS, "Expiration": "2001-01-01T00:00:00Z"}),
    "no json": Issuer(f"<html>{CANARY}</html>"),
    "no object": Issuer([CANARY]),
}


async def test_an_invalid_uri_response_is_not_disclosed(serve: Serve, process: CredentialProcess) -> None:
    uris = [await serve(issuer.answer) for issuer in NO_CREDENTIALS.values()]
    result = await process.ask_all(*({"type": "credentials_uri", "uri": uri} for uri in uris))
    assert {name: reason_of(each) for name, each in zip(NO_CREDENTIALS, result, strict=True)} == dict.fromkeys(
        NO_CREDENTIALS, "credentials"
    )
    assert CANARY not in str(result)


async def test_an_sts_error_is_not_disclosed(serve: Serve, process: CredentialProcess) -> None:
    endpoint = await serve(Issuer({"Code": "NoPermission", "Message": CANARY}, status=403).answer)
    result = await process.ask(type="ram_role_arn", sts_endpoint=endpoint, **CALLER, **ROLE)
    assert reason_of(result) == "credentials"
    assert CANARY not in str(result)


async def test_missing_credentials_have_a_reason(process: CredentialProcess) -> None:
    result = await process.ask_all(
        {"type": "default"},
        {"type": "profile", "profile_name": "nobody"},
        {"type": "credentials_uri"},
        {"type": "oidc_role_arn"},
        {"type": "oidc_role_arn", "role_arn": "r", "oidc_provider_arn": "p", "oidc_token_file_path": "/does/not/exist"},
        {"type": "ecs_ram_role"},
    )
    assert [reason_of(each) for each in result] == ["credentials"] * 6


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
        "set a working credentials section for the account",
    ),
}
"""Settings without credentials, with error text and start of the hint."""


async def test_missing_credentials_have_an_error_text_and_a_hint(process: CredentialProcess) -> None:
    result = await process.ask_all(*(spec for spec, _, _ in LACKS.values()))
    for answer, (_, text, hint) in zip(result, LACKS.values(), strict=True):
        assert isinstance(answer, dict)
        assert answer["text"].replace(str(process.home), "HOME") == f"no credentials: {text}"
        assert answer["hint"].startswith(hint)


async def test_an_error_of_the_credential_service_shows_its_status(serve: Serve, process: CredentialProcess) -> None:
    result = await process.ask(type="credentials_uri", uri=await serve(Issuer(CANARY, 403).answer))
    assert isinstance(result, dict)
    assert result["text"] == "no credentials: the credential service returned HTTP status 403"


def reason_of(result: object) -> object:
    return result["reason"] if isinstance(result, dict) else result


async def test_the_library_is_imported_on_first_use(tmp_path: Path) -> None:
    program = """
import sys, exporter.mms.client, exporter.cli.main
from exporter.config.credential_types import DefaultChain
from exporter.mms.credentials import credential_source
credential_source(DefaultChain())
print([name for name in sys.modules if name.startswith(("alibabacloud", "Tea"))])
"""
    assert (await run(program, tmp_path)).out == "[]\n"


@pytest.mark.parametrize("kind", ["default", "ecs_ram_role"])
async def test_forget_leaks_no_thread(serve: Serve, tmp_path: Path, kind: str) -> None:
    # A wrong key is rejected at every refresh.
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
