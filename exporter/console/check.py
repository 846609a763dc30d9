"""`check`: tests a configuration against MMS with read-only calls.

A check that depends on a failed one is `untested`.
"""

import asyncio
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from exporter.clock import Clock
from exporter.config.credential_types import AccessKey, Sts
from exporter.config.loading import Account, Config
from exporter.console.output.command_report import LAST_RANK, CommandReport, Field, TableColumn
from exporter.console.probes import FACTS, NothingToProbeError, Probe, Watched, is_in, probes
from exporter.console.selection.queries import NullObserver, Options, selected_accounts
from exporter.console.watch_check import entries, look_up, source_problem
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
from exporter.mms.listing import Listing
from exporter.mms.models.records import DataSource
from exporter.mms.source_selection import is_selected, selection_problems, unmatched_excludes

Result = Literal["ok", "denied", "failed", "untested", "fact"]

MAX_SECONDS: Final = 60.0
"""Deadline per account."""
MAX_CLOCK_SECONDS: Final = 15 * 60
"""Offset at which MMS rejects a signature. Source: vendor page "V3 request structure and signature"."""
DATE_SECONDS: Final = 2
"""Precision of a Date header, including the time of the answer."""
LISTING: Final = "ListMmsDataSources"
UNKNOWN: Final = "the data sources could not be listed"
NOT_ALL_LISTED: Final = "no listed data source has this name or ID, but not all data sources of all accounts are listed"
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
        "`ok`, `denied` (a RAM action is missing), `failed`, `untested`, or `fact`: for information only",
        lambda row: row.result,
    ),
    Field("reason", "reason of the failure, as in `mms_api_request_failures_total`", lambda row: row.reason or None),
    Field("detail", "the result in words", lambda row: row.detail),
    Field("advice", "the next step", lambda row: row.advice),
)


async def check(config: Config, options: Options, clock: Clock) -> CommandReport[Finding]:
    """Check the accounts that `options` select. Raises: ConfigError."""
    accounts = selected_accounts(config, options)
    listings: dict[str, Listing[DataSource]] = {}
    each = await asyncio.gather(*(_findings(config, account, clock, listings) for account in accounts))
    rows = [finding for findings in each for finding in findings]
    rows += _unwatched(config, listings)
    has_failures = any(row.result in {"denied", "failed"} for row in rows)
    columns = _columns(has_several_accounts=len(config.accounts) > 1)
    return CommandReport(fields=FIELDS, columns=columns, rows=rows, empty_text="no accounts", has_failures=has_failures)


def _columns(*, has_several_accounts: bool) -> Sequence[TableColumn[Finding]]:
    return (
        TableColumn("ACCOUNT", lambda row: row.account, rank=LAST_RANK if has_several_accounts else LAST_RANK + 1),
        TableColumn("CHECK", lambda row: row.check, kept_characters=22),
        TableColumn("RESULT", lambda row: row.result, "status"),
        TableColumn("DETAIL", lambda row: row.detail, never_shortened=True),
        TableColumn("NEXT STEP", lambda row: row.advice, never_shortened=True),
    )


def _unwatched(config: Config, listings: Mapping[str, Listing[DataSource]]) -> Iterator[Finding]:
    pairs = [(account, listing) for account in config.accounts if (listing := listings.get(account.name))]
    selected = [source for pair in pairs for source in _selected(*pair)]
    listed = [source for _, listing in pairs for source in listing.rows]
    is_complete = len(pairs) == len(config.accounts) and all(listing.is_consistent for _, listing in pairs)
    for key, entry in entries(config.watch):
        if problem := source_problem(entry, selected, listed):
            yield Finding("", key, "failed", *problem) if is_complete else Finding("", key, "untested", NOT_ALL_LISTED)


def _selected(account: Account, listing: Listing[DataSource]) -> list[DataSource]:
    return [row for row in listing.rows if is_selected(row, account.sources)]


async def _findings(
    config: Config, account: Account, clock: Clock, listings: dict[str, Listing[DataSource]]
) -> list[Finding]:
    deadline = asyncio.get_running_loop().time() + MAX_SECONDS
    async with create_client(account, NullObserver(), clock) as client:
        try:
            listing = await _before_deadline(client.list_data_sources(), deadline)
        except MmsError as error:
            connection_error = (
                await _connection_error(client, deadline) if isinstance(error, CredentialsUnavailable) else error
            )
            found = [*_connection_findings(config, account, client, error, connection_error)]
            found += [Finding(account.name, probe.operation, "untested", UNKNOWN) for probe in probes(config, None)]
        else:
            listings[account.name] = listing
            selected = _selected(account, listing)
            found = [*_connection_findings(config, account, client, None, None), *_listed(account, listing, selected)]
            findings = (_probe_finding(account, probe, client, deadline) for probe in probes(config, selected))
            found += await asyncio.gather(*findings)
            watched = _watched(config, selected)
            lookups = ((key, look_up(client, entry, source)) for key, entry, source in watched)
            found += await asyncio.gather(*(_found(account, key, each, deadline) for key, each in lookups))
            if selected and config.jobs.enabled:
                calls = ((name, _as_fact(fact(client, account, selected, clock))) for name, fact in FACTS.items())
                found += [await _found(account, name, call, deadline) for name, call in calls]
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


def _watched(config: Config, sources: Sequence[DataSource]) -> Iterator[tuple[str, Watched, DataSource]]:
    for key, entry in entries(config.watch):
        yield from ((key, entry, each) for each in sources if is_in(entry, each))


async def _as_fact(detail: Awaitable[str]) -> tuple[Result, str]:
    return "fact", await detail


async def _found(account: Account, name: str, found: Awaitable[tuple[str, ...]], deadline: float) -> Finding:
    try:
        return Finding(account.name, name, *await _before_deadline(found, deadline))
    except NothingToProbeError as error:
        return Finding(account.name, name, "untested", str(error))
    except MmsError as error:
        return Finding(account.name, name, "untested", error.code or str(error), reason=error.reason)


def _refused(account: Account, operation: str, policy: str, error: MmsError) -> Finding:
    if not isinstance(error, PermissionRefused):
        return Finding(account.name, operation, "failed", str(error), error.hint, error.reason)
    advice = f"grant odps:{operation}, see deploy/ram/{policy}.json"
    return Finding(account.name, operation, "denied", error.code or str(error), advice, error.reason)


def _listed(account: Account, listing: Listing[DataSource], selected: Sequence[DataSource]) -> Iterator[Finding]:
    detail = f"allowed; {len(listing.rows):,} data sources, {len(selected):,} selected"
    if not listing.is_consistent:
        yield Finding(account.name, LISTING, "ok", f"{detail}; the list is incomplete or changed while it was read")
        return
    yield Finding(account.name, LISTING, "ok", detail)
    for problem in selection_problems(account.sources, listing.rows):
        yield Finding(account.name, "sources", "failed", *problem)
    for detail, _ in unmatched_excludes(account.sources, listing.rows):
        yield Finding(account.name, "sources", "fact", detail)


async def _connection_error(client: Client, deadline: float) -> MmsError | None:
    # Without credentials, the first call sends nothing.
    try:
        await _before_deadline(client.reach(), deadline)
    except MmsError as error:
        return error
    return None


def _connection_findings(
    config: Config, account: Account, client: Client, error: MmsError | None, connection_error: MmsError | None
) -> Iterator[Finding]:
    """Yield the findings of the first call."""
    yield _endpoint(account, connection_error)
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
