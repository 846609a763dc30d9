"""A refresh against an MMS with latency, compared with a sequential loop over the vendor's SDK."""

import asyncio
import time
from importlib import import_module
from typing import Any, Final

from benchmarks.accounts import calls, refresher, seconds_in_calls
from benchmarks.children import child
from benchmarks.figures import Bound, Figure
from benchmarks.settings import IDENTITY, PLAIN
from exporter.mms.models.statuses import JobStatus
from exporter.mms.protocol import PAGE_SIZE

SOURCES: Final = 60
LATENCY_SECONDS: Final = 0.02
CONCURRENCY: Final = 8
WORLD: Final = {**PLAIN, "sources": SOURCES, "running_jobs_per_source": 5, "finished_jobs_per_source": 1000}
ROUNDS: Final = 3


async def figures() -> list[Figure]:
    """Return the durations of a steady refresh and the loop."""
    async with child("simulator", **WORLD, latency=LATENCY_SECONDS, answers="cached") as mms:
        async with refresher(mms.url) as (account, telemetry):
            await account.refresh()
            taken = []
            for _ in range(ROUNDS):
                before, waited, started = calls(telemetry), seconds_in_calls(telemetry), time.perf_counter()
                await account.refresh()
                spent = time.perf_counter() - started
                taken.append((spent, calls(telemetry) - before, seconds_in_calls(telemetry) - waited))
        seconds, made, waited = sorted(taken)[ROUNDS // 2]
        started = time.perf_counter()
        by_sdk = await asyncio.to_thread(_sdk_loop, mms.url)
        sdk_seconds = time.perf_counter() - started
    return [
        Figure(
            what=f"refresh of {SOURCES} sources, 20 ms latency: {made} calls",
            value=seconds,
            unit="s",
            beside="calls x latency / 8",
            beside_value=made * LATENCY_SECONDS / CONCURRENCY,
            bound=Bound("at most", 1.25),
        ),
        Figure(
            what=f"refresh of {SOURCES} sources, 20 ms latency: {made} calls",
            value=seconds,
            unit="s",
            beside=f"calls x measured latency ({1000 * waited / made:.1f} ms) / 8",
            beside_value=waited / CONCURRENCY,
        ),
        Figure(
            what=f"refresh of {SOURCES} sources, 20 ms latency: {made} calls",
            value=seconds,
            unit="s",
            beside=f"sequential loop with the Alibaba Cloud SDK, {by_sdk} calls",
            beside_value=sdk_seconds,
        ),
    ]


def _sdk_loop(url: str) -> int:
    """Read sources and jobs by status sequentially; returns the calls."""
    client, models = _sdk(url)
    sources = client.list_mms_data_sources(models.ListMmsDataSourcesRequest()).body.data.object_list
    made = 1
    for source in sources:
        for status in JobStatus:
            request = models.ListMmsJobsRequest(status=status, page_num=1, page_size=PAGE_SIZE)
            client.list_mms_jobs(str(source.id), request)
            made += 1
    return made


def _sdk(url: str) -> tuple[Any, Any]:
    """Return an SDK client and its untyped models module."""
    package = "alibabacloud_maxcompute20220104"
    settings = import_module("alibabacloud_tea_openapi.models").Config(
        endpoint=url.removeprefix("http://"),
        protocol="HTTP",
        access_key_id=IDENTITY.access_key_id,
        access_key_secret=IDENTITY.access_key_secret,
    )
    return import_module(f"{package}.client").Client(settings), import_module(f"{package}.models")
