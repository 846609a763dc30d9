"""The headers that every answer carries: for browsers, and so that no answer tells versions. Pure."""

from collections.abc import Mapping, MutableMapping
from typing import Final

DEFAULTS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "deny",
}
SERVER: Final = "mms-exporter"
"""In place of aiohttp's, which names its version and Python's."""


def add_security_headers(headers: MutableMapping[str, str], configured: Mapping[str, object] | None = None) -> None:
    """Add to an answer's headers: what is configured outweighs a page's own, which outweighs the defaults."""
    headers["Server"] = SERVER
    for name, default in DEFAULTS.items():
        headers.setdefault(name, default)
    for name, value in (configured or {}).items():
        if value == "":
            headers.pop(name, None)
        else:
            headers[name] = str(value)
