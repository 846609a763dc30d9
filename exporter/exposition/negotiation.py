"""Content negotiation: format and encoding from the Accept and Accept-Encoding headers. Pure."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from exporter.exposition.text import Format

CONTENT_TYPES: Final[dict[Format, str]] = {
    "text": "text/plain; version=0.0.4; charset=utf-8",
    "openmetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8",
}
_OPENMETRICS_VERSIONS: Final = ("", "1.0.0", "0.0.1")

_CACHE_SIZE: Final = 64
"""Number of header values in the cache; each scraper always sends the same ones."""


@lru_cache(maxsize=_CACHE_SIZE)
def format_for(accept: str) -> Format:
    """Return OpenMetrics unless its weight is below the text format's."""
    text, openmetrics = 0.0, 0.0
    for media_type, parameters, weight in _choices(accept):
        if media_type == "application/openmetrics-text":
            if parameters.get("version", "").strip('"') in _OPENMETRICS_VERSIONS:
                openmetrics = max(openmetrics, weight)
        elif media_type in ("text/plain", "text/*"):
            text = max(text, weight)
    return "openmetrics" if openmetrics > 0 and openmetrics >= text else "text"


@lru_cache(maxsize=_CACHE_SIZE)
def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether the client accepts gzip and does not prefer identity."""
    weights = {coding: weight for coding, _, weight in _choices(accept_encoding)}
    others = weights.get("*", 0.0)
    return 0 < weights.get("gzip", others) >= weights.get("identity", others)


def _choices(header: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield the lower-case name, parameters and weight of each choice."""
    for choice in header.split(","):
        name, *rest = (part.strip() for part in choice.split(";"))
        parameters = {key.strip().lower(): value.strip() for key, _, value in (part.partition("=") for part in rest)}
        try:
            weight = float(parameters.get("q", "1"))
        except ValueError:  # an invalid weight counts as the default
            weight = 1.0
        yield name.lower(), parameters, weight
