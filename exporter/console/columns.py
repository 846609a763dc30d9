"""Output columns: fields for JSON and CSV, table columns for people."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec

from exporter.config.loading import Account
from exporter.console.text_formats import rfc3339
from exporter.masking import masked
from exporter.mms.models import DataSource

R = TypeVar("R")
T = TypeVar("T")

ColumnFormat = Literal["text", "number", "status", "bar"]
"""number: right-aligned; status: coloured; bar: with a progress bar. Only text may be folded."""
TIMES: Final = frozenset({"create_time", "last_update_time", "last_ddl_time", "eta"})
"""Record fields that are times."""
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
    return rfc3339(value, account.time_zone) if name in TIMES else masked(value)


SOURCE_FIELDS: Final[Sequence[Field[Found[Any]]]] = (
    Field("account", "name of the account in the configuration", lambda found: found.account.name),
    Field("source_id", "ID of the data source", lambda found: found.source.id),
    Field("source", "name of the data source", lambda found: found.source.name),
)
"""The first fields of every record in a data source."""
ACCOUNT: Final[TableColumn[Found[Any]]] = TableColumn("ACCOUNT", lambda found: str(found.account.name))
SOURCE: Final[TableColumn[Found[Any]]] = TableColumn("SOURCE", lambda found: found.source.name or str(found.source.id))
