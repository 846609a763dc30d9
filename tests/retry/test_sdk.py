"""The vendor's SDK reads the created jobs and finds exactly the failed units in them."""

import asyncio
from importlib import import_module
from typing import Any

from exporter.retry.journal import Journal
from tests.conftest import IDENTITY
from tests.retry.conftest import SOURCE, RetryEnv

# The SDK has no types, and does not export its names.
sdk: Any = import_module("alibabacloud_maxcompute20220104.models")
open_api: Any = import_module("alibabacloud_tea_openapi.models")
Client: Any = import_module("alibabacloud_maxcompute20220104.client").Client


async def test_created_jobs_contain_exactly_the_failed_units(env: RetryEnv) -> None:
    truth = env.world.truth()
    partitions = {row.id for row in truth.partitions(SOURCE) if row.status == "FAILED"}
    tables = {
        (row.db_name, row.name) for row in truth.tables(SOURCE) if row.status == "FAILED" and not row.has_partitions
    }
    with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
        await env.create_all(journal)
    endpoint = env.simulator.url.removeprefix("http://")
    keys = {"access_key_id": IDENTITY.access_key_id, "access_key_secret": IDENTITY.access_key_secret}
    client = Client(open_api.Config(endpoint=endpoint, protocol="HTTP", **keys))
    request = sdk.ListMmsJobsRequest(name=journal.run.prefix, page_size=100)
    listed = (await asyncio.to_thread(client.list_mms_jobs, str(SOURCE), request)).body.data
    jobs = [(job.name, job.src_db_name, job.config) for job in listed.object_list]
    assert listed.total == len(journal.entries)
    assert {name for name, *_ in jobs} == journal.names
    assert sorted(number for *_, config in jobs for number in config.partitions or ()) == sorted(partitions)
    assert {(db, name) for _, db, config in jobs for name in config.tables or ()} == tables
