"""Interface for the events of a client: attempts, retries, waits, lost values."""

from collections.abc import Sequence
from typing import Protocol


class Observer(Protocol):
    """Receives the events of one account; must not block or raise."""

    def attempted(self, operation: str, seconds: float, reason: str | None) -> None:
        """Record a finished attempt; `reason` is None after success."""

    def retried(self, operation: str) -> None:
        """Record that a failed attempt will be retried."""

    def waited(self, operation: str, seconds: float) -> None:
        """Record a delay by rate limit or server-requested wait."""

    def unexpected(self, operation: str, fields: Sequence[str]) -> None:
        """Record unusable values: API field names, "row" for a row."""
