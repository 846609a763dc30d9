"""Log of failed TLS handshakes: at most one warning per minute, with a count."""

import ssl
from typing import Final

import structlog

log = structlog.stdlib.get_logger()

INTERVAL_SECONDS: Final = 60.0


class TlsFailureLog:
    """Counts failed handshakes and logs the last one."""

    def __init__(self) -> None:
        self._count = 0
        self._silent_until = 0.0

    def add(self, error: OSError, address: str, now: float) -> None:
        """Count a handshake that failed at `now`, in monotonic seconds."""
        reason = _reason(error)
        log.debug("TLS handshake failed", address=address, reason=reason)
        if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError):
            return  # the client disconnected, like a port probe
        self._count += 1
        if now >= self._silent_until:
            log.warning("TLS clients rejected", count=self._count, last_address=address, last_reason=reason)
            self._count, self._silent_until = 0, now + INTERVAL_SECONDS


def _reason(error: OSError) -> str:
    if verdict := getattr(error, "verify_message", None):
        return f"client certificate: {verdict}"
    if reason := getattr(error, "reason", None):
        return str(reason).lower().replace("_", " ")
    return error.strerror or str(error)
