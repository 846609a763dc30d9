"""A fake MMS of one source whose jobs, tasks, tables and partitions each test defines."""

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

SOURCE_ID = 7
HISTORY = 101


class HandWrittenMms:
    """Serves the current content of its attributes at each call."""

    def __init__(self) -> None:
        self.row: dict[str, Any] = {"id": SOURCE_ID, "name": "hive-a", "status": "STARTED"}
        self.row |= {"tablesFailedNum": 0, "partitionsFailedNum": 0}
        self.jobs: list[dict[str, Any]] = []
        self.tasks: list[dict[str, Any]] = []
        self.dbs: dict[int, dict[str, Any]] = {}
        self.messages: dict[int, str] = {}
        """Message of the failure in the log of each task; a task without one has an empty log."""
        self.timers: dict[int, dict[str, Any]] = {}
        self.timer_logs: dict[int, list[dict[str, Any]]] = {}
        """Logs of each timer, in the order in which they are listed."""
        self.scans: dict[int, dict[str, Any]] = {}
        """Answers of GetMmsFetchMetadataJob by scan id."""
        self.ignores_updated = False
        """Whether `updated` does not filter partitions."""
        self.tables: dict[int, dict[str, Any]] = {}
        self.partitions: dict[int, dict[str, Any]] = {}
        self.page_cap = 100
        self.page_caps: dict[str, int] = {}
        """Like `page_cap`, for lists named as in `calls`."""
        self.ignores_stopped = False
        """Whether `stopped` does not filter jobs."""
        self.newest_first = False
        """Whether tables and partitions are listed newest first."""
        self.hides_stopped = False
        """Whether job lists by status omit stopped jobs."""
        self.forbidden: set[str] = set()
        """Operations without permission, named as in `calls`."""
        self.broken: set[str] = set()
        """Operations that answer 500, named as in `calls`."""
        self.lost: Counter[tuple[str, int]] = Counter()
        """How many times a page lacks its last row, by list and page."""
        self.before_list: Callable[[str], None] = lambda _: None
        """Called with a list's filter before it is answered."""
        self.refused: set[str] = set()
        """Filters that are rejected with 400."""
        self.missing: set[str] = set()
        """Ids of jobs whose task lists answer 404, and of tasks whose logs do."""
        self.totals: dict[str, int | None] = {}
        """Wrong totals of lists, named as in `calls`; None omits the total."""
        self.calls: Counter[str] = Counter()
        """Calls by name: the filter of a job list (a status, "name", "stopped", "all"), "outdated", else the path's
        last word."""

    @property
    def job_calls(self) -> Counter[str]:
        """Return the calls of job lists by filter."""
        others = {"dbs", "timers", "outdated", "scan"}
        return Counter({name: count for name, count in self.calls.items() if name not in others})

    def add_job(self, job_id: int, status: str, **fields: Any) -> dict[str, Any]:
        """Add a job, and return its row."""
        row = {"id": job_id, "name": f"job_{job_id}", "status": status, "taskNum": 4, "taskDone": 1, "stopped": False}
        self.jobs.append({**row, "createTime": "2025-01-01 00:00:00", "srcDbName": "sales", **fields})
        return self.jobs[-1]

    def add_history(self, jobs: int = HISTORY) -> None:
        """Add DONE jobs before all others; by default more than one page."""
        others = self.jobs.copy()
        self.jobs.clear()
        for number in range(jobs):
            self.add_job(10_000 + number, "DONE")
        self.jobs += others

    def add_tasks(self, job_id: int, *statuses: str, **fields: Any) -> None:
        """Add tasks of a job, one in each of `statuses`."""
        for status in statuses:
            row = {"id": len(self.tasks) + 1, "jobId": job_id, "jobName": f"job_{job_id}", "status": status}
            row |= {"srcDbName": "sales", "srcTableName": "orders", "createTime": "2025-01-01 00:00:00"}
            self.tasks.append({**row, "retriedTimes": 0, **fields})

    def add_database(self, database_id: int, name: str | None, done: int = 1, **fields: Any) -> dict[str, Any]:
        """Add a database of `done` tables, all DONE, and return its row."""
        counts = {f"{kind}{status}": 0 for kind in ("tables", "partitions") for status in ("Doing", "Done", "Failed")}
        row = {"id": database_id, "name": name, "status": "DONE", **counts, "tablesPartDone": 0, "partitions": 0}
        self.dbs[database_id] = {**row, "tables": done, "tablesDone": done, "size": 10, "numRows": 1, **fields}
        return self.dbs[database_id]

    def count_databases(self) -> None:
        """Set the counters of the source to the sums of its databases."""
        sums = {"dbNum": len(self.dbs)}
        for kind, row_name in (("tables", "tableNum"), ("partitions", "partitionNum")):
            sums[row_name] = sum(row[kind] for row in self.dbs.values())
        for name in ("tablesDoing", "tablesDone", "tablesPartDone", "tablesFailed", "partitionsDoing"):
            sums[f"{name}Num"] = sum(row[name] for row in self.dbs.values())
        for name in ("partitionsDone", "partitionsFailed"):
            sums[f"{name}Num"] = sum(row[name] for row in self.dbs.values())
        self.row |= sums

    def add_timer(self, timer_id: int, value: str = "02:00", **fields: Any) -> dict[str, Any]:
        """Add a timer, Daily if `value` has an hour, and return its row."""
        row = {"id": timer_id, "name": f"timer_{timer_id}", "srcDbName": "sales", "type": "DATABASE", "value": value}
        row |= {"scheduleType": "Daily" if ":" in value else "Hourly", "stopped": False}
        self.timers[timer_id] = {**row, "createTime": "2025-06-01 00:00:00", **fields}
        self.timer_logs.setdefault(timer_id, [])
        return self.timers[timer_id]

    def log_timer(self, timer_id: int, time: str, status: str = "DONE", msg: str = "start job success") -> None:
        """Put a log before the others of a timer."""
        logs = self.timer_logs[timer_id]
        row = {"id": 1000 + len(logs), "status": status, "action": "start job", "msg": msg, "createTime": time}
        logs.insert(0, row)

    def add_table(self, table_id: int, db: str, name: str, **fields: Any) -> dict[str, Any]:
        """Add a table, and return its row."""
        row = {"id": table_id, "dbName": db, "name": name, "hasPartitions": False, "status": "DONE"}
        self.tables[table_id] = {**row, "lastDdlTime": "2025-01-01 00:00:00", **fields}
        return self.tables[table_id]

    def add_partition(self, partition_id: int, db: str, table: str, value: str, **fields: Any) -> dict[str, Any]:
        """Add a partition, and return its row."""
        row = {"id": partition_id, "tableId": 1, "dbName": db, "tableName": table, "value": value, "status": "DONE"}
        self.partitions[partition_id] = {**row, **fields}
        return self.partitions[partition_id]

    def fail_tables(self, *failed: tuple[int, str, str]) -> None:
        """Replace the tables by these failed ones: id, database, name."""
        self.tables.clear()
        for table in failed:
            self.add_table(*table, status="FAILED")
        self.row["tablesFailedNum"] = len(failed)

    def fail_partitions(self, *failed: tuple[int, str, str, str]) -> None:
        """Replace the partitions by failed ones: id, database, table, value."""
        self.partitions.clear()
        for partition in failed:
            self.add_partition(*partition, status="FAILED")
        self.row["partitionsFailedNum"] = len(failed)

    async def list_sources(self, request: web.Request) -> web.Response:
        """Answer ListMmsDataSources."""
        return self._error("sources") or self._page(request, [self.row])

    async def list_jobs(self, request: web.Request) -> web.Response:
        """Answer ListMmsJobs, filtered by `status` and `name`, newest first."""
        query = request.query
        word = query.get("status", "name" if "name" in query else "stopped" if "stopped" in query else "all")
        self.calls[word] += 1
        self.before_list(word)
        if word in self.refused:
            return web.json_response({"Code": "InvalidParameter"}, status=400)
        if word in self.broken:
            return web.json_response({"Code": "InternalError"}, status=500)
        rows = [job for job in reversed(self.jobs) if job["status"] == query.get("status", job["status"])]
        if "stopped" in query and not self.ignores_stopped:
            rows = [job for job in rows if job["stopped"]]
        elif self.hides_stopped and "status" in query:
            rows = [job for job in rows if not job["stopped"]]
        return self._page(request, [job for job in rows if query.get("name", "") in job["name"]], word)

    async def list_tasks(self, request: web.Request) -> web.Response:
        """Answer ListMmsTasks, filtered by `jobId` and `status`."""
        query = request.query
        self.calls["tasks"] += 1
        self.before_list(query.get("jobId", "tasks"))
        if query.get("jobId") in self.refused:
            return web.json_response({"Code": "InvalidParameter"}, status=400)
        if query.get("jobId") in self.missing:
            return web.json_response({"Code": "JobNotFound"}, status=404)
        rows = [task for task in self.tasks if query.get("jobId", str(task["jobId"])) == str(task["jobId"])]
        found = [task for task in rows if query.get("status", task["status"]) == task["status"]]
        return self._error("tasks") or self._page(request, found, query.get("status", "tasks"))

    async def list_logs(self, request: web.Request) -> web.Response:
        """Answer ListMmsTaskLogs."""
        self.calls["logs"] += 1
        number = int(request.match_info["id"])
        tasks = [task for task in self.tasks if task["id"] == number]
        if not tasks or str(number) in self.missing:
            return web.json_response({"Code": "Object.NotFound"}, status=404)
        message = self.messages.get(number)
        row = {"id": 2, "status": tasks[0]["status"], "msg": message, "createTime": "2025-01-01 00:00:00"}
        rows = [] if message is None else [{**row, "id": 1, "status": "INIT", "msg": "ok"}, row]
        return self._error("logs") or web.json_response({"data": rows})

    async def list_objects(self, request: web.Request) -> web.Response:
        """Answer ListMmsDbs, ListMmsTimers, ListMmsTables, ListMmsPartitions with case-insensitive LIKE filters."""
        kind = request.path.rpartition("/")[2]
        texts = {"dbName", "name", "tableName", "value"} & request.query.keys()
        statuses = json.loads(request.query.get("status", "null"))
        rows = [
            row
            for _, row in sorted(getattr(self, kind).items(), reverse=self.newest_first)
            if (statuses is None or row["status"] in statuses)
            and all(_is_like(row[name], request.query[name]) for name in texts)
        ]
        if "updated" in request.query:
            kind = "outdated"
            rows = [row for row in rows if row.get("updated") or self.ignores_updated]
        self.calls[kind] += 1
        return self._error(kind) or self._page(request, rows, kind)

    async def list_timer_logs(self, request: web.Request) -> web.Response:
        """Answer ListMmsTimerLogs."""
        self.calls["timer_logs"] += 1
        number = int(request.match_info["id"])
        if number not in self.timer_logs:
            return web.json_response({"Code": "Object.NotFound"}, status=404)
        return self._error("timer_logs") or self._page(request, self.timer_logs[number], "timer_logs")

    async def get_scan(self, request: web.Request) -> web.Response:
        """Answer GetMmsFetchMetadataJob."""
        self.calls["scan"] += 1
        row = self.scans.get(int(request.match_info["id"]))
        if row is None:
            return web.json_response({"Code": "Object.NotFound"}, status=404)
        return self._error("scan") or web.json_response({"data": row})

    async def get_object(self, request: web.Request) -> web.Response:
        """Answer GetMmsTable and GetMmsPartition."""
        kind = request.path.split("/")[-2]
        self.calls[kind.removesuffix("s")] += 1
        row = getattr(self, kind).get(int(request.match_info["id"]))
        if row is None:
            return web.json_response({"Code": "Object.NotFound"}, status=404)
        return self._error(kind.removesuffix("s")) or web.json_response({"data": row})

    def _error(self, name: str) -> web.Response | None:
        if name in self.forbidden:
            return web.json_response({"Code": "NoPermission"}, status=403)
        return web.json_response({"Code": "InternalError"}, status=500) if name in self.broken else None

    def _page(self, request: web.Request, rows: list[dict[str, Any]], word: str = "") -> web.Response:
        size = min(int(request.query["pageSize"]), self.page_caps.get(word, self.page_cap))
        number = int(request.query["pageNum"])
        page = rows[(number - 1) * size : number * size]
        if self.lost[word, number]:
            self.lost[word, number] -= 1
            page = page[:-1]
        total = self.totals.get(word, len(rows))
        stated = {} if total is None else {"total": total}
        return web.json_response({"data": {**stated, "objectList": page}})


