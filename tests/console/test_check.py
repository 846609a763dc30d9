"""`check` names each problem with its next step and calls each operation once."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exporter.clock import Clock
from exporter.config.loading import Config, config_from
from exporter.console.check import MAX_SECONDS, check
from exporter.console.probes import FACTS, MAX_SOURCES
from exporter.console.selection.queries import Options
from exporter.console.watch_check import MAX_IDS
from exporter.simulator import Fault, ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.world import events
from tests.conftest import IDENTITY, account_on, config_on
from tests.console.conftest import FIRST, Shown, shown
from tests.harness import no_sleep
from tests.processes import run, write_config
from tests.programs import ROOT

READ = {"odps:ListMmsDataSources", "odps:ListMmsJobs"}
KEY = "accounts[0].credentials"


async def findings(config: Config, ahead_seconds: float = 0.0, **options: Any) -> dict[str, dict[str, Any]]:
    """Return the findings of one account by check, without waiting."""
    wall = Clock().wall
    clock = Clock(wall=lambda: wall() + ahead_seconds, sleep=no_sleep)
    rows = Shown(await check(config, Options(**options), clock)).rows
    return {row["check"]: row for row in rows}


def results(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: row["result"] for name, row in found.items() if name not in FACTS}


@pytest.fixture
def watched(simulator: Simulator) -> Config:
    """Provide a configuration that uses every operation, and a timer with a log."""
    timer = events.CreateTimer(source_id=FIRST, database="sales", name="a", schedule_type="Hourly", value="00")
    apply_event(simulator.world, timer)
    table = {"source_id": FIRST, "table_ids": [1]}
    partition = {"source_id": FIRST, "partition_ids": [next(simulator.world.truth().partitions(FIRST)).id]}
    watch = {"tables": [table], "partitions": [partition]}
    return config_on(simulator.url, tasks={"enabled": True}, watch=watch)


OPERATIONS = (
    *("ListMmsDataSources", "ListMmsJobs", "ListMmsDbs", "ListMmsTables", "ListMmsPartitions"),
    *("GetMmsFetchMetadataJob", "GetMmsTable", "GetMmsPartition", "ListMmsTasks", "ListMmsTaskLogs"),
    *("ListMmsTimers", "ListMmsTimerLogs"),
)


SCAN = ("GetMmsFetchMetadataJob", "ListMmsPartitions")


async def test_each_needed_operation_is_called_once(simulator: Simulator, watched: Config) -> None:
    found = await findings(watched)
    assert results(found) == {
        **dict.fromkeys(("endpoint", "clock", "credentials", *OPERATIONS), "ok"),
        **dict.fromkeys(("watch.tables[0]", "watch.partitions[0]"), "ok"),
        **dict.fromkeys(("CreateMmsJob", "GetMmsAsyncTask"), "untested"),
    }
    calls = Counter(dict.fromkeys(OPERATIONS, 0))
    for (operation, _), count in simulator.calls.items():
        calls[operation] += count
    for_facts = Counter({"ListMmsJobs": MAX_SOURCES + 2, "ListMmsTasks": 4, "ListMmsPartitions": 1})
    for_ids = Counter({"GetMmsTable": 1, "GetMmsPartition": 1, "ListMmsTimers": 1})
    once = Counter(dict.fromkeys(OPERATIONS, 1))
    assert once <= calls <= once + for_facts + for_ids


async def test_disabled_operations_are_not_called(simulator: Simulator) -> None:
    off = {"enabled": False}
    found = await findings(config_on(simulator.url, jobs=off, databases=off, scan=off, failures=off, timers=off))
    assert set(found) & set(OPERATIONS) == {"ListMmsDataSources"}
    assert {operation for (operation, _) in simulator.calls} & set(SCAN) <= {"ListMmsPartitions"}, "for the facts"


@pytest.mark.parametrize("operation", OPERATIONS[1:])
async def test_a_missing_permission_is_named_and_hides_no_other(
    simulator: Simulator, watched: Config, operation: str
) -> None:
    actions = frozenset(f"odps:{each}" for each in OPERATIONS if each != operation)
    simulator.identities.add(replace(IDENTITY, actions=actions))
    found = await findings(watched)
    assert [name for name, result in results(found).items() if result not in {"ok", "untested"}] == [operation]
    assert (found[operation]["result"], found[operation]["action"]) == ("denied", f"odps:{operation}")
    policy = found[operation]["advice"].removeprefix(f"grant odps:{operation}, see ")
    statements = json.loads((ROOT / policy).read_text(encoding="utf-8"))["Statement"]
    assert f"odps:{operation}" in {action for statement in statements for action in statement["Action"]}


async def test_without_the_list_of_sources_the_rest_is_untested(simulator: Simulator, watched: Config) -> None:
    simulator.identities.add(replace(IDENTITY, actions=frozenset()))
    found = await findings(watched)
    assert found["ListMmsDataSources"]["result"] == "denied"
    assert found["credentials"]["result"] == "ok"
    assert {found[name]["result"] for name in OPERATIONS[1:]} == {"untested"}


@pytest.mark.parametrize(
    ("credentials", "advice"),
    [
        ({"access_key_id": "LTAI-OTHER"}, f"change {KEY}.access_key_id: it is unknown or disabled"),
        ({"access_key_secret": "canary"}, f"change {KEY}.access_key_secret: it does not match access_key_id"),
        (
            {"type": "sts", "security_token": "canary"},
            f"change {KEY}.security_token: it is invalid or expired",
        ),
    ],
)
async def test_the_wrong_part_of_the_key_is_named(
    simulator: Simulator, credentials: dict[str, str], advice: str
) -> None:
    raw = account_on(simulator.url)
    raw["credentials"] = {**raw["credentials"], **credentials}  # type: ignore[dict-item]  # a raw mapping
    found = await findings(config_from({"accounts": [raw]}))
    assert (found["credentials"]["result"], found["credentials"]["advice"]) == ("failed", advice)
    assert found["endpoint"]["result"] == "ok"
    assert {found[name]["result"] for name in ("ListMmsDataSources", "ListMmsJobs")} == {"untested"}
    assert "canary" not in json.dumps(found)


async def test_advice_is_never_shortened() -> None:
    """In a table as in JSON."""
    credentials = {
        "type": "oidc_role_arn",
        "role_arn": "r",
        "oidc_provider_arn": f"acs:ram::{'1' * 200}",
        "policy": "p",
    }
    credentials["oidc_token_file_path"] = f"/nowhere/{'deep/' * 40}token"
    raw = {**account_on("http://127.0.0.1:1"), "credentials": credentials}
    report = Shown(await check(config_from({"accounts": [raw]}), Options(), Clock()))
    row = next(each for each in report.rows if each["check"] == "credentials")
    assert credentials["oidc_token_file_path"] in row["detail"]
    assert min(len(row["detail"]), len(row["advice"])) > 120
    assert {row["detail"] in report.table(), row["advice"] in report.table()} == {True}


@pytest.mark.parametrize(("ahead", "detail"), [(3600, "3600 s ahead of MMS"), (-3600, "3600 s behind MMS")])
async def test_a_wrong_clock_is_reported_with_its_offset(simulator: Simulator, ahead: float, detail: str) -> None:
    found = await findings(config_on(simulator.url), ahead)
    assert found["clock"]["result"] == "failed"
    assert abs(int(found["clock"]["detail"].split()[0]) - 3600) <= 2
    assert found["clock"]["detail"].split()[2:] == detail.split()[2:]
    assert found["credentials"]["result"] == "untested"


async def test_a_small_clock_offset_is_ok(simulator: Simulator) -> None:
    found = await findings(config_on(simulator.url), 120)
    assert found["clock"]["result"] == "ok"
    assert found["ListMmsJobs"]["result"] == "ok"


async def test_an_unreachable_endpoint_is_reported_with_advice() -> None:
    config = config_from({"accounts": [account_on("https://maxcompute.cn-nowhere.invalid")]})
    found = await findings(config)
    assert found["endpoint"]["result"] == "failed"
    assert "the name maxcompute.cn-nowhere.invalid cannot be resolved" in found["endpoint"]["detail"]
    assert found["endpoint"]["advice"].startswith("check the region")
    assert {row["result"] for name, row in found.items() if name != "endpoint"} == {"untested"}


@pytest.mark.parametrize("is_up", [True, False])
async def test_without_credentials_the_endpoint_and_the_clock_are_still_tested(
    simulator: Simulator, *, is_up: bool
) -> None:
    raw = account_on(simulator.url if is_up else "https://maxcompute.cn-nowhere.invalid")
    raw["credentials"] = {
        "type": "oidc_role_arn",
        "role_arn": "r",
        "oidc_provider_arn": "p",
        "oidc_token_file_path": "/no",
    }
    found = await findings(config_from({"accounts": [raw]}))
    assert found["credentials"]["result"] == "failed"
    assert (found["endpoint"]["result"], found["clock"]["result"]) == (
        ("ok", "ok") if is_up else ("failed", "untested")
    )
    assert is_up or "cannot be resolved" in found["endpoint"]["detail"]


async def test_an_answer_that_is_not_from_mms_is_reported(simulator: Simulator) -> None:
    simulator.faults.add(Fault(kind="html"))
    found = await findings(config_on(simulator.url))
    assert (found["endpoint"]["result"], found["endpoint"]["reason"]) == ("failed", "malformed")


async def test_an_error_of_one_operation_has_its_reason(simulator: Simulator) -> None:
    simulator.faults.add(Fault(kind="throttle", operation="ListMmsJobs"))
    found = await findings(config_on(simulator.url))
    assert (found["ListMmsJobs"]["result"], found["ListMmsJobs"]["reason"]) == ("failed", "throttled")
    assert found["ListMmsTables"]["result"] == "ok"


async def test_watched_names_are_resolved_to_an_id(simulator: Simulator) -> None:
    names = {"db": "nowhere", "table": "nothing"}
    tables = [{"source_id": FIRST, **names}]
    found = await findings(config_on(simulator.url, failures={"enabled": False}, watch={"tables": tables}))
    assert found["ListMmsTables"]["result"] == "ok"
    assert (found["GetMmsTable"]["result"], found["GetMmsTable"]["detail"]) == (
        "untested",
        "no object has the watched names",
    )


async def test_a_missing_watched_object_still_shows_the_permission(simulator: Simulator) -> None:
    tables = [{"source_id": FIRST, "table_ids": [999_999_999]}]
    found = await findings(config_on(simulator.url, watch={"tables": tables}))
    assert found["GetMmsTable"]["detail"] == "allowed; the requested object does not exist"


async def test_each_entry_of_watch_is_looked_up_in_all_accounts(simulator: Simulator) -> None:
    table = next(row for row in simulator.world.truth().tables(FIRST) if row.name)
    names = {"db": table.db_name, "table": table.name}
    watch = {
        "tables": [
            {"source_id": FIRST, **names},
            {"source": "hive-sales-001", **names, "table": "nothing"},
            {"source": "hive-sale-001", "table_ids": [1]},
            {"source": "maxcompute-sales-003", "table_ids": [1]},
        ],
    }
    elsewhere = {**account_on(simulator.url, "other"), "sources": {"types": ["BIGQUERY"]}}
    here = {**account_on(simulator.url), "sources": {"exclude": ["maxcompute-.*"]}}
    config = config_from({"accounts": [here, elsewhere], "watch": watch})
    report = await check(config, Options(), Clock())
    found = {(row.account, row.check): (row.result, row.detail) for row in report.rows if "watch" in row.check}
    assert found == {
        ("test", "watch.tables[0]"): ("ok", "found"),
        ("test", "watch.tables[1]"): (
            "failed",
            f"no object of hive-sales-001 has exactly the name {table.db_name}.nothing",
        ),
        ("", "watch.tables[2]"): (
            "failed",
            "no data source is named 'hive-sale-001' in any account; each entry is looked up in all of them",
        ),
        ("", "watch.tables[3]"): ("failed", "'maxcompute-sales-003' is not selected by `sources` of its account"),
    }
    assert not report.succeeded


async def test_a_watched_name_among_many_similar_ones_is_untested(simulator: Simulator) -> None:
    simulator.page_size_cap = 1
    watch = {"tables": [{"source_id": FIRST, "db": "sales", "table": "s"}]}
    found = (await findings(config_on(simulator.url, watch=watch)))["watch.tables[0]"]
    assert (found["result"], found["detail"]) == ("untested", "the name is not on the first page of similar names")


@pytest.mark.parametrize(("key", "noun"), [("tables", "table"), ("partitions", "partition")])
async def test_a_watched_id_that_does_not_exist_is_a_failure(simulator: Simulator, key: str, noun: str) -> None:
    truth = simulator.world.truth()
    existing = next(truth.tables(FIRST)).id if noun == "table" else next(truth.partitions(FIRST)).id
    entry = {"source_id": FIRST, f"{noun}_ids": [existing, 999_999_999]}
    found = await findings(config_on(simulator.url, watch={key: [entry]}))
    row = found[f"watch.{key}[0]"]
    assert (row["result"], row["detail"]) == ("failed", f"no {noun} of hive-sales-001 has the ID 999999999")


async def test_only_the_first_watched_ids_are_read() -> None:
    options = WorldOptions(sources=1, tables=MAX_IDS)
    entry = {"source_id": FIRST, "table_ids": [*range(1, MAX_IDS + 1), 999_999_999]}
    async with Simulator(World(options, clock=ManualClock()), identities=[IDENTITY]) as simulator:
        found = (await findings(config_on(simulator.url, watch={"tables": [entry]})))["watch.tables[0]"]
    assert (found["result"], found["detail"]) == ("ok", f"the first {MAX_IDS} of {MAX_IDS + 1} IDs are found")


@pytest.mark.parametrize("entry", [{"source": "bigquery-sales-002"}, {"source": "hive-sale-001"}])
async def test_an_entry_of_watch_is_untested_if_the_list_is_incomplete(
    simulator: Simulator, entry: dict[str, str]
) -> None:
    simulator.faults.add(Fault(kind="lost_row", operation="ListMmsDataSources", row=1))
    watch = {"tables": [{**entry, "table_ids": [1]}]}
    sources = {"include": ["hive.*", entry["source"]]}
    found = await findings(config_on(simulator.url, {"sources": sources}, watch=watch))
    assert found["watch.tables[0]"]["result"] == "untested"
    assert found["ListMmsDataSources"]["detail"].endswith("; the list is incomplete or changed while it was read")
    assert "sources" not in found


@pytest.mark.virtual_time
async def test_entries_of_watch_are_checked_at_the_same_time(simulator: Simulator) -> None:
    """Together, they would take longer than the account has."""
    simulator.faults.add(Fault(kind="latency", operation="GetMmsTable", seconds=MAX_SECONDS / 4))
    tables = [{"source_id": FIRST, "table_ids": [number]} for number in range(1, 6)]
    config = config_on(simulator.url, {"timeout": "30s"}, watch={"tables": tables})
    found = Shown(await check(config, Options(), Clock())).rows
    assert {row["result"] for row in found if row["check"].startswith("watch")} == {"ok"}


async def test_objects_watched_in_another_account_are_not_read(simulator: Simulator) -> None:
    tables = [{"source": "elsewhere", "table_ids": [1]}]
    assert "GetMmsTable" not in await findings(config_on(simulator.url, watch={"tables": tables}))


async def test_without_a_selected_source_operations_are_untested(simulator: Simulator) -> None:
    found = await findings(config_on(simulator.url, {"sources": {"include": ["none"]}}))
    assert found["ListMmsDataSources"]["detail"] == "allowed; 6 data sources, 0 selected"
    assert found["ListMmsJobs"]["result"] == "untested"


async def test_accounts_are_checked_independently(simulator: Simulator) -> None:
    good, bad = account_on(simulator.url, "good"), account_on("http://127.0.0.1:1", "bad")
    rows = Shown(await check(config_from({"accounts": [good, bad]}), Options(), Clock(sleep=no_sleep))).rows
    assert {(row["account"], row["result"]) for row in rows if row["check"] == "endpoint"} == {
        ("good", "ok"),
        ("bad", "failed"),
    }


@pytest.mark.parametrize("width", [40, 60, 100])
async def test_names_and_addresses_are_whole_on_a_terminal(simulator: Simulator, watched: Config, width: int) -> None:
    found = Shown(await check(watched, Options(), Clock(sleep=no_sleep)))
    table = found.table(width)
    names = [row["check"] for row in found.rows]
    assert [name for name in names if not re.search(rf"(^|  ){re.escape(name)}  ", table, re.MULTILINE)] == []
    assert max(map(len, table.splitlines())) <= width
    assert simulator.url in table
    assert "NEXT STEP" not in table, "no check has one"


async def test_the_command_ends_with_0_1_or_2(simulator: Simulator, tmp_path: Path) -> None:
    config = f"--config.file={write_config(tmp_path, simulator.url)}"
    ended = await run("check", config)
    assert (ended.code, ended.err) == (0, "")
    assert [line.split()[:3] for line in ended.out.splitlines()[:2]] == [
        ["ACCOUNT", "CHECK", "RESULT"],
        ["test", "endpoint", "ok"],
    ]
    simulator.identities.add(replace(IDENTITY, actions=frozenset(READ)))
    ended = await run("check", config, "--output=json")
    assert ended.code == 1
    denied = [row["action"] for row in json.loads(ended.out) if row["result"] == "denied"]
    lists = ("ListMmsTables", "ListMmsPartitions", "ListMmsTasks", "ListMmsTimers")
    operations = ("ListMmsDbs", "GetMmsFetchMetadataJob", *lists)
    assert denied == [f"odps:{operation}" for operation in operations]
    assert (await run("check", config, "--account=other")).code == 2


async def test_a_pattern_that_selects_nothing_is_a_failure(simulator: Simulator) -> None:
    found = await findings(config_on(simulator.url, {"sources": {"include": ["hive.*", "prod-.*"]}}))
    assert found["sources"]["result"] == "failed"
    assert found["sources"]["detail"] == "sources.include 'prod-.*' matches no data source"
    rule = "a pattern is a regular expression that must match the whole name"
    assert found["sources"]["advice"].startswith(f"{rule}; existing names: bigquery-finance-005, ")
    found = await findings(config_on(simulator.url, {"sources": {"include": ["hive-sales"]}}))
    assert found["sources"]["advice"].startswith(f"{rule}; near names: hive-sales-001")
    report = await check(config_on(simulator.url, {"sources": {"include": ["prod-.*"]}}), Options(), Clock())
    assert not report.succeeded


@pytest.mark.parametrize(
    ("sources", "detail", "advice"),
    [
        (
            {"types": ["HIV"]},
            "`sources` selects none of the 6 data sources",
            "; existing types: BIGQUERY, DATABRICKS, HIVE",
        ),
        ({"exclude": [".*"]}, "`sources` selects none of the 6 data sources", "correct `exclude` of `sources`"),
        (
            {"types": ["HIVE"], "include": ["bigquery.*"]},
            "`sources` selects none of the 6 data sources",
            "correct `include` and `types` of `sources`",
        ),
    ],
)
async def test_settings_of_sources_that_match_nothing_are_failures(
    simulator: Simulator, sources: dict[str, list[str]], detail: str, advice: str
) -> None:
    report = await check(config_on(simulator.url, {"sources": sources}), Options(), Clock())
    (found,) = (row for row in report.rows if row.check == "sources")
    assert (found.result, found.detail) == ("failed", detail)
    assert advice in found.advice
    assert not report.succeeded


async def test_an_exclude_pattern_without_a_match_is_a_fact(simulator: Simulator) -> None:
    """It can be a precaution, or be meant for another account."""
    config = config_on(simulator.url, {"sources": {"exclude": ["hive-sales"]}})
    report = await check(config, Options(), Clock())
    (found,) = (row for row in report.rows if row.check == "sources")
    assert (found.result, found.detail) == ("fact", "sources.exclude 'hive-sales' matches no data source")
    assert report.succeeded


@pytest.mark.parametrize("other", [{"types": ["HIV"]}, {"include": ["hive-sale"]}])
async def test_an_exclude_pattern_without_a_match_is_a_fact_if_nothing_is_selected(
    simulator: Simulator, other: dict[str, list[str]]
) -> None:
    config = config_on(simulator.url, {"sources": {"exclude": ["zzz"], **other}})
    report = await check(config, Options(), Clock())
    found = {row.result: row.detail for row in report.rows if row.check == "sources"}
    assert found.keys() == {"failed", "fact"}
    assert found["fact"] == "sources.exclude 'zzz' matches no data source"
    assert not any("exclude" in line for line in (await shown("sources", config)).remarks)


async def test_patterns_that_select_nothing_have_one_next_step(simulator: Simulator) -> None:
    include = ["hive-sales", "prod-.*", "bigquery.*"]
    report = await check(config_on(simulator.url, {"sources": {"include": include}}), Options(), Clock())
    (found,) = (row for row in report.rows if row.check == "sources")
    assert found.detail == "sources.include 'hive-sales', 'prod-.*' match no data source"
    assert "near names: hive-sales-001" in found.advice


@pytest.mark.parametrize(("hides_stopped", "word"), [(False, "includes"), (True, "omits")])
async def test_open_questions_about_mms_are_answered(*, hides_stopped: bool, word: str) -> None:
    options = WorldOptions(sources=2, tables=60, partitions=6, stopped_share=1.0, hides_stopped=hides_stopped)
    simulator = Simulator(World(options, clock=ManualClock()), identities=[IDENTITY], page_size_cap=50)
    async with simulator:
        found = await findings(config_on(simulator.url))
    assert {found[name]["result"] for name in FACTS} == {"fact"}, found
    assert found["page_size"]["detail"].startswith("50 rows on a page of ListMmsPartitions; requested 100, total ")
    assert found["stopped_jobs"]["detail"].endswith(f" {word} stopped jobs")
    assert found["task_status"]["detail"].startswith("ListMmsTasks rejects status=FAILED with status 400, code ")
    detail = found["time_zone"]["detail"]
    assert detail.startswith("the newest createTime, read as Asia/Shanghai, is ")
    assert detail.endswith(" behind the clock of MMS")


async def test_a_fact_that_cannot_be_found_is_no_failure(simulator: Simulator) -> None:
    actions = frozenset({*READ, *(f"odps:{operation}" for operation in SCAN)})
    simulator.identities.add(replace(IDENTITY, actions=actions))
    off = {"enabled": False}
    found = await findings(config_on(simulator.url, databases=off, failures=off, timers=off))
    assert found["page_size"]["result"] == "untested"
    assert found["task_status"]["result"] == "untested"
    assert "NoPermission" in found["task_status"]["detail"]
    assert {row["result"] for row in found.values()} <= {"ok", "untested", "fact"}


async def test_a_misspelled_type_is_a_failure_and_one_for_later_is_none(simulator: Simulator) -> None:
    found = await findings(config_on(simulator.url, {"sources": {"types": ["hive", "bigqury", "ORACLE"]}}))
    assert found["sources"]["detail"] == "sources.types 'bigqury' matches no data source"
    assert found["sources"]["advice"] == "did you mean BIGQUERY?"
