"""Error answers of MMS -> MmsError: the table of the vendor's error codes. No I/O.

Codes are those that the vendor's pages and SDK name; a gateway in front of MMS can answer without any.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from exporter.errors import (
    AuthRefused,
    CallTimedOut,
    MalformedAnswer,
    MmsError,
    NotFound,
    PermissionRefused,
    RequestRejected,
    ServerFailed,
    Throttled,
)
from exporter.mms.decoding import loaded_object


class _Codes(NamedTuple):
    """Error codes of the vendor with one meaning."""

    prefixes: tuple[str, ...]
    """In lower case."""
    kind: type[MmsError]
    refused: str = ""
    """As in MmsError."""
    is_certain: bool = False
    """Whether MMS surely carried nothing out where it answers so."""


_CODES: Final = (
    _Codes(("throttling",), Throttled, is_certain=True),
    _Codes(("invalidaccesskey", "inactiveaccesskey"), AuthRefused, "access_key_id", is_certain=True),
    _Codes(("missingaccesskey",), AuthRefused, "access_key_id"),
    _Codes(("signaturedoesnotmatch",), AuthRefused, "access_key_secret", is_certain=True),
    # A nonce that was used before is of this row: the same request came before, and may have been carried out.
    _Codes(("signature", "incompletesignature"), AuthRefused, "access_key_secret"),
    _Codes(("invalidsecuritytoken",), AuthRefused, "security_token", is_certain=True),
    _Codes(("missingsecuritytoken",), AuthRefused, "security_token"),
    _Codes(("invalidtimestamp",), AuthRefused, "clock"),
    _Codes(("forbidden", "nopermission", "accessdenied", "notauthorized", "unauthorized"), PermissionRefused),
    _Codes(("internalerror", "serviceunavailable"), ServerFailed),
)
"""Every error code that this program knows; the first row that fits decides."""
_KINDS_BY_STATUS: Final[dict[int, type[MmsError]]] = {
    401: AuthRefused,
    403: PermissionRefused,
    404: NotFound,
    408: CallTimedOut,
    429: Throttled,
}
_FINE_CODES: Final = ("", "ok", "success", "200")


def error_from(detail: str, status: int, headers: Mapping[str, str], body: bytes) -> MmsError:
    """Return the error that an answer without data means; the names in `headers` are in lower case."""
    answer = loaded_object(body)
    code = _plain(_either(answer, "Code"))
    known = next((row for row in _CODES if code.lower().startswith(row.prefixes)), None)
    error = _kind_of(status, code.lower(), known)(
        detail,
        status=status,
        code=code,
        request_id=_plain(_either(answer, "RequestId")) or _plain(headers.get("x-acs-request-id")),
        wait_seconds=_wait_seconds(headers),
    )
    # The page of a gateway has no such code, and a code in a success can follow work that was done.
    error.is_certain = known is not None and known.is_certain and status >= 400  # noqa: PLR2004 - HTTP
    error.refused = known.refused if known is not None else ""
    return error


def _kind_of(status: int, code: str, known: _Codes | None) -> type[MmsError]:
    """Return the kind of a refusal; the code, in lower case, decides before the status."""
    if status < 400 and code in _FINE_CODES:  # noqa: PLR2004 - HTTP
        return MalformedAnswer
    if known is not None:
        return known.kind
    if status >= 500:  # noqa: PLR2004 - the server's class of HTTP
        return ServerFailed
    return NotFound if code.endswith("notfound") else _KINDS_BY_STATUS.get(status, RequestRejected)


def _wait_seconds(headers: Mapping[str, str]) -> float | None:
    """Return the wait asked for: milliseconds in the vendor's header, seconds in a gateway's."""
    for name, unit in (("x-acs-retry-after", 0.001), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        if text.isascii() and text.isdigit() and len(text) < 12:  # noqa: PLR2004 - 30 years in ms; int() has a limit
            return int(text) * unit
    return None


def _either(answer: dict[str, Any] | None, name: str) -> object:
    """Return a field of an error, which the vendor spells with either case of its first letter."""
    if answer is None:
        return None
    return answer.get(name, answer.get(name[0].lower() + name[1:]))


def _plain(value: object) -> str:
    """Return a code or an id fit for a log line; "" for what does not look like one."""
    text = str(value).strip() if isinstance(value, (str, int)) else ""
    return text if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text) else ""
