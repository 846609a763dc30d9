"""Proxies from HTTPS_PROXY, HTTP_PROXY and NO_PROXY, with the rules of Prometheus. Pure."""

import ipaddress
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # missing from typeshed

from msgspec.structs import replace

from exporter.config.loading import Account, Config
from exporter.config.network import Proxy, is_loopback
from exporter.config.sections import Secret
from exporter.errors import ConfigError, Problem


def with_proxies(config: Config, environment: Mapping[str, str]) -> Config:
    """Add environment proxies to accounts without `proxy`. Raises: ConfigError."""
    return replace(config, accounts=tuple(_with_proxy(account, environment) for account in config.accounts))


def _with_proxy(account: Account, environment: Mapping[str, str]) -> Account:
    variable = f"{urlsplit(account.url).scheme.upper()}_PROXY"
    text, no_proxy = ((environment.get(name) or environment.get(name.lower()) or "") for name in (variable, "NO_PROXY"))
    if account.proxy is not None or not text.strip() or _is_exempt(account.url, no_proxy):
        return account
    scheme, separator, authority = text.strip().rpartition("://")
    credentials, _, address = authority.rpartition("@")
    username, _, password = (Secret(unquote(part)) if part else None for part in credentials.partition(":"))
    proxy = Proxy(url=f"{scheme if separator else 'http'}://{address}", username=username, password=password)
    if problems := [Problem(variable, reason) for _, reason in proxy.validation_errors()]:
        raise ConfigError(*problems)
    return replace(account, proxy=proxy)


def _is_exempt(url: str, no_proxy: str) -> bool:
    parts = urlsplit(url)
    host, port = str(parts.hostname).rstrip("."), parts.port or (443 if parts.scheme == "https" else 80)
    entries = [entry.strip() for entry in no_proxy.lower().split(",")]
    # Unlike Prometheus, the standard library matches no networks and no `*.`, and matches example.com with
    # `.example.com`.
    names = ",".join(entry.removeprefix("*") or "*" for entry in entries if entry not in ("", f".{host}"))
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    is_named = bool(names) and proxy_bypass_environment(address, {"no": names})
    return is_loopback(host) or is_named or any(_is_in_network(host, entry) for entry in entries)


def _is_in_network(host: str, entry: str) -> bool:
    with suppress(ValueError):  # `host` or `entry` is a name
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    return False
