"""`check`: tests a configuration against MMS with read-only calls.

A check that depends on a failed one is `untested`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from exporter.clock import Clock
from exporter.config.credential_types import AccessKey, Sts
from exporter.config.loading import Account, Config
from exporter.console.output.command_report import CommandReport, Field, TableColumn
from exporter.console.probes import FACTS, NothingToProbeError, Probe, is_in, probes
from exporter.console.selection.queries import NullObserver, Options, selected_accounts
from exporter.console.watch_check import entries, object_problem, source_problem
from exporter.errors import (
    AnswerTooLarge,
    AuthRefused,
    CallTimedOut,
    ConnectionFailed,
    CredentialsUnavailable,
    MalformedAnswer,
    MmsError,
    NotFound,
    PermissionRefused,
)
from exporter.mms.client import Client, create_client
from exporter.mms.models.names import selection_problems
from exporter.mms.models.records import DataSource

Result = Literal["ok", "denied", "failed", "untested", "fact"]

MAX_SECONDS: Final = 60.0
"""Deadline per account."""
MAX_CLOCK_SECONDS: Final = 15 * 60
"""Offset at which MMS rejects a signature. Source: vendor page "V3 request structure and signature"."""
DATE_SECONDS: Final = 2
"""Precision of a Date header, including the time of the answer."""
LISTING: Final = "ListMmsDataSources"
UNKNOWN: Final = "the data sources could not be listed"
WRITES: Final = ("CreateMmsJob", "GetMmsAsyncTask")
"""Operations that only `retry` calls; CreateMmsJob writes."""
_UNREACHED: Final = (ConnectionFailed, CallTimedOut, MalformedAnswer, AnswerTooLarge)
"""Errors of the connection to MMS."""
_KEY_FAULTS: Final = {
    "access_key_id": "it is unknown or disabled",
    "access_key_secret": "it does not match access_key_id",
    "security_token": "it is invalid or expired",
}
"""What is wrong with the part of the key that MMS refused."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check of one account."""

    account: str
    check: str
    """`endpoint`, `clock`, `credentials`, `sources`, an operation, an entry of `watch` or a fact."""
    result: Result
    detail: str = ""
    advice: str = ""
    reason: str = ""
    """Reason label of the error; empty without one."""

    @property
    def action(self) -> str | None:
        """The RAM action of the operation; None for other checks."""
        return f"odps:{self.check}" if self.check[0].isupper() else None


FIELDS: Final[Sequence[Field[Finding]]] = (
    Field("account", "name of the account in the configuration", lambda row: row.account),
    Field(
        "check",
        "`endpoint`, `clock`, `credentials`, `sources`, an API operation, an entry of `watch` or the name of a fact",
        lambda row: row.check,
    ),
    Field("action", "RAM action of the operation", lambda row: row.action),
    Field(
        "result",
        "`ok`, `denied` (a RAM action is missing), `failed`, `untested`, or `fact`: an answer of MMS for a bug report",
        lambda row: row.result,
    ),
    Field("reason", "reason of the failure, as in `mms_api_request_failures_total`", lambda row: row.reason or None),
    Field("detail", "the result in words", lambda row: row.detail),
    Field("advice", "the next step", lambda row: row.advice),
)
COLUMNS: Final[Sequence[TableColumn[Finding]]] = (
    TableColumn("ACCOUNT", lambda row: row.account, rank=1),
    TableColumn("CHECK", lambda row: row.check),
    TableColumn("RESULT", lambda row: row.result, "status"),
    TableColumn("DETAIL", lambda row: row.detail, never_shortened=True),
    TableColumn("NEXT STEP", lambda row: row.advice, never_shortened=True),
)


async def check(config: Config, options: Options, clock: Clock) -> CommandReport[Finding]:
    """Check the accounts that `options` select. Raises: ConfigError."""
    accounts = selected_accounts(config, options)
    selected: dict[str, Sequence[DataSource]] = {}
    each = await asyncio.gather(*(_findings(config, account, clock, selected) for account in accounts))
    rows = [finding for findings in each for finding in findings]
    if len(selected) == len(config.accounts):
        rows += _unwatched(config, [source for sources in selected.values() for source in sources])
    has_failures = any(row.result in {"denied", "failed"} for row in rows)
    return CommandReport(fields=FIELDS, columns=COLUMNS, rows=rows, empty_text="no accounts", has_failures=has_failures)


