"""Flags, arguments, environment variables and defaults of the command line."""

import pytest

from exporter import __version__
from exporter.cli.arguments import parse
from exporter.cli.commands import COMMANDS, FLAGS
from exporter.cli.flags import Flag
from exporter.config.network import ListenAddress, listen_address
from exporter.errors import ConfigError
from exporter.mms.models.statuses import ApiEnum, DataSourceStatus, JobStatus


def problems_of(arguments: list[str], environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(arguments, environment or {})
    return [str(problem) for problem in caught.value.problems]


def test_without_arguments_serve_runs_with_its_defaults() -> None:
    invocation = parse([], {})
    assert invocation.command == "serve"
    assert invocation.values["web.listen-address"] == [ListenAddress(None, 10180)]
    assert invocation.values["web.telemetry-path"] == "/metrics"
    assert (invocation.values["log.level"], invocation.values["log.format"]) == ("info", "logfmt")
    assert invocation.values["web.enable-lifecycle"] is False


def test_every_flag_of_the_contract_exists() -> None:
    names = {flag.name for flag in COMMANDS["serve"].flags}
    assert names == {
        "config.file",
        "config.check",
        "config.auto-reload",
        "config.auto-reload-interval",
        "mms.region",
        "shard.index",
        "shard.total",
        "web.listen-address",
        "web.telemetry-path",
        "web.config.file",
        "web.systemd-socket",
        "web.external-url",
        "web.route-prefix",
        "web.runbook-url",
        "web.dashboard-url",
        "web.enable-lifecycle",
        "log.level",
        "log.format",
    }


USABLE = {
    "config.file": "a.yaml",
    "config.check": "true",
    "config.auto-reload": "true",
    "config.auto-reload-interval": "5s",
    "settle": "5m",
    "mms.region": "cn-beijing",
    "output": "a.prom",
    "shard.index": "1",
    "shard.total": "2",
    "web.listen-address": ":1",
    "web.telemetry-path": "/m",
    "web.config.file": "web.yaml",
    "web.systemd-socket": "1",
    "web.external-url": "https://example.com/mms",
    "web.route-prefix": "/mms",
    "web.runbook-url": "https://wiki.example.com/mms",
    "web.dashboard-url": "https://grafana.example.com",
    "web.enable-lifecycle": "1",
    "simulator.listen-address": ":2",
    "simulator.scenario": "endless",
    "simulator.seed": "7",
    "simulator.speed": "2.5",
    "simulator.sources": "3",
    "simulator.latency": "20ms",
    "simulator.stopped": "hidden",
    "log.level": "error",
    "log.format": "json",
}


def commands_with(flag: Flag) -> list[str]:
    """Return the commands that have a flag."""
    return [name for name, command in COMMANDS.items() if flag in command.flags]


@pytest.mark.parametrize("flag", [flag for flag in FLAGS if flag.has_variable], ids=lambda flag: flag.name)
def test_a_flag_and_its_variable_have_the_same_value(flag: Flag) -> None:
    command, text = commands_with(flag)[0], USABLE[flag.name]
    arguments = [f"--{flag.name}"] if flag.is_switch else [f"--{flag.name}", text]
    variable = "MMS_EXPORTER_" + flag.name.upper().replace(".", "_").replace("-", "_")
    by_flag = parse([command, *arguments], {}).values[flag.name]
    assert by_flag == parse([command], {variable: text}).values[flag.name]
    assert by_flag != parse([command], {}).values[flag.name]


def test_a_flag_overrides_its_variable() -> None:
    assert parse(["--log.level", "debug"], {"MMS_EXPORTER_LOG_LEVEL": "error"}).values["log.level"] == "debug"


def test_variables_replace_flags() -> None:
    invocation = parse(
        [],
        {
            "MMS_EXPORTER_WEB_LISTEN_ADDRESS": "127.0.0.1:1, [::1]:2",
            "MMS_EXPORTER_WEB_ENABLE_LIFECYCLE": "true",
            "MMS_EXPORTER_MMS_REGION": "cn-beijing",
        },
    )
    assert invocation.values["web.listen-address"] == [ListenAddress("127.0.0.1", 1), ListenAddress("::1", 2)]
    assert invocation.values["web.enable-lifecycle"] is True
    assert invocation.values["mms.region"] == "cn-beijing"


def test_an_empty_file_name_sets_nothing_as_an_empty_variable_does() -> None:
    """A runbook can name both files, whether or not there is a web configuration."""
    values = parse(["--config.file=", "--web.config.file="], {}).values
    assert values == parse([], {}).values


def test_a_flag_works_before_and_after_the_command() -> None:
    expected = parse(["once"], {})
    expected.values.update({"log.level": "debug", "mms.region": "x"})
    assert parse(["--log.level", "debug", "once", "--mms.region=x"], {}) == expected
    assert parse(["once", "--log.level=debug", "--mms.region", "x"], {}) == expected


def test_a_default_can_depend_on_the_command() -> None:
    assert parse(["once", "--output=table.prom"], {}).values["output"] == "table.prom"
    assert problems_of(["jobs", "--output=a.prom"]) == ["--output: expected one of table, json, csv, not 'a.prom'"]
    assert parse(["failed", "--table", "a", "--table=b,c"], {}).values["table"] == ["a", "b,c"]
    assert parse(["failed"], {}).values["table"] == []
    assert parse(["retry", "--partition=7", "--partition", "8"], {}).values["partition"] == [7, 8]


def test_flags_for_one_run_have_no_variable() -> None:
    strange = {f"MMS_EXPORTER_{name}": "1" for name in ("YES", "FAILED", "SOURCE", "TABLE", "ACCOUNT", "RESUME")}
    assert parse(["retry"], strange) == parse(["retry"], {})


def test_the_arguments_of_show_are_validated() -> None:
    shown = parse(["show", "partition", "200018", "--source=prod"], {}).values
    assert (shown["kind"], shown["object"], shown["source"]) == ("partition", 200018, ["prod"])
    assert problems_of(["show", "source", "9" * 20]) == [
        "kind: expected one of table, partition, job, task, not 'source'",
        "object: expected a whole number of at most 9223372036854775807, not '99999999999999999999'",
    ]


def test_an_error_in_the_only_argument_has_the_name_of_the_command() -> None:
    assert problems_of(["config", "bogus"]) == ["config: expected one of show, schema, not 'bogus'"]


def test_several_listen_addresses_are_collected() -> None:
    invocation = parse(["--web.listen-address=:1", "--web.listen-address=localhost:2"], {})
    assert invocation.values["web.listen-address"] == [ListenAddress(None, 1), ListenAddress("localhost", 2)]


def positionals_of(command: str) -> list[str]:
    """Return the positional arguments of a command."""
    texts = {"kind": "table", "object": "7", "what": "show", "shell": "bash"}
    return [texts[word.name] for word in COMMANDS[command].arguments]


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_a_flag_value_that_is_not_utf_8_is_rejected_with_its_name(flag: Flag) -> None:
    # The value can be neither sent nor printed.
    command = commands_with(flag)[0]
    if not flag.is_switch:
        problems = problems_of([command, *positionals_of(command), f"--{flag.name}", "a\udcff"])
        assert problems == [f"--{flag.name}: expected a text in UTF-8, not 'a\\udcff'"]


def test_an_argument_or_variable_that_is_not_utf_8_is_rejected_with_its_name() -> None:
    assert problems_of(["show", "\udcff", "7"]) == ["kind: expected a text in UTF-8, not '\\udcff'"]
    problems = problems_of([], {"MMS_EXPORTER_MMS_REGION": "cn-\udcff"})
    assert problems == ["MMS_EXPORTER_MMS_REGION: expected a text in UTF-8, not 'cn-\\udcff'"]


@pytest.mark.parametrize("number", [str(2**63), "9" * 26, "9" * 5000], ids=len)
def test_an_id_above_64_bits_is_rejected(number: str) -> None:
    shown = f"{number[:60]}…" if len(number) > 60 else number
    expected = f"expected a whole number of at most 9223372036854775807, not {shown!r}"
    assert problems_of(["show", "table", number]) == [f"object: {expected}"]
    for flag in ("partition", "job", "table"):
        assert problems_of(["retry", f"--{flag}={number}"]) == [f"--{flag}: {expected}"]


@pytest.mark.parametrize("text", ["ds=20240101", "-1", ""])
def test_an_id_that_is_no_number_is_rejected_with_the_command_that_prints_it(text: str) -> None:
    wanted = {"partition": "`failed` prints beside the value of the partition", "job": "`jobs` prints"}
    for flag, where in wanted.items():
        assert problems_of(["retry", f"--{flag}={text}"]) == [f"--{flag}: expected the ID, which {where}, not {text!r}"]


def test_the_maximum_id_is_accepted() -> None:
    assert parse(["show", "table", f"00{2**63 - 1}"], {}).values["object"] == 2**63 - 1
    assert parse(["retry", "--table=7.8", "--table=22"], {}).values["table"] == ["7.8", "22"]


@pytest.mark.parametrize("flag", [flag for flag in FLAGS if not flag.is_repeatable], ids=lambda flag: flag.name)
def test_a_flag_that_is_not_repeatable_is_rejected_twice(flag: Flag) -> None:
    # Neither value may silently win.
    text = {**USABLE, "output": "json" if flag.metavar == "FORMAT" else "a", "settle": "1m"}.get(flag.name, "7")
    word = f"--{flag.name}" if flag.is_switch else f"--{flag.name}={text}"
    for command in commands_with(flag):
        arguments = positionals_of(command)
        expected = [f"--{flag.name}: was given 2 times; give it once"]
        assert problems_of([command, *arguments, word, word]) == expected
        assert problems_of([word, command, *arguments, word]) == expected


def test_repeatable_flags_add_up_before_and_after_the_command() -> None:
    invocation = parse(["--web.listen-address=:1", "serve", "--web.listen-address=:2"], {})
    assert invocation.values["web.listen-address"] == [ListenAddress(None, 1), ListenAddress(None, 2)]


def test_the_demo_listens_on_loopback() -> None:
    assert parse(["demo"], {}).values["web.listen-address"] == [ListenAddress("127.0.0.1", 10180)]


def test_all_invalid_values_are_reported_at_once() -> None:
    assert problems_of(
        ["--log.level=loud", "--web.listen-address=here", "--web.telemetry-path=metrics"],
        {"MMS_EXPORTER_WEB_ENABLE_LIFECYCLE": "maybe"},
    ) == [
        "--web.listen-address: expected host:port or :port, ports 0 to 65535, not 'here'",
        "--web.telemetry-path: expected a path such as /metrics, not 'metrics'",
        "MMS_EXPORTER_WEB_ENABLE_LIFECYCLE: expected true or false, not 'maybe'",
        "--log.level: expected one of debug, info, warning, error, not 'loud'",
    ]


@pytest.mark.parametrize("path", ["metrics", "/-/ready", "/api/v1/status", "/a b", "/{x}", "/a?b", "/a#b", ""])
def test_an_invalid_telemetry_path_is_rejected(path: str) -> None:
    assert len(problems_of(["--web.telemetry-path", path])) == 1


def test_a_flag_of_another_command_is_rejected() -> None:
    assert problems_of(["--output=x"]) == ["--output: is not a flag of serve"]


@pytest.mark.parametrize("text", ["", "10180", ":x", ":65536", "::1:10180", "[::1:1", "[nope]:1", ":-1", ":٣"])
def test_an_invalid_listen_address_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        listen_address(text)


def test_version_and_help_exit_0(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, word in ((["--version"], __version__), (["--help"], "demo"), (["once", "--help"], "--output")):
        with pytest.raises(SystemExit) as ended:
            parse(arguments, {})
        assert ended.value.code == 0
        assert word in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--nope"], ["nope"], ["--log.lev=debug"]])
def test_unknown_arguments_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments, {})
    assert ended.value.code == 2
    assert "See `mms-exporter --help`" in capsys.readouterr().err


def test_the_help_of_each_command_has_exactly_its_flags(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            parse([command, "--help"], {})
        shown = capsys.readouterr().out
        for flag in FLAGS:
            is_its_own = flag.name in {each.name for each in COMMANDS[command].flags}
            assert (f"--{flag.name}" in shown) == is_its_own


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shard.total=0"], "--shard.total: expected a whole number of 1 or more, not '0'"),
        (["failed", "--limit=-1"], "--limit: expected a whole number of 0 or more, not '-1'"),
        (
            ["demo", "--simulator.listen-address=:99999"],
            "--simulator.listen-address: expected host:port or :port, ports 0 to 65535, not ':99999'",
        ),
        (["demo", "--simulator.speed=0"], "--simulator.speed: expected a number above 0 and at most 1e+06, not '0'"),
        (["retry", "--settle=0s"], "--settle: expected at least 1s, not '0s'"),
    ],
)
def test_a_value_out_of_range_is_reported_with_flag_value_and_range(arguments: list[str], message: str) -> None:
    assert problems_of(arguments) == [message]


