"""Translate error responses of MMS into MmsError. No I/O.

Owns the table of error codes, from the vendor's pages and SDK. A gateway in front of MMS may respond without a code.
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
    OperationUnsupported,
    PermissionRefused,
    RequestRejected,
    ServerFailed,
    Throttled,
)
from exporter.mms.decoding import load_json_object


class _Codes(NamedTuple):
    """Error codes with the same meaning."""

    pattern: str
    """Regular expression that matches the start of a code in lower case."""
    kind: type[MmsError]
    refused: str = ""
    """As in MmsError."""
    is_certain: bool = False
    """Whether MMS certainly did not execute the request."""
    status: int | None = None
    """Only with this HTTP status; None for any."""


_CODES: Final = (
    _Codes("throttling", Throttled, is_certain=True),
    _Codes("invalidaccesskey|inactiveaccesskey", AuthRefused, "access_key_id", is_certain=True),
    _Codes("missingaccesskey", AuthRefused, "access_key_id"),
    _Codes("signaturedoesnotmatch", AuthRefused, "access_key_secret", is_certain=True),
    # The same request arrived before and may have been executed.
    _Codes("signaturenonceused", AuthRefused, "nonce"),
    _Codes("signature|incompletesignature", AuthRefused, "access_key_secret"),
    _Codes("invalidsecuritytoken", AuthRefused, "security_token", is_certain=True),
    _Codes("missingsecuritytoken", AuthRefused, "security_token"),
    _Codes("invalidtimestamp", AuthRefused, "clock"),
    _Codes("forbidden|nopermission|accessdenied|notauthorized|unauthorized", PermissionRefused),
    _Codes("internalerror|serviceunavailable", ServerFailed),
    _Codes(r"invalidaction\.notfound", OperationUnsupported),
    _Codes("invalidversion", OperationUnsupported, status=404),
    _Codes(".*notfound$|object_not_exist|project_not_found|odps-0420111|quota_plan_not_found", NotFound),
)
"""All known error codes; the first matching row applies."""
_KINDS_BY_STATUS: Final[dict[int, type[MmsError]]] = {
    401: AuthRefused,
    403: PermissionRefused,
    404: NotFound,
    408: CallTimedOut,
    429: Throttled,
}
_TIME_LEFT: Final = re.compile(r"\bTimeLeft:([^,;]*)", re.IGNORECASE)
_SUCCESS_CODES: Final = ("", "ok", "success", "200")


def error_from(operation: str, detail: str, status: int, headers: Mapping[str, str], body: bytes) -> MmsError:
    """Return the error of a response of `operation` without data.

    The names in `headers` are in lower case.
    """
    answer = load_json_object(body)
    code = _safe_token(_field(answer, "Code"))
    fitting = (row for row in _CODES if row.status in (None, status))
    known = next((row for row in fitting if re.match(row.pattern, code.lower())), None)
    kind = _kind_of(status, code.lower(), known)
    error = kind(
        detail,
        status=status,
        code=code,
        request_id=_safe_token(_field(answer, "RequestId")) or _safe_token(headers.get("x-acs-request-id")),
        wait_seconds=_wait_seconds(headers, kind),
    )
    # A code in a success response may follow completed work.
    error.is_certain = known is not None and known.is_certain and status >= 400  # noqa: PLR2004 - HTTP
    error.refused = known.refused if known is not None else ""
    if kind is PermissionRefused:
        error.hint = f"grant this identity the RAM action odps:{operation}; see deploy/ram"
    return error


def _kind_of(status: int, code: str, known: _Codes | None) -> type[MmsError]:
    # The code takes precedence over the HTTP status.
    if status < 400 and code in _SUCCESS_CODES:  # noqa: PLR2004 - HTTP
        return MalformedAnswer
    is_server_error = status >= 500  # noqa: PLR2004 - the server's class of HTTP
    if known is not None and not (is_server_error and known.kind is NotFound):
        return known.kind
    return ServerFailed if is_server_error else _KINDS_BY_STATUS.get(status, RequestRejected)


def _wait_seconds(headers: Mapping[str, str], kind: type[MmsError]) -> float | None:
    # The vendor's headers have milliseconds, the standard header of a gateway has seconds.
    if (wait := _whole(headers.get("x-acs-retry-after"))) is not None:
        return wait / 1000
    if kind is Throttled:  # older gateways; other errors may state the remaining time of a quota that is not used up
        found = (_TIME_LEFT.search(headers.get(name, "")) for name in ("x-ratelimit-user-api", "x-ratelimit-user"))
        waits = [wait for each in found if each and (wait := _whole(each[1])) is not None]
        if waits:
            return max(waits) / 1000
    return _whole(headers.get("retry-after"))


def _whole(text: str | None) -> int | None:
    text = (text or "").strip()
    # 11 digits are 3 years in ms; int() has a limit.
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None  # noqa: PLR2004


def _field(answer: dict[str, Any] | None, name: str) -> object:
    # The vendor spells the first letter in upper or lower case.
    if answer is None:
        return None
    return answer.get(name, answer.get(name[0].lower() + name[1:]))


def _safe_token(value: object) -> str:
    # Anything that does not look like a code or an ID could forge log lines or contain a secret.
    text = str(value).strip() if isinstance(value, (str, int)) else ""
    return text if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text) else ""
