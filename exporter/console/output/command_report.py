"""The result of a command: fields for JSON and CSV, columns for people, and the formats of their cells."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final, Generic, Literal, TypeVar
from zoneinfo import ZoneInfo

import msgspec
from rich.filesize import decimal

from exporter.config.loading import Account, Config
from exporter.console.output.terminal import OutputStyle
from exporter.errors import MmsError
from exporter.masking import masked, printable
from exporter.mms.models.records import DataSource
from exporter.mms.models.times import eta_seconds, unix_seconds

R = TypeVar("R")
T = TypeVar("T")

MAX_NAMED: Final = 5
"""Data sources that one error line names."""
MAX_CELL_CHARACTERS: Final = 120
"""Longest text in a table cell; JSON, CSV and `show` have the full text."""
STOPPED: Final = "(stopped)"
"""Suffix of the status of a stopped job."""
OVERDUE: Final = "(overdue)"
"""Suffix of the status of an unfinished job whose ETA is past."""
RESOLVED: Final = "(resolved)"
"""Suffix of the status of a failed job whose scope holds nothing FAILED any more."""
LAST_RANK: Final = 1
"""Rank of columns that are hidden last, and not to keep a long name whole."""
_SPANS: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_MIN_SPANS: Final = 2
"""An age of at least this many units uses the unit: 119m, then 2h."""
ColumnFormat = Literal["text", "number", "status", "bar"]
"""number: right-aligned; status: coloured; bar: with a progress bar. Only text may be folded."""
TimeParser = Callable[[str | None, ZoneInfo], float | None]
TIMES: Final[Mapping[str, TimeParser]] = {
    **dict.fromkeys(("create_time", "last_update_time", "last_ddl_time"), unix_seconds),
    "eta": eta_seconds,
}
"""Parsers of record fields that are times."""
NAMES: Final = frozenset(
    {"name", "value", "kind", "type", "status", "region", "source_name", "db_name", "table_name", "task_type"}
    | {"src_db_name", "src_schema_name", "dst_db_name", "dst_schema_name", "dst_project", "dst_projects"}
    | {"dst_project_name", "dst_name", "dst_table_name", "dst_value"}
    | {"tables", "table_black_list", "table_white_list", "table_mapping", "column_mapping"},
)
"""Record fields that are printed unchanged, because users copy them. All other text is masked."""


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """A record with its account and data source."""

    account: Account
    source: DataSource
    record: T


@dataclass(frozen=True, slots=True)
class Field(Generic[R]):
    """One value of a row in JSON and CSV."""

    name: str
    """MMS's name in snake_case, if MMS has one."""
    meaning: str
    value: Callable[[R], Any]
    """Returns a JSON value; None if MMS left it out."""


@dataclass(frozen=True, slots=True)
class TableColumn(Generic[R]):
    """One column of a table for people."""

    title: str
    text: Callable[[R], str]
    format: ColumnFormat = "text"
    ratio: Callable[[R], float | None] | None = None
    """Length of the progress bar, 0 to 1; None without a bar."""
    rank: int = 0
    """On a narrow terminal the highest rank is hidden first; rank 0 is never hidden."""
    never_shortened: bool = False
    """Whether a terminal shows the full text: for the program's own texts, not for names."""
    kept_characters: int = 0
    """Characters of a name that a row is about: on a narrow terminal, others are hidden before it is cut to less."""
    short: Callable[[R], str] | None = None
    """Returns the text for a narrow terminal where `text` would be cut."""
    short_in: str = ""
    """Title of the column that has the short text, too: where it is shown, `text` is cut."""


def record_field(name: str, meaning: str, attribute: str = "") -> Field[Found[Any]]:
    """Return a field of the record; `attribute` defaults to `name`."""
    return Field(name, meaning, lambda found: json_value(name, getattr(found.record, attribute or name), found.account))


def json_value(name: str, value: Any, account: Account) -> Any:  # noqa: ANN401 - whatever a record holds
    """Return a JSON value: times with zone, free text masked."""
    if isinstance(value, msgspec.Struct):
        return {each: json_value(each, getattr(value, each), account) for each in value.__struct_fields__}
    if isinstance(value, tuple):
        return [json_value(name, each, account) for each in value]
    if isinstance(value, dict):
        return {key: json_value(name, each, account) for key, each in value.items()}
    if not isinstance(value, str) or name in NAMES:
        return value
    return rfc3339(value, account.time_zone, TIMES[name]) if name in TIMES else masked(value)


SOURCE_FIELDS: Final[Sequence[Field[Found[Any]]]] = (
    Field("account", "name of the account in the configuration", lambda found: found.account.name),
    Field("source_id", "ID of the data source", lambda found: found.source.id),
    Field("source", "name of the data source", lambda found: found.source.name),
)
"""The first fields of every record in a data source."""
_ACCOUNT: Final[TableColumn[Found[Any]]] = TableColumn("ACCOUNT", lambda found: str(found.account.name), rank=LAST_RANK)
SOURCE: Final[TableColumn[Found[Any]]] = TableColumn(
    "SOURCE", lambda found: found.source.name or str(found.source.id), short=lambda found: str(found.source.id)
)
"""The name, which people know, or the ID, which `--source` takes too."""


def account_columns(config: Config) -> Sequence[TableColumn[Found[Any]]]:
    """Return the column of the account, if there are several."""
    return (_ACCOUNT,) if len(config.accounts) > 1 else ()


