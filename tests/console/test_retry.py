"""The command `retry`: what it shows and asks, what it makes, how it ends, and how it is taken up again."""

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
from exporter.console.output_style import OutputStyle
from exporter.console.retry_command import Outcome, retry
from exporter.console.retry_options import RetryOptions
from exporter.console.terminal import Terminal
from exporter.errors import ConfigError, RetryStopped
from exporter.mms.protocol import JobRequest
from exporter.retry.journal import Journal
from exporter.retry.selection import RetrySelection
from exporter.retry.source_lock import claimed
from exporter.simulator import Fault, Identity, happen
from exporter.simulator.world import events
from tests.conftest import IDENTITY, account_on, config_on
from tests.programs import ROOT
from tests.retry.conftest import QUIET_WORLD, SOURCE, UNFINISHED_CALLS, Stage, stage_on

ALL = RetrySelection(failed=True)
ANYBODY = Path("/nonexistent")


class Person(io.StringIO):
    """What a person types, or what a person sees."""

    def isatty(self) -> bool:
        return True


@dataclass
class Ended:
    """How a run ended, and what was said."""

    outcome: Outcome
    said: str

    @property
    def lines(self) -> list[str]:
        return self.outcome.output.decode().splitlines()


Run = Callable[..., Awaitable[Ended]]


def policy() -> frozenset[str]:
    """Return the actions of the policy that is shipped for this command."""
    statements = json.loads((ROOT / "deploy" / "ram" / "retry.json").read_text(encoding="utf-8"))["Statement"]
    return frozenset(action for statement in statements for action in statement["Action"])


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """Provide a source of which a good part failed, to be retried by an identity that may do nothing else."""
    async with stage_on(QUIET_WORLD, tmp_path) as made:
        made.fail(0.4)
        limited = Identity(IDENTITY.access_key_id, IDENTITY.access_key_secret, actions=policy())
        made.simulator.identities.add(limited)
        yield made


def runner_on(stage: Stage) -> Run:
    """Return what runs the command on a stage, without a process of its own, in the time of the stage."""

    async def run(
        config: Config | None = None, typed: str | None = None, width: int | None = None, **given: Any
    ) -> Ended:
        options = replace(RetryOptions(state_folder=stage.folder / "state", source=str(SOURCE), selection=ALL), **given)
        said = Person() if typed is not None else io.StringIO()
        terminal = Terminal(io.StringIO() if typed is None else Person(typed), said, OutputStyle(width))
        outcome = await retry(config or config_on(stage.simulator.url), options, terminal, stage.clock)
        return Ended(outcome, said.getvalue())

    return run


@pytest.fixture
def run(stage: Stage) -> Run:
    """Return what runs the command."""
    return runner_on(stage)


def journals(stage: Stage) -> list[Path]:
    return sorted((stage.folder / "state").glob("*.json"))


async def test_all_that_failed_is_migrated_and_waited_for_with_the_least_policy(stage: Stage, run: Run) -> None:
    ended = await run(yes=True, watch=True)
    assert ended.outcome.is_fine
    assert not stage.failed()
    assert all(" done: " in line for line in ended.lines)
    assert len(ended.lines) == len(stage.jobs()) > 1


async def test_the_policy_grants_nothing_that_is_not_used(stage: Stage, run: Run) -> None:
    plain = next(row for row in stage.world.truth().tables(SOURCE) if row.status == "FAILED")
    await run(selection=RetrySelection(tables=[str(plain.id)], partitions=[1], jobs=[1]), dry_run=True)
    await run(yes=True, watch=True)
    assert {f"odps:{operation}" for operation, _ in stage.simulator.calls} == policy()


async def test_without_watching_it_ends_when_the_jobs_are_made(stage: Stage, run: Run) -> None:
    ended = await run(yes=True)
    assert ended.outcome.is_fine
    assert [line.split()[1] for line in ended.lines] == [str(job.id) for job in reversed(stage.jobs())]


