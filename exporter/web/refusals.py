"""What the log says of clients that TLS turned away: a line a minute at most, however many there are.

Knows no socket. Who connects and leaves without a word, as a probe of the port does, was not turned away.
"""

import ssl
from typing import Final

import structlog

log = structlog.stdlib.get_logger()

REST_SECONDS: Final = 60.0
"""Between two lines."""


class Refusals:
    """Counts, and tells of the last."""

    def __init__(self) -> None:
        self._untold = 0
        self._rests_until = 0.0

    def note(self, error: OSError, peer: str, now: float) -> None:
        """Note that a handshake with `peer` failed at `now`, in seconds of a clock that never goes back."""
        reason = _reason(error)
        log.debug("handshake failed", address=peer, reason=reason)
        if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError):
            return
        self._untold += 1
        if now >= self._rests_until:
            log.warning("TLS clients turned away", count=self._untold, last_address=peer, last_reason=reason)
            self._untold, self._rests_until = 0, now + REST_SECONDS


def _reason(error: OSError) -> str:
    """Return what went wrong, in OpenSSL's words where it is OpenSSL that says so."""
    if verdict := getattr(error, "verify_message", None):
        return f"client certificate: {verdict}"
    if reason := getattr(error, "reason", None):
        return str(reason).lower().replace("_", " ")
    return error.strerror or str(error)
