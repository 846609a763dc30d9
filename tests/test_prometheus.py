"""Prometheus itself scrapes the demo, and its own tools judge what is served."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from tests.processes import ENDLESS, Running, serving
from tests.programs import program


@pytest.fixture
async def demo() -> AsyncIterator[Running]:
    """Provide the demo, read once."""
    async with serving("demo", *ENDLESS, "--simulator.listen-address=127.0.0.1:0") as running:
        await running.until_ready()
        yield running


async def test_promtool_has_nothing_to_say_of_the_metrics(demo: Running) -> None:
    _, page = await demo.get("/metrics")
    checked = await asyncio.to_thread(
        subprocess.run,
        [program("PROMTOOL"), "check", "metrics"],
        input=page,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


async def test_the_strict_parser_takes_openmetrics_and_both_formats_carry_the_same_series(demo: Running) -> None:
    served: dict[str, set[Any]] = {}
    for accept, families in (("text/plain", text_families), ("application/openmetrics-text", openmetrics_families)):
        _, page = await demo.get("/metrics", accept=accept)
        samples = (sample for family in families(page) for sample in family.samples)
        served[accept] = {(sample.name, *sorted(sample.labels.items())) for sample in samples}
    # The world moves on between the two scrapes, and jobs with it.
    lasting = [{each for each in series if not each[0].startswith("mms_job_")} for series in served.values()]
    assert lasting[0] == lasting[1]
    assert len(lasting[0]) > 300


@pytest.mark.long
@pytest.mark.parametrize(("seconds", "scrapes"), [(15, 4), pytest.param(60, 25, marks=pytest.mark.scale)])
async def test_prometheus_scrapes_the_demo_without_a_warning(
    demo: Running, tmp_path: Path, seconds: int, scrapes: int
) -> None:
    """It makes more than `scrapes`: the first comes up to 2 s late."""
    target = demo.urls[0].removeprefix("http://")
    async with prometheus_on(target, tmp_path) as (url, log):
        await asyncio.sleep(seconds)
        assert await query(url, f"min_over_time(up[{seconds}s])") == [1]
        assert await query(url, f"count_over_time(up[{seconds}s]) > bool {scrapes}") == [1]
        assert await query(url, "mms_up") == [1]
        assert sum(await query(url, f"changes(mms_partitions[{seconds}s]) > 0")) > 0
        assert await query(url, "count(scrape_samples_scraped > 300)") == [1]
        lines = log.read_text(encoding="utf-8").splitlines()
    assert lines
    assert [line for line in lines if "level=warn" in line or "level=error" in line] == []


@asynccontextmanager
async def prometheus_on(
    target: str, folder: Path, scraping: str = "", keeps: str = "15d", scrapers: int = 1
) -> AsyncIterator[tuple[str, Path]]:
    """Provide the URL of a Prometheus that scrapes `target` every 2 s, or as `scraping` says, and its log."""
    config, log = folder / "prometheus.yml", folder / "prometheus.log"
    targets = ", ".join(f"{{targets: ['{target}'], labels: {{scraper: '{number}'}}}}" for number in range(scrapers))
    config.write_text(
        "global: {scrape_interval: 2s}\n"
        f"scrape_configs: [{{job_name: mms, {scraping}static_configs: [{targets}]}}]\n",
        encoding="utf-8",
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    arguments = [f"--config.file={config}", f"--storage.tsdb.path={folder}/data", f"--web.listen-address={address}"]
    arguments.append(f"--storage.tsdb.retention.time={keeps}")
    with log.open("w") as file:
        process = await asyncio.create_subprocess_exec(program("PROMETHEUS"), *arguments, stdout=file, stderr=file)
        try:
            await until_prometheus_is_ready(f"http://{address}")
            yield f"http://{address}", log
        finally:
            process.terminate()
            await process.wait()


async def until_prometheus_is_ready(url: str) -> None:
    """Wait until a Prometheus has started."""
    async with asyncio.timeout(30), ClientSession() as session:
        while True:
            try:
                async with session.get(f"{url}/-/ready") as response:
                    if response.status == 200:
                        return
            except OSError:
                pass
            await asyncio.sleep(0.1)


async def query(url: str, expression: str) -> list[float]:
    """Return the values of an instant query."""
    async with ClientSession() as session, session.get(f"{url}/api/v1/query", params={"query": expression}) as response:
        answer = await response.json()
    assert answer["status"] == "success", answer
    assert "warnings" not in answer
    return [float(each["value"][1]) for each in answer["data"]["result"]]
