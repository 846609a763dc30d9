"""What the client tells of its doings, so that it need not know who counts them."""

from collections.abc import Sequence
from typing import Protocol


class Observer(Protocol):
    """Hears of the calls of one account. Methods return at once and raise nothing."""

    def attempted(self, operation: str, seconds: float, reason: str | None) -> None:
        """Note that an attempt ended after `seconds`; `reason` is its error's, None for a success."""

    def retried(self, operation: str) -> None:
        """Note that a failed attempt is about to be repeated."""

    def waited(self, operation: str, seconds: float) -> None:
        """Note that a call was held back for `seconds`: by the rate limit, or by a wait the server asked for."""

    def unexpected(self, operation: str, fields: Sequence[str]) -> None:
        """Note what an answer held and could not be used: the API's name of each field, "row" for a whole row."""
