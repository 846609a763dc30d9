"""Logs of tasks: one row per phase, and why a failed one failed. Computed from the task, so they never change.

The cause belongs to the table: its tasks fail for the same reason, as when a permission is missing.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from exporter.simulator.world.job_store import SimulatedJob, SimulatedTask
from exporter.simulator.world.options import draw, pick
from exporter.simulator.world.plans import phase_ends
from exporter.simulator.world.source import Site

_CAUSE: Final = 501
_ROWS_PER_TASK: Final = 10
_ACTIONS: Final = {
    "SCHEMA": "create table if not exists {target} (id bigint, name string, amount double)",
    "DATA": "insert overwrite table {target} select * from {source}",
    "VERIFICATION": "compare source and dest count",
}
_MESSAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "SCHEMA": (
        "ODPS-0130013:Authorization exception - You have NO privilege 'odps:CreateTable' on {project_path}.{frames}",
        "ODPS-0110061: Failed to run ddltask - AlreadyExistsException(message:Table {target} already exists){frames}",
        "SchemaAdapterError: maxcompute doesn't support type: INTERVAL, column extra of {source}",
    ),
    "DATA": (
        "{request}, ErrorCode=NoPermission, ErrorMessage=You have NO privilege 'odps:Update' on {table_path}{frames}",
        "java.io.IOException: {request}, ErrorCode=SlotExceeded, ErrorMessage=Your slot quota is exceeded.{frames}",
        "{stage}java.net.ConnectException: Connection refused; {url}?password={secret}",
        "{stage}java.io.FileNotFoundException: File does not exist: hdfs://nn1:8020/warehouse/{table}/part-{id}",
        "{stage}Parquet column cannot be converted in part-{id}. Column: [amount], Expected: double, Found: BINARY",
        "ExecutorLostFailure (executor {octet} exited) Reason: Container killed by YARN for exceeding memory limits.",
        "java.net.SocketTimeoutException: Read timed out{frames}",
        "\x1b[31mtask {id} of {source} ended\x1b[0m, see the log of the driver",
    ),
    "VERIFICATION": ("source Count: {rows}, dest Count: {fewer}",),
}
"""Messages of failed tasks by phase."""
_DENIED: Final = _MESSAGES["DATA"][0]


def task_logs(
    site: Site, job: SimulatedJob, task: SimulatedTask, project: str, secret: str
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a task, oldest first."""
    # Some messages have the secret as a password.
    names = _names(site, job, task, project, secret)
    for number, (phase, share) in enumerate(phase_ends(task.status)):
        failed = task.status == f"{phase}_FAILED"
        yield {
            "id": task.id * _ROWS_PER_TASK + number,
            "sourceId": site.id,
            "taskId": task.id,
            "status": task.status if failed else f"{phase}_DONE",
            "action": _ACTIONS[phase].format_map(names),
            "msg": _message(site, job, task, phase, names) if failed else "ok",
            "createTime": site.job_time(job, task.plan.start + share * task.plan.seconds),
        }


def _names(site: Site, job: SimulatedJob, task: SimulatedTask, project: str, secret: str) -> dict[str, object]:
    database, table = site.source.database_name(job.database), site.table_name(task.table)
    number, (_, rows) = draw(*site.source.seed, _CAUSE, task.id), site.volume(task.table, 0, len(task.plan.units))
    frames = f"\n\tat com.aliyun.odps.task.SQLTask.run(SQLTask.java:{51 + number % 400})\n\t... {number % 30} more"
    octet = 1 + number % 250
    return {
        "table": table,
        "source": f"{database}.{table}",
        "target": f"{project}.{table}",
        "project_path": f"{{acs:odps:*:projects/{project}}}",
        "table_path": f"{{acs:odps:*:projects/{project}/tables/{table}}}",
        "request": f"RequestId=20240101{number % 10**9}c23a",
        "stage": f"org.apache.spark.SparkException: Job aborted due to stage failure{frames}\nCaused by: ",
        "frames": frames,
        "url": f"jdbc:hive2://mms:{secret}@10.0.3.{octet}:10000/{database}",
        "secret": secret,
        "id": task.id,
        "octet": octet,
        "rows": rows,
        "fewer": rows - 1 - number % rows if rows else 1,
    }


def _message(site: Site, job: SimulatedJob, task: SimulatedTask, phase: str, names: Mapping[str, object]) -> str:
    template = pick(_MESSAGES[phase], *site.source.seed, _CAUSE, task.table)
    message = (_DENIED if job.id in site.denied_jobs else template).format_map(names)
    return site.text("task", task.id, "msg", site.text("task", 0, "msg", message))
