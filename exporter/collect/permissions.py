"""Caches refused operations: one that MMS refuses or does not offer is not called again for an hour."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

from exporter.errors import UNAVAILABLE, MmsError
from exporter.mms.throttle import Observer

T = TypeVar("T")

REFUSAL_SECONDS: Final = 3600.0
"""Time for which a refused operation is skipped; a reload ends it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The last refusal of an operation."""

    error: MmsError
    until: float
    """Monotonic seconds."""


Refusals = dict[tuple[str, str], Refusal]
"""The refusals of one account by collector and operation."""


class Permissions:
    """The refused operations of one collector of one account."""

    def __init__(self, collector: str, refusals: Refusals, observer: Observer, monotonic: Callable[[], float]) -> None:
        self._collector = collector
        self._refusals = refusals
        self._observer = observer
        self._monotonic = monotonic

    @property
    def errors(self) -> list[MmsError]:
        """Return the refusals since which the operation has not succeeded."""
        return [self._refusals[key].error for key in self._keys()]

    def clear(self) -> None:
        """Retry all refused operations at the next call."""
        self._remove(self._keys())

    def remove_expired(self, started: float) -> None:
        """Remove the refusals that had expired when a refresh `started`, in monotonic seconds.

        Called after the refresh: it did not need these operations, so only their next call tells if they are refused.
        """
        self._remove([key for key in self._keys() if self._refusals[key].until <= started])

    def _keys(self) -> list[tuple[str, str]]:
        return [key for key in self._refusals if key[0] == self._collector]

    def _remove(self, keys: Iterable[tuple[str, str]]) -> None:
        for key in keys:
            del self._refusals[key]
            # Another collector may still be refused the same operation.
            if all(operation != key[1] for _, operation in self._refusals):
                self._observer.unrefused(key[1])

    async def call(
        self, operation: str, request: Callable[[], Awaitable[T]], kinds: tuple[type[MmsError], ...] = UNAVAILABLE
    ) -> T:
        """Return the result of `request`, which calls `operation`.

        `kinds` are the errors that refuse the operation. Raises: MmsError of `request`; a refusal, without a request,
        during REFUSAL_SECONDS after it.
        """
        key = self._collector, operation
        refusal = self._refusals.get(key)
        if refusal is not None and self._monotonic() < refusal.until:
            raise type(refusal.error)(f"{operation} was skipped: MMS refused it before", hint=refusal.error.hint)
        try:
            result = await request()
        except kinds as error:
            self._refusals[key] = Refusal(error.without_frames(), self._monotonic() + REFUSAL_SECONDS)
            raise
        self._refusals.pop(key, None)
        return result
