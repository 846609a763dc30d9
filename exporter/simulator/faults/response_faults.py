"""Response faults: replaced answers and corrupted ones. Pure: bytes and mappings in, bytes and mappings out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from exporter.simulator.api.pages import Tweaks
from exporter.simulator.faults.fault_plan import Fault

JSON: Final = "application/json;charset=utf-8"
_HTML: Final = b"<html><head><title>Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"
_THROTTLED: Final = "Request was denied due to user flow control."
_TRUNCATED_SHARE: Final = 2 / 3
"""Share of the body that a truncated answer keeps."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """An HTTP answer."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


def error_answer(status: int, code: str, message: str, request_id: str, *, lower_case: bool = False) -> ApiAnswer:
    """Return an error in the vendor's form."""
    body = {
        "Code": code,
        "Message": message,
        "RequestId": request_id,
        "HostId": "maxcompute.simulated",
        "Recommend": f"https://api.aliyun.com/troubleshoot?q={code}",
    }
    if lower_case:
        body = {name[0].lower() + name[1:]: value for name, value in body.items()}
    return ApiAnswer(status, msgspec.json.encode(body))


def replacement(fault: Fault, request_id: str) -> ApiAnswer | None:
    """Return the answer that replaces the real one, or None."""
    make = _REPLACEMENTS.get(fault.kind)
    return make(fault, request_id) if make else None


def _error(fault: Fault, request_id: str) -> ApiAnswer:
    code, message = fault.code or "InternalError", fault.message or "The request processing has failed."
    return error_answer(fault.status or 500, code, message, request_id, lower_case=fault.lower_case)


def _throttled(fault: Fault, request_id: str) -> ApiAnswer:
    code, message = fault.code or "Throttling.User", fault.message or _THROTTLED
    answer = error_answer(fault.status or 429, code, message, request_id, lower_case=fault.lower_case)
    if fault.retry_after_ms is None:
        return answer
    is_plain = fault.wait_header == "x-acs-retry-after"
    wait = str(fault.retry_after_ms) if is_plain else f"Limit:20,Remain:0,TimeLeft:{fault.retry_after_ms},Reset:1"
    return ApiAnswer(answer.status, answer.body, headers={fault.wait_header: wait})


def _code_in_200(fault: Fault, request_id: str) -> ApiAnswer:
    code, message = fault.code or "ServiceUnavailable", fault.message or "The service is not available."
    return error_answer(200, code, message, request_id, lower_case=fault.lower_case)


_REPLACEMENTS: Final[dict[str, Callable[[Fault, str], ApiAnswer]]] = {
    "error": _error,
    "throttle": _throttled,
    "code_in_200": _code_in_200,
    "html": lambda fault, _: ApiAnswer(fault.status or 200, _HTML, "text/html;charset=utf-8"),
    "empty": lambda fault, _: ApiAnswer(fault.status or 200, b""),
    "answer": lambda fault, _: ApiAnswer(fault.status or 200, fault.body or fault.text.encode(), fault.content_type),
    "redirect": lambda fault, _: ApiAnswer(fault.status or 302, b"", headers={"Location": fault.url}),
    "deep_nesting": lambda fault, _: ApiAnswer(200, b'{"data":' + b"[" * fault.size + b"]" * fault.size + b"}"),
}


def tweaks(fault: Fault | None) -> Tweaks:
    """Return how a fault changes the paging of a list."""
    if fault is None:
        return Tweaks()
    if fault.kind == "shift":
        return Tweaks(shift=fault.shift)
    if fault.kind == "page_cap":
        return Tweaks(cap=fault.cap)
    if fault.kind == "lost_row":
        return Tweaks(lost=fault.row)
    if fault.kind == "repeated_row":
        return Tweaks(repeated=fault.row)
    return Tweaks(total=fault.total) if fault.kind == "total" else Tweaks()


def corrupt_data(fault: Fault, data: Row | list[Row]) -> Row | list[Row]:
    """Return an answer's `data` with corrupted rows."""
    corruption = _CORRUPTIONS.get(fault.kind)
    if corruption is None:
        return data
    if isinstance(data, list):
        return _corrupt_rows(fault, data, corruption)
    if "objectList" not in data:
        corrupt_object: Row = corruption(fault, data)
        return corrupt_object
    return {**data, "objectList": _corrupt_rows(fault, data["objectList"], corruption)}


def _corrupt_rows(fault: Fault, listed: list[Row], corruption: Callable[[Fault, Row], Any]) -> list[Any]:
    last = len(listed) if fault.rows is None else fault.rows
    return [corruption(fault, row) if place < last else row for place, row in enumerate(listed)]


def _each(fault: Fault, row: Row, change: Callable[[Any], Any]) -> Row:
    chosen = fault.fields or tuple(row)
    return {name: change(value) if name in chosen else value for name, value in row.items()}


def _wrong(value: Any) -> Any:  # noqa: ANN401 - a JSON value of any type is turned into one of another
    if isinstance(value, bool | list | dict):
        return "wrong"
    return {"wrong": True} if isinstance(value, str) else "many"


_CORRUPTIONS: Final[dict[str, Callable[[Fault, Row], Any]]] = {
    "nulls": lambda fault, row: _each(fault, row, lambda _: None),
    "wrong_types": lambda fault, row: _each(fault, row, _wrong),
    "missing": lambda fault, row: {name: row[name] for name in row if fault.fields and name not in fault.fields},
    "broken_rows": lambda fault, _: fault.value,
    "unknown_status": lambda fault, row: {**row, "status": fault.value or "PAUSED_BY_MOON"},
}


def corrupt_body(fault: Fault, body: bytes) -> bytes:
    """Return an answer's body, truncated or with invalid text."""
    if fault.kind == "truncated":
        return body[: int(len(body) * _TRUNCATED_SHARE)]
    if fault.kind == "invalid_utf8":
        return body.replace(b'":"', b'":"\xff\xfe')
    if fault.kind == "lone_surrogate":
        return body.replace(b'":"', b'":"\\ud800')
    return body
