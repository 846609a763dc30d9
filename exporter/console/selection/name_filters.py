"""The filters `--database` and `--table`, and names that do not exist. Every command has the same rules.

A name is exact or a glob. A name that no table has is an error with near names, not an empty result.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import product
from typing import Any, Final, NamedTuple

from exporter.console.selection.newest_rows import MAX_ROWS, Newest, newest
from exporter.errors import MmsError, NotFound, Problem
from exporter.mms.client import Client
from exporter.mms.models.names import is_glob, matches, table_id, table_names, unknown_name
from exporter.mms.models.records import Table
from exporter.mms.protocol import TableFilter, like
from exporter.runtime import gather_or_cancel

MAX_NEAR: Final = 300
"""Tables of a data source among which near names are looked for."""
MAX_CHECKED: Final = 1000
"""Tables of a data source that are read for a name. If there are more, no name is called unknown."""
GivenName = tuple[str, str]
"""`database` or `table`, and the value as given."""


class Place(NamedTuple):
    """Where the tables of a data source are read."""

    client: Client
    source_id: int


class TableSelector(NamedTuple):
    """A database and a table, each exact or a glob; None matches any."""

    database: str | None = None
    table: str | None = None
    given: frozenset[GivenName] = frozenset()
    """What the user gave."""

    @property
    def is_any(self) -> bool:
        """Whether it matches everything."""
        return self.database is None and self.table is None

    @property
    def database_pattern(self) -> str | None:
        """The database for a filter of MMS, which matches more; None for all."""
        return _pattern(self.database)

    @property
    def table_pattern(self) -> str | None:
        """The table for a filter of MMS, likewise."""
        return _pattern(self.table)

    def has_database(self, name: str | None) -> bool:
        """Return whether a database matches."""
        return self.database is None or matches(self.database, (name,))

    def has_table(self, names: Iterable[str | None]) -> bool:
        """Return whether one of the tables matches."""
        return self.table is None or matches(self.table, names)


def _pattern(name: str | None) -> str | None:
    return None if name is None or is_glob(name) else like(name)


async def selectors(place: Place, databases: Sequence[str], tables: Sequence[str]) -> list[TableSelector]:
    """Return the combinations of the given databases and tables. Raises: MmsError."""
    named: list[TableSelector] = [] if tables else [TableSelector()]
    for text in tables:
        number, given = table_id(text), frozenset[GivenName]({("table", text)})
        pairs = table_names(text) if number is None else await _names_of(place, number)
        named += [TableSelector(database, table, given) for database, table in pairs]
    combined = [_within(each, database) for database, each in product(databases or (None,), named)]
    return [each for each in dict.fromkeys(combined) if each is not None]


def _within(selector: TableSelector, database: str | None) -> TableSelector | None:
    """Return the part of a selector in a database, None if there is none."""
    own = selector.database
    if database is None:
        return selector
    given = selector.given | {("database", database)}
    if own is None or matches(own, (database,)):
        return selector._replace(database=database, given=given)
    return selector._replace(given=given) if matches(database, (own,)) else None


async def _names_of(place: Place, number: int) -> list[tuple[str | None, str | None]]:
    try:
        row = await place.client.get_table(place.source_id, number)
    except NotFound:
        return []
    return [(row.db_name, row.name)]


def matched_names(lists: Iterable[tuple[TableSelector, Newest[Any]]]) -> frozenset[GivenName]:
    """Return the given names that a row of a list has."""
    return frozenset[GivenName]().union(*(names.given for names, found in lists if found.rows))


async def tables_in(place: Place, selector: TableSelector, wanted: int, max_rows: int = MAX_ROWS) -> Newest[Table]:
    """Return up to `wanted` matching tables of the first `max_rows`, newest first. Raises: MmsError."""
    filters = TableFilter(db_name=selector.database_pattern, name=selector.table_pattern)
    return await newest(
        lambda page: place.client.tables_page(place.source_id, filters, page),
        lambda row: selector.has_database(row.db_name) and selector.has_table((row.name,)),
        wanted,
        is_loose=True,
        max_rows=max_rows,
    )


async def known_names(place: Place, databases: Sequence[str], names: Iterable[GivenName]) -> frozenset[GivenName]:
    """Return those of the given names that a table has, or may have. Raises: MmsError."""
    known: set[GivenName] = set()
    for kind, name in names:
        wanted = await selectors(place, *(((name,), ()) if kind == "database" else (databases, (name,))))
        found = [await tables_in(place, each, 1, MAX_CHECKED) for each in wanted]
        known |= {(kind, name)} if any(each.rows or not each.is_exact for each in found) else set()
    return frozenset(known)


async def unknown_problems(
    places: Sequence[Place], databases: Sequence[str], tables: Sequence[str], unknown: Collection[GivenName]
) -> list[Problem]:
    """Return a problem for each unknown name, in the order given."""
    found = [
        Problem(
            "--database", unknown_name("database with tables", each, [row.db_name for row in await _sample(places)])
        )
        for each in databases
        if ("database", each) in unknown
    ]
    # Whether a table exists depends on its database.
    return found or [
        Problem("--table", await _unknown_table(places, databases, each))
        for each in tables
        if ("table", each) in unknown
    ]


async def _sample(places: Iterable[Place], databases: Sequence[str] = ()) -> list[Table]:
    """Return some tables whose names can be suggested."""
    wanted = [TableSelector(each) for each in databases] or [TableSelector()]
    try:
        found = await gather_or_cancel(
            tables_in(place, each, MAX_NEAR, MAX_CHECKED) for place in places for each in wanted
        )
    except MmsError:
        return []
    return [row for each in found for row in each.rows]


async def _unknown_table(places: Sequence[Place], databases: Sequence[str], name: str) -> str:
    if table_id(name) is not None:
        return f"no table has ID {name}"
    rows = await _sample(places, databases)
    names = [f"{row.db_name}.{row.name}" if "." in name else row.name for row in rows]
    return unknown_name("table", name, names, " in the selected databases" if databases else "")
