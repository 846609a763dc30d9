"""Asks MMS on behalf of a command: the accounts and data sources that are meant, several at a time.

What cannot be read of one never hides another. Knows nothing of how rows are shown.
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
from exporter.mms.client import Client
from exporter.mms.client_factory import create_client
from exporter.mms.models import DataSource

T = TypeVar("T")

MAX_SUGGESTED: Final = 20
"""Names listed in an error about an unknown name."""


class NullObserver:
    """An observer of calls that nobody counts."""

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
    """What one data source has to tell."""

    things: Sequence[T]
    omitted: str = ""
    """What was left out; empty where nothing was."""
    errors: Sequence[MmsError] = ()
    """Why something is missing beside that."""


@dataclass(frozen=True, slots=True)
class QueryResult(Generic[T]):
    """What all of them have to tell, in the order of the configuration and of names."""

    found: Sequence[Found[T]]
    omitted: Sequence[str]
    troubles: Sequence[QueryError]


@dataclass(frozen=True, slots=True)
class QueryTarget:
    """A data source that is meant, and the client to ask about it."""

    account: Account
    source: DataSource
    client: Client

    @property
    def name(self) -> str:
        """What people call it."""
        return self.source.name or str(self.source.id)


@dataclass(frozen=True, slots=True)
class _Listed:
    """The data sources of one account."""

    targets: Sequence[QueryTarget]
    trouble: QueryError | None
    """Why some, or all, are missing."""


async def ask(
    config: Config,
    options: Options,
    read: Callable[[QueryTarget], Awaitable[QueryPart[T]]],
    clock: Clock = SYSTEM_CLOCK,
) -> QueryResult[T]:
    """Return what `read` brings of every data source that `options` mean.

    Raises: ConfigError for an account or a source that is not there.
    """
    async with AsyncExitStack() as stack:
        accounts = accounts_meant(config, options)
        clients = [await stack.enter_async_context(_client(account, clock)) for account in accounts]
        listings = await asyncio.gather(*map(_listed, accounts, clients))
        troubles = [listing.trouble for listing in listings if listing.trouble]
        targets = _meant(
            [target for listing in listings for target in listing.targets], options.sources, is_all=not troubles
        )
        parts = await asyncio.gather(*(guarded(read(target)) for target in targets))
    pairs = list(zip(targets, parts, strict=True))
    troubles += [QueryError(target.account.name, target.name, error) for target, part in pairs for error in part.errors]
    found = [Found(target.account, target.source, thing) for target, part in pairs for thing in part.things]
    omitted = [f"{part.omitted} of {printable(target.name)}" for target, part in pairs if part.omitted]
    return QueryResult(found, omitted, troubles)


async def guarded(reading: Awaitable[QueryPart[T]]) -> QueryPart[T]:
    """Return what `reading` brings, or why it cannot be had."""
    try:
        return await reading
    except MmsError as error:
        return QueryPart((), errors=(error,))


def accounts_meant(config: Config, options: Options) -> list[Account]:
    """Return the accounts that `options` name, or all. Raises: ConfigError for one that is not there."""
    names = [account.name for account in config.accounts]
    problems = [
        Problem("--account", f"no account is named {each!r}; known accounts: {_listing(names)}")
        for each in options.accounts
        if each not in names
    ]
    if problems:
        raise ConfigError(*problems)
    return [account for account in config.accounts if not options.accounts or account.name in options.accounts]


def _client(account: Account, clock: Clock) -> Client:
    return create_client(account, NullObserver(), clock)


async def _listed(account: Account, client: Client) -> _Listed:
    """Return the data sources of an account by their names, and what makes that less than all of them."""
    try:
        listing = await client.list_data_sources()
    except MmsError as error:
        return _Listed((), QueryError(account.name, "", error))
    rows = sorted(listing.rows, key=lambda row: ((row.name or "").casefold(), row.id))
    lack = MalformedAnswer("ListMmsDataSources: the list is incomplete or changed while it was read")
    trouble = None if listing.is_consistent else QueryError(account.name, "", lack)
    return _Listed([QueryTarget(account, row, client) for row in rows], trouble)


def _meant(listed: Sequence[QueryTarget], wanted: Sequence[str], *, is_all: bool) -> list[QueryTarget]:
    """Return the selected data sources, those called or numbered so where any are wanted.

    Raises: ConfigError for one that is not there, if everything could be listed.
    """
    admitted = [target for target in listed if _is_admitted(target)]
    problems = [
        Problem("--source", _no_source(each, listed, admitted))
        for each in wanted
        if not any(_is_called(target, each) for target in admitted)
    ]
    if problems and is_all:
        raise ConfigError(*problems)
    return [target for target in admitted if not wanted or any(_is_called(target, each) for each in wanted)]


def _is_admitted(target: QueryTarget) -> bool:
    return target.account.sources.admits(target.source.name or "", target.source.type or "")


def _is_called(target: QueryTarget, name: str) -> bool:
    return name in {target.source.name, str(target.source.id)}


def _no_source(name: str, listed: Iterable[QueryTarget], admitted: Sequence[QueryTarget]) -> str:
    if any(_is_called(target, name) for target in listed):
        return f"{name!r} is not selected by `sources` of its account in the configuration"
    return f"no data source is named {name!r}; known data sources: {_listing([target.name for target in admitted])}"


def _listing(names: Sequence[str]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - MAX_SUGGESTED:,} more" if len(names) > MAX_SUGGESTED else ""
    return f"{', '.join(map(printable, names[:MAX_SUGGESTED]))}{more}"
