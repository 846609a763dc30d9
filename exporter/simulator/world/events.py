"""What happens to the world on command. Every event is a record that JSON can carry, told apart by `type`."""

from typing import Final

import msgspec


class _Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """The form of all events."""


class AddSource(_Event, frozen=True, kw_only=True, tag="add_source"):
    """A source appears; its id is the event's result."""

    name: str | None = None
    source_type: str | None = None
    moving: bool = True


class RemoveSource(_Event, frozen=True, kw_only=True, tag="remove_source"):
    """A source is gone, with everything in it."""

    source_id: int


class RenameSource(_Event, frozen=True, kw_only=True, tag="rename_source"):
    """A source has another name, under the same id."""

    source_id: int
    name: str


class SetType(_Event, frozen=True, kw_only=True, tag="set_type"):
    """A source has another type, under the same id."""

    source_id: int
    source_type: str


class SetAgent(_Event, frozen=True, kw_only=True, tag="set_agent"):
    """A source's agent drops out, or returns; while it is out, nothing is migrated."""

    source_id: int
    online: bool


class Stall(_Event, frozen=True, kw_only=True, tag="stall"):
    """A source stands still, or moves on, with nothing else to be seen."""

    source_id: int
    stalled: bool = True


class StopJob(_Event, frozen=True, kw_only=True, tag="stop_job"):
    """An unfinished job is stopped: what it has under way is broken off, the rest never starts."""

    source_id: int
    job_id: int


class RemoveJob(_Event, frozen=True, kw_only=True, tag="remove_job"):
    """A job that was made on request is deleted; what it has under way is broken off."""

    source_id: int
    job_id: int


class Fail(_Event, frozen=True, kw_only=True, tag="fail"):
    """Tables and partitions fail at once, whatever their state; the number of units is the event's result.

    Tasks that carried them keep their status, as after a verification that failed later.
    """

    source_id: int
    table_ids: tuple[int, ...] = ()
    """All partitions of these tables, or the tables themselves where they have none."""
    partition_ids: tuple[int, ...] = ()
    share: float = 0.0
    """And this share of everything else, drawn with the world's seed."""


class Succeed(_Event, frozen=True, kw_only=True, tag="mend"):
    """Tables and partitions are DONE at once, whatever their state; the number of units is the event's result."""

    source_id: int
    table_ids: tuple[int, ...] = ()
    """All partitions of these tables, or the tables themselves where they have none."""
    partition_ids: tuple[int, ...] = ()


class SetText(_Event, frozen=True, kw_only=True, tag="set_text"):
    """A text field of a source, or of one object in it, has this value from now on, however hostile it is.

    Which fields there are says TEXT_FIELDS. Without an object's id it is the source's.
    """

    source_id: int
    field: str
    text: str
    job_id: int | None = None
    table_id: int | None = None
    partition_id: int | None = None


TEXT_FIELDS: Final = {
    "source": frozenset(
        {"name", "type", "region", "networklink", "dstProject", "createTime", "lastUpdateTime"}
        | {"status", "errMsg", "scanStatus", "scanErrMsg"},
    ),
    "job": frozenset({"name", "eta", "createTime", "srcDbName", "srcSchemaName", "dstDbName", "dstSchemaName"}),
    "table": frozenset(
        {"name", "dbName", "dstName", "dstProjectName", "dstSchemaName", "type", "owner", "location", "lastDdlTime"}
        | {"inputFormat", "outputFormat", "serde", "extra"},
    ),
    "partition": frozenset(
        {"value", "dbName", "tableName", "dstValue", "dstProjectName", "dstSchemaName", "dstTableName", "lastDdlTime"},
    ),
}
"""Texts that can be set, by kind of object, in the API's names. No counter hangs on any of them."""

Event = (
    AddSource
    | RemoveSource
    | RenameSource
    | SetType
    | SetAgent
    | Stall
    | StopJob
    | RemoveJob
    | Fail
    | Succeed
    | SetText
)
