"""What MMS does not permit an account: an operation that was refused is not asked for again for a while."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from exporter.errors import PermissionRefused

T = TypeVar("T")

OFF_SECONDS: Final = 3600.0
"""How long after a refusal nobody asks again; a reload ends it."""


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
        """What was refused and has not worked since."""
        return [refusal.error for refusal in self._refusals.values()]

    def forget(self) -> None:
        """Ask again for what was refused: somebody may have granted it."""
        self._refusals.clear()

    async def ask(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        """Return what `call` brings, which calls `operation`.

        Raises: MmsError of `call`; PermissionRefused without a call while a refusal is fresh.
        """
        refusal = self._refusals.get(operation)
        if refusal is not None and self._monotonic() < refusal.until:
            raise PermissionRefused(f"{operation} was skipped: permission was denied before")
        try:
            answer = await call()
        except PermissionRefused as error:
            self._refusals[operation] = _Refusal(error, self._monotonic() + OFF_SECONDS)
            raise
        self._refusals.pop(operation, None)
        return answer