def _unwatched(config: Config, sources: Sequence[DataSource]) -> Iterator[Finding]:
    for key, entry in entries(config.watch):
        if problem := source_problem(entry, sources):
            yield Finding("", key, "failed", *problem)


async def _findings(
    config: Config, account: Account, clock: Clock, selected_sources: dict[str, Sequence[DataSource]]
) -> list[Finding]:
    deadline = asyncio.get_running_loop().time() + MAX_SECONDS
    async with create_client(account, NullObserver(), clock) as client:
        try:
            listing = await _before_deadline(client.list_data_sources(), deadline)
        except MmsError as error:
            unreached = await _unreached(client, deadline) if isinstance(error, CredentialsUnavailable) else error
            found = [*_connection_findings(config, account, client, error, unreached)]
            found += [Finding(account.name, probe.operation, "untested", UNKNOWN) for probe in probes(config, None)]
        else:
            selected = [row for row in listing.rows if account.sources.admits(row.name or "", row.type or "")]
            found = [
                *_connection_findings(config, account, client, None, None),
                _listed(account, len(listing.rows), selected),
                *(Finding(account.name, "sources", "failed", *each) for each in _problems(account, listing.rows)),
            ]
            findings = (_probe_finding(account, probe, client, deadline) for probe in probes(config, selected))
            found += await asyncio.gather(*findings)
            selected_sources[account.name] = selected
            found += [each async for each in _watched_findings(config, account, client, selected, deadline)]
            if selected and config.jobs.enabled:
                calls = ((name, fact(client, account, selected, clock)) for name, fact in FACTS.items())
                found += [await _fact_finding(account, name, call, deadline) for name, call in calls]
    writes = (Finding(account.name, name, "untested", "used only by `retry`, which writes") for name in WRITES)
    return [*found, *writes]


async def _before_deadline(answer: Awaitable[Any], deadline: float) -> Any:  # noqa: ANN401 - any operation's answer
    """Await a call. Raises: MmsError; CallTimedOut at the deadline."""
    try:
        async with asyncio.timeout_at(deadline):
            return await answer
    except TimeoutError:
        raise CallTimedOut(f"the account was not checked within {MAX_SECONDS:g} s") from None


async def _probe_finding(account: Account, probe: Probe, client: Client, deadline: float) -> Finding:
    try:
        await _before_deadline(probe.call(client), deadline)
    except NothingToProbeError as error:
        return Finding(account.name, probe.operation, "untested", str(error))
    except NotFound:
        return Finding(account.name, probe.operation, "ok", "allowed; the requested object does not exist")
    except MmsError as error:
        return _refused(account, probe.operation, probe.policy, error)
    return Finding(account.name, probe.operation, "ok", "allowed")


async def _watched_findings(
    config: Config, account: Account, client: Client, sources: Sequence[DataSource], deadline: float
) -> AsyncIterator[Finding]:
    """Yield a finding for each entry of `watch` that is about a data source of the account."""
    for key, entry in entries(config.watch):
        for source in (each for each in sources if is_in(entry, each)):
            try:
                problem = await _before_deadline(object_problem(client, entry, source), deadline)
            except MmsError as error:
                yield Finding(account.name, key, "untested", error.code or str(error), reason=error.reason)
            except NothingToProbeError as error:
                yield Finding(account.name, key, "untested", str(error))
            else:
                advice = "correct the names; they are case-sensitive" if problem else ""
                existing = "found" if entry.db else "the data source is found"
                yield Finding(account.name, key, "failed" if problem else "ok", problem or existing, advice)


