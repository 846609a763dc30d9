"""Output of `config show`: the effective configuration, without secrets."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config.loading import Config, config_from, effective_text, load
from exporter.config.sections import duration_text, seconds
from exporter.config.yaml_files import yaml_text
from exporter.errors import ConfigError
from exporter.masking import HIDDEN
from tests.processes import run
from tests.programs import ROOT
from tests.test_config import CONFIGS

CANARY = "canary7f3a"
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
DURATIONS = st.integers(1, 10**10).map(lambda ms: duration_text(ms / 1000))
HOSTS = st.sampled_from(["sts.cn-shanghai.aliyuncs.com", "127.0.0.1:1", "http://[::1]:1"])
SECRET = st.just(CANARY)
CREDENTIALS = st.one_of(
    st.just({"type": "default"}),
    st.fixed_dictionaries({"type": st.just("access_key"), "access_key_id": NAMES, "access_key_secret": SECRET}),
    st.fixed_dictionaries(
        {"type": st.just("sts"), "access_key_id": NAMES, "access_key_secret": SECRET, "security_token": SECRET}
    ),
    st.fixed_dictionaries(
        {"type": st.just("ram_role_arn"), "access_key_id": NAMES, "access_key_secret": SECRET, "role_arn": NAMES},
        optional={"policy": SECRET, "external_id": SECRET, "sts_endpoint": HOSTS, "role_session_name": TEXTS},
    ),
    st.fixed_dictionaries(
        {"type": st.just("ecs_ram_role")}, optional={"role_name": TEXTS, "disable_imds_v1": st.booleans()}
    ),
    st.fixed_dictionaries({"type": st.just("oidc_role_arn")}, optional={"role_arn": TEXTS, "policy": SECRET}),
    st.fixed_dictionaries({"type": st.just("credentials_uri")}, optional={"uri": SECRET}),
    st.fixed_dictionaries({"type": st.just("profile")}, optional={"profile_name": TEXTS}),
)
PROXIES = st.fixed_dictionaries(
    {"url": st.sampled_from(["http://proxy:3128", "https://[::1]:1"])},
    optional={"username": st.sampled_from(["me", "yes", "007"])},
)
ACCOUNTS = st.fixed_dictionaries(
    {"name": NAMES, "region": st.sampled_from(["cn-shanghai", "eu-1", "no"])},
    optional={
        "endpoint": st.sampled_from(["http://127.0.0.1:1", "https://mms.example.com"]),
        "allow_insecure": st.booleans(),
        "proxy": PROXIES,
        "time_zone": st.sampled_from(["UTC", "Europe/Berlin"]),
        "credentials": CREDENTIALS,
        "sources": st.fixed_dictionaries(
            {}, optional={"include": st.lists(NAMES.map(re.escape), max_size=2), "types": st.lists(TEXTS, max_size=2)}
        ),
        "rate_limit": st.floats(0, 1000),
        "concurrency": st.integers(1, 256),
        "timeout": st.integers(1, 300_000).map(lambda ms: duration_text(ms / 1000)),
    },
)
CONFIGURATIONS = st.fixed_dictionaries(
    {"accounts": st.lists(ACCOUNTS, min_size=1, max_size=3, unique_by=lambda each: each["name"])},
    optional={
        "jobs": st.fixed_dictionaries({}, optional={"enabled": st.booleans(), "linger": DURATIONS}),
        "databases": st.fixed_dictionaries({"max_per_source": st.integers(0, 1000)}),
        "scan": st.fixed_dictionaries({"enabled": st.booleans()}),
        "failures": st.fixed_dictionaries({"enabled": st.booleans()}),
        "tasks": st.fixed_dictionaries({"enabled": st.booleans()}),
        "watch": st.fixed_dictionaries(
            {
                "tables": st.lists(
                    st.fixed_dictionaries(
                        {"source": TEXTS, "table_ids": st.lists(st.integers(), min_size=1, unique=True)}
                    )
                )
            }
        ),
    },
)


def read_back(text: str) -> Config:
    """Load a printed configuration with its secrets restored."""
    return config_from(yaml.safe_load(text.replace(HIDDEN, CANARY)))


def test_the_placeholder_for_a_secret_is_rejected() -> None:
    credentials = {"type": "access_key", "access_key_id": "LTAI-EXAMPLE", "access_key_secret": CANARY}
    text = effective_text(config_from({"accounts": [{"name": "a", "region": "cn", "credentials": credentials}]}))
    with pytest.raises(ConfigError) as caught:
        config_from(yaml.safe_load(text))
    assert str(caught.value) == (
        "accounts[0].credentials.access_key_secret: "
        "expected the secret, not <hidden>, which config show prints instead of it"
    )


@settings(deadline=None, max_examples=50)
@given(CONFIGURATIONS)
def test_the_printed_configuration_round_trips_without_secrets(raw: dict[str, Any]) -> None:
    config = config_from(raw)
    text = effective_text(config)
    assert CANARY not in text
    assert repr(read_back(text)) == repr(config), "the repr of a secret is constant"
    assert effective_text(read_back(text)) == text


@pytest.mark.parametrize("line_break", ["\x85", "\u2028", "\u2029", "\r", "\n"])
def test_unicode_line_breaks_round_trip(line_break: str) -> None:
    assert yaml.safe_load(yaml_text({f"a{line_break}": f"{line_break}b"})) == {f"a{line_break}": f"{line_break}b"}


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_effective_configuration_of_a_file_is_printed(file: Path) -> None:
    config = load(file)
    assert repr(read_back(effective_text(config))) == repr(config)


def test_defaults_are_printed() -> None:
    printed = yaml.safe_load(effective_text(config_from({"accounts": [{"name": "a", "region": "cn-shanghai"}]})))
    assert printed.keys() == {each.name for each in msgspec.structs.fields(Config)}
    assert printed["refresh"] == {"interval": "1m", "stale_after": "5m"}
    assert printed["accounts"][0]["credentials"] == {"type": "default"}


@given(st.integers(0, 10**12))
def test_durations_round_trip(milliseconds: int) -> None:
    assert seconds(duration_text(milliseconds / 1000)) == milliseconds / 1000


async def test_config_show_hides_secrets_from_files_and_variables(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(CANARY, encoding="utf-8")
    file = tmp_path / "config.yaml"
    file.write_text(
        f"""accounts:
  - name: a
    region: cn-shanghai
    credentials: {{type: access_key, access_key_id: LTAI-EXAMPLE, access_key_secret_file: {tmp_path}/secret}}
""",
        encoding="utf-8",
    )
    environment = {"HTTPS_PROXY": f"http://me-{CANARY}:{CANARY}@proxy.example.com:3128"}
    ended = await run("config", "show", f"--config.file={file}", environment=environment)
    assert (ended.code, ended.err) == (0, "")
    assert CANARY not in ended.out
    account = yaml.safe_load(ended.out)["accounts"][0]
    assert account["credentials"]["access_key_secret"] == HIDDEN
    assert account["proxy"] == {"url": "http://proxy.example.com:3128", "username": HIDDEN, "password": HIDDEN}


async def test_config_schema_needs_no_configuration() -> None:
    ended = await run("config", "schema")
    assert (ended.code, ended.out) == (0, (ROOT / "docs" / "configuration.schema.json").read_text(encoding="utf-8"))


async def test_config_show_reports_an_invalid_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("accounts: []\n", encoding="utf-8")
    ended = await run("config", "show", f"--config.file={tmp_path}/config.yaml")
    assert (ended.code, ended.out, ended.err) == (
        2,
        "",
        f"mms-exporter: {tmp_path}/config.yaml:1: accounts: expected at least one\n",
    )
