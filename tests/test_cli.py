"""The program as a process: commands, exit codes, signals, files and error messages."""

import asyncio
import os
import shlex
import signal
import socket
import stat
import sys
from pathlib import Path

import pytest
from aiohttp import ClientSession

from exporter import __version__
from exporter.simulator import Fault, Simulator, apply_event
from exporter.simulator.world import events
from tests.exposition_parser import read
from tests.harness import eventually
from tests.processes import ENDLESS, run, serving, write_config
from tests.programs import ROOT

OTHER_ADDRESS = "set another address with --web.listen-address or MMS_EXPORTER_WEB_LISTEN_ADDRESS"


async def test_version_imports_no_heavy_module() -> None:
    ended = await run("--version")
    assert (ended.code, ended.out) == (0, f"mms-exporter {__version__}\n")
    heavy = "import sys; from exporter.cli.main import main\ntry: main(['--version'])\nexcept SystemExit: pass\n"
    heavy += "print(sorted({'aiohttp', 'prometheus_client', 'yaml', 'alibabacloud_credentials'} & set(sys.modules)))"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", heavy, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parent.parent
    )
    assert (await process.communicate())[0].decode().splitlines()[-1] == "[]"


async def test_without_an_account_the_error_has_the_next_step() -> None:
    ended = await run()
    assert ended.code == 2
    assert ended.err == "mms-exporter: set --config.file or --mms.region, or try: mms-exporter demo\n"


async def test_two_configurations_are_named_by_flag_and_variable() -> None:
    variable = {"MMS_EXPORTER_CONFIG_FILE": "a.yaml"}
    for flags, other in ([], "MMS_EXPORTER_CONFIG_FILE"), (["--config.file=b.yaml"], "--config.file"):
        ended = await run("sources", "--mms.region=cn-shanghai", *flags, environment=variable)
        expected = f"--mms.region: cannot be combined with {other}; set only one of them"
        assert (ended.code, ended.err) == (2, f"mms-exporter: {expected}\n")


