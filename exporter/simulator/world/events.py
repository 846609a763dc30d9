"""Events that change the world on request: records with a JSON form, tagged by `type`."""

from typing import Final, Literal

import msgspec


class _Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """Base of all events."""


class AddSource(_Event, frozen=True, kw_only=True, tag="add_source"):
    """Add a source; the event's result is its id."""

    name: str | None = None
    source_type: str | None = None
    moving: bool = True


class RemoveSource(_Event, frozen=True, kw_only=True, tag="remove_source"):
    """Remove a source and everything in it."""

    source_id: int


class RenameSource(_Event, frozen=True, kw_only=True, tag="rename_source"):
    """Rename a source, which keeps its id."""

    source_id: int
    name: str


class SetType(_Event, frozen=True, kw_only=True, tag="set_type"):
    """Change the type of a source, which keeps its id."""

    source_id: int
    source_type: str


class SetAgent(_Event, frozen=True, kw_only=True, tag="set_agent"):
    """Take a source's agent offline or online; offline stops progress."""

    source_id: int
    online: bool


class SetPermission(_Event, frozen=True, kw_only=True, tag="set_permission"):
    """Withdraw or return the permission of a source to write at the destination.

    Without it, the tasks of created jobs fail in their DATA phase.
    """

    source_id: int
    granted: bool


class Stall(_Event, frozen=True, kw_only=True, tag="stall"):
    """Stall a source without any visible sign, or continue it."""

    source_id: int
    stalled: bool = True


class StopJob(_Event, frozen=True, kw_only=True, tag="stop_job"):
    """Stop an unfinished job and abort its running tasks."""

    source_id: int
    job_id: int


class RemoveJob(_Event, frozen=True, kw_only=True, tag="remove_job"):
    """Delete a created job and abort its running tasks."""

    source_id: int
    job_id: int


class Fail(_Event, frozen=True, kw_only=True, tag="fail"):
    """Fail tables and partitions at once; returns the unit count.

    The tasks that migrated them keep their status, as after a verification that fails later.
    """

    source_id: int
    table_ids: tuple[int, ...] = ()
    """All partitions of these tables, or the tables themselves if unpartitioned."""
    partition_ids: tuple[int, ...] = ()
    share: float = 0.0
    """Share of all other units that fails too, drawn with the world's seed."""


class Succeed(_Event, frozen=True, kw_only=True, tag="mend"):
    """Complete tables and partitions at once; returns the unit count."""

    source_id: int
    table_ids: tuple[int, ...] = ()
    """All partitions of these tables, or the tables themselves if unpartitioned."""
    partition_ids: tuple[int, ...] = ()


class Change(_Event, frozen=True, kw_only=True, tag="change"):
    """Change migrated tables and partitions at the source; returns the unit count."""

    source_id: int
    table_ids: tuple[int, ...] = ()
    """All partitions of these tables, or the tables themselves if unpartitioned."""
    partition_ids: tuple[int, ...] = ()


class ScanMetadata(_Event, frozen=True, kw_only=True, tag="scan"):
    """Start a metadata scan; returns its id."""

    source_id: int
    seconds: float = 60.0
    """Duration in simulated seconds."""
    failed: bool = False
    table_ids: tuple[int, ...] = ()
    """A successful scan finds all migrated partitions of these tables changed, or the tables themselves."""
    partition_ids: tuple[int, ...] = ()
    """A successful scan finds these changed, if they are migrated."""
    share: float = 0.0
    """Share of all other migrated units that it finds changed too, drawn with the world's seed."""


class CreateJob(_Event, frozen=True, kw_only=True, tag="create_job"):
    """Create a job for one database; returns the job's id."""

    source_id: int
    database: str
    seconds: float | None = None
    """Duration in simulated seconds; None: as in the options."""
    failure_rate: float = 0.0
    """Share of its tasks that fail."""


class RetryFailed(_Event, frozen=True, kw_only=True, tag="retry_failed"):
    """Create jobs for all FAILED units; returns the job count."""

    source_id: int


class CreateTimer(_Event, frozen=True, kw_only=True, tag="create_timer"):
    """Create a timer that migrates one database; returns its id."""

    source_id: int
    database: str
    name: str
    schedule_type: Literal["Daily", "Hourly"]
    value: str
    """`HH:MM` of a Daily timer, `MM` of an Hourly one."""
    failure_rate: float | None = None
    """Share of the tasks of its jobs that fail; None: as in the options."""


class StopTimer(_Event, frozen=True, kw_only=True, tag="stop_timer"):
    """Stop a timer, or let it continue."""

    source_id: int
    timer_id: int
    stopped: bool = True


class RemoveTimer(_Event, frozen=True, kw_only=True, tag="remove_timer"):
    """Remove a timer; its jobs stay."""

    source_id: int
    timer_id: int


class SetText(_Event, frozen=True, kw_only=True, tag="set_text"):
    """Set a text field of TEXT_FIELDS, hostile or not.

    Without an object id, the field is the source's; task 0 is every failed task, scan 0 every scan.
    """

    source_id: int
    field: str
    text: str
    database_id: int | None = None
    job_id: int | None = None
    table_id: int | None = None
    partition_id: int | None = None
    task_id: int | None = None
    scan_id: int | None = None
    timer_id: int | None = None


TEXT_FIELDS: Final = {
    "source": frozenset(
        {"name", "type", "region", "networklink", "dstProject", "createTime", "lastUpdateTime"}
        | {"status", "errMsg", "scanStatus", "scanErrMsg"},
    ),
    "task": frozenset({"msg"}),
    "timer": frozenset({"msg", "name", "srcDbName", "type", "scheduleType", "value", "createTime"}),
    "scan": frozenset({"status", "result", "errorMsg", "startTime", "endTime"}),
    "job": frozenset({"name", "eta", "createTime", "srcDbName", "srcSchemaName", "dstDbName", "dstSchemaName"}),
    "database": frozenset({"name", "dstName", "dstProjectName", "owner", "location", "extra", "lastDdlTime"}),
    "table": frozenset(
        {"name", "dbName", "dstName", "dstProjectName", "dstSchemaName", "type", "owner", "location", "lastDdlTime"}
        | {"inputFormat", "outputFormat", "serde", "extra"},
    ),
    "partition": frozenset(
        {"value", "dbName", "tableName", "dstValue", "dstProjectName", "dstSchemaName", "dstTableName", "lastDdlTime"},
    ),
}
"""Settable text fields by kind of object, in the API's names. No counter depends on them."""

Event = (
    AddSource
    | RemoveSource
    | RenameSource
    | SetType
    | SetAgent
    | SetPermission
    | Stall
    | StopJob
    | RemoveJob
    | Fail
    | Succeed
    | Change
    | ScanMetadata
    | CreateJob
    | RetryFailed
    | CreateTimer
    | StopTimer
    | RemoveTimer
    | SetText
)
