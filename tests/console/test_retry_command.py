"""The command `retry`: plan, confirmation, jobs, results and resuming."""

import io
import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from exporter.config.loading import Config, config_from
from exporter.console.output.next_command import NextCommand
from exporter.console.output.terminal import OutputStyle, Terminal
from exporter.console.retry_command import Outcome, retry
from exporter.console.retry_options import RetryOptions
from exporter.errors import ConfigError, RetryStopped
from exporter.mms.protocol import JobRequest
from exporter.retry.earlier_runs import lock_source
from exporter.retry.journal import Journal
from exporter.retry.selection import RetrySelection
from exporter.simulator import Fault, Identity, apply_event
from exporter.simulator.world import events
from tests.conftest import IDENTITY, account_on, config_on
from tests.programs import ROOT
from tests.retry.conftest import PLAN_CALLS, QUIET_WORLD, SOURCE, UNFINISHED_CALLS, RetryEnv, env_on

ALL = RetrySelection(failed=True)
NO_JOURNAL = Path("/nonexistent")


class TerminalStream(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass
class Ended:
    """The result and the error output of a run."""

    outcome: Outcome
    stderr: str

    @property
    def lines(self) -> list[str]:
        return self.outcome.output.decode().splitlines()


Run = Callable[..., Awaitable[Ended]]


def policy() -> frozenset[str]:
    """Return the actions of the shipped policy of this command."""
    statements = json.loads((ROOT / "deploy" / "ram" / "retry.json").read_text(encoding="utf-8"))["Statement"]
    return frozenset(action for statement in statements for action in statement["Action"])


@pytest.fixture
async def env(tmp_path: Path) -> AsyncIterator[RetryEnv]:
    """Provide a source with failures and the shipped policy."""
    async with env_on(QUIET_WORLD, tmp_path) as made:
        made.fail(0.4)
        limited = Identity(IDENTITY.access_key_id, IDENTITY.access_key_secret, actions=policy())
        made.simulator.identities.add(limited)
        yield made


def runner_on(env: RetryEnv) -> Run:
    """Return a function that runs the command in virtual time."""

    async def run(
        config: Config | None = None, typed: str | None = None, width: int | None = None, **given: Any
    ) -> Ended:
        options = replace(RetryOptions(state_folder=env.folder / "state", source=str(SOURCE), selection=ALL), **given)
        stderr = TerminalStream() if typed is not None else io.StringIO()
        terminal = Terminal(io.StringIO() if typed is None else TerminalStream(typed), stderr, OutputStyle(width))
        outcome = await retry(config or config_on(env.simulator.url), options, terminal, env.clock)
        return Ended(outcome, stderr.getvalue())

    return run


@pytest.fixture
def run(env: RetryEnv) -> Run:
    """Provide a function that runs the command."""
    return runner_on(env)


def journals(env: RetryEnv) -> list[Path]:
    return sorted((env.folder / "state").glob("*.json"))


async def test_all_failures_are_migrated_with_the_shipped_policy(env: RetryEnv, run: Run) -> None:
    ended = await run(yes=True, watch=True)
    assert ended.outcome.succeeded
    assert not env.failed()
    assert all(" done: " in line for line in ended.lines)
    assert len(ended.lines) == len(env.jobs()) > 1


async def test_the_policy_grants_only_used_actions(env: RetryEnv, run: Run) -> None:
    plain = next(row for row in env.world.truth().tables(SOURCE) if row.status == "FAILED")
    await run(selection=RetrySelection(tables=[str(plain.id)], partitions=[1], jobs=[1]), dry_run=True)
    await run(yes=True, watch=True)
    assert {f"odps:{operation}" for operation, _ in env.simulator.calls} == policy()


async def test_without_watch_the_command_ends_when_the_jobs_exist(env: RetryEnv, run: Run) -> None:
    ended = await run(yes=True)
    assert ended.outcome.succeeded
    assert [line.split()[1] for line in ended.lines] == [str(job.id) for job in reversed(env.jobs())]


async def test_a_dry_run_prints_the_bodies_and_sends_nothing(env: RetryEnv, run: Run) -> None:
    ended = await run(dry_run=True)
    bodies = [json.loads(line) for line in ended.lines]
    failed = {row.id for row in env.world.truth().partitions(SOURCE) if row.status == "FAILED"}
    assert {number for body in bodies for number in body.get("partitions", ())} == failed
    assert {body["sourceId"] for body in bodies} == {SOURCE}
    assert env.simulator.calls["CreateMmsJob", SOURCE] == 0
    assert not journals(env)


async def test_a_plan_counts_every_failure(env: RetryEnv, run: Run) -> None:
    truth = env.world.truth()
    statuses = [row.status for row in truth.tables(SOURCE)] + [row.status for row in truth.partitions(SOURCE)]
    plan = (await run(dry_run=True)).stderr
    assert "FAILED tables whose FAILED partitions are counted" in plan
    counts = re.findall(
        r"^(?:to retry in .*: (\d+) partitions?(?: and (\d+) tables?)?|.*: (\d+) (?:object|FAILED)).*",
        plan,
        re.MULTILINE,
    )
    assert sum(int(number) for each in counts for number in each if number) == sum(
        each == "FAILED" for each in statuses
    )


async def test_a_dry_run_prints_the_bodies_that_are_sent(env: RetryEnv, run: Run) -> None:
    shown = [json.loads(line) for line in (await run(dry_run=True)).lines]
    await run(yes=True)
    sent = [made.job.request for made in env.world.site(SOURCE).job_store.created]
    assert [body.get("partitions") for body in shown] == [
        None if request.get("partitions") is None else list(request["partitions"]) for request in sent
    ]


@pytest.mark.parametrize(
    ("typed", "is_sent"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False)]
)
async def test_only_yes_confirms(env: RetryEnv, run: Run, typed: str, *, is_sent: bool) -> None:
    ended = await run(typed=typed)
    assert "again? [y/N]" in ended.stderr
    assert ended.outcome.succeeded is is_sent
    assert bool(env.simulator.calls["CreateMmsJob", SOURCE]) is is_sent
    assert bool(journals(env)) is is_sent