async def test_all_problems_of_a_configuration_are_reported_with_exit_code_2(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("accounts:\n  - {name: a, colour: blue}\nrefresh: {interval: 5}\n", encoding="utf-8")
    for arguments in (
        [f"--config.file={file}"],
        [f"--config.file={file}", "--config.check"],
        ["once", "--config.file", str(file)],
    ):
        ended = await run(*arguments)
        assert ended.code == 2
        assert [line.split(": ")[1:3] for line in ended.err.splitlines()] == [
            [f"{file}:2", "accounts[0].colour"],
            [f"{file}:2", "accounts[0].region"],
            [f"{file}:3", "refresh.interval"],
        ]


async def test_a_missing_configuration_exits_2(tmp_path: Path) -> None:
    ended = await run(f"--config.file={tmp_path}/none.yaml")
    assert (ended.code, ended.err) == (
        2,
        f"mms-exporter: {tmp_path}/none.yaml: cannot be read: No such file or directory\n",
    )


async def test_a_shard_index_above_the_last_is_rejected(tmp_path: Path) -> None:
    file = write_config(tmp_path, "http://127.0.0.1:1")
    for command in ([], ["once"]):
        ended = await run(*command, f"--config.file={file}", "--shard.index=3", "--shard.total=3")
        assert (ended.code, ended.err) == (2, "mms-exporter: --shard.index: expected less than --shard.total, 3\n")


async def test_config_check_accepts_a_valid_configuration(tmp_path: Path) -> None:
    ended = await run(f"--config.file={write_config(tmp_path, 'https://example.com')}", "--config.check")
    assert (ended.code, ended.out, ended.err) == (0, "the configuration is valid: 1 account\n", "")


async def test_problems_of_both_configurations_are_reported_with_exit_code_2(tmp_path: Path) -> None:
    for name in ("config", "web"):
        (tmp_path / f"{name}.yaml").write_text(f"{name}: nonsense\n", encoding="utf-8")
    files = [f"--config.file={tmp_path}/config.yaml", f"--web.config.file={tmp_path}/web.yaml"]
    for arguments in (files, [*files, "--config.check"]):
        ended = await run(*arguments)
        assert ended.code == 2
        places = [line.removeprefix("mms-exporter: ").partition(": ")[0] for line in ended.err.splitlines()]
        assert places == [f"{tmp_path}/web.yaml", f"{tmp_path}/config.yaml:1", f"{tmp_path}/config.yaml"]


async def test_a_used_port_is_reported_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = await run("--mms.region=cn-shanghai", f"--web.listen-address=127.0.0.1:{port}")
    assert ended.code == 1
    assert ended.err == f"mms-exporter: cannot listen on 127.0.0.1:{port}: Address already in use; {OTHER_ADDRESS}\n"


@pytest.mark.parametrize("flag", ["web", "simulator"])
async def test_a_used_port_of_the_demo_is_reported_with_a_command_to_copy(flag: str) -> None:
    others = {"web", "simulator"} - {flag}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        free = (f"--{other}.listen-address=127.0.0.1:0" for other in others)
        ended = await run("demo", f"--{flag}.listen-address=127.0.0.1:{port}", *free)
    assert ended.code == 1
    assert f"--{flag}.listen-address or MMS_EXPORTER_{flag.upper()}_LISTEN_ADDRESS" in ended.err
    (copied,) = (line for line in ended.err.splitlines() if line.startswith("  "))
    words = shlex.split(copied)
    assert words[1:3] == ["-m", "exporter"]
    async with serving(*words[3:], program=words[1:3]) as demo:
        assert (await demo.get("/-/healthy"))[0] == 200


async def test_the_log_starts_with_version_accounts_and_addresses_and_the_result_of_the_first_refresh(
    simulator: Simulator, tmp_path: Path
) -> None:
    async with serving(f"--config.file={write_config(tmp_path, simulator.url)}") as exporter:
        await exporter.until_ready()
        url = exporter.urls[0]
        lines = (await exporter.end()).err.splitlines()
    ids = simulator.world.source_ids()
    jobs = sum(1 for source_id in ids for _ in simulator.world.truth().jobs(source_id))
    assert f"msg=listening urls={url} accounts=test version={__version__} revision=unknown" in lines[0]
    (first,) = (line for line in lines if 'msg="first refresh finished"' in line)
    assert f"account=test data_sources={len(ids)} jobs={jobs} " in first
    assert first.endswith(" failed_collectors=none")


async def test_counts_that_were_not_read_are_unknown_in_the_log(simulator: Simulator, tmp_path: Path) -> None:
    simulator.faults.add(Fault(kind="error", status=403, code="SignatureDoesNotMatch"))
    async with serving(f"--config.file={write_config(tmp_path, simulator.url)}") as exporter:
        await exporter.until_ready()
        log = (await exporter.end()).err
    assert "data_sources=unknown jobs=unknown" in log
    assert "failed_collectors=datasources" in log


async def test_a_foreign_address_is_reported_in_one_line() -> None:
    ended = await run("--mms.region=cn-shanghai", "--web.listen-address=192.0.2.1:0")
    assert (ended.code, ended.err) == (
        1,
        f"mms-exporter: cannot listen on 192.0.2.1:0: Cannot assign requested address; {OTHER_ADDRESS}\n",
    )


async def test_the_exporter_listens_on_every_address(simulator: Simulator, tmp_path: Path) -> None:
    file = write_config(tmp_path, simulator.url)
    async with serving(f"--config.file={file}", "--web.listen-address=127.0.0.2:0") as exporter:
        assert [url.rpartition(":")[0] for url in exporter.urls] == ["http://127.0.0.1", "http://127.0.0.2"]
        async with ClientSession() as session:
            for url in exporter.urls:
                async with session.get(f"{url}/metrics") as response:
                    assert response.status == 200


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_the_exporter_within_two_seconds_without_a_traceback(
    simulator: Simulator, tmp_path: Path, by: signal.Signals
) -> None:
    async with serving(f"--config.file={write_config(tmp_path, simulator.url)}") as exporter:
        await exporter.until_ready()
        ended = await exporter.end(by)
    assert ended.code == 0
    assert "Traceback" not in ended.err
    assert "level=error" not in ended.err


async def test_a_running_scrape_completes_during_the_shutdown(simulator: Simulator, tmp_path: Path) -> None:
    async with serving(f"--config.file={write_config(tmp_path, simulator.url)}") as exporter:
        await exporter.until_ready()
        host, _, port = exporter.urls[0].removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        ending = asyncio.create_task(exporter.end())
        body = await reader.read()
        assert b"200 OK" in head
        assert f"Content-Length: {len(body)}".encode() in head
        assert (await ending).code == 0
        writer.close()


async def test_once_prints_the_exposition(simulator: Simulator, tmp_path: Path) -> None:
    ended = await run("once", f"--config.file={write_config(tmp_path, simulator.url)}")
    assert (ended.code, ended.err) == (0, "")
    served = read(ended.out.encode())
    assert served.value("mms_up", account="test") == 1
    assert len(served.by("mms_datasource_info", "source_id")) == 6
    assert not [name for name in served.samples if name.startswith(("process_", "python_"))], "node_exporter has them"


async def test_once_writes_the_file_atomically(simulator: Simulator, tmp_path: Path) -> None:
    config = f"--config.file={write_config(tmp_path, simulator.url)}"
    file = tmp_path / "mms.prom"
    ended = await run("once", config, f"--output={file}")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert read(file.read_bytes()).value("mms_up") == 1
    assert stat.filemode((await asyncio.to_thread(file.stat)).st_mode) == "-rw-r--r--"
    ended = await run("once", config, f"--output={tmp_path}/nowhere/mms.prom")
    assert ended.code == 1
    assert ended.err == f"mms-exporter: cannot write {tmp_path}/nowhere/mms.prom: No such file or directory\n"
    assert set(os.listdir(tmp_path)) == {"config.yaml", "mms.prom"}, "nothing half-written is left"  # noqa: PTH208 - quick


async def test_once_exits_1_if_anything_failed(simulator: Simulator, tmp_path: Path) -> None:
    simulator.faults.add(
        Fault(kind="error", status=403, code="NoPermission", operation="ListMmsJobs", source_id=2000001)
    )
    ended = await run("once", f"--config.file={write_config(tmp_path, simulator.url)}")
    assert ended.code == 1
    served = read(ended.out.encode())
    assert served.value("mms_up") == 1
    assert served.value("mms_datasource_refresh_success", source_id="2000001") == 0


async def test_the_demo_exports_a_migration_in_progress() -> None:
    async with serving(
        "demo", *ENDLESS, "--simulator.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0"
    ) as demo:
        await demo.until_ready()
        first = await demo.metrics()
        assert first.value("mms_up", account="demo") == 1
        await demo.until(lambda served: served.samples["mms_partitions"] != first.samples["mms_partitions"])
        ended = await demo.end(signal.SIGINT)
    assert ended.code == 0
    assert "Metrics" in ended.out
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(kind="error", status=404, code="InvalidAccessKeyId.NotFound"), "auth"),
        (Fault(kind="error", status=403, code="NoPermission"), "permission"),
    ],
)
async def test_the_exporter_keeps_running_if_mms_rejects_its_requests(
    simulator: Simulator, tmp_path: Path, fault: Fault, reason: str
) -> None:
    simulator.faults.add(fault)
    async with serving(f"--config.file={write_config(tmp_path, simulator.url, 'refresh: {interval: 1s}')}") as exporter:
        await exporter.until_ready()
        simulator.calls_reset()
        await eventually(lambda: simulator.calls["ListMmsDataSources", None] >= 2)
        served = await exporter.metrics()
        assert served.value("mms_up", account="test") == 0
        failures = served.by("mms_api_request_failures_total", "reason", operation="ListMmsDataSources")
        assert failures[reason] >= 2
        assert sum(failures.values()) == failures[reason]
        ended = await exporter.end()
    assert ended.err.count("refresh failed") == 1, "one line when it begins, not one a refresh"


