"""Signature V3 of Alibaba Cloud's ROA APIs: numbers and strings in, headers out.

Owns the canonical form of a request. Knows no clock, no randomness and no network: date and nonce are parameters.
Source: vendor page "V3 request structure and signature".
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
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
    """One identity of Alibaba Cloud, as a request is signed with it."""

    access_key_id: str = field(repr=False)
    access_key_secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)
    """Present with temporary credentials only."""

    @property
    def can_be_sent(self) -> bool:
        """Whether it is made of what a header can carry and a key can be: printable ASCII."""
        parts = (self.access_key_id, self.access_key_secret, self.security_token or "")
        return all(part.isascii() and part.isprintable() for part in parts)


def quoted(text: str) -> str:
    """Return `text` percent-encoded as RFC 3986 has it, spaces and slashes included."""
    return quote(text, safe="~")


def canonical_query(query: Iterable[tuple[str, str]]) -> str:
    """Return the query string, sorted by name and encoded: it is signed and sent in this form."""
    return "&".join(f"{quoted(name)}={quoted(value)}" for name, value in sorted(query))


def is_signed(name: str, *, has_body: bool) -> bool:
    """Tell whether the header `name`, in lower case, is part of what is signed."""
    return name == "host" or name.startswith("x-acs-") or (has_body and name == "content-type")


def content_hash(body: bytes) -> str:
    """Return the value of `x-acs-content-sha256`."""
    return hashlib.sha256(body).hexdigest()


def string_to_sign(method: str, path: str, query: str, headers: Mapping[str, str], body_hash: str) -> str:
    """Return what is signed.

    `path` and `query` are in their encoded form; `headers` has lower case names, and the signed headers only.
    """
    names = sorted(headers)
    canonical_headers = "".join(f"{name}:{headers[name].strip()}\n" for name in names)
    canonical = "\n".join((method, path, query, canonical_headers, ";".join(names), body_hash))
    return f"{ALGORITHM}\n{hashlib.sha256(canonical.encode()).hexdigest()}"


def signature(secret: str, text: str) -> str:
    """Return the hexadecimal HMAC-SHA256 of `text`."""
    return hmac.digest(secret.encode(), text.encode(), "sha256").hex()


def authorization(credential: Credential, text: str, signed_names: Iterable[str]) -> str:
    """Return the value of the Authorization header for the string to sign `text`."""
    names = ";".join(sorted(signed_names))
    mac = signature(credential.access_key_secret, text)
    return f"{ALGORITHM} Credential={credential.access_key_id},SignedHeaders={names},Signature={mac}"


def signed_headers(  # noqa: PLR0913 - each is a part of the request that is signed
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

    `query` is in canonical form; `now` is aware; `nonce` must never have been used before, by a retry either.
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
