"""Every error this program raises on purpose.

ExporterError
├── ConfigError                configuration or usage; exit code 2
├── ListenError                cannot bind a listen address; exit code 1
├── InternalError              unexpected error: a bug, logged with its traceback
├── WriteForbidden             a read-only client was asked to write: a bug; nothing was sent
├── SelectionUnmatched         `sources` of an account matches no data source
├── RetryStopped               `retry` cannot continue; its journal has the state; exit code 1
└── MmsError                   one call to MMS failed; `reason` is a label value
    ├── Throttled              throttled    retry: yes
    ├── AuthRefused            auth         retry: no
    ├── PermissionRefused      permission   retry: no
    ├── OperationUnsupported   unsupported  retry: no
    ├── NotFound               not_found    retry: no
    ├── CallTimedOut           timeout      retry: yes
    ├── ConnectionFailed       connection   retry: yes
    ├── ServerFailed           server       retry: yes
    ├── MalformedAnswer        malformed    retry: yes
    ├── AnswerTooLarge         too_large    retry: no
    ├── CredentialsUnavailable credentials  retry: no
    └── RequestRejected        rejected     retry: no

Messages are built from validated parts. They never contain text from MMS, which may quote secrets.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self


class ExporterError(Exception):
    """The root; the command line prints it and sets the exit code."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a configuration."""

    path: str
    """Key, such as `accounts[0].region`, flag or file."""
    message: str
    """The expectation; never the value of a secret."""
    place: str = ""
    """File and line of the key, if it is from a file."""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.path, self.message) if part)


class ConfigError(ExporterError):
    """The configuration is invalid; carries every problem."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class ListenError(ExporterError):
    """A listen address is in use, not local, or forbidden."""


class InternalError(ExporterError):
    """An unexpected error; its traceback is in the log."""


class WriteForbidden(ExporterError):
    """A read-only client was asked to write; nothing was sent."""


class SelectionUnmatched(ExporterError):
    """`sources` of an account selects no data source."""

    reason: ClassVar = "selection"

    def __init__(self, detail: str, hint: str) -> None:
        super().__init__(detail)
        self.hint = hint


class RetryStopped(ExporterError):
    """A retry cannot continue now; its journal allows a resume."""

    def __init__(self, detail: str, resume: Path | None = None) -> None:
        super().__init__(detail)
        self.resume = resume
        """Journal of the run to resume first; None if it is another problem."""


class MmsError(ExporterError):
    """A call to MMS failed after all its retries."""

    reason: ClassVar[str]
    """The value of the `reason` label."""
    retryable: ClassVar[bool]
    """Whether the same request can succeed later."""
    hint: str
    """The next step for the user."""

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        code: str = "",
        request_id: str = "",
        wait_seconds: float | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.code = code
        self.request_id = request_id
        self.wait_seconds = wait_seconds
        """The wait that the server asks for; None if it asks for none."""
        self.is_certain = False
        """Whether the call was certainly not carried out, so that a repeat cannot do its work twice."""
        if hint:
            self.hint = hint
        self.refused = ""
        """Rejected part of the request: a configuration key of the credentials, `clock` or `nonce`; "" if unknown."""
        self.about = ""
        """Object of the call, such as a data source; "" for the whole account."""

    def without_frames(self) -> Self:
        """Drop the traceback: its frames keep the response, which can be megabytes."""
        self.__context__ = None
        return self.with_traceback(None)

    def __str__(self) -> str:
        parts = {"status": self.status, "code": self.code, "request_id": self.request_id}
        facts = ", ".join(f"{name} {value}" for name, value in parts.items() if value)
        return f"{self.detail} ({facts})" if facts else self.detail


class Throttled(MmsError):
    """MMS rejected the call because of its rate limit."""

    reason = "throttled"
    retryable = True
    hint = "lower rate_limit or raise refresh.interval"


class AuthRefused(MmsError):
    """MMS rejected the key, token, signature or clock."""

    reason = "auth"
    retryable = False
    hint = "check the access key, the security token and the clock of this machine"


class PermissionRefused(MmsError):
    """The caller has no permission for the operation."""

    reason = "permission"
    retryable = False
    hint = "grant this identity the RAM action of the operation; see deploy/ram"


class OperationUnsupported(MmsError):
    """MMS does not offer the operation in this region or version."""

    reason = "unsupported"
    retryable = False
    hint = "check region and endpoint; if MMS does not offer the operation there, disable the collector that calls it"


class NotFound(MmsError):
    """The object does not exist in this account and region."""

    reason = "not_found"
    retryable = False
    hint = "check the region and whether the data source, table, partition or job still exists"


class CallTimedOut(MmsError):
    """No complete response within the timeout."""

    reason = "timeout"
    retryable = True
    hint = "check the network path to the endpoint, or raise timeout"


class ConnectionFailed(MmsError):
    """The connection failed: DNS, TCP, TLS, or closed early."""

    reason = "connection"
    retryable = True
    hint = "check the region, the endpoint, DNS, proxy and firewall"
    is_unsent = False
    """Whether the connection was never established, so that nothing was sent."""


class ServerFailed(MmsError):
    """MMS, or a gateway in front of it, failed."""

    reason = "server"
    retryable = True
    hint = "wait; if the error persists, send the request ID to Alibaba Cloud support"


class MalformedAnswer(MmsError):
    """The response is not the documented JSON."""

    reason = "malformed"
    retryable = True
    hint = "check that the endpoint is MMS and that no proxy responds instead"


class AnswerTooLarge(MmsError):
    """The response exceeds the size limit."""

    reason = "too_large"
    retryable = False
    hint = "check that the endpoint is MMS and that no proxy responds instead"


class CredentialsUnavailable(MmsError):
    """No credentials are available; nothing was sent."""

    reason = "credentials"
    retryable = False
    hint = (
        "set a working credentials section for the account, or provide what the default credential chain reads: "
        "access key variables, an OIDC role with its token file, a profile, or an instance role"
    )


class RequestRejected(MmsError):
    """MMS rejected the request itself."""

    reason = "rejected"
    retryable = False
    hint = "look up the code in the Alibaba Cloud error list; this is probably a bug of the exporter"


UNAVAILABLE = (PermissionRefused, OperationUnsupported)
"""Errors that every call of the operation hits, whatever object it asks for."""

REASONS = tuple(leaf.reason for leaf in MmsError.__subclasses__())
"""Every value of the `reason` label."""
