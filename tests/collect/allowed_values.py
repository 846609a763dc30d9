"""What the exporter may show where a shortcut saves a call: true values that nothing proved to be outdated since."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar

from exporter.mms.models.records import DataSource
from exporter.mms.models.statuses import ScanStatus

T = TypeVar("T")


@dataclass(frozen=True)
class ReadValue(Generic[T]):
    """A value that the exporter may have read."""

    at: float
    proof: Any
    """What is the same as long as the value need not be read again."""
    value: T
    has_moved: bool = False
    """Whether something in the proof has changed that makes another value likely."""


@dataclass
class AllowedValues(Generic[T]):
    """The values of one kind that may be shown: the present one, and earlier ones with the same proof."""

    max_age_seconds: float
    """An older value must have been read again."""
    is_kept: Callable[[T], bool] = lambda _: True
    """Whether a value may be shown without being read again."""
    known: list[ReadValue[T]] = field(default_factory=list)
    """What the exporter may have read last."""

    def see(self, now: float, proof: Any) -> None:  # noqa: ANN401 - each kind has its own
        """Drop what must be read again in a refresh that sees `proof`."""
        self.known = [each for each in self.known if each.proof == proof and now - each.at < self.max_age_seconds]

    def add(self, now: float, proof: Any, value: T) -> None:  # noqa: ANN401 - each kind has its own
        """Record a value that a refresh may have read."""
        if self.is_kept(value):
            self.known.append(ReadValue(now, proof, value))

    def allowed(self, now: float, proof: Any, value: T) -> list[T]:  # noqa: ANN401 - each kind has its own
        """Return the allowed values after a refresh, the present one first."""
        self.see(now, proof)
        values = [value, *(each.value for each in self.known)]
        self.add(now, proof, value)
        return values

    def invalidate(self) -> None:
        """Record a failed read, after which the value is read again."""
        self.known.clear()


IDLE_SECONDS: Final = 600.0
"""The default of jobs.idle_interval."""


class AllowedOutdated(AllowedValues[int]):
    """The numbers of outdated partitions that may be shown; their proof is the row.

    An earlier number may be shown until a row without a running scan shows that a scan ended, at most for
    `max_age_seconds`. If it is not 0, it is shown at most for IDLE_SECONDS once partitions changed their status.
    """

    def see(self, now: float, proof: DataSource) -> None:
        """Drop what must be read again in a refresh that sees the row `proof`."""
        moved = [
            replace(each, has_moved=each.has_moved or (each.value != 0 and _units(each.proof) != _units(proof)))
            for each in self.known
            if proof.scan_status == ScanStatus.DOING or _scan(each.proof) == _scan(proof)
        ]
        self.known = [
            each for each in moved if now - each.at < (IDLE_SECONDS if each.has_moved else self.max_age_seconds)
        ]


def _scan(row: DataSource) -> tuple[object, ...]:
    # Two scans of one id that end within one second have the same lastUpdateTime.
    return row.scan_id, row.scan_status, row.last_update_time


def _units(row: DataSource) -> tuple[object, ...]:
    return row.partitions_doing_num, row.partitions_done_num, row.partitions_failed_num