async def test_the_question_names_the_units_and_the_source(env: RetryEnv, run: Run) -> None:
    apply_event(env.world, events.RenameSource(source_id=SOURCE, name="hive-\x1b[31mred"))
    partition = next(row for row in env.world.truth().partitions(SOURCE) if row.status == "FAILED")
    stderr = (await run(typed="n\n", selection=RetrySelection(partitions=[partition.id]))).stderr
    assert "Migrate 1 partition of hive-\\x1b[31mred again? [y/N]" in stderr
    assert "\x1b" not in stderr


INVALID: list[tuple[dict[str, Any], list[str]]] = [
    ({"source": None, "yes": True}, ["--source: is required: name or ID of the data source"]),
    (
        {"selection": RetrySelection(), "yes": True},
        ["--failed: nothing is selected; use --failed, --table, --partition or --job"],
    ),
    (
        {"selection": RetrySelection(failed=True, jobs=[1]), "yes": True},
        ["--failed: selects everything; cannot be combined with --table, --partition or --job"],
    ),
    ({"resume": NO_JOURNAL}, ["--resume: cannot be combined with --source, --account, a selection or --dry-run"]),
]


@pytest.mark.parametrize(("given", "problems"), INVALID)
async def test_invalid_options_are_refused_before_any_call(
    env: RetryEnv, run: Run, given: dict[str, Any], problems: Sequence[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        await run(**given)
    assert [str(problem) for problem in caught.value.problems] == problems
    assert env.simulator.calls.total() == 0


async def test_without_a_terminal_the_plan_is_shown_before_yes_is_required(env: RetryEnv, run: Run) -> None:
    with pytest.raises(ConfigError, match="--yes: is required without a terminal; nothing was sent"):
        await run()
    assert env.simulator.calls["ListMmsPartitions", SOURCE] > 0
    assert env.simulator.calls["CreateMmsJob", SOURCE] == 0
    assert not journals(env)


async def test_a_source_can_be_selected_by_a_glob(run: Run) -> None:
    assert (await run(source="hive-*", dry_run=True)).lines
    with pytest.raises(ConfigError, match=r"no data source is named 'hive-sale-1'; did you mean hive-sales-001\?"):
        await run(source="hive-sale-1", dry_run=True)


async def test_an_unknown_source_is_refused(run: Run) -> None:
    with pytest.raises(ConfigError, match="no data source is named 'nowhere'"):
        await run(source="nowhere", yes=True)


async def test_a_source_in_two_accounts_requires_the_account(env: RetryEnv, run: Run) -> None:
    both = config_from({"accounts": [account_on(env.simulator.url, name) for name in ("a", "b")]})
    with pytest.raises(
        ConfigError, match=rf"hive-sales-001 \({SOURCE}\) of account a, hive-sales-001 \({SOURCE}\) of account b; use"
    ):
        await run(config=both, yes=True)
    assert (await run(config=both, yes=True, account="b")).outcome.succeeded


async def test_an_unreachable_account_can_be_left_out(env: RetryEnv, run: Run) -> None:
    accounts = [account_on(env.simulator.url, "a"), account_on("http://127.0.0.1:1", "b")]
    both = config_from({"accounts": accounts})
    ended = await run(config=both, dry_run=True)
    assert not ended.outcome.succeeded
    error, advice = ended.stderr.splitlines()
    assert error.startswith("mms-exporter: account b: ListMmsDataSources")
    assert advice == "mms-exporter: nothing was sent; --account=NAME limits the command to one account"
    assert (await run(config=both, dry_run=True, account="a")).lines


async def test_refused_objects_are_reported_and_fail_the_run(env: RetryEnv, run: Run) -> None:
    rows = list(env.world.truth().partitions(SOURCE))
    failed, done = (next(row for row in rows if row.status == status) for status in ("FAILED", "DONE"))
    ended = await run(yes=True, selection=RetrySelection(partitions=[failed.id, done.id, 999_999_999]))
    assert not ended.outcome.succeeded
    assert (
        f"partition {done.id} {done.db_name}.{done.table_name} {done.value}: the status is DONE, not FAILED"
        in ended.stderr
    )
    assert "partition 999999999: no partition has this ID" in ended.stderr
    assert len(ended.lines) == len(env.jobs()) == 1


async def test_a_run_without_failures_succeeds(run: Run) -> None:
    await run(yes=True, watch=True)
    ended = await run(yes=True)
    assert (ended.outcome.succeeded, ended.lines) == (True, [])
    assert "nothing to retry" in ended.stderr


async def test_units_that_fail_again_fail_the_watch(tmp_path: Path) -> None:
    async with env_on(replace(QUIET_WORLD, retry_failure_rate=1.0), tmp_path) as env:
        env.fail(0.4)
        row = next(row for row in env.world.truth().partitions(SOURCE) if row.status == "FAILED")
        ended = await runner_on(env)(yes=True, watch=True, selection=RetrySelection(partitions=[row.id]))
    assert not ended.outcome.succeeded
    assert f"partition {row.id} {row.db_name}.{row.table_name} {row.value}: FAILED" in ended.stderr
    assert "failed (the job is FAILED)" in ended.lines[0]


async def test_a_stopped_run_prints_how_to_resume_and_can_be_resumed(env: RetryEnv, run: Run) -> None:
    env.simulator.faults.add(Fault(kind="lost_answer", operation="CreateMmsJob", times=1))
    env.simulator.faults.add(Fault(kind="error", operation="ListMmsJobs", skip=PLAN_CALLS + UNFINISHED_CALLS))
    configured = NextCommand(configuration=("--config.file=a b.yaml",))
    stopped = await run(yes=True, watch=True, settle_seconds=90.0, next_command=configured)
    (journal,) = journals(env)
    assert not stopped.outcome.succeeded
    flags = f"'--config.file=a b.yaml' --resume={journal} --watch --settle=1m30s"
    assert f"to continue: mms-exporter retry {flags}\n" in stopped.stderr
    env.simulator.faults.clear()
    resumed = await run(source=None, selection=RetrySelection(), resume=journal, watch=True)
    assert resumed.outcome.succeeded
    assert not env.failed()
    assert set(env.jobs_by_name().values()) == {1}


async def test_a_second_run_is_blocked_while_a_job_is_in_doubt(env: RetryEnv, run: Run) -> None:
    """MMS does not list a requested job yet."""
    env.simulator.faults.add(Fault(kind="lost_answer", operation="CreateMmsJob", times=1))
    env.simulator.faults.add(Fault(kind="error", operation="ListMmsJobs", skip=PLAN_CALLS + UNFINISHED_CALLS))
    assert not (await run(yes=True)).outcome.succeeded
    env.simulator.faults.clear()
    (journal,) = journals(env)
    with pytest.raises(RetryStopped, match=f"resume that run first: mms-exporter retry --resume={journal}"):
        await run(yes=True)
    assert len(env.world.site(SOURCE).job_store.created) == 1
    assert (await run(dry_run=True)).lines, "a dry run is never blocked"


async def test_watching_needs_no_lock(env: RetryEnv, run: Run) -> None:
    passing, free = env.clock.sleep, list[float]()
    source = (env.folder / "state", env.simulator.url, SOURCE)

    async def sleep(seconds: float) -> None:
        with suppress(RetryStopped), lock_source(*source):
            free.append(seconds)
        await passing(seconds)

    env.clock = replace(env.clock, sleep=sleep)
    assert (await run(yes=True, watch=True)).outcome.succeeded
    assert free
    with lock_source(*source):
        resumed = await run(source=None, selection=RetrySelection(), resume=journals(env)[0], watch=True)
    assert resumed.outcome.succeeded


async def test_units_in_newer_jobs_fail_the_run(env: RetryEnv, run: Run) -> None:
    plan = await env.plan()
    batch = next(batch for batch in plan.batches if batch.partitions and batch.size > 1)
    with Journal.create(env.folder / "state", env.new_run(plan)) as journal:
        pass
    taken = JobRequest(name="taken", src_db_name=batch.template.src_db, partitions=(next(batch.partition_ids),))
    await env.client.create_job(SOURCE, taken)
    await env.pass_time(60)
    ended = await run(source=None, selection=RetrySelection(), resume=journal.path)
    assert not ended.outcome.succeeded
    assert all(" created: " in line for line in ended.lines)
    assert "left out 1 of " in ended.stderr


async def test_an_incomplete_unit_of_a_done_job_fails_the_watch(env: RetryEnv, run: Run) -> None:
    partition = next(row for row in env.world.truth().partitions(SOURCE) if row.status == "FAILED")
    assert (await run(yes=True, watch=True, selection=RetrySelection(partitions=[partition.id]))).outcome.succeeded
    apply_event(env.world, events.Fail(source_id=SOURCE, partition_ids=(partition.id,)))
    ended = await run(source=None, selection=RetrySelection(), resume=journals(env)[0], watch=True)
    assert not ended.outcome.succeeded
    assert " done: " in ended.lines[0]
    assert "not DONE: 1 object" in ended.stderr


async def test_a_resumed_run_accepts_yes_and_asks_nothing(env: RetryEnv, run: Run) -> None:
    await run(yes=True)
    (journal,) = journals(env)
    assert (await run(source=None, selection=RetrySelection(), resume=journal, yes=True)).outcome.succeeded


async def test_a_run_of_an_unknown_account_is_not_resumed(env: RetryEnv, run: Run) -> None:
    await run(yes=True)
    elsewhere = config_on("http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="belongs to account 'test' at"):
        await run(config=elsewhere, source=None, selection=RetrySelection(), resume=journals(env)[0])


async def test_a_run_that_could_not_check_for_duplicates_fails(env: RetryEnv, run: Run) -> None:
    await run(yes=True)
    env.simulator.faults.add(Fault(kind="error", operation="ListMmsJobs", status=500))
    ended = await run(source=None, selection=RetrySelection(), resume=journals(env)[0])
    assert not ended.outcome.succeeded
    assert "could not check for duplicate jobs: ListMmsJobs" in ended.stderr


async def test_a_finished_run_is_checked_beside_an_unreadable_journal(env: RetryEnv, run: Run) -> None:
    await run(yes=True)
    (journal,) = journals(env)
    (journal.parent / "retry-broken.json").write_text("{", encoding="utf-8")
    ended = await run(source=None, selection=RetrySelection(), resume=journal)
    assert ended.outcome.succeeded


async def test_a_duplicate_job_fails_the_run_with_a_warning(env: RetryEnv, run: Run) -> None:
    await run(yes=True)
    (journal,) = journals(env)
    name = env.jobs()[0].name
    await env.client.create_job(SOURCE, JobRequest(name=name, src_db_name=env.jobs()[0].src_db_name))
    await env.pass_time(60)
    ended = await run(source=None, selection=RetrySelection(), resume=journal)
    assert not ended.outcome.succeeded
    assert f"WARNING: more than one job has the name {name}" in ended.stderr


async def test_a_watch_on_a_terminal_draws_one_bar(run: Run) -> None:
    ended = await run(typed="y\n", watch=True, width=100)
    assert ended.outcome.succeeded
    assert "tasks done; jobs: " in ended.stderr
    assert "━" in ended.stderr


async def test_the_page_shows_the_output_of_retry(env: RetryEnv, run: Run) -> None:
    """UPDATE_GOLDEN=1 rewrites the page."""
    done = next(row.id for row in env.world.truth().partitions(SOURCE) if row.status == "DONE")
    ended = await run(selection=RetrySelection(failed=True), dry_run=True)
    one = await run(selection=RetrySelection(partitions=[done]), dry_run=True)
    words = "$ mms-exporter retry --source=2000001"
    text = f"{words} --failed --dry-run >bodies.jsonl\n{ended.stderr}{words} --partition={done} --dry-run\n{one.stderr}"
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    expected = re.sub(
        r"(?<=<!-- retry -->\n```text\n).*?(?=^```$)", lambda _: text, page, count=1, flags=re.DOTALL | re.MULTILINE
    )
    if os.environ.get("UPDATE_GOLDEN"):
        (ROOT / "docs" / "commands.md").write_text(expected, encoding="utf-8")
    assert (ROOT / "docs" / "commands.md").read_text(encoding="utf-8") == expected


async def test_new_failures_outside_the_jobs_fail_the_run(env: RetryEnv, run: Run) -> None:
    row = next(row for row in env.world.truth().partitions(SOURCE) if row.status == "DONE")
    failing = events.Fail(source_id=SOURCE, partition_ids=(row.id,))
    env.simulator.faults.add(Fault(kind="meanwhile", operation="CreateMmsJob", event=failing, times=1))
    ended = await run(yes=True, watch=True)
    assert not ended.outcome.succeeded
    assert f"FAILED outside these jobs: 1 object\n  partition {row.id} " in ended.stderr
