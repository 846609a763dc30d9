"""Network settings: endpoint, proxy and CA certificates of an account; listen addresses."""

import ipaddress
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

from exporter.config.sections import Secret, Section

_EXPECTED_ENDPOINT: Final = "expected a URL such as https://maxcompute.cn-shanghai.aliyuncs.com"
_EXPECTED_PROXY_URL: Final = "expected a URL such as http://proxy.example.com:3128"
PLAIN_HTTP: Final = "plain http is allowed only on loopback; use https, or set allow_insecure: true"
LAST_PORT: Final = 65535


class Proxy(Section, frozen=True, kw_only=True):
    """HTTP proxy to the endpoint. Replaces HTTPS_PROXY, HTTP_PROXY and NO_PROXY."""

    url: str
    """URL of the proxy, such as `http://proxy.example.com:3128`; `https://` connects to the proxy over TLS."""
    username: Secret | None = None
    """Username for the proxy. A secret, because some proxies take a token as username."""
    password: Secret | None = None
    """Password for the proxy."""

    @property
    def full_url(self) -> str:
        """The URL with username and password; a secret."""
        if self.username is None:
            return self.url
        password = self.password.text if self.password else ""
        scheme, _, address = self.url.partition("://")
        return f"{scheme}://{quote(self.username.text, safe='')}:{quote(password, safe='')}@{address}"

    def validation_errors(self) -> Iterator[tuple[str, str]]:
        """Yield an invalid URL, username or password."""
        yield from (("url", reason) for reason in _proxy_url_errors(str(self.url)))  # None if missing
        if self.username is not None and (not _can_be_sent(self.username.text) or ":" in self.username.text):
            yield "username", "expected ASCII text without a colon"
        if self.password is not None and not _can_be_sent(self.password.text):
            yield "password", "expected ASCII text"
        if self.password is not None and self.username is None:
            yield "username", "is required with password"


def tls_context(ca_bundle: str) -> ssl.SSLContext:
    """Return a TLS context that trusts only these CA certificates (PEM).

    Raises: ssl.SSLError if the text has no certificate.
    """
    pem = ca_bundle.encode("ascii", "ignore").decode()  # OpenSSL mistakes non-ASCII comments for DER
    return ssl.create_default_context(cadata=pem)


def endpoint_errors(endpoint: str, allow_insecure: bool) -> Iterator[str]:  # noqa: FBT001 - the field of that name
    """Yield the errors of an endpoint URL."""
    errors = list(address_errors(endpoint, _EXPECTED_ENDPOINT))
    yield from errors or ([PLAIN_HTTP] if not allow_insecure and is_plain_http(endpoint) else ())


def is_plain_http(url: str) -> bool:
    """Return whether the URL sends clear text over a network."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return bool(host) and parts.scheme != "https" and not is_loopback(str(host))


def _can_be_sent(text: str) -> bool:
    # HTTP clients encode other characters differently.
    return bool(text) and text.isascii() and text.isprintable()


def _proxy_url_errors(url: str) -> Iterator[str]:
    if url.lower().startswith("socks"):
        yield "SOCKS is not supported; expected an HTTP proxy"
    elif "@" in url:
        yield "expected no username or password in the URL; set the keys username and password instead"
    else:
        yield from address_errors(url, _EXPECTED_PROXY_URL)


def address_errors(url: str, expected: str) -> Iterator[str]:
    """Yield the errors of a URL that has only scheme, host and port."""
    # The message never quotes the URL, because it may contain a secret.
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        yield expected
        return
    if parts.scheme not in {"http", "https"} or not host or port == 0 or not _is_host(host):
        yield expected
    elif parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        yield "expected only scheme, host and port"


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is loopback."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_host(host: str) -> bool:
    return ":" in host or all(re.fullmatch(r"[A-Za-z0-9_-]{1,63}", label) for label in host.split("."))


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A host and a port."""

    host: str | None
    """None for all addresses."""
    port: int
    """0 for any free port."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.host and ":" in self.host else f"{self.host or ''}:{self.port}"


def listen_address(text: str) -> ListenAddress:
    """Parse `host:port`, `:port` or `[v6]:port`. Raises: ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > LAST_PORT:
        raise ValueError(f"expected host:port or :port, ports 0 to {LAST_PORT}")
    if host.startswith("[") or host.endswith("]"):
        return ListenAddress(_ipv6(host), int(port))
    if ":" in host:
        raise ValueError("expected an IPv6 address in brackets, such as [::1]:10180")
    return ListenAddress(host or None, int(port))


def _ipv6(host: str) -> str:
    try:
        return str(ipaddress.IPv6Address(host[1:-1] if host.startswith("[") and host.endswith("]") else ""))
    except ValueError:
        raise ValueError("expected an IPv6 address in brackets, such as [::1]:10180") from None
