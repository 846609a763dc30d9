"""Active faults: what each does, which requests it matches, and how often."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final, Literal, get_args

import msgspec

from exporter.simulator.world.events import Event
from exporter.simulator.world.options import seeded_rng

Kind = Literal[
    "error",
    "throttle",
    "latency",
    "hang",
    "reset",
    "reset_body",
    "drip",
    "truncated",
    "short_body",
    "html",
    "empty",
    "code_in_200",
    "nulls",
    "wrong_types",
    "missing",
    "broken_rows",
    "unknown_status",
    "endless",
    "huge",
    "shift",
    "lost_row",
    "repeated_row",
    "total",
    "page_cap",
    "answer",
    "redirect",
    "lost_answer",
    "meanwhile",
    "invalid_utf8",
    "lone_surrogate",
    "deep_nesting",
]
KINDS: Final[tuple[str, ...]] = get_args(Kind)


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A fault; the first added that matches a request applies.

    error: `status` (500), `code`, `message`, `lower_case`
    throttle: the same (429, Throttling.User), `retry_after_ms` in the header `wait_header`
    latency: `seconds`; hang: no answer until the client leaves or the simulator stops; reset: RST before the answer
    reset_body: RST in the middle of the body; short_body: Content-Length exceeds the body; drip: `bytes_per_second`
    truncated: the JSON is cut, Content-Length fits; html, empty: `status` (200); code_in_200: `code`, `message`
    nulls, wrong_types, missing: `fields` of each row, or all; broken_rows: `value` per row; unknown_status: `value`;
    these five: only the first `rows` rows, if given
    endless: chunked, endless; huge: `size` bytes with Content-Length; deep_nesting: `size` arrays
    shift: every page but the first starts `shift` rows off; total: `total`; page_cap: `cap`
    lost_row: a page lacks its row `row`; repeated_row: in place of that row, the page has the first row of the list
    answer: `body` or `text` verbatim, `status`, `content_type`; redirect: `url`, `status` (302)
    meanwhile: a good answer, then `event` is applied before the next request
    lost_answer: the operation runs, then RST; invalid_utf8, lone_surrogate: in each text
    """

    kind: Kind
    operation: str | None = None
    """None: any operation."""
    source_id: int | None = None
    """None: any source, and requests without a source."""
    query: dict[str, str] = {}
    """Parameters that a request must have with these values, such as `pageNum` or `status`."""
    times: int | None = None
    """How often it applies; None: until it is removed."""
    skip: int = 0
    """Matching requests to pass before the first."""
    delay_seconds: float = 0.0
    """Wall clock seconds before the first."""
    probability: float = 1.0
    status: int | None = None
    code: str | None = None
    message: str | None = None
    lower_case: bool = False
    """Whether the keys of the error body are in lower case."""
    retry_after_ms: int | None = None
    wait_header: str = "x-acs-retry-after"
    """Or `x-ratelimit-user-api` or `x-ratelimit-user`, which older gateways send."""
    seconds: float = 1.0
    bytes_per_second: float = 100.0
    fields: tuple[str, ...] = ()
    rows: int | None = None
    row: int = 0
    """Index of the row, from 0; the last row if the page is shorter."""
    value: Any = None
    size: int = 1 << 30
    shift: int = -1
    total: int | None = None
    cap: int = 1
    body: bytes = b""
    text: str = ""
    content_type: str = "application/json;charset=utf-8"
    url: str = ""
    event: Event | None = None


class _ActiveFault:
    def __init__(self, fault: Fault, since: float) -> None:
        self.fault = fault
        self.since = since
        self.passed = 0
        self.happened = 0


class Faults:
    """The active faults in the order of their addition."""

    def __init__(self, seed: int, wall_clock: Callable[[], float]) -> None:
        self._active: dict[int, _ActiveFault] = {}
        self._next = 1
        self._rng: Random = seeded_rng(seed, len(KINDS))
        self._wall_clock = wall_clock

    def add(self, fault: Fault) -> int:
        """Activate a fault and return its id."""
        number, self._next = self._next, self._next + 1
        self._active[number] = _ActiveFault(fault, self._wall_clock())
        return number

    def remove(self, number: int) -> None:
        """Remove a fault, if it is active."""
        self._active.pop(number, None)

    def clear(self) -> None:
        """Remove all faults."""
        self._active.clear()

    def known(self) -> dict[int, Fault]:
        """Return the active faults by id."""
        return {number: active.fault for number, active in self._active.items()}

    def happened(self, number: int) -> int:
        """Return how often an active fault applied."""
        return self._active[number].happened

    def match(self, operation: str, source_id: int | None, query: Sequence[tuple[str, str]] = ()) -> Fault | None:
        """Return and count the fault that applies to a request."""
        for active in self._active.values():
            is_match = _fits(active.fault, operation, source_id) and active.fault.query.items() <= set(query)
            if is_match and self._triggers(active):
                return active.fault
        return None

    def _triggers(self, active: _ActiveFault) -> bool:
        fault = active.fault
        if fault.times is not None and active.happened >= fault.times:
            return False
        if self._wall_clock() - active.since < fault.delay_seconds:
            return False
        active.passed += 1
        triggers = active.passed > fault.skip and self._rng.random() < fault.probability
        active.happened += triggers
        return triggers


def _fits(fault: Fault, operation: str, source_id: int | None) -> bool:
    return fault.operation in {None, operation} and fault.source_id in {None, source_id}
