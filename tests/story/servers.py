"""Prometheus and Alertmanager as processes, and queries of a story to them."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from tests.harness import LIMIT_SECONDS
from tests.programs import ROOT, program
from tests.rules.loading import RULES
from tests.story.time_scale import SLOWDOWN, accelerated_routes, accelerated_rules, shorter

STEP = shorter("30s")
"""Interval of scrapes and evaluations: the shipped default, accelerated."""
TARGET = "mms-exporter"
STALE_SECONDS = 5.0 * SLOWDOWN
"""Staleness limit. The refresh interval of 1 s is long at this speed, so the limit is longer than in proportion."""
_THRESHOLDS = {"mms:threshold:last_success_age:seconds": STALE_SECONDS}

Series = dict[str, Any]


async def until(is_so: Callable[[], Awaitable[bool]], what: str, seconds: float = LIMIT_SECONDS * SLOWDOWN) -> None:
    """Poll until `is_so`; fail after `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            while not await is_so():  # noqa: ASYNC110 - another process sets no event of ours
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s: {what}") from None


@contextmanager
def reserved_port() -> Iterator[int]:
    """Reserve a port that servers can bind repeatedly."""
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        yield int(keeper.getsockname()[1])


@dataclass(frozen=True)
class Server:
    """A running process with an HTTP API."""

    url: str
    session: ClientSession
    log: Path

    async def ask(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 - JSON
        """Return the response of the API."""
        async with self.session.get(f"{self.url}{path}", params=parameters) as response:
            answer = await response.json()
            assert response.status == 200, (parameters, answer)
            return answer

    async def is_ready(self) -> bool:
        """Return whether it responds."""
        try:
            async with self.session.get(f"{self.url}/-/ready") as response:
                return response.status == 200
        except OSError:
            return False

    def logged_problems(self) -> list[str]:
        """Return the logged warnings and errors."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [line for line in lines if re.search("level=(warn|error)", line, re.IGNORECASE)]


class Prometheus(Server):
    """Runs queries; errors and warnings fail the test."""

    async def _data(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 - JSON
        answer = await self.ask(path, **parameters)
        assert answer.keys() == {"status", "data"}, (parameters, answer)
        return answer["data"]

    async def at(self, query: str, moment: float | None = None) -> list[Series]:
        """Run an instant query."""
        when = {} if moment is None else {"time": f"{moment:.3f}"}
        found: list[Series] = (await self._data("/api/v1/query", query=query, **when))["result"]
        return found

    async def over(self, query: str, start: float, end: float, step: str) -> list[Series]:
        """Run a range query."""
        asked = {"query": query, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": step}
        found: list[Series] = (await self._data("/api/v1/query_range", **asked))["result"]
        return found

    async def label_values(self, label: str, selector: str, start: float, end: float) -> list[str]:
        """Return a label's values, as for a dashboard variable."""
        asked = {"match[]": selector, "start": f"{start:.3f}", "end": f"{end:.3f}"}
        found: list[str] = await self._data(f"/api/v1/label/{label}/values", **asked)
        return found

    async def samples(self, selector: str, seconds: float) -> list[Series]:
        """Return all samples of the last seconds, each with the time of its scrape or evaluation."""
        return await self.at(f"{selector}[{seconds * 1000:.0f}ms]")

    async def has_target(self) -> bool:
        """Return whether a target is scraped."""
        return bool(await self.at("up == 1"))

    async def reload(self) -> None:
        """Load the configuration and the rule files again."""
        async with self.session.post(f"{self.url}/-/reload") as response:
            assert response.status == 200, await response.text()

    async def rules(self) -> list[dict[str, Any]]:
        """Return every rule with its health."""
        groups = (await self._data("/api/v1/rules"))["groups"]
        return [rule for group in groups for rule in group["rules"]]


class Alertmanager(Server):
    """Reads alerts, inhibited ones included."""

    async def alerts(self) -> list[dict[str, Any]]:
        """Return all active alerts, inhibited ones included."""
        found: list[dict[str, Any]] = await self.ask("/api/v2/alerts", active="true", inhibited="true")
        return found

    async def until_silenced(self, cause: str, account: str, *others: str) -> None:
        """Wait until alerts of an account are inhibited by `cause`."""

        async def are_silenced() -> bool:
            there = [each for each in await self.alerts() if each["labels"].get("account") == account]
            causes = {each["fingerprint"] for each in there if each["labels"]["alertname"] == cause}
            silenced = {
                each["labels"]["alertname"] for each in there if causes.intersection(each["status"]["inhibitedBy"])
            }
            return silenced.issuperset(others)

        await until(are_silenced, f"{cause} of {account} silences {others}")

    async def until_gone(self, alert: str, account: str) -> None:
        """Wait until an alert without a resolved notification has ended."""

        async def is_gone() -> bool:
            labels = [each["labels"] for each in await self.alerts()]
            return not any((each["alertname"], each.get("account")) == (alert, account) for each in labels)

        await until(is_gone, f"{alert} of {account} ends")


@asynccontextmanager
async def _running(command: list[str], log: Path) -> AsyncIterator[None]:
    with log.open("w") as file:
        process = await asyncio.create_subprocess_exec(*command, stdout=file, stderr=file, cwd=log.parent)
        try:
            yield
        finally:
            process.terminate()
            await process.wait()


@asynccontextmanager
async def running_alertmanager(url: str, folder: Path, session: ClientSession) -> AsyncIterator[Alertmanager]:
    """Provide an Alertmanager with the shipped configuration, accelerated."""
    config, log = folder / "alertmanager.yml", folder / "alertmanager.log"
    config.write_text(accelerated_routes((ROOT / "deploy" / "alertmanager" / "alertmanager.yml").read_text(), url))
    with reserved_port() as port:
        command = [program("ALERTMANAGER"), f"--config.file={config}", f"--storage.path={folder}/alertmanager"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
        async with _running(command, log):
            server = Alertmanager(f"http://127.0.0.1:{port}", session, log)
            await until(server.is_ready, "Alertmanager answers")
            yield server


def _write_rules(folder: Path, day_factor: int) -> None:
    for path in RULES:
        (folder / path.name).write_text(accelerated_rules(path.read_text(), _THRESHOLDS, day_factor=day_factor))


@asynccontextmanager
async def running_prometheus(
    ports: Iterable[int],
    alertmanager: Alertmanager,
    folder: Path,
    session: ClientSession,
    *,
    server: str = "PROMETHEUS",
    day_factor: int = 1,
) -> AsyncIterator[Prometheus]:
    """Provide a Prometheus with accelerated rules on loopback targets.

    `server` is the name of the program in tests.programs.
    """
    config, log = folder / "prometheus.yml", folder / "prometheus.log"
    targets = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
    config.write_text(f"""
global: {{scrape_interval: {STEP}, scrape_timeout: {STEP}, evaluation_interval: {STEP}}}
rule_files: ["mms-*.yaml"]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["{alertmanager.url.removeprefix("http://")}"]}}]}}]}}
scrape_configs: [{{job_name: {TARGET}, static_configs: [{{targets: [{targets}]}}]}}]
""")
    with reserved_port() as port:
        command = [program(server), f"--config.file={config}", f"--storage.tsdb.path={folder}/prometheus"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--query.lookback-delta=" + shorter("5m")]
        command += ["--web.enable-lifecycle"]
        async with _running(command, log):
            prometheus = Prometheus(f"http://127.0.0.1:{port}", session, log)
            await until(prometheus.is_ready, "Prometheus answers")
            # It finds targets up to 5 s after its start, which is 5 minutes or more to accelerated rules.
            await until(prometheus.has_target, "the exporter is scraped")
            _write_rules(folder, day_factor)
            await prometheus.reload()
            yield prometheus
