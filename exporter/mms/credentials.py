"""Credential sources: static keys and the vendor's credentials library.

The library imports slowly and blocks: it is imported on first use and runs in a daemon thread.
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
from exporter.mms.credential_errors import error_text, hint_for
from exporter.mms.signing import Credential
from exporter.runtime import DAEMON_THREADS

CACHE_SECONDS: Final = 30.0
"""Cache lifetime of library credentials; the library itself renews expiring ones."""
TIMEOUT_SECONDS: Final = 20.0


class CredentialSource(Protocol):
    """Provides the credential of a client."""

    async def get(self) -> Credential:
        """Return a credential that is valid now. Raises: CredentialsUnavailable."""

    def forget(self, rejected: Credential) -> None:
        """Drop a cached credential that MMS rejected."""


class StaticCredentials:
    """A static credential from the configuration."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    async def get(self) -> Credential:
        """Return the credential."""
        return self._credential

    def forget(self, rejected: Credential) -> None:
        """Do nothing; only a reload changes a static credential."""


class LibraryCredentials:
    """Credentials from the vendor's library, cached for CACHE_SECONDS."""

    def __init__(
        self,
        make_provider: Callable[[], Any],
        clock: Clock = SYSTEM_CLOCK,
        *,
        starts_thread: bool = False,
        hint: str = "",
    ) -> None:
        self._make_provider = make_provider
        self._hint = hint
        self._starts_thread = starts_thread
        """Whether a provider starts a thread that never ends, so that it must be reused."""
        self._clock = clock
        self._provider: Any = None
        self._lock = asyncio.Lock()
        self._cached: Credential | None = None
        self._fetched_at = 0.0
        self._pending: asyncio.Future[Credential] | None = None

    async def get(self) -> Credential:
        """Return the library's credential. Raises: CredentialsUnavailable."""
        async with self._lock:
            if self._cached is None or self._clock.monotonic() - self._fetched_at > CACHE_SECONDS:
                self._cached = await self._fetch_with_timeout()
                self._fetched_at = self._clock.monotonic()
            return self._cached

    def forget(self, rejected: Credential) -> None:
        """Drop a rejected credential, and the library's cache if possible."""
        # Concurrent calls with the same key are all rejected; only the first one clears the cache.
        if self._cached != rejected:
            return
        self._cached = None
        if not self._starts_thread:
            self._provider = None

    async def _fetch_with_timeout(self) -> Credential:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await asyncio.shield(self._fetch_future())
        except TimeoutError:
            raise CredentialsUnavailable(f"no credentials within {TIMEOUT_SECONDS:g} s", hint=self._hint) from None
        except Exception as error:  # noqa: BLE001 - the library raises errors of any type
            raise CredentialsUnavailable(f"no credentials: {error_text(error)}", hint=self._hint) from None

    def _fetch_future(self) -> asyncio.Future[Credential]:
        # A hanging fetch is joined instead of starting one more thread.
        if self._pending is None or self._pending.done():
            self._pending = asyncio.get_running_loop().run_in_executor(DAEMON_THREADS, self._fetch)
            self._pending.add_done_callback(_consume_exception)
        return self._pending

    def _fetch(self) -> Credential:
        provider = self._provider = self._provider or self._make_provider()
        found = provider.get_credentials()
        key_id, secret = found.get_access_key_id(), found.get_access_key_secret()
        if not key_id or not secret:
            raise ValueError("no key")
        return Credential(key_id, secret, found.get_security_token() or None)


def _consume_exception(result: asyncio.Future[Credential]) -> None:
    # asyncio logs exceptions that nobody retrieves, here after a timeout.
    if not result.cancelled():
        result.exception()


def credential_source(spec: Credentials, proxy: Proxy | None = None) -> CredentialSource:
    """Return the credential source of an account.

    `proxy` is for requests that assume a role.
    """
    match spec:
        case AccessKey():
            return StaticCredentials(Credential(spec.access_key_id, spec.access_key_secret.text))
        case Sts():
            key, secret, token = spec.access_key_id, spec.access_key_secret.text, spec.security_token.text
            return StaticCredentials(Credential(key, secret, token))
        case _:
            return LibraryCredentials(
                lambda: _provider(spec, proxy),
                starts_thread=isinstance(spec, DefaultChain),
                hint=hint_for(spec),
            )


def _provider(spec: Credentials, proxy: Proxy | None) -> Any:  # noqa: ANN401 - the library is untyped
    from alibabacloud_credentials import http, provider  # noqa: PLC0415 - slow to import

    for library in ("credentials", "alibabacloud-tea", "apscheduler", "urllib3"):
        # The libraries log requests and responses, secrets included, on their own handlers.
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
    providers: dict[type[Credentials], Callable[..., Any]] = {
        RamRoleArn: provider.RamRoleArnCredentialsProvider,
        EcsRamRole: provider.EcsRamRoleCredentialsProvider,
        OidcRoleArn: provider.OIDCRoleArnCredentialsProvider,
        CredentialsUri: provider.URLCredentialsProvider,
        Profile: provider.ProfileCredentialsProvider,
        DefaultChain: provider.DefaultCredentialsProvider,
    }
    values = {name: getattr(spec, name) for name in spec.__struct_fields__}
    arguments = {name: value.text if isinstance(value, Secret) else value for name, value in values.items()}
    if proxy is not None and isinstance(spec, RamRoleArn | OidcRoleArn):  # the other services are local
        arguments["http_options"] = http.HttpOptions(proxy=proxy.full_url)
    if isinstance(spec, EcsRamRole):
        arguments["async_update_enabled"] = False  # it would start a thread that never ends
    return providers[type(spec)](**arguments)
