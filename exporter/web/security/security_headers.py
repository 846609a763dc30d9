"""Security headers of every response. Pure."""

from collections.abc import Mapping, MutableMapping
from typing import Final

DEFAULTS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "deny",
}
"""Defaults; headers that the handler set take precedence."""
SERVER: Final = "mms-exporter"
"""Replaces aiohttp's header, which names its version and that of Python."""


def add_default_headers(headers: MutableMapping[str, str]) -> None:
    """Add the headers that the handler did not set."""
    headers["Server"] = SERVER
    for name, value in DEFAULTS.items():
        headers.setdefault(name, value)


def add_configured_headers(headers: MutableMapping[str, str], configured: Mapping[str, object]) -> None:
    """Set the configured headers; an empty text removes the header."""
    for name, value in configured.items():
        if value == "":
            headers.pop(name, None)
        else:
            headers[name] = str(value)
