"""A Prometheus without series answers every query, and only the rows that say so are shown."""

from pathlib import Path

from tests.grafana.checked_in import ALL_QUERIES
from tests.story.dashboard_queries import filled_in
from tests.test_prometheus import prometheus_on, query


async def test_queries_without_data_have_no_result_but_the_row_that_says_so(tmp_path: Path) -> None:
    async with prometheus_on("", tmp_path, scrapers=0) as (url, _):
        for asked in ALL_QUERIES:
            found = await query(url, filled_in(asked.expr))
            assert len(found) == asked.says_nothing, asked.where
