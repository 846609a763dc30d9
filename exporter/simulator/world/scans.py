"""Metadata scans of one source: planned ones, which find the tables of a wave, and those started by events."""

from collections.abc import Iterator
from itertools import chain
from typing import Final, NamedTuple

from exporter.simulator.world import states
from exporter.simulator.world.source_spec import Lane, Role, SourceSpec

FIRST_SCAN_ID: Final = 1_000_253
FULL_PROGRESS: Final = 10_000
_SHARE, _FAILS_FROM, _FAILS_AT = 0.97, 0.45, 0.5
"""Shares of a wave: the next wave's scan begins; a failing scan begins, and fails."""
_FIRST_SECONDS: Final = 600.0
"""Duration of the only scan of a source without lanes."""
_REACHED: Final = 0.6
"""Progress at which a scan fails."""


class MetadataScan(NamedTuple):
    """One scan; times are moments of the source."""

    begin: float
    end: float
    outcome: str
    """DONE or FAILED."""

    def status(self, moment: float) -> str:
        """Return the status at a moment."""
        return states.DOING if moment < self.end else self.outcome

    def share(self, moment: float) -> float:
        """Return the share that is scanned, from 0 to 1."""
        reached = 1.0 if self.outcome == states.DONE else _REACHED
        return reached if moment >= self.end else reached * (moment - self.begin) / (self.end - self.begin)

    def progress(self, moment: float) -> int:
        """Return the share as the API states it, at least 1."""
        return max(1, int(FULL_PROGRESS * self.share(moment)))


class ScanHistory:
    """The scans of one source; ids follow the order of their begin."""

    def __init__(self, source: SourceSpec, oldest: float) -> None:
        self._source = source
        self._oldest = oldest
        """The moment at which a source without lanes was scanned."""
        self._started: list[MetadataScan] = []

    def start(self, moment: float, seconds: float, *, is_successful: bool) -> MetadataScan:
        """Start a scan."""
        scan = MetadataScan(moment, moment + seconds, states.DONE if is_successful else states.FAILED)
        self._started.append(scan)
        return scan

    def last(self, moment: float) -> tuple[int, str | None, float | None]:
        """Return the last scan's id and status, and last success.

        The moment of the last successful scan is None before the first. A successful scan finds the tables of a wave.
        """
        if self._source.role is Role.START_FAILED:
            return 0, None, None
        lanes = [_lane_scans(lane, moment, failing=self._is_failing) for lane in self._source.lanes]
        begun = [scan for scan in self._started if scan.begin <= moment]
        first = [] if lanes else [(self._oldest - _FIRST_SECONDS, self._oldest, states.DONE)]
        # By begin and end, as `find` counts them: two can begin while the source stands still.
        *_, status = max(
            [*first, *((begin, begin, status) for _, begin, status, _ in lanes)]
            + [(scan.begin, scan.end, scan.status(moment)) for scan in begun]
        )
        successes = [scan.end for scan in begun if scan.status(moment) == states.DONE]
        success = max([*(done for *_, done in lanes), *successes], default=self._oldest)
        return FIRST_SCAN_ID + sum(count for count, *_ in lanes) + len(begun), status, success

    def find(self, scan_id: int, moment: float) -> MetadataScan | None:
        """Return a scan that has begun, None if missing."""
        number = scan_id - FIRST_SCAN_ID
        if number < 0 or self._source.role is Role.START_FAILED:
            return None
        planned = chain.from_iterable(_scans_of(lane, moment, failing=self._is_failing) for lane in self._source.lanes)
        later = sorted(scan for scan in (*planned, *self._started) if scan.begin <= moment)
        return [self._first(), *later][number] if number <= len(later) else None

    @property
    def _is_failing(self) -> bool:
        return self._source.options.incidents

    def _first(self) -> MetadataScan:
        firsts = (
            MetadataScan(lane.begin(0) - (1 - _SHARE) * lane.plan.seconds, lane.begin(0), states.DONE)
            for lane in self._source.lanes
        )
        return max(firsts, default=MetadataScan(self._oldest - _FIRST_SECONDS, self._oldest, states.DONE))


def _lane_scans(lane: Lane, moment: float, *, failing: bool) -> tuple[int, float, str, float]:
    """Return a lane's scan count, last start, status and success."""
    wave, age = lane.place(moment)
    begin, length = lane.begin(wave), lane.plan.seconds
    if _is_last(lane, wave):
        age = min(age, _FAILS_AT * length)
    fails = failing and wave % 3 == 1
    count = wave + ((wave + 1) // 3 if failing else 0)
    if age >= _SHARE * length:
        return count + fails + 1, begin + _SHARE * length, states.DOING, begin
    if fails and age >= _FAILS_FROM * length:
        status = states.FAILED if age >= _FAILS_AT * length else states.DOING
        return count + 1, begin + _FAILS_FROM * length, status, begin
    return count, begin - (1 - _SHARE) * length, states.DONE, begin


def _scans_of(lane: Lane, moment: float, *, failing: bool) -> Iterator[MetadataScan]:
    """Yield the scans of a lane after its first."""
    length = lane.plan.seconds
    for wave in range(lane.place(moment)[0] + 1):
        begin = lane.begin(wave)
        if failing and wave % 3 == 1:
            yield MetadataScan(begin + _FAILS_FROM * length, begin + _FAILS_AT * length, states.FAILED)
        if not _is_last(lane, wave):
            yield MetadataScan(begin + _SHARE * length, begin + length, states.DONE)


def _is_last(lane: Lane, wave: int) -> bool:
    # After the last wave no scan follows.
    return lane.waves is not None and wave == lane.waves - 1