@dataclass(frozen=True, slots=True)
class QueryError:
    """An error of one account or data source."""

    account: str
    source: str
    """Name of the data source; empty if the whole account failed."""
    error: MmsError


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandReport(Generic[R]):
    """The rows of a command, and what is missing."""

    fields: Sequence[Field[R]]
    columns: Sequence[TableColumn[R]] = ()
    card: Callable[[R], Iterable[tuple[str, str]]] | None = None
    """Lines of label and text that people see instead of columns."""
    document: Callable[[str, OutputStyle], bytes] | None = None
    """Returns the report in a format other than CSV; for a command that prints no rows."""
    rows: Sequence[R]
    empty_text: str
    """Message if there are no rows."""
    omitted: Sequence[str] = ()
    """Rows that were left out, as text."""
    errors: Sequence[QueryError] = ()
    warnings: Sequence[str] = ()
    """Settings that select nothing."""
    must_have_rows: bool = False
    """Whether an empty result is a failure."""
    has_failures: bool = False
    """Whether a row reports a failure, or no data source is selected."""

    @property
    def succeeded(self) -> bool:
        """Whether everything was read and nothing failed."""
        return not self.errors and not self.has_failures and not (self.must_have_rows and not self.rows)

    def remarks(self) -> Iterator[str]:
        """Yield the lines for standard error."""
        yield from self.warnings
        if not self.rows and not self.omitted and not self.errors and not self.has_failures:
            yield self.empty_text
        yield from self.omitted
        yield from error_lines(self.errors)


@dataclass(frozen=True, slots=True)
class QueryResult(Generic[T]):
    """The records of all data sources, in configuration order."""

    found: Sequence[Found[T]]
    omitted: Sequence[str]
    errors: Sequence[QueryError]
    warnings: Sequence[str]
    """Settings that select nothing."""
    is_nothing_selected: bool = False
    """Whether `sources` of the configuration select none of the data sources."""

    def report(
        self,
        fields: Sequence[Field[Found[T]]],
        empty_text: str,
        *,
        columns: Sequence[TableColumn[Found[T]]] = (),
        card: Callable[[Found[T]], Iterable[tuple[str, str]]] | None = None,
        must_have_rows: bool = False,
    ) -> CommandReport[Found[T]]:
        """Return the report that shows the records."""
        return CommandReport(
            fields=fields,
            columns=columns,
            card=card,
            rows=self.found,
            empty_text=empty_text,
            omitted=self.omitted,
            errors=self.errors,
            warnings=self.warnings,
            must_have_rows=must_have_rows,
            has_failures=self.is_nothing_selected,
        )


def error_lines(errors: Iterable[QueryError]) -> Iterator[str]:
    """Yield one line per account and kind of error."""

    def kind(each: QueryError) -> tuple[str, str, str]:
        return each.account, each.error.reason, each.error.detail

    for (account, _, _), group in groupby(sorted(errors, key=kind), key=kind):
        same_kind = list(group)
        names = [printable(each.source) for each in same_kind if each.source]
        more = f" and {len(names) - MAX_NAMED:,} more" if len(names) > MAX_NAMED else ""
        sources = f", {', '.join(names[:MAX_NAMED])}{more}" if names else ""
        error = same_kind[0].error
        yield f"account {printable(account)}{sources}: {error}; {error.hint}"


def amount(number: int | None) -> str:
    """Return a number with thousands separators."""
    return "" if number is None else f"{number:,}"


def sum_of_known(*counts: int | None) -> str:
    """Return the sum, empty if 0 and one is unknown."""
    total = sum(count or 0 for count in counts)
    return "" if not total and None in counts else amount(total)


def share(done: int | None, total: int | None) -> str:
    """Return `done/total`."""
    return "" if done is None or total is None else f"{done:,}/{total:,}"


def size(number: int | None) -> str:
    """Return a number of bytes with a unit."""
    return "" if number is None else decimal(number)


def percent(ratio: float | None) -> str:
    """Return a ratio as whole percent; 0% and 100% are exact."""
    if ratio is None:
        return ""
    return f"{round(ratio * 100) if ratio in {0, 1} else min(99, max(1, round(ratio * 100)))}%"


def shortened(text: str) -> str:
    """Return a text cut to the width of a cell."""
    return text if len(text) <= MAX_CELL_CHARACTERS else f"{text[: MAX_CELL_CHARACTERS - 1]}…"


def dotted_name(*names: str | None) -> str:
    """Return names from outer to inner, joined with dots."""
    return ".".join(name for name in names if name)


def rfc3339(text: str | None, zone: ZoneInfo, parse: TimeParser = unix_seconds) -> str | None:
    """Return an API time with its zone; masked as it is if invalid."""
    seconds = parse(text, zone)
    if seconds is None:
        return text and masked(text)
    return datetime.fromtimestamp(seconds, zone).isoformat()


def age(text: str | None, zone: ZoneInfo, now: float | None, parse: TimeParser = unix_seconds) -> str:
    """Return the age of an API time, or the time without `now`; masked as it is if invalid."""
    seconds = parse(text, zone)
    if seconds is None:
        return masked(text or "")
    if now is None:
        return datetime.fromtimestamp(seconds, zone).isoformat()
    length = abs(now - seconds)
    unit, name = next((span for span in _SPANS if length >= _MIN_SPANS * span[0]), _SPANS[-1])
    text = f"{length // unit:.0f}{name}"
    return f"in {text}" if seconds > now else f"{text} ago"
