"""A token bucket that turns away at once what comes too soon. Pure: the time is a parameter."""

from dataclasses import dataclass


@dataclass
class TokenBucket:
    """Holds `burst` tokens, full at the start; one more comes every `interval_seconds`."""

    interval_seconds: float
    burst: int
    now: float
    """Monotonic, in seconds; when the tokens were last counted."""

    def __post_init__(self) -> None:
        self.tokens = float(self.burst)

    def take(self, now: float) -> bool:
        """Take a token; False where there is none."""
        self.tokens = min(self.tokens + (now - self.now) / self.interval_seconds, float(self.burst))
        self.now = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True
