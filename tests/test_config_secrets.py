"""Output and errors about a configuration contain no secret, wherever it is set."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.clock import Clock
from exporter.config.environment_proxies import with_proxies
from exporter.config.loading import Config, config_from, effective_text
from exporter.console.check import check
from exporter.console.selection.queries import Options
from exporter.errors import ConfigError
from tests.console.conftest import Shown
from tests.harness import no_sleep

CANARY = "canary7f3a"
CLOSED_ADDRESS = "127.0.0.1:1"
"""An address where nothing listens."""
KEY = {"access_key_id": "LTAI-EXAMPLE"}
ROLE = {"role_arn": "acs:ram::1:role/mms", **KEY, "access_key_secret": "not-a-secret"}
PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "access_key": lambda secret: {"credentials": {"type": "access_key", **KEY, "access_key_secret": secret}},
    "sts": lambda secret: {
        "credentials": {"type": "sts", **KEY, "access_key_secret": "not-a-secret", "security_token": secret}
    },
    "ram_role_arn": lambda secret: {
        "credentials": {"type": "ram_role_arn", **ROLE, "access_key_secret": secret, "sts_endpoint": CLOSED_ADDRESS}
    },
    "policy": lambda secret: {"credentials": {"type": "ram_role_arn", **ROLE, "policy": secret}},
    "external_id": lambda secret: {"credentials": {"type": "ram_role_arn", **ROLE, "external_id": secret}},
    "oidc_policy": lambda secret: {"credentials": {"type": "oidc_role_arn", "policy": secret}},
    "sts_endpoint": lambda secret: {
        "credentials": {"type": "ram_role_arn", **ROLE, "sts_endpoint": f"{secret}@{CLOSED_ADDRESS}"}
    },
    "sts_endpoint_url": lambda secret: {
        "credentials": {"type": "oidc_role_arn", "sts_endpoint": f"https://{CLOSED_ADDRESS}/?token={secret}"}
    },
    "credentials_uri": lambda secret: {
        "credentials": {"type": "credentials_uri", "uri": f"http://{CLOSED_ADDRESS}/{secret}"},
    },
    "proxy_username": lambda secret: {"proxy": {"url": f"http://{CLOSED_ADDRESS}", "username": secret}},
    "proxy_password": lambda secret: {
        "proxy": {"url": f"http://{CLOSED_ADDRESS}", "username": "me", "password": secret}
    },
    "proxy_url": lambda secret: {"proxy": {"url": f"http://:{secret}@{CLOSED_ADDRESS}"}},
    "proxy_url_token": lambda secret: {"proxy": {"url": f"http://{secret}@{CLOSED_ADDRESS}"}},
    "endpoint_username": lambda secret: {"endpoint": f"https://{secret}@{CLOSED_ADDRESS}"},
    "endpoint_password": lambda secret: {"endpoint": f"https://:{secret}@{CLOSED_ADDRESS}"},
    "endpoint_login": lambda secret: {"endpoint": f"https://me:{secret}@{CLOSED_ADDRESS}"},
    "endpoint_path": lambda secret: {"endpoint": f"https://{CLOSED_ADDRESS}/{secret}"},
    "endpoint_query": lambda secret: {"endpoint": f"https://{CLOSED_ADDRESS}?token={secret}"},
}
"""Account settings that contain the given secret."""
VARIABLES: dict[str, Callable[[str], str]] = {
    "token": lambda secret: f"http://{secret}@{CLOSED_ADDRESS}",
    "password": lambda secret: f"http://me:{secret}@{CLOSED_ADDRESS}",
    "password_alone": lambda secret: f"http://:{secret}@{CLOSED_ADDRESS}",
    "no_scheme": lambda secret: f"me:{secret}@{CLOSED_ADDRESS}",
}
"""Values of a proxy variable that contain the given secret."""
SECRETS = st.text(st.characters(codec="utf-8"), max_size=6).map(lambda end: CANARY + end)
AWKWARD = st.sampled_from(["/", "@", ":", "#", "?", "%", "\\", "[", " ", "\n"]).map(lambda end: f"{CANARY}{end}x")


def loaded(account: dict[str, Any], variable: str = "") -> Config:
    """Return the configuration of one account with a closed endpoint."""
    raw = {"name": "a", "region": "cn-shanghai", "endpoint": f"https://{CLOSED_ADDRESS}", "timeout": "5s", **account}
    return with_proxies(config_from({"accounts": [raw]}), {"HTTPS_PROXY": variable})


def output_of(account: dict[str, Any], variable: str = "") -> str:
    """Return the printed configuration, or the errors of an invalid one."""
    try:
        config = loaded(account, variable)
    except ConfigError as error:
        return f"{error}\n{error!r}"
    return f"{effective_text(config)}\n{config!r}"


@settings(deadline=None, max_examples=20)
@pytest.mark.parametrize("place", PLACES)
@given(secret=st.one_of(st.just(CANARY), AWKWARD, SECRETS))
def test_config_output_has_no_secret(place: str, secret: str) -> None:
    assert CANARY not in output_of(PLACES[place](secret))


@settings(deadline=None, max_examples=20)
@pytest.mark.parametrize("place", VARIABLES)
@given(secret=st.one_of(st.just(CANARY), AWKWARD, SECRETS))
def test_output_about_environment_proxies_has_no_secret(place: str, secret: str) -> None:
    account = {"endpoint": "https://mms.example.com"}
    assert CANARY not in output_of(account, VARIABLES[place](secret))


@pytest.mark.parametrize(
    ("account", "variable"),
    [
        *((make(CANARY), "") for make in PLACES.values()),
        *(({"endpoint": "https://mms.invalid"}, make(CANARY)) for make in VARIABLES.values()),
    ],
    ids=[*PLACES, *(f"variable_{name}" for name in VARIABLES)],
)
async def test_check_and_its_log_have_no_secret(
    account: dict[str, Any], variable: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    try:
        config = loaded(account, variable)
    except ConfigError:
        return
    shown = Shown(await check(config, Options(), replace(Clock(), sleep=no_sleep)))
    assert CANARY not in f"{shown.rows}{caplog.text}"


@pytest.mark.parametrize(
    "endpoint", ["https://:s@mms.example.com", "https://u@mms.example.com", "https://@mms.example.com"]
)
def test_an_endpoint_with_user_info_is_rejected_without_quoting_it(endpoint: str) -> None:
    assert output_of({"endpoint": endpoint}).startswith("accounts[0].endpoint: expected only scheme, host and port\n")