async def _fact_finding(account: Account, name: str, fact: Awaitable[str], deadline: float) -> Finding:
    try:
        return Finding(account.name, name, "fact", await _before_deadline(fact, deadline))
    except NothingToProbeError as error:
        return Finding(account.name, name, "untested", str(error))
    except MmsError as error:
        return Finding(account.name, name, "untested", error.code or str(error), reason=error.reason)


def _refused(account: Account, operation: str, policy: str, error: MmsError) -> Finding:
    if not isinstance(error, PermissionRefused):
        return Finding(account.name, operation, "failed", str(error), error.hint, error.reason)
    advice = f"grant odps:{operation}, see deploy/ram/{policy}.json"
    return Finding(account.name, operation, "denied", error.code or str(error), advice, error.reason)


def _listed(account: Account, total: int, selected: Sequence[DataSource]) -> Finding:
    return Finding(account.name, LISTING, "ok", f"allowed; {total:,} data sources, {len(selected):,} selected")


def _problems(account: Account, rows: Sequence[DataSource]) -> Sequence[tuple[str, str]]:
    return selection_problems(account.sources, sorted((row.name or "", row.type or "") for row in rows))


async def _unreached(client: Client, deadline: float) -> MmsError | None:
    # Without credentials, the first call sends nothing.
    try:
        await _before_deadline(client.reach(), deadline)
    except MmsError as error:
        return error
    return None


def _connection_findings(
    config: Config, account: Account, client: Client, error: MmsError | None, unreached: MmsError | None
) -> Iterator[Finding]:
    """Yield the findings of the first call."""
    yield _endpoint(account, unreached)
    yield _clock(account, client.server_ahead_seconds, error)
    yield _credentials(config, account, error)
    if isinstance(error, (*_UNREACHED, AuthRefused, CredentialsUnavailable)):
        yield Finding(account.name, LISTING, "untested")
    elif error is not None:
        yield _refused(account, LISTING, "read", error)


def _endpoint(account: Account, error: MmsError | None) -> Finding:
    if isinstance(error, _UNREACHED):
        return Finding(account.name, "endpoint", "failed", str(error), error.hint, error.reason)
    proxy = f" through the proxy {account.proxy.url}" if account.proxy else ""
    return Finding(account.name, "endpoint", "ok", f"{account.url}{proxy}")


def _clock(account: Account, ahead: float | None, error: MmsError | None) -> Finding:
    """Compare the local clock with the last Date header."""
    detail = "" if ahead is None else _offset_text(ahead)
    is_refused = isinstance(error, AuthRefused) and error.refused == "clock"
    if is_refused or (ahead is not None and abs(ahead) > MAX_CLOCK_SECONDS):
        return Finding(
            account.name,
            "clock",
            "failed",
            detail,
            "synchronize the clock of this machine, for example with NTP",
            "auth",
        )
    return Finding(account.name, "clock", "untested" if ahead is None else "ok", detail)


def _offset_text(ahead: float) -> str:
    if abs(ahead) < DATE_SECONDS:
        return "matches the MMS server"
    return f"{abs(ahead):.0f} s {'behind' if ahead > 0 else 'ahead of'} MMS"


def _credentials(config: Config, account: Account, error: MmsError | None) -> Finding:
    name, kind = account.name, str(account.credentials.__struct_config__.tag)
    if isinstance(error, CredentialsUnavailable):
        return Finding(name, "credentials", "failed", str(error), error.hint, error.reason)
    if isinstance(error, AuthRefused) and error.refused != "clock":
        return Finding(name, "credentials", "failed", str(error), _key_advice(config, account, error), error.reason)
    if error is None or isinstance(error, PermissionRefused):
        return Finding(name, "credentials", "ok", f"type {kind}")
    return Finding(name, "credentials", "untested")


def _key_advice(config: Config, account: Account, error: AuthRefused) -> str:
    """Return which part of which key to change."""
    place = f"accounts[{config.accounts.index(account)}].credentials"
    if (fault := _KEY_FAULTS.get(error.refused)) is None:
        return error.hint
    if isinstance(account.credentials, AccessKey | Sts):
        return f"change {place}.{error.refused}: {fault}"
    return f"check the {error.refused} that {place} provides: {fault}"
