"""`show`: all that MMS says of one table, partition or job, field by field.

An id is unique only within its data source, so each that is meant is asked.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from exporter.config import Config
from exporter.console.asking import Part, Target, ask
from exporter.console.columns import PLACE, TIMES, Field, Found, own, plain
from exporter.console.options import Kind, Options
from exporter.console.report import Report
from exporter.console.texts import age, amount, size
from exporter.errors import NotFound
from exporter.mms.models import Column, Job, Partition, Record, Table
from exporter.mms.protocol import Call, get_mms_job, get_mms_partition, get_mms_table

Row = Found[Any]

CALLS: Final[Mapping[Kind, Callable[[int, int], Call[Any]]]] = {
    "table": get_mms_table,
    "partition": get_mms_partition,
    "job": get_mms_job,
}
RECORDS: Final[Mapping[Kind, type[Record]]] = {"table": Table, "partition": Partition, "job": Job}
_OF_ITS_PLACE: Final = ("source_id", "source_name")
"""Fields that the data source tells better: MMS does not always fill them."""


def fields(kind: Kind) -> Sequence[Field[Row]]:
    """Return every field of a kind."""
    names = [name for name in RECORDS[kind].__struct_fields__ if name not in _OF_ITS_PLACE]
    return (*PLACE, *(own(name, "") for name in names))


async def show(config: Config, options: Options, now: float) -> Report[Row]:
    """Return what has the id asked for in the data sources that `options` mean. Raises: ConfigError."""
    kind, number = options.thing

    async def read(target: Target) -> Part[Any]:
        try:
            return Part((await target.client.send(CALLS[kind](target.source.id, number)),))
        except NotFound:
            return Part(())

    told = await ask(config, options, read)
    return Report(
        fields=fields(kind),
        card=lambda row: card(row, now),
        rows=told.found,
        nothing=f"no {kind} has the id {number} in the data sources that were asked",
        troubles=told.troubles,
        is_sought=True,
    )


def card(row: Row, now: float) -> Iterator[tuple[str, str]]:
    """Yield each field that MMS filled, for people."""
    yield "account", row.account.name
    yield "source", f"{row.source.name or ''} ({row.source.id})"
    for name in row.thing.__struct_fields__:
        if name not in _OF_ITS_PLACE:
            yield from _lines(name, name, getattr(row.thing, name), row, now)


def _lines(label: str, name: str, value: object, row: Row, now: float) -> Iterator[tuple[str, str]]:
    """Yield the lines of one field, those of the records within it among them."""
    if isinstance(value, Column):
        yield label, _column(value)
    elif isinstance(value, msgspec.Struct):
        for each in value.__struct_fields__:
            yield from _lines(f"{label}.{each}", each, getattr(value, each), row, now)
    elif isinstance(value, tuple) and not all(isinstance(each, str | int) for each in value):
        for each in value:
            yield from _lines(label, name, each, row, now)
    elif value not in (None, ()):
        yield label, _text(name, value, row, now)


def _text(name: str, value: object, row: Row, now: float) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name in TIMES and isinstance(value, str):
        zone = row.account.time_zone
        when = str(plain(name, value, row.account))
        return f"{when} ({ago})" if (ago := age(value, zone, now)) != value else when
    if name == "size" and isinstance(value, int):
        return f"{size(value)} ({amount(value)} bytes)"
    if isinstance(value, int):
        return str(value) if name.endswith("id") else amount(value)
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return ", ".join(f"{key}: {each}" for key, each in value.items()) if isinstance(value, dict) else str(value)


def _column(column: Column) -> str:
    """Return a column of a source table as its definition would have it."""
    parts = [column.name, column.type, "not null" if column.nullable is False else None]
    parts += [f"default {column.default_value}" if column.default_value else None]
    parts += [f"({column.comment})" if column.comment else None]
    return " ".join(part for part in parts if part)
