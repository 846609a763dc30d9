"""Proxies from the environment: affected accounts, and errors without quoted secrets."""

import pytest

from exporter.config.environment_proxies import with_proxies
from exporter.config.loading import config_from
from exporter.config.network import Proxy
from exporter.config.sections import Secret
from exporter.errors import ConfigError

PROXY = {"HTTPS_PROXY": "http://proxy.example.com:3128"}
SHANGHAI = "https://maxcompute.cn-shanghai.aliyuncs.com"


def proxy_of(environment: dict[str, str], endpoint: str = SHANGHAI, **settings: object) -> Proxy | None:
    account = {"name": "a", "region": "cn-shanghai", "endpoint": endpoint, "allow_insecure": True, **settings}
    return with_proxies(config_from({"accounts": [account]}), environment).accounts[0].proxy


@pytest.mark.parametrize(
    ("environment", "endpoint", "url"),
    [
        (PROXY, SHANGHAI, "http://proxy.example.com:3128"),
        ({"https_proxy": "http://lower:1"}, SHANGHAI, "http://lower:1"),
        ({"https_proxy": "http://lower:1", "HTTPS_PROXY": "http://upper:1"}, SHANGHAI, "http://upper:1"),
        ({"HTTPS_PROXY": "proxy:3128"}, SHANGHAI, "http://proxy:3128"),
        ({"HTTPS_PROXY": "https://proxy:3128/"}, SHANGHAI, "https://proxy:3128/"),
        ({"HTTP_PROXY": "http://plain:1"}, SHANGHAI, None),
        ({"HTTP_PROXY": "http://plain:1"}, "http://mms.example.com", "http://plain:1"),
        ({"HTTP_PROXY": "http://plain:1"}, "http://127.0.0.1:8080", None),
        ({"HTTP_PROXY": "http://plain:1"}, "http://localhost:8080", None),
        ({"HTTPS_PROXY": " "}, SHANGHAI, None),
        ({}, SHANGHAI, None),
    ],
)
def test_the_variable_for_the_scheme_sets_the_proxy(
    environment: dict[str, str], endpoint: str, url: str | None
) -> None:
    found = proxy_of(environment, endpoint)
    assert (found and found.url) == url


@pytest.mark.parametrize(
    ("no_proxy", "host", "is_exempt"),
    [
        ("*", "a.example.com", True),
        ("example.com", "example.com", True),
        ("example.com", "a.b.example.com", True),
        ("example.com", "notexample.com", False),
        (".example.com", "a.example.com", True),
        (".example.com", "example.com", False),
        ("*.example.com", "a.example.com", True),
        ("Example.COM", "a.example.com", True),
        (" other.com , example.com,", "a.example.com", True),
        ("example.com:443", "a.example.com", True),
        ("example.com:8443", "a.example.com", False),
        ("example.com:8443", "a.example.com:8443", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.0.0/16", "10.1.2.3", True),
        ("10.1.0.0/16", "10.2.2.3", False),
        ("10.1.2.3:8443", "10.1.2.3:8443", True),
        ("fd00::/8", "[fd00::1]", True),
        ("[fd00::1]:443", "[fd00::1]", True),
        ("10.1.0.0/16", "[fd00::1]", False),
        ("", "a.example.com", False),
    ],
)
def test_no_proxy_exempts_matching_hosts(no_proxy: str, host: str, is_exempt: bool) -> None:  # noqa: FBT001 - parametrized
    assert (proxy_of({**PROXY, "NO_PROXY": no_proxy}, f"https://{host}") is None) == is_exempt


def test_the_proxy_of_the_account_overrides_the_environment() -> None:
    assert proxy_of({**PROXY, "NO_PROXY": "*"}, proxy={"url": "http://own:1"}) == Proxy(url="http://own:1")


def test_credentials_of_a_variable_are_separated_from_the_url() -> None:
    found = proxy_of({"HTTPS_PROXY": "http://me%40here:pass%2Fw%40rd@proxy:1"})
    assert found == Proxy(url="http://proxy:1", username=Secret("me@here"), password=Secret("pass/w@rd"))
    assert found is not None
    assert found.full_url == "http://me%40here:pass%2Fw%40rd@proxy:1"
    assert "w@rd" not in repr(found)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("socks5://me:canary@proxy:1080", "SOCKS is not supported; expected an HTTP proxy"),
        ("ftp://me:canary@proxy", "expected a URL such as http://proxy.example.com:3128"),
        ("http://me:canary@proxy:x", "expected a URL such as http://proxy.example.com:3128"),
        ("http://me:canary@", "expected a URL such as http://proxy.example.com:3128"),
        ("http://me:canary@proxy/path", "expected only scheme, host and port"),
        ("http://:canary@proxy", "is required with password"),
    ],
)
def test_an_invalid_variable_is_reported_once_without_quoting_it(text: str, reason: str) -> None:
    config = config_from({"accounts": [{"name": name, "region": "cn-shanghai"} for name in ("a", "b")]})
    with pytest.raises(ConfigError) as caught:
        with_proxies(config, {"HTTPS_PROXY": text})
    assert str(caught.value) == f"HTTPS_PROXY: {reason}"


def test_an_unused_variable_is_not_validated() -> None:
    assert proxy_of({"HTTPS_PROXY": "nonsense://", "NO_PROXY": "*"}) is None
