"""The bytes that the parts of a document share. Knows nothing of what the parts are."""


class Allowance:
    """What is used of a document's bytes: a kind of part may take up to its mark, so also what was left before it."""

    def __init__(self) -> None:
        self._used = 0

    def takes(self, size: int, until: int) -> bool:
        """Count a part of so many bytes, if no more than `until` are used with it; return whether it was counted."""
        if self._used + size > until:
            return False
        self._used += size
        return True
