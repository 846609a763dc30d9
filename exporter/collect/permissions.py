"""Caches refused operations: one that MMS refuses or does not offer is not called again for an hour."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from exporter.errors import UNAVAILABLE, MmsError

T = TypeVar("T")

REFUSAL_SECONDS: Final = 3600.0
"""Time for which a refused operation is skipped; a reload ends it."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    error: MmsError
    until: float
    """Monotonic seconds."""


class Permissions:
    """The refused operations of one collector of one account."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._refusals: dict[str, _Refusal] = {}

    @property
    def errors(self) -> list[MmsError]:
        """Return the refusals since which the operation has not succeeded."""
        return [refusal.error for refusal in self._refusals.values()]

    def clear(self) -> None:
        """Retry all refused operations at the next call."""
        self._refusals.clear()

    async def call(
        self, operation: str, request: Callable[[], Awaitable[T]], kinds: tuple[type[MmsError], ...] = UNAVAILABLE
    ) -> T:
        """Return the result of `request`, which calls `operation`.

        `kinds` are the errors that refuse the operation. Raises: MmsError of `request`; a refusal, without a request,
        during REFUSAL_SECONDS after it.
        """
        refusal = self._refusals.get(operation)
        if refusal is not None and self._monotonic() < refusal.until:
            raise type(refusal.error)(f"{operation} was skipped: MMS refused it before", hint=refusal.error.hint)
        try:
            result = await request()
        except kinds as error:
            self._refusals[operation] = _Refusal(error.without_frames(), self._monotonic() + REFUSAL_SECONDS)
            raise
        self._refusals.pop(operation, None)
        return result
