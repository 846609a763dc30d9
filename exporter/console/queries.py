"""Runs a read function on the selected accounts and data sources, several at a time.

An error of one never hides another. Knows nothing of output.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from exporter.clock import SYSTEM_CLOCK, Clock
from exporter.config.loading import Account, Config
from exporter.console.columns import Found
from exporter.console.command_report import QueryError
from exporter.console.options import Options
from exporter.errors import ConfigError, MalformedAnswer, MmsError, Problem
from exporter.masking import printable
from exporter.mms.client import Client, create_client
from exporter.mms.models import DataSource

T = TypeVar("T")

MAX_SUGGESTED: Final = 20
"""Names listed in an error about an unknown name."""


class NullObserver:
    """An observer that records nothing."""

    def attempted(self, operation: str, seconds: float, reason: str | None) -> None:
        """Do nothing."""

    def retried(self, operation: str) -> None:
        """Do nothing."""

    def waited(self, operation: str, seconds: float) -> None:
        """Do nothing."""

    def unexpected(self, operation: str, fields: Sequence[str]) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class QueryPart(Generic[T]):
    """The records of one data source."""

    records: Sequence[T]
    omitted: str = ""
    """Omitted values; empty if all are shown."""
    errors: Sequence[MmsError] = ()
    """Why more is missing."""


@dataclass(frozen=True, slots=True)
class QueryResult(Generic[T]):
    """The records of all data sources, in configuration order."""

    found: Sequence[Found[T]]
    omitted: Sequence[str]
    errors: Sequence[QueryError]


@dataclass(frozen=True, slots=True)
class QueryTarget:
    """A selected data source with the client to read it."""

    account: Account
    source: DataSource
    client: Client

    @property
    def name(self) -> str:
        """The name, or the ID without one."""
        return self.source.name or str(self.source.id)


@dataclass(frozen=True, slots=True)
class _Listed:
    """The data sources of one account."""

    targets: Sequence[QueryTarget]
    error: QueryError | None
    """Why some or all are missing."""


async def query_sources(
    config: Config,
    options: Options,
    read: Callable[[QueryTarget], Awaitable[QueryPart[T]]],
    clock: Clock = SYSTEM_CLOCK,
) -> QueryResult[T]:
    """Read every data source that `options` select. Raises: ConfigError."""
    async with AsyncExitStack() as stack:
        accounts = selected_accounts(config, options)
        clients = [await stack.enter_async_context(_create_client(account, clock)) for account in accounts]
        listings = await asyncio.gather(*map(_listed, accounts, clients))
        errors = [listing.error for listing in listings if listing.error]
        targets = _selected(
            [target for listing in listings for target in listing.targets], options.sources, is_all=not errors
        )
        parts = await asyncio.gather(*(read_or_error(read(target)) for target in targets))
    pairs = list(zip(targets, parts, strict=True))
    errors += [QueryError(target.account.name, target.name, error) for target, part in pairs for error in part.errors]
    found = [Found(target.account, target.source, record) for target, part in pairs for record in part.records]
    omitted = [f"{part.omitted} of {printable(target.name)}" for target, part in pairs if part.omitted]
    return QueryResult(found, omitted, errors)


async def read_or_error(part: Awaitable[QueryPart[T]]) -> QueryPart[T]:
    """Return what `part` returns, or its error as a part."""
    try:
        return await part
    except MmsError as error:
        return QueryPart((), errors=(error,))


def selected_accounts(config: Config, options: Options) -> list[Account]:
    """Return the accounts that `options` name, or all. Raises: ConfigError."""
    names = [account.name for account in config.accounts]
    problems = [
        Problem("--account", f"no account is named {each!r}; known accounts: {_name_list(names)}")
        for each in options.accounts
        if each not in names
    ]
    if problems:
        raise ConfigError(*problems)
    return [account for account in config.accounts if not options.accounts or account.name in options.accounts]


def _create_client(account: Account, clock: Clock) -> Client:
    return create_client(account, NullObserver(), clock)


async def _listed(account: Account, client: Client) -> _Listed:
    try:
        listing = await client.list_data_sources()
    except MmsError as failure:
        return _Listed((), QueryError(account.name, "", failure))
    rows = sorted(listing.rows, key=lambda row: ((row.name or "").casefold(), row.id))
    incomplete = MalformedAnswer("ListMmsDataSources: the list is incomplete or changed while it was read")
    error = None if listing.is_consistent else QueryError(account.name, "", incomplete)
    return _Listed([QueryTarget(account, row, client) for row in rows], error)


def _selected(listed: Sequence[QueryTarget], wanted: Sequence[str], *, is_all: bool) -> list[QueryTarget]:
    """Return the data sources with these names or IDs. Raises: ConfigError."""
    known = [target for target in listed if _is_selected(target)]
    problems = [
        Problem("--source", _unknown_source(each, listed, known))
        for each in wanted
        if not any(_has_name(target, each) for target in known)
    ]
    # A source may belong to an account that could not be listed.
    if problems and is_all:
        raise ConfigError(*problems)
    return [target for target in known if not wanted or any(_has_name(target, each) for each in wanted)]


def _is_selected(target: QueryTarget) -> bool:
    return target.account.sources.admits(target.source.name or "", target.source.type or "")


def _has_name(target: QueryTarget, name: str) -> bool:
    return name in {target.source.name, str(target.source.id)}


def _unknown_source(name: str, listed: Iterable[QueryTarget], known: Sequence[QueryTarget]) -> str:
    if any(_has_name(target, name) for target in listed):
        return f"{name!r} is not selected by `sources` of its account in the configuration"
    return f"no data source is named {name!r}; known data sources: {_name_list([target.name for target in known])}"


def _name_list(names: Sequence[str]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - MAX_SUGGESTED:,} more" if len(names) > MAX_SUGGESTED else ""
    return f"{', '.join(map(printable, names[:MAX_SUGGESTED]))}{more}"
