"""An MMS of one source whose jobs a test writes down itself: any status, any order, any moment."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

SOURCE_ID = 7


class HandWrittenMms:
    """Serves one data source and the jobs in `jobs`, as it finds them at each call."""

    def __init__(self) -> None:
        self.row: dict[str, Any] = {"id": SOURCE_ID, "name": "hive-a", "status": "STARTED"}
        self.jobs: list[dict[str, Any]] = []
        self.page_cap = 100
        self.before_list: Callable[[str], None] = lambda _: None
        """Called with a list's filter before it is answered."""
        self.refused: set[str] = set()
        """Filters that are answered with an error."""
        self.without_total: set[str] = set()
        """Filters whose list does not say its total."""
        self.calls: Counter[str] = Counter()
        """Job lists by what they were filtered by: a status, or "name"."""

    def add_job(self, job_id: int, status: str, **fields: Any) -> dict[str, Any]:
        """Add a job, and return its row."""
        row = {"id": job_id, "name": f"job_{job_id}", "status": status, "taskNum": 4, "taskDone": 1, "stopped": False}
        self.jobs.append({**row, "createTime": "2025-01-01 00:00:00", "srcDbName": "sales", **fields})
        return self.jobs[-1]

    async def list_sources(self, _: web.Request) -> web.Response:
        """Answer ListMmsDataSources."""
        return web.json_response({"data": {"total": 1, "objectList": [self.row]}})

    async def list_jobs(self, request: web.Request) -> web.Response:
        """Answer ListMmsJobs: `status` and `name` filter, the newest first."""
        query = request.query
        self.calls[query.get("status", "name")] += 1
        self.before_list(query.get("status", "name"))
        if query.get("status", "name") in self.refused:
            return web.json_response({"Code": "InvalidParameter"}, status=400)
        rows = [job for job in reversed(self.jobs) if job["status"] == query.get("status", job["status"])]
        rows = [job for job in rows if query.get("name", "") in job["name"]]
        size = min(int(query["pageSize"]), self.page_cap)
        start = (int(query["pageNum"]) - 1) * size
        total = {} if query.get("status") in self.without_total else {"total": len(rows)}
        return web.json_response({"data": {**total, "objectList": rows[start : start + size]}})


@pytest.fixture
def mms() -> HandWrittenMms:
    """Provide what the server below answers."""
    return HandWrittenMms()


@pytest.fixture
async def mms_url(mms: HandWrittenMms) -> AsyncIterator[str]:
    """Provide the URL of the hand-written MMS."""
    app = web.Application()
    app.router.add_get("/api/v1/mms/datasources", mms.list_sources)
    app.router.add_get(f"/api/v1/mms/datasources/{SOURCE_ID}/jobs", mms.list_jobs)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")
