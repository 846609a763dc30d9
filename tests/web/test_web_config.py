"""Validation of the web configuration file, with exact messages."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import bcrypt
import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import fields

from exporter.config.json_schema import json_schema
from exporter.config.sections import Section
from exporter.config.yaml_files import read_yaml
from exporter.errors import ConfigError
from exporter.web.security.web_config import HttpServer, RateLimit, TlsServer, WebConfig, web_config_from
from exporter.web.security.web_config_watcher import WebConfigWatcher
from tests.documented import PAGES, blocks, commands
from tests.programs import ROOT
from tests.web.http_fixture import Certificates
from tests.web.test_middleware import DAVE

CONFIGS = Path(__file__).parent / "configs"
INVALID = sorted(CONFIGS.glob("*.yml"))
PAGE = ROOT / "docs" / "web-config.md"
DOCUMENT = PAGE.read_text(encoding="utf-8")
PLACEHOLDER = "BCRYPT-HASH"
"""The placeholder of a hash in examples."""
SHOWING_USERS = [page for page in PAGES if "basic_auth_users:\n" in page.read_text(encoding="utf-8")]
SCHEMA = json_schema(WebConfig, "Web configuration")
SECTIONS = {
    "tls_server_config": (
        *("cert", "key", "cert_file", "key_file", "client_ca", "client_ca_file", "client_auth_type"),
        *("client_allowed_sans", "min_version", "max_version", "cipher_suites", "prefer_server_cipher_suites"),
        *("curve_preferences", "nonsense"),
    ),
    "http_server_config": ("http2", "headers", "nonsense"),
    "basic_auth_users": ("dave", "carol"),
    "rate_limit": ("interval", "burst", "nonsense"),
}
CANARY = "canary-7f3a"
WORDS = st.sampled_from([CANARY, "TLS12", "1s", "/", "X-Frame-Options"]) | st.text(max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)
RAW = st.fixed_dictionaries(
    {},
    optional={
        **{name: VALUES | st.dictionaries(st.sampled_from(keys), VALUES) for name, keys in SECTIONS.items()},
        "auth_excluded_paths": VALUES,
        "nonsense": VALUES,
    },
)


def problems_of(load: Callable[[], object]) -> str:
    """Return the problems of a configuration; "" if it is valid."""
    try:
        load()
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("file", INVALID, ids=lambda file: file.stem)
def test_each_invalid_file_gets_its_exact_messages(file: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        WebConfigWatcher(file)
    message = str(caught.value).replace(f"{file.parent}{os.sep}", "") + "\n"
    expected = file.with_suffix(".txt")
    if os.environ.get("UPDATE_GOLDEN"):
        expected.write_text(message, encoding="utf-8")
    assert message == expected.read_text(encoding="utf-8")
    assert "canary" not in message


@given(RAW | VALUES)
def test_any_other_document_is_a_config_error_without_secrets(raw: object) -> None:
    assert CANARY not in problems_of(lambda: web_config_from(raw))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=60) | RAW.map(lambda raw: json.dumps(raw).encode()) | st.text(max_size=60).map(str.encode))
def test_every_file_content_is_valid_or_a_config_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "web.yml"
    file.write_bytes(content)
    assert isinstance(problems_of(lambda: WebConfigWatcher(file)), str)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=60), name=st.sampled_from(["server.pem", "server.key", "clients_ca.pem"]))
def test_every_certificate_content_is_valid_or_a_config_error(
    certificates: Certificates, content: bytes, name: str
) -> None:
    file, broken = certificates.folder / "web.yml", certificates.folder / name
    text = "cert_file: server.pem, key_file: server.key, client_ca_file: clients_ca.pem"
    file.write_text(f"tls_server_config: {{{text}, client_auth_type: VerifyClientCertIfGiven}}\n", encoding="utf-8")
    valid = broken.read_bytes()
    broken.write_bytes(content)
    try:
        with pytest.raises(ConfigError):
            WebConfigWatcher(file)
    finally:
        broken.write_bytes(valid)


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [
        ("0", 0),
        (0, 0),
        ("1s", 1),
        ("500ms", 0.5),
        ("1m30s", 90),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("10us", 1e-5),
        ("3µs", 3e-6),
    ],
)
def test_an_interval_has_the_syntax_of_go(interval: str | int, seconds: float) -> None:
    limit = web_config_from({"rate_limit": {"interval": interval, "burst": 1}}).rate_limit
    assert limit.interval_seconds == pytest.approx(seconds)


def test_an_empty_file_sets_nothing() -> None:
    assert web_config_from(None) == web_config_from({})
    assert web_config_from({}).rate_limit == RateLimit()


def test_file_names_are_relative_to_the_web_configuration(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = certificates.folder / "web.yml"
    file.write_text("tls_server_config: {cert_file: server.pem, key_file: server.key}\n", encoding="utf-8")
    monkeypatch.chdir("/")
    assert WebConfigWatcher(file).settings.context is not None


def test_an_error_has_the_absolute_path_of_a_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "web.yml").write_text("tls_server_config: {cert_file: a.pem, key: x}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert f"cannot read {tmp_path}/a.pem: " in problems_of(lambda: WebConfigWatcher(Path("web.yml")))


def test_the_example_of_the_documentation_is_accepted_by_the_loader_and_the_schema(tmp_path: Path) -> None:
    example = blocks(PAGE, "yaml")[0].replace(PLACEHOLDER, DAVE)
    file = tmp_path / "web.yml"
    file.write_text(example, encoding="utf-8")
    assert set(yaml.safe_load(example)) == {*SECTIONS, "auth_excluded_paths"}
    jsonschema.validate(yaml.safe_load(example), SCHEMA)
    assert web_config_from(read_yaml(file)).basic_auth_users


@pytest.mark.parametrize("page", SHOWING_USERS, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_example_has_a_valid_hash(page: Path) -> None:
    # The placeholder is invalid, so that a copied example needs its own hash.
    users = re.findall(r"basic_auth_users:\n\s+(\w+): (.*)", page.read_text(encoding="utf-8"))
    assert users == [("prometheus", PLACEHOLDER)]
    with pytest.raises(ConfigError, match="expected a bcrypt hash, such as from: htpasswd"):
        web_config_from({"basic_auth_users": dict(users)})


def test_the_python_command_of_the_documentation_hashes_a_password() -> None:
    # Without a terminal, the command reads the password from standard input.
    (command,) = [each for each in commands(PAGE) if "bcrypt" in each]
    arguments = shlex.split(command.replace(".venv/bin/python", sys.executable))
    ended = subprocess.run(  # noqa: S603 - the command of the document
        arguments, input="dave123\n", capture_output=True, text=True, check=True, start_new_session=True
    )
    hashed = ended.stdout.strip()
    assert bcrypt.checkpw(b"dave123", hashed.encode())
    assert web_config_from({"basic_auth_users": {"dave": hashed}}).basic_auth_users


def test_a_broken_user_hides_no_other_problem() -> None:
    users = {"alice": "no-hash", "bob": 12345, 7: "no-hash", "a:b": "no-hash"}
    with pytest.raises(ConfigError) as raised:
        web_config_from({"basic_auth_users": users})
    shown = [str(problem).removeprefix("basic_auth_users") for problem in raised.value.problems]
    no_hash = "expected a bcrypt hash, such as from: htpasswd -nBC 10 NAME"
    assert shown == [
        ": expected a text as key, not a number; put it in quotes",
        ".bob: expected a text, not a number",
        f".alice: {no_hash}",
        f".(key hidden: not a plain word): {no_hash}",
        ".(key hidden: not a plain word): expected a user name without a colon",
    ]


@pytest.mark.parametrize("name", ["everything_at_once", "wrong_types", "a_list"])
def test_the_schema_rejects_wrong_types(name: str) -> None:
    raw = yaml.safe_load((CONFIGS / f"{name}.yml").read_text(encoding="utf-8"))
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(raw)


@pytest.mark.parametrize("section", [TlsServer, HttpServer, RateLimit, WebConfig])
def test_the_documentation_has_every_key(section: type[Section]) -> None:
    assert [each.name for each in fields(section) if each.name not in DOCUMENT] == []
