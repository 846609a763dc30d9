"""Faults on command: which there are, and which one the next call meets."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final, Literal, get_args

import msgspec

from exporter.simulator.world.events import Event
from exporter.simulator.world.seeded_random import seeded_rng

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
    """One thing that goes wrong, for calls that fit. Of several that fit a call, the one added first is met.

    error: `status` (500), `code`, `message`, `lower_case`; throttle: the same (429, Throttling.User), `retry_after_ms`
    latency: `seconds`; hang: no answer until the client leaves or the simulator stops; reset: RST before the answer
    reset_body: RST in the middle of the body; short_body: Content-Length says more than comes; drip: `bytes_per_second`
    truncated: the JSON is cut, Content-Length fits; html, empty: `status` (200); code_in_200: `code`, `message`
    nulls, wrong_types, missing: `fields` of each row, or all; broken_rows: `value` for a row; unknown_status: `value`;
    these five: of the first `rows` rows, where that is given
    endless: chunked, without end; huge: `size` bytes, declared; deep_nesting: `size` arrays
    shift: every page but the first lies `shift` rows off; total: `total`; page_cap: `cap`
    lost_row: a page lacks its row `row`; repeated_row: in place of that row, the page has the first row of the list
    answer: `body` or `text` as it is, `status`, `content_type`; redirect: `url`, `status` (302)
    meanwhile: answered well, and before the next call `event` happens
    lost_answer: carried out, then RST; invalid_utf8, lone_surrogate: in each text
    """

    kind: Kind
    operation: str | None = None
    """None: any."""
    source_id: int | None = None
    """None: any, and calls without a source."""
    query: dict[str, str] = {}
    """Parameters that a call must have with these values, such as `pageNum` or `status`."""
    times: int | None = None
    """How often it happens; None: until it is removed."""
    skip: int = 0
    """How many fitting calls pass before the first."""
    delay_seconds: float = 0.0
    """Seconds of the machine before the first."""
    probability: float = 1.0
    status: int | None = None
    code: str | None = None
    message: str | None = None
    lower_case: bool = False
    """Whether the keys of the error's body are in lower case."""
    retry_after_ms: int | None = None
    seconds: float = 1.0
    bytes_per_second: float = 100.0
    fields: tuple[str, ...] = ()
    rows: int | None = None
    row: int = 0
    """From 0; of a page with fewer rows, the last."""
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


class _Armed:
    def __init__(self, fault: Fault, since: float) -> None:
        self.fault = fault
        self.since = since
        self.passed = 0
        self.happened = 0


class Faults:
    """The faults in force, in the order in which they were added."""

    def __init__(self, seed: int, wall_clock: Callable[[], float]) -> None:
        self._armed: dict[int, _Armed] = {}
        self._next = 1
        self._rng: Random = seeded_rng(seed, len(KINDS))
        self._wall_clock = wall_clock

    def add(self, fault: Fault) -> int:
        """Put a fault in force and return its id."""
        number, self._next = self._next, self._next + 1
        self._armed[number] = _Armed(fault, self._wall_clock())
        return number

    def remove(self, number: int) -> None:
        """End a fault, if it is in force."""
        self._armed.pop(number, None)

    def clear(self) -> None:
        """End all faults."""
        self._armed.clear()

    def known(self) -> dict[int, Fault]:
        """Return the faults in force, by id."""
        return {number: armed.fault for number, armed in self._armed.items()}

    def happened(self, number: int) -> int:
        """Return how often a fault in force was met."""
        return self._armed[number].happened

    def met(self, operation: str, source_id: int | None, query: Sequence[tuple[str, str]] = ()) -> Fault | None:
        """Return the fault that a call meets, and count it."""
        for armed in self._armed.values():
            is_meant = _fits(armed.fault, operation, source_id) and armed.fault.query.items() <= set(query)
            if is_meant and self._strikes(armed):
                return armed.fault
        return None

    def _strikes(self, armed: _Armed) -> bool:
        fault = armed.fault
        if fault.times is not None and armed.happened >= fault.times:
            return False
        if self._wall_clock() - armed.since < fault.delay_seconds:
            return False
        armed.passed += 1
        strikes = armed.passed > fault.skip and self._rng.random() < fault.probability
        armed.happened += strikes
        return strikes


def _fits(fault: Fault, operation: str, source_id: int | None) -> bool:
    return fault.operation in {None, operation} and fault.source_id in {None, source_id}
