"""Runs a read function on the selected accounts and data sources, several at a time.

An error of one never hides another. Knows nothing of output.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, Generic, Literal, Self, TypeVar

from exporter.clock import SYSTEM_CLOCK, Clock
from exporter.config.loading import Account, Config
from exporter.console.command_report import Found, QueryError
from exporter.errors import ConfigError, MalformedAnswer, MmsError, NotFound, Problem
from exporter.masking import printable
from exporter.mms.client import Client, create_client
from exporter.mms.decoding import Identified, Page
from exporter.mms.listing import read_newest
from exporter.mms.models import DataSource
from exporter.mms.names import matches, name_list, near_names, table_id, table_names, unmatched_includes

I = TypeVar("I", bound=Identified)  # noqa: E741 - Identified
T = TypeVar("T")
Kind = Literal["table", "partition", "job"]
TableSelector = tuple[str | None, str | None]
"""Database and table; None matches any."""

MAX_ROWS: Final = 1_000_000
"""Rows that are read of one list."""
_WIDER: Final = 4
"""Factor by which the number of rows grows if too few match."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Filters; an empty filter matches everything."""

    accounts: Sequence[str] = ()
    sources: Sequence[str] = ()
    """Names, globs or IDs."""
    databases: Sequence[str] = ()
    tables: Sequence[str] = ()
    """TABLE, DATABASE.TABLE or the ID of a table."""
    statuses: Sequence[str] = ()
    """Case-insensitive."""
    absolute_times: bool = False
    """Whether tables show times instead of ages."""
    limit: int = 100
    """Rows per kind and data source."""
    record: tuple[Kind, int] = ("table", 0)
    """Kind and ID of the record that `show` prints."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the options from parsed command-line values."""
        return cls(
            accounts=values["account"],
            sources=values.get("source", ()),
            databases=values.get("database", ()),
            tables=values.get("table", ()),
            statuses=values.get("status", ()),
            absolute_times=values.get("absolute-times", False),
            limit=values.get("limit", 0),
            record=(values.get("kind", "table"), values.get("id", 0)),
        )

    @property
    def has_names(self) -> bool:
        """Whether a database or table is selected."""
        return bool(self.databases or self.tables)

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
    warnings: Sequence[str]
    """Settings that select nothing."""


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

    async def table_filters(self, options: Options) -> Sequence[TableSelector]:
        """Return the selected databases and tables. Raises: MmsError."""
        named: list[TableSelector] = [] if options.tables else [(None, None)]
        for text in options.tables:
            named += table_names(text) if (number := table_id(text)) is None else await self._table(number)
        pairs = product(options.databases or (None,), named)
        found = (
            (database or own, table) for database, (own, table) in pairs if None in (database, own) or database == own
        )
        return list(dict.fromkeys(found))

    async def _table(self, number: int) -> list[TableSelector]:
        try:
            row = await self.client.get_table(self.source.id, number)
        except NotFound:
            return []
        return [(row.db_name, row.name)]


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
            f"account {printable(targets[0].account.name)}: {problem}; {advice}"
            for targets in filter(None, listings)
            for problem, advice in unmatched_includes(
                targets[0].account.sources.include, [target.name for target in targets]
            )
        ]
        targets = _selected([target for each in listings for target in each], options.sources, is_all=not errors)
        parts = await asyncio.gather(*(read_or_error(read(target)) for target in targets))
    pairs = list(zip(targets, parts, strict=True))
    errors += [QueryError(target.account.name, target.name, error) for target, part in pairs for error in part.errors]
    found = [Found(target.account, target.source, record) for target, part in pairs for record in part.records]
    omitted = [f"{part.omitted} of {printable(target.name)}" for target, part in pairs if part.omitted]
    return QueryResult(found, omitted, errors, unmatched)


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


def _selected(listed: Sequence[QueryTarget], wanted: Sequence[str], *, is_all: bool) -> list[QueryTarget]:
    """Return the data sources with these names or IDs. Raises: ConfigError."""
    known = [each for each in listed if each.account.sources.admits(each.source.name or "", each.source.type or "")]
    problems = [
        Problem("--source", _unknown_source(each, listed, known))
        for each in wanted
        if not any(_has_name(target, each) for target in known)
    ]
    # A source may belong to an account that could not be listed.
    if problems and is_all:
        raise ConfigError(*problems)
    return [target for target in known if not wanted or any(_has_name(target, each) for each in wanted)]


def _has_name(target: QueryTarget, name: str) -> bool:
    return name == str(target.source.id) or matches(name, (target.source.name,))


def _unknown_source(name: str, listed: Iterable[QueryTarget], known: Sequence[QueryTarget]) -> str:
    if any(_has_name(target, name) for target in listed):
        return f"{name!r} is not selected by `sources` of its account in the configuration"
    names = [target.name for target in known]
    near = near_names(name, names)
    advice = f"did you mean {name_list(near, ' or ')}?" if near else f"known data sources: {name_list(names)}"
    return f"no data source is named {name!r}; {advice}"


@dataclass(frozen=True, slots=True)
class Newest(Generic[I]):
    """The newest matching rows."""

    rows: Sequence[I]
    """Highest ID first."""
    omitted: int
    """Number, or upper limit, of further matches."""
    is_exact: bool
    """Whether `omitted` is the exact number."""

    def more(self, noun: str) -> str:
        """Return the omitted rows as text; empty if there are none."""
        if not self.omitted:
            return ""
        about, more = "" if self.is_exact else "up to ", "more " if self.rows else ""
        return f"{about}{self.omitted:,} {more}{noun}{'' if self.omitted == 1 else 's'}"


async def newest(
    page: Callable[[int], Awaitable[Page[I]]], fits: Callable[[I], bool], wanted: int, *, is_loose: bool
) -> Newest[I]:
    """Return up to `wanted` matching rows; `is_loose` says that the list has others.

    More of the list is read until enough rows match. Raises: MmsError.
    """
    count = wanted
    while True:
        listing = await read_newest(page, count)
        rows = [row for row in listing.rows if fits(row)]
        is_end = len(listing.rows) < count
        if len(rows) >= wanted or is_end or count >= MAX_ROWS:
            break
        count *= _WIDER
    total = max(listing.total or 0, len(listing.rows))
    omitted = total - len(listing.rows) + len(rows[wanted:])
    return Newest(rows[:wanted], omitted, is_exact=not is_loose or total == len(listing.rows))


def merged(parts: Iterable[Newest[I]], wanted: int, rank: Callable[[I], tuple[bool, int]]) -> Newest[I]:
    """Return the `wanted` highest-ranked rows of several lists."""
    lists = list(parts)
    # A later list has the newer version of a row.
    rows = {row.id: row for each in lists for row in each.rows}
    chosen = sorted(rows.values(), key=rank, reverse=True)[:wanted]
    omitted = sum(each.omitted for each in lists) + len(rows) - len(chosen)
    by_age = sorted(chosen, key=lambda row: row.id, reverse=True)
    return Newest(by_age, omitted, is_exact=all(each.is_exact for each in lists))
