"""Who calls: every way in which Alibaba Cloud hands out credentials.

Static keys stand in the configuration. All else is the vendor's library, which is slow to import and blocks: it is
imported when first used, and runs in a thread of its own.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, Protocol

from exporter.clock import SYSTEM_CLOCK, Clock
from exporter.config.credential_types import (
    AccessKey,
    Credentials,
    CredentialsUri,
    DefaultChain,
    EcsRamRole,
    OidcRoleArn,
    Profile,
    RamRoleArn,
    Sts,
)
from exporter.config.network import Proxy
from exporter.config.sections import Secret
from exporter.errors import CredentialsUnavailable
from exporter.mms.credential_errors import fault, remedy
from exporter.mms.signing import Credential
from exporter.runtime import DAEMON_THREADS

CACHE_SECONDS: Final = 30.0
"""How long the library's answer is used before it is asked again; it renews what is about to expire by itself."""
TIMEOUT_SECONDS: Final = 20.0


class CredentialSource(Protocol):
    """Where a client gets its credential from."""

    async def get(self) -> Credential:
        """Return a credential that is valid now. Raises: CredentialsUnavailable."""

    def forget(self, refused: Credential) -> None:
        """Ask anew next time, if `refused`, which MMS does not accept, is what would be given."""


class StaticCredentials:
    """A credential that stands in the configuration."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    async def get(self) -> Credential:
        """Return the credential."""
        return self._credential

    def forget(self, refused: Credential) -> None:
        """Do nothing: a reload brings another one."""


class LibraryCredentials:
    """What the vendor's library finds, remembered for CACHE_SECONDS."""

    def __init__(
        self,
        make_provider: Callable[[], Any],
        clock: Clock = SYSTEM_CLOCK,
        *,
        keeps_threads: bool = False,
        remedy: str = "",
    ) -> None:
        """`remedy` is what to do where there are none."""
        self._make_provider = make_provider
        self._remedy = remedy
        self._keeps_threads = keeps_threads
        """Whether each provider starts a thread that nothing ends, so that there must be one only."""
        self._clock = clock
        self._provider: Any = None
        self._asking = asyncio.Lock()
        self._cached: Credential | None = None
        self._asked_at = 0.0
        self._pending: asyncio.Future[Credential] | None = None

    async def get(self) -> Credential:
        """Return the library's credential. Raises: CredentialsUnavailable."""
        async with self._asking:
            if self._cached is None or self._clock.monotonic() - self._asked_at > CACHE_SECONDS:
                self._cached = await self._asked()
                self._asked_at = self._clock.monotonic()
            return self._cached

    def forget(self, refused: Credential) -> None:
        """Ask the library anew next time; where that is possible, with none of what it remembers.

        Of several calls that were under way with one key, each is refused: only the first has another asked for.
        """
        if self._cached != refused:
            return
        self._cached = None
        if not self._keeps_threads:
            self._provider = None

    async def _asked(self) -> Credential:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await asyncio.shield(self._asking_now())
        except TimeoutError:
            raise CredentialsUnavailable(f"no credentials within {TIMEOUT_SECONDS:g} s", hint=self._remedy) from None
        except Exception as error:  # noqa: BLE001 - foreign errors of any kind are translated here
            raise CredentialsUnavailable(f"no credentials: {fault(error)}", hint=self._remedy) from None

    def _asking_now(self) -> asyncio.Future[Credential]:
        """Return the answer to come; of one that hangs, the same again, rather than one more thread."""
        if self._pending is None or self._pending.done():
            self._pending = asyncio.get_running_loop().run_in_executor(DAEMON_THREADS, self._ask)
            self._pending.add_done_callback(_mark_seen)
        return self._pending

    def _ask(self) -> Credential:
        provider = self._provider = self._provider or self._make_provider()
        found = provider.get_credentials()
        key_id, secret = found.get_access_key_id(), found.get_access_key_secret()
        if not key_id or not secret:
            raise ValueError("no key")
        return Credential(key_id, secret, found.get_security_token() or None)


def _mark_seen(answer: asyncio.Future[Credential]) -> None:
    """Have asyncio not complain of an error that came when nobody waited any more."""
    if not answer.cancelled():
        answer.exception()


def credential_source(spec: Credentials, proxy: Proxy | None = None) -> CredentialSource:
    """Return where an account's credentials come from; a role is asked for through `proxy`."""
    match spec:
        case AccessKey():
            return StaticCredentials(Credential(spec.access_key_id, spec.access_key_secret.text))
        case Sts():
            key, secret, token = spec.access_key_id, spec.access_key_secret.text, spec.security_token.text
            return StaticCredentials(Credential(key, secret, token))
        case _:
            return LibraryCredentials(
                lambda: _provider(spec, proxy),
                keeps_threads=isinstance(spec, DefaultChain),
                remedy=remedy(spec),
            )


def _provider(spec: Credentials, proxy: Proxy | None) -> Any:  # noqa: ANN401 - the library is untyped
    from alibabacloud_credentials import http, provider  # noqa: PLC0415 - slow to import

    for talker in ("credentials", "alibabacloud-tea", "apscheduler", "urllib3"):
        # The library logs what it sends and is answered, secrets included, on handlers of its own.
        logging.getLogger(talker).setLevel(logging.CRITICAL + 1)
    makers: dict[type[Credentials], Callable[..., Any]] = {
        RamRoleArn: provider.RamRoleArnCredentialsProvider,
        EcsRamRole: provider.EcsRamRoleCredentialsProvider,
        OidcRoleArn: provider.OIDCRoleArnCredentialsProvider,
        CredentialsUri: provider.URLCredentialsProvider,
        Profile: provider.ProfileCredentialsProvider,
        DefaultChain: provider.DefaultCredentialsProvider,
    }
    given = {name: getattr(spec, name) for name in spec.__struct_fields__}
    arguments = {name: value.text if isinstance(value, Secret) else value for name, value in given.items()}
    if proxy is not None and isinstance(spec, RamRoleArn | OidcRoleArn):  # the other services are near
        arguments["http_options"] = http.HttpOptions(proxy=proxy.full_url)
    if isinstance(spec, EcsRamRole):
        arguments["async_update_enabled"] = False  # it would start a thread that nothing ends
    return makers[type(spec)](**arguments)
