"""The proxy that the environment names for an account: HTTPS_PROXY, HTTP_PROXY, NO_PROXY.

They are read as Go's programs read them, Prometheus among them: upper case before lower case, this machine never by a
proxy. Pure: the environment is a parameter.
"""

import ipaddress
from collections.abc import Iterator, Mapping
from urllib.parse import unquote, urlsplit

import msgspec

from exporter.config import Account, Config
from exporter.config_network import Proxy, is_loopback
from exporter.errors import ConfigError, Problem
from exporter.shapes import Secret

_PORTS = {"http": 80, "https": 443}


def with_proxies(config: Config, environment: Mapping[str, str]) -> Config:
    """Return a configuration in which each account without a proxy of its own has the environment's.

    Raises: ConfigError for a variable that would be used and names no proxy.
    """
    problems: list[Problem] = []
    accounts = tuple(_with_proxy(account, environment, problems) for account in config.accounts)
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    return msgspec.structs.replace(config, accounts=accounts)


def _with_proxy(account: Account, environment: Mapping[str, str], problems: list[Problem]) -> Account:
    scheme = urlsplit(account.url).scheme
    variable = f"{scheme.upper()}_PROXY"
    text = _variable(variable, environment)
    if account.proxy is not None or not text or _is_exempt(account.url, _variable("NO_PROXY", environment)):
        return account
    proxy = _proxy(text)
    reasons = [reason for _, reason in proxy.impossible()]
    problems += (Problem(variable, reason) for reason in reasons)
    return account if reasons else msgspec.structs.replace(account, proxy=proxy)


def _variable(name: str, environment: Mapping[str, str]) -> str:
    return (environment.get(name) or environment.get(name.lower()) or "").strip()


def _proxy(text: str) -> Proxy:
    """Return the proxy in a variable, whose credentials stand in the URL and whose scheme may be left out."""
    scheme, separator, place = text.rpartition("://")
    credentials, _, address = place.rpartition("@")
    username, colon, password = credentials.partition(":")
    return Proxy(
        url=f"{scheme if separator else 'http'}://{address}",
        username=Secret(unquote(username)) if username else None,
        password=Secret(unquote(password)) if colon and password else None,
    )


def _is_exempt(url: str, no_proxy: str) -> bool:
    """Tell whether a URL is to be asked without a proxy."""
    parts = urlsplit(url)
    host, port = str(parts.hostname).rstrip("."), parts.port or _PORTS[parts.scheme]
    return is_loopback(host) or any(_covers(entry, host, port) for entry in _entries(no_proxy))


def _entries(no_proxy: str) -> Iterator[str]:
    return (entry for part in no_proxy.lower().split(",") if (entry := part.strip()))


def _covers(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:  # one of them is a name, or the entry has a port
        pass
    name, colon, wanted = entry.rpartition(":")
    if colon and wanted.isdigit():
        return port == int(wanted) and _covers(name.strip("[]"), host, port)
    suffix = entry.removeprefix("*")
    return host == suffix or host.endswith(suffix if suffix.startswith(".") else f".{suffix}")