async def test_a_dry_run_shows_the_bodies_and_sends_and_writes_nothing(stage: Stage, run: Run) -> None:
    ended = await run(dry_run=True)
    bodies = [json.loads(line) for line in ended.lines]
    failed = {row.id for row in stage.world.truth().partitions(SOURCE) if row.status == "FAILED"}
    assert {number for body in bodies for number in body.get("partitions", ())} == failed
    assert {body["sourceId"] for body in bodies} == {SOURCE}
    assert stage.simulator.calls["CreateMmsJob", SOURCE] == 0
    assert not journals(stage)


async def test_what_a_dry_run_shows_is_what_is_sent(stage: Stage, run: Run) -> None:
    shown = [json.loads(line) for line in (await run(dry_run=True)).lines]
    await run(yes=True)
    sent = [made.job.request for made in stage.world.site(SOURCE).roster.created]
    assert [body.get("partitions") for body in shown] == [
        None if request.get("partitions") is None else list(request["partitions"]) for request in sent
    ]


@pytest.mark.parametrize(
    ("typed", "is_sent"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False)]
)
async def test_it_asks_first_and_only_yes_is_yes(stage: Stage, run: Run, typed: str, *, is_sent: bool) -> None:
    ended = await run(typed=typed)
    assert "again? [y/N]" in ended.said
    assert ended.outcome.is_fine is is_sent
    assert bool(stage.simulator.calls["CreateMmsJob", SOURCE]) is is_sent
    assert bool(journals(stage)) is is_sent


async def test_the_question_names_how_much_and_where(stage: Stage, run: Run) -> None:
    happen(stage.world, events.RenameSource(source_id=SOURCE, name="hive-\x1b[31mred"))
    partition = next(row for row in stage.world.truth().partitions(SOURCE) if row.status == "FAILED")
    said = (await run(typed="n\n", selection=RetrySelection(partitions=[partition.id]))).said
    assert "Migrate 1 partition of hive-\\x1b[31mred again? [y/N]" in said
    assert "\x1b" not in said


UNCLEAR: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["--yes: is needed where there is no terminal to ask on; --dry-run shows what would be sent"]),
    ({"source": None, "yes": True}, ["--source: is required: the data source, by name or id"]),
    (
        {"selection": RetrySelection(), "yes": True},
        ["--failed: give it, or name what is meant with --table, --partition or --job"],
    ),
    (
        {"selection": RetrySelection(failed=True, jobs=[1]), "yes": True},
        ["--failed: is all of them; leave out --table, --partition and --job, or this"],
    ),
    ({"resume": ANYBODY}, ["--resume: says by itself what is meant; give nothing beside it but --watch or --yes"]),
]


