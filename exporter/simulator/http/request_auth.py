"""Access keys and the authentication of requests, as the vendor does it before it looks at the operation.

Source: vendor page "V3 request structure and signature". Order of the checks: required headers, key, body hash,
version, date, token, signature, nonce. The permission is checked last, when the operation is known.
"""

import hmac
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from exporter.mms import signing
from exporter.simulator.api.parameters import Refusal

CLOCK_SKEW_SECONDS: Final = 15 * 60
_NONCES_KEPT: Final = 200_000
_AUTHORIZATION: Final = re.compile(
    rf"{signing.ALGORITHM} Credential=(?P<key>[^,]+),SignedHeaders=(?P<names>[^,]+),Signature=(?P<mac>[0-9a-f]{{64}})",
)
_REQUIRED: Final = (
    signing.HEADER_ACTION,
    signing.HEADER_CONTENT_HASH,
    signing.HEADER_DATE,
    signing.HEADER_NONCE,
    signing.HEADER_VERSION,
)


@dataclass(frozen=True, slots=True)
class Identity:
    """An access key; temporary if it has a security token."""

    access_key_id: str
    access_key_secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)
    actions: frozenset[str] | None = None
    """Allowed RAM actions: `odps:ListMmsJobs`, or `odps:ListMmsJobs:2000001` for one source. None: all."""
    expires: float | None = None
    """Unix seconds of the wall clock after which the security token is rejected."""

    def may(self, operation: str, source_id: int | None) -> bool:
        """Return whether it may call an operation on a source."""
        action = f"odps:{operation}"
        return self.actions is None or not self.actions.isdisjoint({action, f"{action}:{source_id}"})


class Identities:
    """The known identities by access key id."""

    def __init__(self, known: Iterable[Identity] = ()) -> None:
        self._known = {identity.access_key_id: identity for identity in known}

    def __iter__(self) -> Iterator[Identity]:
        return iter(self._known.values())

    def find(self, access_key_id: str) -> Identity | None:
        """Return the identity with this access key id."""
        return self._known.get(access_key_id)

    def add(self, identity: Identity) -> None:
        """Add an identity, or replace the one with this key."""
        self._known[identity.access_key_id] = identity

    def remove(self, access_key_id: str) -> None:
        """Remove an identity, if it is known."""
        self._known.pop(access_key_id, None)

    def expire(self, access_key_id: str) -> None:
        """Expire the security token of an identity now."""
        self._known[access_key_id] = replace(self._known[access_key_id], expires=float("-inf"))


@dataclass(frozen=True, slots=True)
class Received:
    """A received HTTP request."""

    method: str
    path: str
    """Percent-encoded, as received."""
    query: tuple[tuple[str, str], ...]
    """Decoded."""
    headers: Mapping[str, str]
    """Header names are in lower case."""
    body: bytes


class RequestVerifier:
    """Verifies signatures, dates, tokens and nonces of requests."""

    def __init__(self, identities: Identities, wall_clock: Callable[[], float]) -> None:
        self._identities = identities
        self._wall_clock = wall_clock
        self._nonces: OrderedDict[str, None] = OrderedDict()

    def verify(self, request: Received) -> Identity:
        """Return the identity that signed `request`, or raise a Refusal."""
        if not _is_text(request):
            raise Refusal(400, "InvalidParameter", "The request is not valid UTF-8.")
        missing = [name for name in _REQUIRED if name not in request.headers]
        if missing:
            raise Refusal(400, "MissingParameter", f"The header {missing[0]} is required.")
        match = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
        if match is None:
            raise Refusal(400, "IncompleteSignature", "The request signature does not conform to Aliyun standards.")
        identity = self._identities.find(match["key"])
        if identity is None:
            raise Refusal(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
        _check_body(request)
        if request.headers[signing.HEADER_VERSION] != signing.API_VERSION:
            raise Refusal(400, "InvalidVersion", "The specified version is not valid.")
        self._check_date(request.headers[signing.HEADER_DATE])
        self._check_token(request, identity)
        _check_signature(request, identity, match["names"].split(";"), match["mac"])
        self._check_nonce(request.headers[signing.HEADER_NONCE])
        return identity

    def _check_date(self, text: str) -> None:
        try:
            sent = datetime.strptime(text, signing.DATE_FORMAT).replace(tzinfo=UTC)
        except ValueError:
            raise Refusal(400, "InvalidTimeStamp.Format", "Specified time stamp is not well formatted.") from None
        if abs(self._wall_clock() - sent.timestamp()) > CLOCK_SKEW_SECONDS:
            raise Refusal(400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")

    def _check_token(self, request: Received, identity: Identity) -> None:
        token = request.headers.get(signing.HEADER_SECURITY_TOKEN)
        if identity.security_token is None:
            if token is not None:
                raise Refusal(400, "InvalidSecurityToken.MismatchWithAccessKey", "The key has no security token.")
            return
        if token is None:
            raise Refusal(400, "MissingSecurityToken", "SecurityToken is mandatory for this action.")
        if not hmac.compare_digest(token.encode(), identity.security_token.encode()):
            raise Refusal(400, "InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed.")
        if identity.expires is not None and self._wall_clock() >= identity.expires:
            raise Refusal(400, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired.")

    def _check_nonce(self, nonce: str) -> None:
        if nonce in self._nonces:
            raise Refusal(400, "SignatureNonceUsed", "Specified signature nonce was used already.")
        self._nonces[nonce] = None
        if len(self._nonces) > _NONCES_KEPT:
            self._nonces.popitem(last=False)


def check_permission(identity: Identity, operation: str, source_id: int | None) -> None:
    """Raise a Refusal if the identity lacks the permission."""
    if not identity.may(operation, source_id):
        message = f"You are not authorized to do this operation. Action: odps:{operation}"
        raise Refusal(403, "NoPermission", message)


def _is_text(request: Received) -> bool:
    """Return whether a request is free of undecodable bytes."""
    parts = (request.path, *request.headers.values(), *(part for pair in request.query for part in pair))
    try:
        "".join(parts).encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_body(request: Received) -> None:
    if request.headers[signing.HEADER_CONTENT_HASH] != signing.content_hash(request.body):
        raise Refusal(400, "InvalidParameter.ContentSha256", "The hash of the content is not that of the body.")


def _check_signature(request: Received, identity: Identity, names: list[str], mac: str) -> None:
    due = {name for name in request.headers if signing.is_signed(name, has_body=bool(request.body))}
    if not due.issubset(names) or not request.headers.keys() >= set(names):
        raise Refusal(400, "IncompleteSignature", "A header that must be signed is not, or a signed one is missing.")
    text = signing.string_to_sign(
        request.method,
        request.path,
        signing.canonical_query(request.query),
        {name: request.headers[name] for name in names},
        request.headers[signing.HEADER_CONTENT_HASH],
    )
    if not hmac.compare_digest(signing.signature(identity.access_key_secret, text), mac):
        raise Refusal(400, "SignatureDoesNotMatch", "Specified signature is not matched with our calculation.")
