"""Every error this program raises on purpose.

ExporterError
├── ConfigError                configuration or usage; exit code 2
├── ListenError                a listen address cannot be taken; exit code 1
├── InternalError              what nobody foresaw: a bug, logged with its traceback
├── WriteForbidden             a client that only reads was to write: a bug, and nothing was sent
├── RetryStopped               `retry` cannot go on; what it wrote down says where it stands; exit code 1
└── MmsError                   one call to MMS failed; `reason` is a label value
    ├── Throttled              throttled    retry: yes
    ├── AuthRefused            auth         retry: no
    ├── PermissionRefused      permission   retry: no
    ├── NotFound               not_found    retry: no
    ├── CallTimedOut           timeout      retry: yes
    ├── ConnectionFailed       connection   retry: yes
    ├── ServerFailed           server       retry: yes
    ├── MalformedAnswer        malformed    retry: yes
    ├── AnswerTooLarge         too_large    retry: no
    ├── CredentialsUnavailable credentials  retry: no
    └── RequestRejected        rejected     retry: no

Messages are built here from checked parts; no text of the vendor's, which may quote secrets, gets in.
"""

from dataclasses import dataclass
from typing import ClassVar


class ExporterError(Exception):
    """The root: what the command line turns into one line and an exit code."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a configuration."""

    path: str
    """Where: `accounts[0].region`, a flag, or a file."""
    message: str
    """What was expected; never the value of a secret."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigError(ExporterError):
    """The configuration cannot be used; all of its problems at once."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class ListenError(ExporterError):
    """A listen address is taken, not ours, or forbidden."""


class InternalError(ExporterError):
    """What nobody foresaw; its traceback is in the log."""


class WriteForbidden(ExporterError):
    """What would change something in MMS was to be sent by a client that only reads; nothing was."""


class RetryStopped(ExporterError):
    """A retry cannot go on now; what it wrote down says where it stands, and it can be resumed."""


class MmsError(ExporterError):
    """A call to MMS, with all its retries, came to nothing."""

    reason: ClassVar[str]
    """The value of the `reason` label."""
    retryable: ClassVar[bool]
    """Whether the same request can succeed a moment later."""
    hint: str
    """What the reader can do."""

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
        """How long the server asks to wait; None where it does not say."""
        self.is_certain = False
        """Whether the call was surely not carried out, so that sending it again cannot do its work twice."""
        if hint:
            self.hint = hint
        self.about = ""
        """What the call was about, for people; "" where that is the account as a whole."""

    def __str__(self) -> str:
        parts = {"status": self.status, "code": self.code, "request_id": self.request_id}
        facts = ", ".join(f"{name} {value}" for name, value in parts.items() if value)
        return f"{self.detail} ({facts})" if facts else self.detail


class Throttled(MmsError):
    """MMS asks for fewer calls."""

    reason = "throttled"
    retryable = True
    hint = "lower rate_limit or raise refresh.interval"


class AuthRefused(MmsError):
    """MMS does not accept who is calling: key, token, signature or clock."""

    reason = "auth"
    retryable = False
    hint = "check the access key, the security token and the clock of this machine"


class PermissionRefused(MmsError):
    """The caller is known, and not allowed to do this."""

    reason = "permission"
    retryable = False
    hint = "grant this identity the RAM action odps:<the operation that failed>; see deploy/ram"


class NotFound(MmsError):
    """The thing asked for does not exist in this account and region."""

    reason = "not_found"
    retryable = False
    hint = "check the region, and that the source, table, partition or job still exists"


class CallTimedOut(MmsError):
    """No complete answer within the time given."""

    reason = "timeout"
    retryable = True
    hint = "check the network path to the endpoint, or raise timeout"


class ConnectionFailed(MmsError):
    """The endpoint cannot be reached: DNS, TCP, TLS, or a connection cut."""

    reason = "connection"
    retryable = True
    hint = "check the region, the endpoint, DNS, proxy and firewall"
    is_unsent = False
    """Whether no connection came to be, so that nothing was sent."""


class ServerFailed(MmsError):
    """MMS, or a gateway before it, failed."""

    reason = "server"
    retryable = True
    hint = "wait; if it lasts, give the request id to Alibaba Cloud support"


class MalformedAnswer(MmsError):
    """The answer is not what the vendor documents: not JSON, cut short, or of another shape."""

    reason = "malformed"
    retryable = True
    hint = "check that the endpoint is MMS and no proxy answers in its place"


class AnswerTooLarge(MmsError):
    """The answer is larger than this program is willing to hold."""

    reason = "too_large"
    retryable = False
    hint = "check that the endpoint is MMS and no proxy answers in its place"


class CredentialsUnavailable(MmsError):
    """No credentials could be had, so nothing was sent."""

    reason = "credentials"
    retryable = False
    hint = (
        "give the account a credentials section that works, or the environment what the vendor's default chain looks "
        "for: keys, a role with its token file, a profile, or an instance role"
    )


class RequestRejected(MmsError):
    """MMS understood the caller and refused the request itself."""

    reason = "rejected"
    retryable = False
    hint = "look the code up in the vendor's error list; a bug of this exporter is likely"


REASONS = tuple(leaf.reason for leaf in MmsError.__subclasses__())
"""Every value of the `reason` label."""