@pytest.mark.parametrize(("given", "problems"), UNCLEAR)
async def test_what_is_unclear_is_refused_before_anything_is_asked_of_mms(
    stage: Stage, run: Run, given: dict[str, Any], problems: Sequence[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        await run(**given)
    assert [str(problem) for problem in caught.value.problems] == problems
    assert stage.simulator.calls.total() == 0


async def test_an_unknown_source_is_refused(run: Run) -> None:
    with pytest.raises(ConfigError, match="no data source is named 'nowhere'"):
        await run(source="nowhere", yes=True)


async def test_a_source_of_two_accounts_has_to_be_said_of_which(stage: Stage, run: Run) -> None:
    both = config_from({"accounts": [account_on(stage.simulator.url, name) for name in ("a", "b")]})
    with pytest.raises(ConfigError, match=f"{SOURCE} of account a, {SOURCE} of account b; give the id, and --account"):
        await run(config=both, yes=True)
    assert (await run(config=both, yes=True, account="b")).outcome.is_fine


async def test_what_is_refused_is_told_and_fails_the_run_though_the_rest_is_made(stage: Stage, run: Run) -> None:
    rows = list(stage.world.truth().partitions(SOURCE))
    failed, done = (next(row for row in rows if row.status == status) for status in ("FAILED", "DONE"))
    ended = await run(yes=True, selection=RetrySelection(partitions=[failed.id, done.id, 999_999_999]))
    assert not ended.outcome.is_fine
    assert f"partition {done.id} {done.db_name}.{done.table_name} {done.value}: it is DONE, not FAILED" in ended.said
    assert "partition 999999999: there is none with this id" in ended.said
    assert len(ended.lines) == len(stage.jobs()) == 1


async def test_nothing_failed_is_fine(run: Run) -> None:
    await run(yes=True, watch=True)
    ended = await run(yes=True)
    assert (ended.outcome.is_fine, ended.lines) == (True, [])
    assert "nothing to retry" in ended.said


async def test_what_fails_again_fails_the_watch_and_is_named(tmp_path: Path) -> None:
    async with stage_on(replace(QUIET_WORLD, retry_failure_rate=1.0), tmp_path) as stage:
        stage.fail(0.4)
        row = next(row for row in stage.world.truth().partitions(SOURCE) if row.status == "FAILED")
        ended = await runner_on(stage)(yes=True, watch=True, selection=RetrySelection(partitions=[row.id]))
    assert not ended.outcome.is_fine
    assert f"partition {row.id} {row.db_name}.{row.table_name} {row.value}: FAILED" in ended.said
    assert "failed (the job is FAILED)" in ended.lines[0]


async def test_what_was_stopped_tells_how_to_go_on_and_goes_on(stage: Stage, run: Run) -> None:
    stage.simulator.faults.add(Fault(kind="lost_answer", operation="CreateMmsJob", times=1))
    stage.simulator.faults.add(Fault(kind="error", operation="ListMmsJobs", skip=2 * UNFINISHED_CALLS + 1))
    stopped = await run(yes=True)
    (journal,) = journals(stage)
    assert not stopped.outcome.is_fine
    assert f"mms-exporter retry --resume={journal}" in stopped.said
    stage.simulator.faults.clear()
    resumed = await run(source=None, selection=RetrySelection(), resume=journal, watch=True)
    assert resumed.outcome.is_fine
    assert not stage.failed()
    assert set(stage.jobs_by_name().values()) == {1}


async def test_no_second_run_sends_while_it_is_not_known_what_became_of_the_first(stage: Stage, run: Run) -> None:
    """A job that was asked for is in no list yet, so that MMS does not tell that it is under way."""
    stage.simulator.faults.add(Fault(kind="lost_answer", operation="CreateMmsJob", times=1))
    stage.simulator.faults.add(Fault(kind="error", operation="ListMmsJobs", skip=2 * UNFINISHED_CALLS + 1))
    assert not (await run(yes=True)).outcome.is_fine
    stage.simulator.faults.clear()
    (journal,) = journals(stage)
    with pytest.raises(RetryStopped, match=f"settle that first: mms-exporter retry --resume={journal}"):
        await run(yes=True)
    assert len(stage.world.site(SOURCE).roster.created) == 1
    assert (await run(dry_run=True)).lines, "what is only shown is in nobody's way"


async def test_who_only_watches_keeps_nobody_out_and_is_not_kept_out(stage: Stage, run: Run) -> None:
    passing, free = stage.clock.sleep, list[float]()
    place = (stage.folder / "state", stage.simulator.url, SOURCE)

    async def sleep(seconds: float) -> None:
        with suppress(RetryStopped), claimed(*place):
            free.append(seconds)
        await passing(seconds)

    stage.clock = replace(stage.clock, sleep=sleep)
    assert (await run(yes=True, watch=True)).outcome.is_fine
    assert free
    with claimed(*place):
        resumed = await run(source=None, selection=RetrySelection(), resume=journals(stage)[0], watch=True)
    assert resumed.outcome.is_fine


async def test_what_others_took_meanwhile_fails_the_run_though_the_rest_is_made(stage: Stage, run: Run) -> None:
    plan = await stage.plan()
    batch = next(batch for batch in plan.batches if batch.partitions and batch.size > 1)
    with Journal.begun(stage.folder / "state", stage.course(plan)) as journal:
        pass
    taken = JobRequest(name="taken", src_db_name=batch.frame.src_db, partitions=(next(batch.partition_ids),))
    await stage.client.create_job(SOURCE, taken)
    await stage.pass_time(60)
    ended = await run(source=None, selection=RetrySelection(), resume=journal.path)
    assert not ended.outcome.is_fine
    assert all(" made: " in line for line in ended.lines)
    assert "1 of it are left out" in ended.said


async def test_what_is_not_done_though_its_job_is_fails_the_watch(stage: Stage, run: Run) -> None:
    partition = next(row for row in stage.world.truth().partitions(SOURCE) if row.status == "FAILED")
    assert (await run(yes=True, watch=True, selection=RetrySelection(partitions=[partition.id]))).outcome.is_fine
    happen(stage.world, events.Fail(source_id=SOURCE, partition_ids=(partition.id,)))
    ended = await run(source=None, selection=RetrySelection(), resume=journals(stage)[0], watch=True)
    assert not ended.outcome.is_fine
    assert " done: " in ended.lines[0]
    assert "not DONE: 1 object" in ended.said


async def test_a_run_that_is_resumed_may_be_told_yes_and_is_not_asked(stage: Stage, run: Run) -> None:
    await run(yes=True)
    (journal,) = journals(stage)
    assert (await run(source=None, selection=RetrySelection(), resume=journal, yes=True)).outcome.is_fine


async def test_a_run_of_another_account_is_not_resumed(stage: Stage, run: Run) -> None:
    await run(yes=True)
    elsewhere = config_on("http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="belongs to account 'test' at"):
        await run(config=elsewhere, source=None, selection=RetrySelection(), resume=journals(stage)[0])


async def test_a_job_that_is_there_twice_fails_the_run_loudly(stage: Stage, run: Run) -> None:
    await run(yes=True)
    (journal,) = journals(stage)
    name = stage.jobs()[0].name
    await stage.client.create_job(SOURCE, JobRequest(name=name, src_db_name=stage.jobs()[0].src_db_name))
    await stage.pass_time(60)
    ended = await run(source=None, selection=RetrySelection(), resume=journal)
    assert not ended.outcome.is_fine
    assert f"WARNING: there is more than one job {name}" in ended.said


async def test_a_watch_on_a_terminal_draws_one_bar(run: Run) -> None:
    ended = await run(typed="y\n", watch=True, width=100)
    assert ended.outcome.is_fine
    assert "tasks done; jobs: " in ended.said
    assert "━" in ended.said


async def test_the_page_shows_what_it_says(stage: Stage, run: Run) -> None:
    """UPDATE_GOLDEN=1 rewrites it."""
    done = next(row.id for row in stage.world.truth().partitions(SOURCE) if row.status == "DONE")
    ended = await run(selection=RetrySelection(failed=True), dry_run=True)
    one = await run(selection=RetrySelection(partitions=[done]), dry_run=True)
    words = "$ mms-exporter retry --source=2000001"
    text = f"{words} --failed --dry-run >bodies.jsonl\n{ended.said}{words} --partition={done} --dry-run\n{one.said}"
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    expected = re.sub(
        r"(?<=<!-- retry -->\n```text\n).*?(?=^```$)", lambda _: text, page, count=1, flags=re.DOTALL | re.MULTILINE
    )
    if os.environ.get("UPDATE_GOLDEN"):
        (ROOT / "docs" / "commands.md").write_text(expected, encoding="utf-8")
    assert (ROOT / "docs" / "commands.md").read_text(encoding="utf-8") == expected


async def test_what_failed_meanwhile_and_is_in_no_job_is_told_and_is_no_success(stage: Stage, run: Run) -> None:
    row = next(row for row in stage.world.truth().partitions(SOURCE) if row.status == "DONE")
    failing = events.Fail(source_id=SOURCE, partition_ids=(row.id,))
    stage.simulator.faults.add(Fault(kind="meanwhile", operation="CreateMmsJob", event=failing, times=1))
    ended = await run(yes=True, watch=True)
    assert not ended.outcome.is_fine
    assert f"FAILED outside these jobs: 1 object\n  partition {row.id} " in ended.said
