"""Signature V3 of Alibaba Cloud's ROA APIs. Pure: date and nonce are parameters.

Owns the canonical form of a request.
Source: vendor page "V3 request structure and signature".
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from urllib.parse import quote

ALGORITHM: Final = "ACS3-HMAC-SHA256"
API_VERSION: Final = "2022-01-04"
DATE_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"

HEADER_ACTION: Final = "x-acs-action"
HEADER_CONTENT_HASH: Final = "x-acs-content-sha256"
HEADER_DATE: Final = "x-acs-date"
HEADER_NONCE: Final = "x-acs-signature-nonce"
HEADER_SECURITY_TOKEN: Final = "x-acs-security-token"  # noqa: S105 - the name of a header
HEADER_VERSION: Final = "x-acs-version"


@dataclass(frozen=True, slots=True)
class Credential:
    """Access key of Alibaba Cloud that signs requests."""

    access_key_id: str = field(repr=False)
    access_key_secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)
    """STS token; None for a long-lived access key."""

    @property
    def can_be_sent(self) -> bool:
        """Whether all parts are printable ASCII, as HTTP headers require."""
        parts = (self.access_key_id, self.access_key_secret, self.security_token or "")
        return all(part.isascii() and part.isprintable() for part in parts)


@lru_cache(maxsize=1024)
def percent_encoded(text: str) -> str:
    """Percent-encode `text` by RFC 3986, spaces and slashes included."""
    return quote(text, safe="~")


def canonical_query(query: Iterable[tuple[str, str]]) -> str:
    """Return the query string, sorted and encoded, to sign and send."""
    return "&".join(f"{percent_encoded(name)}={percent_encoded(value)}" for name, value in sorted(query))


def is_signed(name: str, *, has_body: bool) -> bool:
    """Return whether a header (lower case) is part of the signature."""
    return name == "host" or name.startswith("x-acs-") or (has_body and name == "content-type")


def content_hash(body: bytes) -> str:
    """Return the value of `x-acs-content-sha256`."""
    return hashlib.sha256(body).hexdigest()


def string_to_sign(method: str, path: str, query: str, headers: Mapping[str, str], body_hash: str) -> str:
    """Return the string to sign.

    `path` and `query` are encoded; `headers` has only the signed headers, with names in lower case.
    """
    names = sorted(headers)
    canonical_headers = "".join(f"{name}:{headers[name].strip()}\n" for name in names)
    canonical = "\n".join((method, path, query, canonical_headers, ";".join(names), body_hash))
    return f"{ALGORITHM}\n{hashlib.sha256(canonical.encode()).hexdigest()}"


def signature(secret: str, text: str) -> str:
    """Return the hexadecimal HMAC-SHA256 of `text`."""
    return hmac.digest(secret.encode(), text.encode(), "sha256").hex()


def authorization(credential: Credential, text: str, signed_names: Iterable[str]) -> str:
    """Return the Authorization header for the string to sign."""
    names = ";".join(sorted(signed_names))
    mac = signature(credential.access_key_secret, text)
    return f"{ALGORITHM} Credential={credential.access_key_id},SignedHeaders={names},Signature={mac}"


def signed_headers(  # noqa: PLR0913 - each is a part of the signed request
    credential: Credential,
    *,
    operation: str,
    method: str,
    host: str,
    path: str,
    query: str,
    body: bytes | None,
    now: datetime,
    nonce: str,
) -> dict[str, str]:
    """Return every header of the request, Authorization included.

    `query` is in canonical form; `now` has a time zone; `nonce` must be unique, also among retries.
    """
    headers = {
        "host": host,
        HEADER_ACTION: operation,
        HEADER_CONTENT_HASH: content_hash(body or b""),
        HEADER_DATE: now.astimezone(UTC).strftime(DATE_FORMAT),
        HEADER_NONCE: nonce,
        HEADER_VERSION: API_VERSION,
    }
    if credential.security_token:
        headers[HEADER_SECURITY_TOKEN] = credential.security_token
    if body is not None:
        headers["content-type"] = "application/json; charset=utf-8"
    text = string_to_sign(method, path, query, headers, headers[HEADER_CONTENT_HASH])
    return {
        **headers,
        "accept": "application/json",
        "authorization": authorization(credential, text, headers),
    }
