"""From an alert to its end: all outputs name the same failures, and one command migrates them again.

The exporter, Prometheus, Alertmanager and the command line run as processes; MMS is simulated.
"""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from exporter.simulator import apply_event
from exporter.simulator.world import events
from tests.exposition_parser import read
from tests.processes import Ended, run
from tests.story.alertmanager_receiver import firing, resolved
from tests.story.servers import until
from tests.story.stage import Stage, staged
from tests.story.time_scale import SLOWDOWN

AT_REST = "maxcompute-sales-003"
"""A source without own progress: only the story changes it."""

Name = tuple[str, str, str]
"""Database, table, partition; the partition is empty for a table."""


@pytest.mark.long
@pytest.mark.timeout(600 * SLOWDOWN)
@pytest.mark.parametrize("server", ["PROMETHEUS", pytest.param("PROMETHEUS3", marks=pytest.mark.scale)])
async def test_failures_are_reported_retried_and_resolved(tmp_path: Path, server: str) -> None:
    async with staged(tmp_path, server=server) as stage:
        await until(lambda: has_no_failures(stage), "Prometheus sees that nothing has failed")
        before = statuses(stage)
        broken = fail_some(stage)
        failed = failed_names(stage)
        assert len(failed) > 3
        await until(lambda: all_outputs_name(stage, failed), "all that failed is named, and nothing else")
        await stage.receiver.expect("prod", firing("MmsTablesFailed", AT_REST))

        retried = await command(stage, "retry", "--failed", "--yes", "--watch")
        assert retried.code == 0, retried.out + retried.err
        assert migrated(stage) == broken
        assert statuses(stage) == before, "all is done again, and nothing else was touched"
        await until(lambda: all_outputs_name(stage, set()), "nothing is named any more")
        await stage.receiver.expect("prod", resolved("MmsTablesFailed", AT_REST))
        # The work of the retry may end soon enough to be notified of too.
        assert stage.receiver.unread() in ({}, {"prod": [firing("MmsMigrationFinished", AT_REST)]})
        assert stage.prometheus.logged_problems() == []


def fail_some(stage: Stage) -> tuple[set[int], set[str]]:
    """Fail some partitions, a whole table, and an unpartitioned one.

    Return the ids of the failed partitions, and the names of the failed tables without any.
    """
    prod, source_id = stage.prod, stage.prod.ids[AT_REST]
    tables = prod.world.truth().tables(source_id)
    plain = next(table for table in tables if not table.has_partitions)
    apply_event(prod.world, events.Fail(source_id=source_id, table_ids=(plain.id,)))
    prod.fail_partitions(source_id, 2)
    whole = next(
        table for table in prod.world.truth().tables(source_id) if table.has_partitions and table.status == "DONE"
    )
    apply_event(prod.world, events.Fail(source_id=source_id, table_ids=(whole.id,)))
    truth = prod.world.truth()
    partitions = {partition.id for partition in truth.partitions(source_id) if partition.status == "FAILED"}
    return partitions, {plain.name or ""}


def statuses(stage: Stage) -> dict[tuple[str, int], str | None]:
    """Return each table's and partition's status by ground truth."""
    truth, source_id = stage.prod.world.truth(), stage.prod.ids[AT_REST]
    return {
        **{("table", table.id): table.status for table in truth.tables(source_id)},
        **{("partition", partition.id): partition.status for partition in truth.partitions(source_id)},
    }


def failed_names(stage: Stage) -> set[Name]:
    """Return the names of failures by ground truth."""
    truth, source_id = stage.prod.world.truth(), stage.prod.ids[AT_REST]
    tables = {(each.db_name, each.name, "") for each in truth.tables(source_id) if each.status == "FAILED"}
    partitions = {
        (each.db_name, each.table_name, each.value) for each in truth.partitions(source_id) if each.status == "FAILED"
    }
    return {tuple(part or "" for part in name) for name in tables | partitions}  # type: ignore[misc]  # three of them


def migrated(stage: Stage) -> tuple[set[int], set[str]]:
    """Return the scope of created jobs: partition ids, table names."""
    prod, source_id = stage.prod, stage.prod.ids[AT_REST]
    made = {created.job.id for created in prod.world.site(source_id).job_store.created}
    configs = [job.config for job in prod.world.truth().jobs(source_id) if job.id in made and job.config is not None]
    partitions = [number for config in configs for number in config.partitions or ()]
    tables = [name for config in configs if not config.partitions for name in config.tables or ()]
    assert len(configs) == len(made)
    assert len(partitions) == len(set(partitions)), "no partition is in two jobs"
    return set(partitions), set(tables)


async def has_no_failures(stage: Stage) -> bool:
    """Return whether Prometheus has the source with 0 failed partitions."""
    found = await stage.prometheus.at(
        f'mms:source:failed:sum{{account="prod", source="{AT_REST}", kind="partition"}} == 0'
    )
    return len(found) == 1


async def all_outputs_name(stage: Stage, failed: set[Name]) -> bool:
    """Return whether series, page, JSON and command name the failures."""
    for named in (named_by_series, named_by_json, named_by_page, named_by_command):
        if await named(stage) != failed:
            return False
    return True


async def named_by_series(stage: Stage) -> set[Name]:
    """Return the failures with series."""
    served = read((await get(stage, "/metrics")).encode())
    source_id = str(stage.prod.ids[AT_REST])
    return {
        (labels["src_db"], labels["table"], labels.get("partition", ""))
        for family in ("mms_failed_table_info", "mms_failed_partition_info")
        for labels in map(dict, served.having(family, account="prod", source_id=source_id))
    }


async def named_by_page(stage: Stage) -> set[Name]:
    """Return the failures on the status page."""
    rows = FailureRows(await get(stage, "/")).rows
    names = [(*row[0].split("."), row[1]) for row in rows if row[2:3] == [AT_REST]]
    return {(db, table, "" if partition == "(whole table)" else partition) for db, table, partition in names}


class FailureRows(HTMLParser):
    """The cells of the failure tables of a status page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._is_inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tbody":
            self._is_inside = ("id", "failures") in attrs
        elif self._is_inside and tag == "tr":
            self.rows.append([])
        elif self._is_inside and tag in {"th", "td"}:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._is_inside = self._is_inside and tag != "tbody"

    def handle_data(self, data: str) -> None:
        if self._is_inside and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


async def named_by_json(stage: Stage) -> set[Name]:
    """Return the failures in the status JSON."""
    sources = json.loads(await get(stage, "/api/v1/status"))["sources"]
    (source,) = [each for each in sources if (each["account"], each["name"]) == ("prod", AT_REST)]
    return {
        (each["src_db"], each["table"], each["partition"] or "")
        for kind in ("failed_tables", "failed_partitions")
        for each in source[kind]["named"]
    }


async def named_by_command(stage: Stage) -> set[Name]:
    """Return the output of `mms-exporter failed`."""
    shown = await command(stage, "failed", "--output=json")
    assert shown.code == 0, shown.err
    rows: list[dict[str, Any]] = json.loads(shown.out)
    return {(each["db_name"], each["table_name"], each["value"] or "") for each in rows}


async def get(stage: Stage, path: str) -> str:
    """Return a response of the exporter."""
    async with stage.session.get(f"http://127.0.0.1:{stage.exporter.port}{path}") as response:
        assert response.status == 200
        return await response.text()


async def command(stage: Stage, *words: str) -> Ended:
    """Run a command on the source with the exporter's configuration."""
    config = f"--config.file={stage.exporter.file}"
    return await run(*words, config, "--account=prod", f"--source={AT_REST}")
