"""What of a row is shown: fields for machines, columns for people."""

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

Look = Literal["text", "figure", "status", "bar"]
"""figure: aligned to the right; status: in a colour; bar: a progress bar before it. Only a text may be folded."""
TIMES: Final = frozenset({"create_time", "last_update_time", "last_ddl_time", "eta"})
"""Fields of records that are times."""
NAMES: Final = frozenset(
    {"name", "value", "kind", "type", "status", "region", "source_name", "db_name", "table_name", "task_type"}
    | {"src_db_name", "src_schema_name", "dst_db_name", "dst_schema_name", "dst_project", "dst_projects"}
    | {"dst_project_name", "dst_name", "dst_table_name", "dst_value"}
    | {"tables", "table_black_list", "table_white_list", "table_mapping", "column_mapping"},
)
"""Fields of records that are shown as they are: people and programs copy them. Any other text is masked."""


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """Something that MMS told, and where."""

    account: Account
    source: DataSource
    thing: T


@dataclass(frozen=True, slots=True)
class Field(Generic[R]):
    """One value of a row in JSON and CSV."""

    name: str
    """MMS's word in snake_case, where it is MMS's."""
    meaning: str
    value: Callable[[R], Any]
    """What JSON can carry; None where MMS left it out."""


@dataclass(frozen=True, slots=True)
class TableColumn(Generic[R]):
    """One cell of a row in a table for people."""

    title: str
    text: Callable[[R], str]
    look: Look = "text"
    ratio: Callable[[R], float | None] | None = None
    """How far the bar goes, from 0 to 1; None for no bar."""
    rank: int = 0
    """Where the terminal is too narrow for all, the column of the highest rank leaves first; one of rank 0 stays."""
    is_whole: bool = False
    """Whether a terminal shows all of it, however long: this program's own words, not a name that anybody may give."""


def own(name: str, meaning: str) -> Field[Found[Any]]:
    """Return the field that the thing itself calls `name`."""
    return Field(name, meaning, lambda found: plain(name, getattr(found.thing, name), found.account))


def plain(name: str, value: Any, account: Account) -> Any:  # noqa: ANN401 - whatever a record holds
    """Return what a record holds under `name` as JSON can carry it: times with their zone, free text masked."""
    if isinstance(value, msgspec.Struct):
        return {each: plain(each, getattr(value, each), account) for each in value.__struct_fields__}
    if isinstance(value, tuple):
        return [plain(name, each, account) for each in value]
    if isinstance(value, dict):
        return {key: plain(name, each, account) for key, each in value.items()}
    if not isinstance(value, str) or name in NAMES:
        return value
    return rfc3339(value, account.time_zone) if name in TIMES else masked(value)


PLACE: Final[Sequence[Field[Found[Any]]]] = (
    Field("account", "name of the account in the configuration", lambda found: found.account.name),
    Field("source_id", "ID of the data source", lambda found: found.source.id),
    Field("source", "name of the data source", lambda found: found.source.name),
)
"""Where something is: the first fields of everything in a data source."""
ACCOUNT: Final[TableColumn[Found[Any]]] = TableColumn("ACCOUNT", lambda found: str(found.account.name))
SOURCE: Final[TableColumn[Found[Any]]] = TableColumn("SOURCE", lambda found: found.source.name or str(found.source.id))