async def test_an_unknown_region_and_missing_credentials_are_exported_as_failures() -> None:
    environment = {"ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"}
    ended = await run("once", "--mms.region=cn-nowhere", environment=environment)
    assert ended.code == 1
    served = read(ended.out.encode())
    assert served.value("mms_up", account="default") == 0
    assert served.value("mms_api_request_failures_total", operation="ListMmsDataSources", reason="credentials") == 1
    environment |= {"ALIBABA_CLOUD_ACCESS_KEY_ID": "LTAI-EXAMPLE", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "not-a-secret"}
    ended = await run("once", "--mms.region=cn-nowhere", environment=environment)
    assert ended.code == 1
    served = read(ended.out.encode())
    assert served.value("mms_up", account="default") == 0
    assert (
        served.value("mms_api_request_failures_total", operation="ListMmsDataSources", reason="connection") or 0
    ) >= 1


async def test_a_scraper_that_does_not_read_does_not_delay_the_shutdown(simulator: Simulator, tmp_path: Path) -> None:
    for _ in range(40):
        apply_event(simulator.world, events.AddSource(moving=True))
    async with serving(f"--config.file={write_config(tmp_path, simulator.url)}") as exporter:
        await exporter.until_ready()
        host, _, port = exporter.urls[0].removeprefix("http://").rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port), limit=1)
        writer.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n" * 20)
        await writer.drain()
        assert (await exporter.end()).code == 0
        writer.close()


async def test_a_closed_pipe_is_not_an_error(simulator: Simulator, tmp_path: Path) -> None:
    for _ in range(40):
        apply_event(simulator.world, events.AddSource(moving=True))
    config = write_config(tmp_path, simulator.url)
    process = await asyncio.create_subprocess_shell(
        f"{sys.executable} -m exporter once --config.file={config} | head -n 1",
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert out.startswith(b"# HELP")
    assert err == b""


async def test_an_invalid_host_name_is_reported_in_one_line() -> None:
    ended = await run("--mms.region=cn-shanghai", "--web.listen-address=a..b:0")
    assert (ended.code, ended.err) == (
        1,
        f"mms-exporter: cannot listen on a..b:0: unknown host name; {OTHER_ADDRESS}\n",
    )
