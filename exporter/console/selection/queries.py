"""Runs a read function on the selected accounts and data sources, several at a time.

An error of one never hides another. Knows nothing of output.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Generic, Literal, Self, TypeVar

from exporter.clock import SYSTEM_CLOCK, Clock
from exporter.config.loading import Account, Config
from exporter.console.output.command_report import Found, QueryError, QueryResult
from exporter.console.output.next_command import DEFAULT_COMMAND, NextCommand
from exporter.console.selection.name_filters import (
    GivenName,
    Place,
    TableSelector,
    known_names,
    selectors,
    unknown_problems,
)
from exporter.errors import ConfigError, MalformedAnswer, MmsError, Problem
from exporter.masking import printable
from exporter.mms.client import Client, create_client
from exporter.mms.models.names import matches, name_list, unknown_name
from exporter.mms.models.records import DataSource
from exporter.mms.source_selection import is_selected, selection_problems

T = TypeVar("T")
Kind = Literal["table", "partition", "job", "task"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Filters; an empty filter matches everything."""

    accounts: Sequence[str] = ()
    sources: Sequence[str] = ()
    """Names, globs or IDs."""
    databases: Sequence[str] = ()
    """Names or globs."""
    tables: Sequence[str] = ()
    """TABLE, DATABASE.TABLE or a glob of them, or the ID of a table."""
    statuses: Sequence[str] = ()
    """Case-insensitive."""
    absolute_times: bool = False
    """Whether tables show times instead of ages."""
    limit: int = 100
    """Rows per kind and data source."""
    record: tuple[Kind, int | str] = ("table", 0)
    """Kind, and ID or name, of the record that `show` prints."""
    next_command: NextCommand = DEFAULT_COMMAND

    @classmethod
    def of(cls, values: Mapping[str, Any], next_command: NextCommand = DEFAULT_COMMAND) -> Self:
        """Return the options from parsed command-line values."""
        return cls(
            accounts=values["account"],
            sources=values.get("source", ()),
            databases=values.get("database", ()),
            tables=values.get("table", ()),
            statuses=values.get("status", ()),
            absolute_times=values.get("absolute-times", False),
            limit=values.get("limit", 0),
            record=(values.get("kind", "table"), values.get("object", 0)),
            next_command=next_command,
        )

    @property
    def given_names(self) -> frozenset[GivenName]:
        """The selected databases and tables."""
        names: set[GivenName] = {("database", each) for each in self.databases}
        return frozenset(names | {("table", each) for each in self.tables})

    def statuses_among(self, known: Iterable[str]) -> tuple[str, ...]:
        """Return the selected statuses in the order of `known`. Raises: ConfigError."""
        # An unknown status is an error: an empty list for a typo would look like good news.
        wanted = {status.upper() for status in self.statuses}
        expected = f"expected one of {', '.join(known)}"
        if unknown := sorted(wanted - set(known)):
            raise ConfigError(*(Problem("--status", f"{expected}, not {each!r}") for each in unknown))
        return tuple(status for status in known if status in wanted)


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

    def unrefused(self, operation: str) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class QueryPart(Generic[T]):
    """The records of one data source."""

    records: Sequence[T]
    omitted: str = ""
    """Omitted values; empty if all are shown."""
    errors: Sequence[MmsError] = ()
    """Why more is missing."""
    matched: frozenset[GivenName] = frozenset()
    """Given names that a record has."""


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

    @property
    def place(self) -> Place:
        """Where its tables are read."""
        return Place(self.client, self.source.id)

    async def table_filters(self, options: Options) -> Sequence[TableSelector]:
        """Return the selected databases and tables. Raises: MmsError."""
        return await selectors(self.place, options.databases, options.tables)


