"""Two exporters with one configuration, of which one is killed: every source counts once, all the time."""

import time
from functools import partial
from pathlib import Path

import pytest

from tests.story.alertmanager_receiver import firing, resolved
from tests.story.dashboard_queries import figure
from tests.story.servers import TARGET, Series, until
from tests.story.stage import Exporter, Stage, staged
from tests.story.time_scale import SLOWDOWN
from tests.story.worlds import SPEED

PROD = 'account="prod"'
LASTING = (
    '{__name__=~"mms:(source|account|all):(objects|inventory|pending|total|done|left|overall_total|overall_done|'
    'overall_left|work_left|in_progress|progress|overall_progress|done_per_hour|last_success_age|time_left):.*"}'
)
"""Records that have a value at each evaluation while the sources are read."""
SETTLED_SECONDS = 1.0 * SLOWDOWN


@pytest.mark.long
@pytest.mark.timeout(600 * SLOWDOWN)
@pytest.mark.parametrize("server", ["PROMETHEUS", pytest.param("PROMETHEUS3", marks=pytest.mark.scale)])
async def test_a_killed_replica_leaves_no_gap_and_pages_nobody(tmp_path: Path, server: str) -> None:
    async with staged(tmp_path, server=server, replicas=2) as stage:
        await until(lambda: has_pace(stage), "all sources have a throughput")
        for exporter in stage.exporters:
            await until(partial(has_read, stage, exporter), "each replica has read all sources")
        since = time.time()
        await shows_the_truth(stage)
        killed = await newest(stage)
        await killed.kill()
        await shows_the_truth(stage)
        await stage.receiver.expect("", firing("MmsReplicaAbsent"))
        await shows_the_truth(stage)
        await killed.start()
        await stage.receiver.expect("", resolved("MmsReplicaAbsent"))
        # Shorter than the alert waits: the one that was not killed before.
        (other,) = set(stage.exporters) - {killed}
        await until(lambda: has_read(stage, killed), "the replica has read all sources again")
        await other.kill()
        await shows_the_truth(stage)
        await other.start()
        await until(lambda: has_read(stage, other), "both replicas are back")
        await shows_the_truth(stage)
        await had_no_gap(stage, since)
        assert stage.receiver.unread() == {}
        assert stage.prometheus.logged_problems() == []


async def has_pace(stage: Stage) -> bool:
    """Return whether each source of the account has a time left, which needs a history."""
    found = await stage.prometheus.at(f"mms:source:time_left:seconds{{{PROD}}}")
    replicas = await stage.prometheus.at("mms_exporter_shards")
    return len(found) == len(stage.prod.ids) and len(replicas) == len(stage.exporters)


async def shows_the_truth(stage: Stage) -> None:
    """Pause the world, and wait until sums and panels have its figures."""
    stage.prod.clock.run(0)
    truth = stage.prod.figures()
    expected = [truth.done, truth.total, sum(truth.left.values()), truth.done / truth.total]
    shown: list[float | None] = []

    async def is_true() -> bool:
        nonlocal shown
        moment = time.time() - SETTLED_SECONDS
        shown = [await _sum(stage, record, moment) for record in ("overall_done", "overall_total", "overall_left")]
        shown.append(await figure(stage.prometheus, "Progress", moment, account="prod"))
        return shown == pytest.approx(expected)

    try:
        await until(is_true, "the sums are those of one exporter")
    except AssertionError as error:
        raise AssertionError(f"{error}: {shown} is shown, and {expected} is so") from None
    # Slower than otherwise, so that the migration does not end.
    stage.prod.clock.run(SPEED / 4)


async def _sum(stage: Stage, record: str, moment: float) -> float | None:
    found = await stage.prometheus.at(f"sum(mms:source:{record}:sum{{{PROD}}})", moment)
    return float(found[0]["value"][1]) if found else None


async def newest(stage: Stage) -> Exporter:
    """Return the replica that read a source of the account last."""
    found = await stage.prometheus.at(f"topk(1, mms:replica:last_success:max{{{PROD}}})")
    port = int(found[0]["metric"]["instance"].rpartition(":")[2])
    return next(exporter for exporter in stage.exporters if exporter.port == port)


async def has_read(stage: Stage, exporter: Exporter) -> bool:
    """Return whether a replica is scraped and has read all sources of both accounts completely."""
    selector = (
        f'mms_datasource_refresh_last_success_timestamp_seconds{{job="{TARGET}", instance="127.0.0.1:{exporter.port}"}}'
    )
    return len(await stage.prometheus.at(selector)) == len(stage.prod.ids) + len(stage.lab.ids)


async def had_no_gap(stage: Stage, since: float) -> None:
    """Check that each recorded figure has a value of each evaluation, and that the total never changed."""
    seconds = time.time() - since
    evaluations = {
        when for each in await stage.prometheus.samples("mms:replica:name:info", seconds) for when in _times(each)
    }
    series = await stage.prometheus.samples(LASTING, seconds)
    assert len(evaluations) > 10
    assert await stage.prometheus.samples("mms:replica:behind:info", seconds)
    # The last evaluation may not be written completely.
    last = max(evaluations)
    gaps = {str(each["metric"]): sorted(evaluations - _times(each) - {last}) for each in series}
    assert {metric: missing for metric, missing in gaps.items() if missing} == {}
    totals = [each for each in series if each["metric"]["__name__"] == "mms:source:overall_total:sum"]
    assert totals
    assert all(len({value for _, value in each["values"]}) == 1 for each in totals)


def _times(series: Series) -> set[float]:

    return {when for when, _ in series["values"]}