@pytest.mark.parametrize("name", ["table", "json", "csv", "md", "html"])
def test_an_output_format_is_not_a_file_of_once(name: str) -> None:
    """In other commands, the flag is the format."""
    (problem,) = problems_of(["once", f"--output={name}"])
    assert problem.startswith(f"--output: expected a file (./{name} for a file of that name); once writes only ")
    assert parse(["once", f"--output=./{name}"], {}).values["output"] == f"./{name}"


def test_warn_means_warning() -> None:
    assert parse(["--log.level=warn"], {}).values["log.level"] == "warning"


@pytest.mark.parametrize(
    ("arguments", "error", "help_of"),
    [
        (["sorces"], "unknown command 'sorces'; did you mean sources?", ""),
        (["sources", "--sources=x"], "unknown flag --sources; did you mean --source?", " sources"),
        (["once", "--shard.totl", "3"], "unknown flag --shard.totl; did you mean --shard.total?", " once"),
        (["--web.confg.file=a"], "unknown flag --web.confg.file; did you mean --web.config.file?", ""),
        (["so'urces"], 'unknown command "so\'urces"; did you mean sources?', ""),
        (["zzzz"], f"unknown command 'zzzz'; commands: {', '.join(COMMANDS)}", ""),
        (["jobs", "--zzzz"], "unknown flag --zzzz", " jobs"),
        (["jobs", "surplus"], "unexpected argument 'surplus'", " jobs"),
        (["show"], "the following arguments are required: KIND, OBJECT", " show"),
        (["jobs", "--limit"], "argument --limit: expected one argument", " jobs"),
    ],
)
def test_a_misspelled_word_has_an_error_and_the_command_of_its_help(
    arguments: list[str], error: str, help_of: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The usage of a command fills a screen and would hide the error."""
    with pytest.raises(SystemExit) as ended:
        parse(arguments, {})
    assert ended.value.code == 2
    expected = f"mms-exporter: {error}\nSee `mms-exporter{help_of} --help`.\n"
    assert capsys.readouterr() == ("", expected)


@pytest.mark.parametrize(("command", "statuses"), [("sources", DataSourceStatus), ("jobs", JobStatus)])
def test_the_help_of_status_names_its_values(
    command: str, statuses: type[ApiEnum], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse([command, "--help"], {})
    assert ", ".join(statuses) in " ".join(capsys.readouterr().out.split())
    assert parse([command, f"--status={next(iter(statuses)).lower()}"], {}).values["status"] == [next(iter(statuses))]
