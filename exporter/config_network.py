"""The part of the configuration that says how MMS is reached: endpoint, proxy, and whose certificates are trusted."""

import ipaddress
import re
import ssl
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote, urlsplit

from exporter.shapes import Secret, Section

_NO_ENDPOINT: Final = "expected a URL such as https://maxcompute.cn-shanghai.aliyuncs.com"
_NO_STS_ENDPOINT: Final = "expected a host such as sts.cn-shanghai.aliyuncs.com"
_NO_PROXY_URL: Final = "expected a URL such as http://proxy.example.com:3128"
PLAIN_HTTP: Final = "plain http is for loopback only; use https, or set allow_insecure: true"
_METADATA_SERVICE: Final = "100.100.100.200"
"""Of each ECS instance, which hands out its role's keys over plain http and is reached over no network."""


class Proxy(Section, frozen=True, kw_only=True):
    """The HTTP proxy to the endpoint; in place of the one that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name."""

    url: str
    """As in `http://proxy.example.com:3128`; `https://` for a proxy that itself is asked over TLS."""
    username: Secret | None = None
    """Who asks, where the proxy wants to know. As secret as a password: alone, it is a token."""
    password: Secret | None = None
    """Its password."""

    @property
    def full_url(self) -> str:
        """The URL with username and password, which is as secret as they are."""
        if self.username is None:
            return self.url
        password = self.password.text if self.password else ""
        scheme, _, place = self.url.partition("://")
        return f"{scheme}://{quote(self.username.text, safe='')}:{quote(password, safe='')}@{place}"

    def impossible(self) -> Iterator[tuple[str, str]]:
        """Yield what no proxy can be asked with."""
        yield from (("url", reason) for reason in _proxy_faults(str(self.url)))  # None where it is missing
        if self.username is not None and (not _can_be_sent(self.username.text) or ":" in self.username.text):
            yield "username", "expected a name in ASCII without a colon"
        if self.password is not None and not _can_be_sent(self.password.text):
            yield "password", "expected a text in ASCII"
        if self.password is not None and self.username is None:
            yield "username", "is required beside password"


def tls_context(authorities: str) -> ssl.SSLContext:
    """Return what trusts servers with a certificate of these authorities, in PEM, and of no others.

    Raises: ssl.SSLError where there is none in it.
    """
    pem = authorities.encode("ascii", "ignore").decode()  # comments in bundles have letters that OpenSSL takes for DER
    return ssl.create_default_context(cadata=pem)


def endpoint_faults(endpoint: str, allow_insecure: bool) -> Iterator[str]:  # noqa: FBT001 - the field of that name
    """Yield why an endpoint cannot be called, or should not."""
    faults = list(_place_faults(endpoint, _NO_ENDPOINT))
    yield from faults
    if not faults and not allow_insecure and is_plain_http(endpoint):
        yield PLAIN_HTTP


def sts_endpoint_faults(endpoint: str) -> Iterator[str]:
    """Yield why the endpoint of STS, a host with or without a scheme, cannot be called."""
    return _place_faults(sts_url(endpoint), _NO_STS_ENDPOINT)


def sts_url(endpoint: str) -> str:
    """Return the URL of STS: https where its endpoint names no scheme."""
    return endpoint if "://" in endpoint else f"https://{endpoint}"


def is_plain_http(url: str) -> bool:
    """Tell whether what is sent to a URL, and answered, goes over a network in clear; not what names no host."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return bool(host) and parts.scheme != "https" and not is_loopback(str(host))


def is_metadata_service(url: str) -> bool:
    """Tell whether a URL, one that can be read as such, is the metadata service's."""
    return urlsplit(url).hostname == _METADATA_SERVICE


def _can_be_sent(text: str) -> bool:
    """Tell whether all who speak HTTP agree on the bytes of a name or a password."""
    return bool(text) and text.isascii() and text.isprintable()


def _proxy_faults(url: str) -> Iterator[str]:
    if url.lower().startswith("socks"):
        yield "SOCKS is not spoken here; expected an HTTP proxy"
    elif "@" in url:
        yield "give username and password beside it, not in it"
    else:
        yield from _place_faults(url, _NO_PROXY_URL)


def _place_faults(url: str, expected: str) -> Iterator[str]:
    """Yield why a URL is not one of scheme, host and port; nothing of it is told, since a secret may stand in it."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        yield expected
        return
    if parts.scheme not in {"http", "https"} or not host or port == 0 or not _is_host(host):
        yield expected
    elif parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        yield "expected scheme, host and port only"


def is_loopback(host: str) -> bool:
    """Tell whether a host, a name or an address, is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_host(host: str) -> bool:
    return ":" in host or all(re.fullmatch(r"[A-Za-z0-9_-]{1,63}", label) for label in host.split("."))