async def query_sources(
    config: Config,
    options: Options,
    read: Callable[[QueryTarget], Awaitable[QueryPart[T]]],
    clock: Clock = SYSTEM_CLOCK,
) -> QueryResult[T]:
    """Read every data source that `options` select. Raises: ConfigError."""
    errors: list[QueryError] = []
    async with AsyncExitStack() as stack:
        accounts = selected_accounts(config, options)
        clients = [
            await stack.enter_async_context(create_client(account, NullObserver(), clock)) for account in accounts
        ]
        listings = await asyncio.gather(*(_listed(*each, errors) for each in zip(accounts, clients, strict=True)))
        unmatched = [
            f"account {printable(targets[0].account.name)}: {'; '.join(each)}"
            for targets in filter(None, listings)
            for each in selection_problems(targets[0].account.sources, [target.source for target in targets])
        ]
        listed = [target for each in listings for target in each]
        is_nothing_selected = bool(listed) and not any(map(_is_admitted, listed))
        targets = _selected(listed, options.sources, unmatched, is_all=not errors)
        parts = await asyncio.gather(*(read_or_error(read(target)) for target in targets))
        pairs = list(zip(targets, parts, strict=True))
        if not errors and not any(part.errors for part in parts):  # the name may exist in a data source that failed
            errors += await _name_errors(targets, options, parts)
    errors += [QueryError(target.account.name, target.name, error) for target, part in pairs for error in part.errors]
    found = [Found(target.account, target.source, record) for target, part in pairs for record in part.records]
    omitted = [f"{part.omitted} of {_place(target, config)}" for target, part in pairs if part.omitted]
    return QueryResult(found, omitted, errors, unmatched, is_nothing_selected)


def _place(target: QueryTarget, config: Config) -> str:
    account = f" of account {target.account.name}" if len(config.accounts) > 1 else ""
    return printable(f"{target.name}{account}")


async def _name_errors(
    targets: Sequence[QueryTarget], options: Options, parts: Iterable[QueryPart[Any]]
) -> list[QueryError]:
    """Return why the given names could not be checked. Raises: ConfigError if one does not exist."""
    missing = options.given_names.difference(*(part.matched for part in parts))
    if not missing:
        return []

    async def known(target: QueryTarget) -> QueryPart[Any]:
        names = await known_names(target.place, options.databases, missing)
        return QueryPart((), matched=names)

    found = await asyncio.gather(*(read_or_error(known(target)) for target in targets))
    unknown, places = missing.difference(*(part.matched for part in found)), [target.place for target in targets]
    errors = [
        QueryError(target.account.name, target.name, error)
        for target, part in zip(targets, found, strict=True)
        for error in part.errors
    ]
    if unknown and not errors:
        raise ConfigError(*await unknown_problems(places, options.databases, options.tables, unknown))
    return errors


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
        Problem("--account", f"no account is named {each!r}; known accounts: {name_list(names)}")
        for each in options.accounts
        if each not in names
    ]
    if problems:
        raise ConfigError(*problems)
    return [account for account in config.accounts if not options.accounts or account.name in options.accounts]


async def _listed(account: Account, client: Client, errors: list[QueryError]) -> list[QueryTarget]:
    try:
        listing = await client.list_data_sources()
    except MmsError as failure:
        errors.append(QueryError(account.name, "", failure))
        return []
    if not listing.is_consistent:
        incomplete = MalformedAnswer("ListMmsDataSources: the list is incomplete or changed while it was read")
        errors.append(QueryError(account.name, "", incomplete))
    rows = sorted(listing.rows, key=lambda row: ((row.name or "").casefold(), row.id))
    return [QueryTarget(account, row, client) for row in rows]


def _selected(
    listed: Sequence[QueryTarget], wanted: Sequence[str], warnings: list[str], *, is_all: bool
) -> list[QueryTarget]:
    """Return the data sources with these names or IDs. Raises: ConfigError."""
    where = "" if is_all else " in the accounts that could be read"
    known = list(filter(_is_admitted, listed))
    problems = [
        Problem("--source", _unknown_source(each, listed, known, where))
        for each in wanted
        if not any(_has_name(target, each) for target in known)
    ]
    if problems and is_all:
        raise ConfigError(*problems)
    warnings += map(str, problems if listed else ())
    return [target for target in known if not wanted or any(_has_name(target, each) for each in wanted)]


def _is_admitted(target: QueryTarget) -> bool:
    return is_selected(target.source, target.account.sources)


def _has_name(target: QueryTarget, name: str) -> bool:
    return name == str(target.source.id) or matches(name, (target.source.name,))


def _unknown_source(name: str, listed: Iterable[QueryTarget], known: Sequence[QueryTarget], where: str) -> str:
    if any(_has_name(target, name) for target in listed):
        return f"{name!r} is not selected by `sources` of its account in the configuration"
    return unknown_name("data source", name, [target.name for target in known], where)
