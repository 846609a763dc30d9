"""The headers that every answer carries: for browsers, and so that no answer tells versions. Pure."""

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
"""What keeps a browser from making more of an answer than it is; a page's own headers outweigh them."""
SERVER: Final = "mms-exporter"
"""In place of aiohttp's, which names its version and Python's."""


def add_default_headers(headers: MutableMapping[str, str]) -> None:
    """Add to an answer's headers what its page does not set itself."""
    headers["Server"] = SERVER
    for name, value in DEFAULTS.items():
        headers.setdefault(name, value)


def add_configured_headers(headers: MutableMapping[str, str], configured: Mapping[str, object]) -> None:
    """Set what an operator wants set, whatever else is there; the empty text unsets."""
    for name, value in configured.items():
        if value == "":
            headers.pop(name, None)
        else:
            headers[name] = str(value)