def _is_like(text: str, pattern: str) -> bool:
    """Return whether a text contains a match of an SQL LIKE pattern."""
    wildcards = {"%": ".*", "_": "."}
    expression = "".join(wildcards.get(char) or re.escape(char) for char in pattern)
    return re.search(expression, text, re.IGNORECASE | re.DOTALL) is not None


@pytest.fixture
def mms() -> HandWrittenMms:
    """Provide the content of the fake MMS."""
    return HandWrittenMms()


@pytest.fixture
async def mms_url(mms: HandWrittenMms) -> AsyncIterator[str]:
    """Provide the URL of the fake MMS."""
    app = web.Application()
    app.router.add_get("/api/v1/mms/datasources", mms.list_sources)
    root = f"/api/v1/mms/datasources/{SOURCE_ID}"
    app.router.add_get(f"{root}/jobs", mms.list_jobs)
    app.router.add_get(f"{root}/tasks", mms.list_tasks)
    app.router.add_get(f"{root}/dbs", mms.list_objects)
    app.router.add_get(f"{root}/timers", mms.list_objects)
    app.router.add_get(f"{root}/timers/{{id}}/logs", mms.list_timer_logs)
    app.router.add_get(f"{root}/tasks/{{id}}/logs", mms.list_logs)
    app.router.add_get(f"{root}/scans/{{id}}", mms.get_scan)
    for kind in ("tables", "partitions"):
        app.router.add_get(f"{root}/{kind}", mms.list_objects)
        app.router.add_get(f"{root}/{kind}/{{id}}", mms.get_object)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")
