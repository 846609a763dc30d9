"""Pages: what did not change is not rendered again, and every form of a page says the same."""

import zlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collect.snapshot import (
    AccountSnapshot,
    CollectorSnapshot,
    JobsStats,
    Snapshot,
    SourceName,
    SourceSnapshot,
    SourceStats,
)
from exporter.exposition import rendering
from exporter.exposition.families.metric_types import MetricGroup
from exporter.exposition.gzip_chunks import Deflated, deflated
from exporter.exposition.rendering import GROUP_PARTS, Renderer
from exporter.mms.models import DataSource
from exporter.simulator import ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.world import events
from tests.conftest import IDENTITY, config_on
from tests.harness import Harness, harness_on

FRESHNESS: Final = Counter({AccountSnapshot: 1, CollectorSnapshot: 3})
"""Of each refresh, beside the sources'; the account is one line, whether it is up."""


def source(source_id: int, tables_done: int = 1) -> SourceSnapshot:
    name = SourceName("a", source_id, f"source-{source_id}")
    row = DataSource(id=source_id, name=name.source, tables_done_num=tables_done)
    jobs = JobsStats(name, {"DONE": 1}, 0, (), 0)
    return SourceSnapshot(name, SourceStats(name, row, None, None), jobs, refreshed=True, last_success_at=1.0)


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Provide the parts that are rendered from here on."""
    parts: list[object] = []
    chunks = rendering._chunks  # noqa: SLF001 - what is counted here has no other sign

    def counted(kind: MetricGroup[object], part: object) -> object:
        parts.append(part)
        return chunks(kind, part)

    monkeypatch.setattr(rendering, "_chunks", counted)
    return parts


def test_only_what_changed_is_rendered_again(rendered: list[object]) -> None:
    renderer = Renderer()
    sources = tuple(source(number) for number in range(100))
    account = AccountSnapshot("a", up=True, sources=sources)
    renderer.render(Snapshot((account,)))
    rendered.clear()
    renderer.render(Snapshot((account,)))
    assert rendered == []
    changed = source(7, tables_done=2)
    renderer.render(Snapshot((replace(account, sources=(*sources[:7], changed, *sources[8:])),)))
    assert [part for part in rendered if isinstance(part, SourceStats)] == [changed.figures]
    assert len(rendered) == 3, "the account, the row of the source that changed, and its freshness; not its jobs"


async def test_a_refresh_that_finds_nothing_new_has_only_freshness_rendered(rendered: list[object]) -> None:
    """The time of the last success moves for every source and collector, whatever else stands still."""
    async with refreshed_harness() as (harness, world):
        rendered.clear()
        await harness.refresh()
        assert Counter(map(type, rendered)) == FRESHNESS | {SourceSnapshot: len(world.source_ids())}


async def test_a_refresh_that_finds_one_source_changed_has_only_its_parts_rendered_beside_freshness(
    rendered: list[Any],
) -> None:
    async with refreshed_harness() as (harness, world):
        changed = world.source_ids()[3]
        apply_event(world, events.SetAgent(source_id=changed, online=False))
        apply_event(world, events.StopJob(source_id=changed, job_id=unfinished_job(world, changed)))
        rendered.clear()
        await harness.refresh()
    beside = [part for part in rendered if type(part) not in {*FRESHNESS, SourceSnapshot}]
    assert [type(part) for part in beside] == [SourceStats, JobsStats, JobsStats], "a source, its jobs, each job"
    assert {part.name.source_id for part in beside} == {changed}


@asynccontextmanager
async def refreshed_harness() -> AsyncIterator[tuple[Harness, World]]:
    """Provide an exporter that has refreshed once, a minute ago, and what it reads, which stands still."""
    world, clock = World(WorldOptions(sources=5, failure_rate=0), clock=ManualClock()), ManualClock()
    async with (
        Simulator(world, identities=[IDENTITY]) as simulator,
        harness_on(config_on(simulator.url), clock) as harness,
    ):
        await harness.refresh()
        clock.advance(60)
        yield harness, world


def unfinished_job(world: World, source_id: int) -> int:
    return next(job.id for job in world.truth().jobs(source_id) if job.status == "DOING")


def test_what_is_gone_leaves_the_page() -> None:
    renderer = Renderer()
    both = AccountSnapshot("a", up=True, sources=(source(1), source(2)))
    renderer.render(Snapshot((both,)))
    page = renderer.render(Snapshot((replace(both, sources=(source(2),)),)))
    assert b'source_id="1"' not in page.plain
    assert b'source_id="2"' in page.plain


def test_an_empty_snapshot_gives_an_empty_page() -> None:
    page = Renderer().render(Snapshot())
    assert page.plain == b""
    assert page.series == 0


@given(st.lists(st.binary(max_size=2000), max_size=4), st.binary(max_size=500))
def test_pieces_and_what_is_appended_to_them_make_one_gzip_member(pieces: list[bytes], rest: bytes) -> None:
    member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    compressed = Deflated.from_pieces(map(deflated, pieces), pieces)
    assert member.decompress(b"".join(compressed.gzip_with(rest))) == b"".join((*pieces, rest))
    assert member.eof, "length and checksum fit"
    assert member.unused_data == b"", "and nothing comes after"


def test_families_in_which_nothing_changed_are_the_bytes_they_were() -> None:
    """A page of megabytes is not put together anew for the few families that a refresh moves."""
    renderer = Renderer()
    pages = [
        renderer.render(Snapshot((AccountSnapshot("a", up=True, sources=(source(1, tables_done=done), source(2))),)))
        for done in (1, 2)
    ]
    before = set(map(id, pages[0].pieces))
    new = [piece for piece in pages[1].pieces if id(piece) not in before]
    assert [b"mms_tables" in piece for piece in new] == [True]
    assert len(pages[1].pieces) > len(new)


def test_parts_that_are_equal_are_not_rendered_again(rendered: list[object]) -> None:
    renderer = Renderer()
    for _ in range(2):
        sources = tuple(source(number) for number in range(3))
        rendered.clear()
        renderer.render(Snapshot((AccountSnapshot("a", up=True, sources=sources),)))
    assert rendered == []


def test_a_source_that_comes_or_goes_leaves_the_others_as_they_are(rendered: list[object]) -> None:
    renderer = Renderer()
    sources = tuple(source(number) for number in range(3 * GROUP_PARTS))
    account = AccountSnapshot("a", up=True, sources=sources)
    renderer.render(Snapshot((account,)))
    new = source(-1)
    for there, expected in ((sources[5:], []), ((new, *sources[5:]), [new.figures])):
        rendered.clear()
        renderer.render(Snapshot((replace(account, sources=there),)))
        assert [part for part in rendered if isinstance(part, SourceStats)] == expected


@given(st.data())
def test_a_page_is_what_it_would_be_without_the_ones_before(data: st.DataObject) -> None:
    states = st.lists(st.builds(source, st.integers(0, 200), st.integers(0, 3)), unique_by=lambda each: each.name)
    renderer = Renderer()
    for sources in data.draw(st.lists(states, max_size=4)):
        now = Snapshot((AccountSnapshot("a", up=True, sources=tuple(sources)),))
        assert renderer.render(now).plain == Renderer().render(now).plain


def test_series_are_counted() -> None:
    page = Renderer().render(Snapshot((AccountSnapshot("a", up=True, sources=(source(1),)),)))
    lines = [line for line in page.plain.splitlines() if not line.startswith(b"#")]
    assert page.series == len(lines)
