"""Caches refused permissions: a refused operation is not called again for an hour."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from exporter.errors import PermissionRefused

T = TypeVar("T")

REFUSAL_SECONDS: Final = 3600.0
"""Time for which a refused operation is skipped; a reload ends it."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    error: PermissionRefused
    until: float
    """Monotonic seconds."""


class Permissions:
    """The refused operations of one collector of one account."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._refusals: dict[str, _Refusal] = {}

    @property
    def errors(self) -> list[PermissionRefused]:
        """Return the refusals since which the operation has not succeeded."""
        return [refusal.error for refusal in self._refusals.values()]

    def clear(self) -> None:
        """Retry all refused operations at the next call."""
        self._refusals.clear()

    async def call(self, operation: str, request: Callable[[], Awaitable[T]]) -> T:
        """Return the result of `request`, which calls `operation`.

        Raises: MmsError of `request`; PermissionRefused, without a request, during REFUSAL_SECONDS after a refusal.
        """
        refusal = self._refusals.get(operation)
        if refusal is not None and self._monotonic() < refusal.until:
            raise PermissionRefused(f"{operation} was skipped: permission was denied before")
        try:
            result = await request()
        except PermissionRefused as error:
            self._refusals[operation] = _Refusal(error, self._monotonic() + REFUSAL_SECONDS)
            raise
        self._refusals.pop(operation, None)
        return result
