"""What `demo`, `simulate` and `make demo-stack` print works as printed."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import aiohttp.web
import pytest
import yaml
from aiohttp.test_utils import TestServer

from exporter.cli.arguments import parse
from exporter.cli.demo_texts import ACTS, STORY
from exporter.simulator.story import SOURCES, STORY_SECONDS, _script
from exporter.simulator.world.events import CreateJob
from tests.harness import LIMIT_SECONDS
from tests.processes import ENVIRONMENT, serving
from tests.programs import ROOT, program, said
from tests.rules.loading import ALERTS
from tests.story.servers import reserved_port

FREE = "--simulator.listen-address=127.0.0.1:0"
READMES = ("README.md", "README.zh-CN.md")


async def _page(stream: asyncio.StreamReader | None, end: str) -> str:
    """Read up to a text that must come."""
    assert stream is not None
    async with asyncio.timeout(LIMIT_SECONDS):
        return (await stream.readuntil(end.encode())).decode()


def _shell(script: str, environment: Mapping[str, str]) -> str:
    code, output = said("sh", "-euc", script, environment=environment)
    assert code == 0, output
    return output


async def test_the_demo_tells_its_story_and_prints_commands_that_work(tmp_path: Path) -> None:
    async with serving("demo", FREE, environment={"TMPDIR": str(tmp_path)}) as demo:
        await demo.until_ready()
        page = await _page(demo.process.stdout, "Press Ctrl-C")
        assert all(f"  minute {minute:2}  {text}\n" in page for minute, text in STORY)
        commands = re.search(r"Commands to try.*?:\n\n(.*?)\n\n", page, re.DOTALL)
        assert commands is not None
        assert f"export PATH={Path(sys.executable).parent}:$PATH\n" in commands[1]
        script = commands[1].replace("--failed", "--failed --yes") + "\nmms-exporter check --account=demo"
        environment = {"PATH": "/bin:/usr/bin", "HOME": str(tmp_path / "home")}
        printed = await asyncio.to_thread(_shell, script, environment)
        for name in ("hive-sales-001", "bigquery-sales-002", "maxcompute-sales-003", "hive-finance-004"):
            assert name in printed, "the story names data sources that exist"
        (file,) = re.findall(r"prometheus --config.file=(\S+) --storage.tsdb.path=\S+", page)
        checked = await asyncio.to_thread(said, program("PROMTOOL"), "check", "config", file)
        assert checked[0] == 0, checked
        assert "4 rule files found" in checked[1]
        demo.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(LIMIT_SECONDS):
            await demo.process.communicate()
        assert demo.process.returncode == 0
    assert _names(tmp_path) == [], "the files are removed, the locks and journals of `retry` too"


async def test_the_documented_commands_work_on_the_demo(tmp_path: Path) -> None:
    documented = re.search(r"<!-- demo -->\n```sh\n(.*?)```", _text(ROOT / "docs" / "commands.md"), re.DOTALL)
    assert documented is not None
    async with serving("demo", FREE, environment={"TMPDIR": str(tmp_path)}) as demo:
        await demo.until_ready()
        page = await _page(demo.process.stdout, "Press Ctrl-C")
        exports = "\n".join(re.findall(r"export \S+", page))
        printed = await asyncio.to_thread(_shell, f"{exports}\n{documented[1]}", ENVIRONMENT)
    assert "hive-sales-001" in printed


async def test_the_demo_runs_where_no_file_can_be_written() -> None:
    script = "import sys, tempfile\nfrom exporter.cli.main import main\n"
    script += "def refuse(*_, **__): raise FileNotFoundError\n"
    script += "tempfile.mkdtemp = refuse\nsys.exit(main(sys.argv[1:]))"
    async with serving("demo", FREE, program=("-c", script)) as demo:
        page = await _page(demo.process.stdout, "Press Ctrl-C")
    assert "Metrics" in page
    assert "export" not in page


def _names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")


async def test_simulate_prints_the_configuration_alone(tmp_path: Path) -> None:
    """`mms-exporter simulate > config.yaml &` gives a file that the exporter takes."""
    file = tmp_path / "config.yaml"
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", f'exec "$@" >{file}', "sh", sys.executable, "-m", "exporter", "simulate", FREE),
        cwd=ROOT,
        env=ENVIRONMENT,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        told = await _page(process.stderr, "$(mktemp -d)`\n")
        assert "export XDG_STATE_HOME" in told, "`retry` refuses what a journal of an earlier simulation has"
        assert list(yaml.safe_load(_text(file))) == ["accounts", "refresh", "jobs", "failures", "timers"]
        async with serving(f"--config.file={file}") as exporter:
            await exporter.until(lambda served: served.having("mms_up") != {})
            assert (await exporter.metrics()).value("mms_up", account="demo") == 1
    finally:
        process.terminate()
        await process.communicate()
    assert process.returncode == 0


def test_the_demo_installs_the_program_that_its_commands_and_alerts_call(tmp_path: Path) -> None:
    """A dry run of `make`: the packages are there already."""
    (tmp_path / "bin").mkdir()
    for file in ("bin/python", ".build", ".runtime"):
        (tmp_path / file).touch()
    for target in ("demo", "demo-stack"):
        code, output = said("make", "--dry-run", target, f"VENV={tmp_path}")
        assert code == 0, output
        assert re.search(r"pip install .*--no-deps .*--editable \.\n", output)
        assert output.count("pip install") == 1, "nothing else is installed"


async def test_without_the_installed_program_the_demo_runs_the_module() -> None:
    script = (
        "import sys\nfrom exporter.cli.main import main\nsys.executable = '/opt/python'\nsys.exit(main(sys.argv[1:]))"
    )
    async with serving("demo", FREE, program=("-c", script)) as demo:
        page = await _page(demo.process.stdout, "Press Ctrl-C")
    assert f"  cd {ROOT}\n" in page
    assert "  /opt/python -m exporter sources\n" in page


FAST = "--simulator.speed=1000"


async def test_each_act_of_the_story_is_told_when_it_begins() -> None:
    process = await _simulating(FAST)
    try:
        told = await _page(process.stderr, "retry --source=hive-sales-001 --failed`.\n")
    finally:
        process.terminate()
        await process.communicate()
    assert re.findall(r"^Minute .*$", told, re.MULTILINE) == [act.line(1000) for act in ACTS]


def test_the_acts_name_alerts_only_in_real_time() -> None:
    """At another speed, an alert fires in another minute of the story, or never."""
    assert not any("Mms" in act.line(speed) for act in ACTS for speed in (0.5, 10))
    assert ACTS[1].line(1).endswith(" MmsFailureBurst fires from about minute 5.")


@pytest.mark.parametrize("flags", [["--simulator.scenario=endless"], [FAST, "--simulator.sources=3"]])
async def test_nothing_is_told_of_a_migration_without_the_story(flags: list[str]) -> None:
    process = await _simulating(*flags)
    told = await _page(process.stderr, "\n")
    process.terminate()
    told += (await process.communicate())[1].decode()
    assert "Minute" not in told


async def _simulating(*flags: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "exporter", "simulate", FREE, *flags),
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )


def test_the_acts_that_are_told_are_those_of_the_script() -> None:
    script = _script(range(SOURCES), 0.0)
    begin = {0.0, *(minute for minute, event in script if not isinstance(event, CreateJob) or event.failure_rate)}
    assert {minute for minute, *_ in ACTS} == {*map(int, begin), STORY_SECONDS / 60}


def test_the_commands_of_the_acts_are_valid() -> None:
    commands = [command for act in ACTS for command in re.findall(r"`mms-exporter (.*?)`", act.view)]
    assert len(commands) > len(ACTS) / 2
    for command in commands:
        assert parse(command.split(), {}).command == command.split()[0]


@pytest.mark.parametrize("name", READMES)
def test_the_readme_tells_the_same_story(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    told = re.findall(r"^- (?:Minute|第) (\d+)\b(.*(?:\n  .*)*)", text, re.MULTILINE)
    assert [int(minute) for minute, _ in told] == [minute for minute, _ in STORY]
    names = [re.findall(r"[a-z]+-[a-z]+-\d{3}", line) for _, line in STORY]
    assert [re.findall(r"[a-z]+-[a-z]+-\d{3}", line) for _, line in told] == names


@pytest.mark.long
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
async def test_the_demo_stack_starts_prometheus_with_the_rules_and_stops_all_of_it(by: signal.Signals) -> None:
    """Ctrl-C goes to all processes of a terminal, SIGTERM to the script alone."""
    with ExitStack() as stack:
        ports = [stack.enter_context(reserved_port()) for _ in range(4)]
    prometheus, alertmanager, exporter, simulator = (f"127.0.0.1:{port}" for port in ports)
    environment = {
        **os.environ,
        "PROMETHEUS": program("PROMETHEUS"),
        "ALERTMANAGER": program("ALERTMANAGER"),
        "PROMETHEUS_ADDRESS": prometheus,
        "ALERTMANAGER_ADDRESS": alertmanager,
        "MMS_EXPORTER_WEB_LISTEN_ADDRESS": exporter,
        "MMS_EXPORTER_SIMULATOR_LISTEN_ADDRESS": simulator,
        "PYTHONUNBUFFERED": "1",
    }
    process = await asyncio.create_subprocess_exec(
        *(ROOT / "deploy" / "demo" / "stack", sys.executable),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        page = await _page(process.stdout, "Press Ctrl-C")
        assert {f"http://{prometheus}", f"http://{alertmanager}"} <= set(re.findall(r"http://\S+:\d+", page))
        assert "To start a Prometheus" not in page
        await _watched(f"http://{prometheus}", f"http://{alertmanager}")
    finally:
        (os.killpg if by == signal.SIGINT else os.kill)(process.pid, by)
        async with asyncio.timeout(30):
            await process.communicate()
    assert process.returncode == (0 if by == signal.SIGINT else 128 + by)
    for address in (prometheus, alertmanager, exporter, simulator):
        with pytest.raises(OSError, match="Connect"):
            await asyncio.open_connection(*address.split(":"))


async def _watched(prometheus: str, alertmanager: str) -> None:
    """Wait until Prometheus scrapes, with all alerts loaded and an Alertmanager to send them to."""

    async def ask(session: aiohttp.ClientSession, path: str) -> dict[str, list[dict[str, object]]]:
        async with session.get(f"{prometheus}/api/v1/{path}") as response:
            return dict((await response.json())["data"])

    async with aiohttp.ClientSession() as session, asyncio.timeout(LIMIT_SECONDS):
        while not (await ask(session, "query?query=mms_up"))["result"]:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.2)
        rules = (await ask(session, "rules?type=alert"))["groups"]
        assert {rule["name"] for group in rules for rule in group["rules"]} == set(ALERTS)  # type: ignore[attr-defined]  # JSON
        sent_to = (await ask(session, "alertmanagers"))["activeAlertmanagers"]
        assert [each["url"] for each in sent_to] == [f"{alertmanager}/api/v2/alerts"]


async def test_the_demo_stack_names_what_is_not_installed() -> None:
    """A program that the user names is not replaced by another one."""
    err = await _refused_stack({"PROMETHEUS": "/nonexistent/prometheus"})
    assert "(looked for /nonexistent/prometheus)" in err
    assert "make demo-stack PROMETHEUS=/path/to/it" in err


async def test_the_demo_stack_takes_no_other_server_for_its_own() -> None:
    async def ready(_: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.Response()

    app = aiohttp.web.Application()
    app.router.add_get("/-/ready", ready)
    async with TestServer(app) as other:
        address = f"127.0.0.1:{other.port}"
        given = {"PROMETHEUS": "/bin/true", "ALERTMANAGER": "/bin/true", "PROMETHEUS_ADDRESS": "127.0.0.1:9"}
        err = await _refused_stack({**given, "ALERTMANAGER_ADDRESS": address})
        assert f"another program answers on {address}" in err
        (command,) = re.findall(r"make demo-stack (.*)", err)
        advised = dict(word.split("=") for word in command.split())
        free = advised.pop("ALERTMANAGER_ADDRESS")
        assert advised == given, "the command keeps what was given"
        with pytest.raises(OSError, match="Connect"):
            await asyncio.open_connection(*free.split(":"))


@pytest.mark.long
async def test_the_demo_stack_prints_no_address_if_the_demo_does_not_start() -> None:
    with ExitStack() as stack:
        ports = [stack.enter_context(reserved_port()) for _ in range(2)]
    async with TestServer(aiohttp.web.Application()) as other:
        err = await _refused_stack(
            {
                "PROMETHEUS": program("PROMETHEUS"),
                "ALERTMANAGER": program("ALERTMANAGER"),
                "PROMETHEUS_ADDRESS": f"127.0.0.1:{ports[0]}",
                "ALERTMANAGER_ADDRESS": f"127.0.0.1:{ports[1]}",
                "MMS_EXPORTER_WEB_LISTEN_ADDRESS": "127.0.0.1:0",
                "MMS_EXPORTER_SIMULATOR_LISTEN_ADDRESS": f"127.0.0.1:{other.port}",
            }
        )
    names = "WEB_LISTEN_ADDRESS", "SIMULATOR_LISTEN_ADDRESS", "PROMETHEUS_ADDRESS", "ALERTMANAGER_ADDRESS"
    assert all(f"{name}=127.0.0.1:" in err for name in names), "the command changes each port"


async def _refused_stack(environment: Mapping[str, str]) -> str:
    """Return what the stack prints when it does not start."""
    process = await asyncio.create_subprocess_exec(
        *(ROOT / "deploy" / "demo" / "stack", sys.executable),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert (process.returncode, out) == (1, b"")
    return err.decode()
