"""What a run wrote over, put back as it was."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from planner.errors import FleetError, UsageError
from planner.gaps.gaps import GapReason
from planner.plan.plan import Plan
from planner.plan.states import RunState
from planner.report.advice import next_steps
from planner.report.history import create_statements
from planner.report.markdown import render_markdown
from planner.report.message import Message
from planner.report.report import Report
from planner.sandbox.workers import environment_of
from sql.errors import KeptExpired, WarehouseRefused, WarehouseUnreachable
from tests.bigquery_server.rest import BigQueryServer
from tests.commands import Done
from tests.integration.mart import DAILY, DAYS, RUN, SCOPE, STATEMENTS, Mart
from worker.context import Context
from worker.ledger.lease import Lease, Resource
from worker.ledger.orders import Orders
from worker.ledger.restores import RestoreRecord
from worker.run.keep import prepare, with_keeping
from worker.run.plan import Wanted, plan_gaps
from worker.run.restore import restore
from worker.step.keep import Keeping
from worker.step.visit import CRASHES_MAX

Rows = Mapping[str, list[dict[str, Any]]]
TWICE = STATEMENTS["daily"].replace(DAILY, DAILY.replace("paid FROM", "2 * paid AS paid FROM"))
DELETES = "DELETE FROM m.daily WHERE day BETWEEN @start_date AND @end_date"


def rows(mart: Mart, *tables: str) -> Rows:
    return {
        table: sorted(
            mart.warehouse.rows(f"SELECT * FROM m.{table}", {}),
            key=lambda row: repr(sorted(row.items())),
        )
        for table in tables or ("daily", "trend")
    }


def redo(mart: Mart, *phases: str, chunk_dates: int | None = len(DAYS), gaps: bool = False) -> Plan:
    wanted = Wanted(
        scope=SCOPE,
        phases=["daily", "trend"],
        redo=phases,
        gaps=gaps,
        chunk_dates=chunk_dates,
    )
    return plan_gaps(mart.context, mart.assess(), wanted, ledger=mart.ledger)


def run(mart: Mart, plan: Plan, *, keep: bool = True) -> Report:
    """Run a plan that keeps what it writes over."""
    orders = with_keeping(Orders(), mart.settings) if keep else Orders()
    prepare(mart.context, plan, orders)
    mart.ledger.register(mart.run_id, plan, orders, warehouse_id=mart.context.warehouse.identify())
    mart.ledger.move(mart.run_id, RunState.RUNNING, [RunState.INCOMPLETE])
    return mart.end()


def test_every_table_is_as_it_was_row_for_row(mart: Mart) -> None:
    before = rows(mart)
    mart.says("daily", TWICE)
    done = run(mart, redo(mart, "daily"))
    assert done.state == "complete"
    # Until when they can be put back stands in its report
    assert done.started is not None
    days = ((done.kept_until or 0) - done.started) / 86_400
    assert days == pytest.approx(mart.settings.keep_days, abs=0.01)
    assert f"`planner restore {RUN}` puts it back" in render_markdown(done).replace("\\", "")
    assert rows(mart)["daily"] != before["daily"]
    assert rows(mart)["trend"] != before["trend"]

    report = restore(mart.context, RUN)

    assert rows(mart) == before
    assert {(each.phase, each.dates) for each in report.tables} == {
        ("daily", tuple(DAYS)),
        ("trend", tuple(DAYS)),
    }
    (record,) = mart.ledger.restores()
    assert (record.id, record.state, record.report) == (report.restore_id, "restored", report)


def test_dates_that_held_nothing_hold_nothing_again(mart: Mart) -> None:
    mart.lose("daily", DAYS[1])
    mart.lose("daily", DAYS[2], "s1")
    before = rows(mart)
    assert run(mart, mart.plan(chunk_dates=len(DAYS))).state == "complete"

    restore(mart.context, RUN)

    assert rows(mart) == before


def test_one_phase_alone_is_restored_and_what_rests_on_it_is_owed(mart: Mart) -> None:
    before = rows(mart)
    mart.says("daily", TWICE)
    run(mart, redo(mart, "daily"))
    after = rows(mart)

    report = restore(mart.context, RUN, phase="daily", dates=[DAYS[1]])

    # Then its other dates are as the run left them
    now = rows(mart)
    assert [row for row in now["daily"] if row["day"] == DAYS[1]] == [
        row for row in before["daily"] if row["day"] == DAYS[1]
    ]
    assert [row for row in now["daily"] if row["day"] != DAYS[1]] == [
        row for row in after["daily"] if row["day"] != DAYS[1]
    ]
    assert now["trend"] == after["trend"]
    # And the next plan computes anew what was computed from what is gone
    assert report.to_recompute == {"trend": (DAYS[1], DAYS[2])}
    plan = mart.plan()
    assert {
        (step.phase, task.date): task.reason for _, step in plan.steps() for task in step.tasks
    } == {("trend", DAYS[1]): GapReason.CASCADE, ("trend", DAYS[2]): GapReason.CASCADE}


def test_a_step_that_deletes_and_dies_says_how_its_rows_are_put_back(
    mart: Mart, say: Callable[..., Done]
) -> None:
    before = rows(mart)
    mart.says("daily", DELETES)
    run(mart, redo(mart, "daily", chunk_dates=1))
    assert not rows(mart)["daily"]

    told = mart.problem(DAYS[1], "daily")
    assert "m.daily held 4 rows before the run, and holds 0: put them back with `" in told
    command = told.split("`")[-2]
    assert command == f"planner restore {RUN} --phase daily --dates {DAYS[1]}"
    assert say(*command.split()[1:], "--yes").code == 0

    now = rows(mart, "daily")["daily"]
    assert now == [row for row in before["daily"] if row["day"] == DAYS[1]]


SCRIPT = """
import os, signal, sys
from deltalake import DeltaTable

first, last, how = sys.argv[1:]
folder = os.environ["BACKFILL_WAREHOUSE"].removeprefix("local:")
DeltaTable(f"{folder}/m/daily").delete(f"day BETWEEN '{first}' AND '{last}'")
if how == "raises":
    raise RuntimeError("the source is gone")
os.kill(os.getpid(), signal.SIGKILL)
"""


def typed(mart: Mart, line: str, answer: str) -> tuple[int, str]:
    """A line as it is typed into a shell at a terminal, with the answer to what it asks; its exit
    code, and what the terminal shows."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    screen, terminal = pty.openpty()
    shell = subprocess.Popen(
        ["sh", "-c", line],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, **environment_of(mart.settings), "PATH": path, "COLUMNS": "200"},
        cwd=mart.place,
    )
    os.close(terminal)
    os.write(screen, f"{answer}\n".encode())
    said = b""
    with suppress(OSError):  # what reading gives once the shell has ended
        while part := os.read(screen, 4096):
            said += part
    os.close(screen)
    return shell.wait(), said.decode()


@pytest.mark.parametrize("how", ["raises", pytest.param("is killed", marks=pytest.mark.slow)])
def test_a_script_that_deletes_and_dies_names_the_command_that_puts_its_rows_back(
    mart: Mart, say: Callable[..., Done], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    # Given a phase whose script deletes its dates first, and dies
    (mart.place / "job.py").write_text(SCRIPT)
    command = [sys.executable, str(mart.place / "job.py"), "{start}", "{end}", how]
    file = Path(mart.settings.pipeline)
    told = f'kind = "script"\ncommand = {json.dumps(command)}'
    file.write_text(file.read_text().replace('kind = "sql"\nstatements = ["daily"]', told))
    monkeypatch.setenv("BACKFILL_WAREHOUSE", mart.settings.warehouse)
    mart.context = Context(mart.settings, patient=False)
    before = rows(mart)
    report = run(mart, redo(mart, "daily", chunk_dates=1))
    assert (report.state, rows(mart)["daily"]) == ("failed", [])

    # When what its error names is typed, word for word
    named = mart.problem(DAYS[0], "daily").split("`")[-2]
    assert named == f"planner restore {RUN} --phase daily --dates {DAYS[0]}"
    everywhere = [step.command for step in next_steps(report) if "restore" in step.command]
    assert everywhere == [f"planner restore {RUN} --phase daily --dates {DAYS[0]}..{DAYS[-1]}"]
    assert everywhere[0] in render_markdown(report)
    code, said = typed(mart, named, "y")
    assert (code, f"Replace what {RUN} wrote by what was there before?" in said) == (0, True), said
    for asked in everywhere:
        done = say(*asked.split()[1:], "--yes")
        assert done.code == 0, done.err

    # Then every row is there again
    assert rows(mart) == before


def test_what_was_written_since_is_not_written_over(mart: Mart) -> None:
    before = rows(mart)
    mart.says("daily", TWICE)
    run(mart, redo(mart, "daily"))
    mart.sql(DELETES, start_date=DAYS[3], end_date=DAYS[3])
    since = rows(mart)

    with pytest.raises(UsageError, match=rf"since {RUN}.*m.daily on {DAYS[3]}\. .*--over"):
        restore(mart.context, RUN)
    assert rows(mart) == since

    restore(mart.context, RUN, over=True)
    assert rows(mart) == before


def test_a_restore_that_was_done_is_done_again_without_a_write(mart: Mart) -> None:
    mart.says("daily", TWICE)
    run(mart, redo(mart, "daily"))
    restore(mart.context, RUN)
    version = DeltaTable(mart.place / "warehouse/m/daily").version()

    restore(mart.context, RUN)

    assert DeltaTable(mart.place / "warehouse/m/daily").version() == version


DYING = """
import os, signal, sys
from planner.cli import main
from worker.run import restore
real = restore.put_back
def put_back(*arguments):
    real(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
restore.put_back = put_back
sys.argv = ["planner", "restore", sys.argv[1], "--yes"]
main()
"""


def test_a_restore_that_was_killed_in_the_middle_is_begun_again_and_ends_right(
    mart: Mart, say: Callable[..., Done]
) -> None:
    before = rows(mart)
    mart.says("daily", TWICE)
    run(mart, redo(mart, "daily"))

    # When its process dies between two tables
    environment = {**os.environ, **environment_of(mart.settings)}
    killed = subprocess.run(
        [sys.executable, "-c", DYING, RUN], env=environment, cwd=mart.place, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    half = rows(mart)
    assert half["daily"] == before["daily"]
    assert half["trend"] != before["trend"]

    # Then it is told as interrupted, with what it had done and the command that goes on
    (row,) = [each for each in say("runs", "--json").json["runs"] if each["run_id"] != RUN]
    assert (row["state"], row["reason"]) == ("interrupted", f"restore of {RUN}")
    told = say("status", row["run_id"])
    assert (told.code, f"put back with `planner restore {RUN}`" in told.out) == (4, True)
    assert f"restore of {RUN}, 0 of 2 tables" in told.out  # killed before it could note the first
    assert f"put back with `planner restore {RUN}`" in say("report", row["run_id"]).err
    assert say("status", RUN, "--json").json["restores"] == {row["run_id"]: "interrupted"}

    # And that ends what it began, at once
    done = say("restore", RUN, "--yes")
    assert done.code == 0, done.err
    assert rows(mart) == before
    assert re.search(r"restore-\S+ begins: 2 tables\. `planner status restore-", done.err)
    assert "1 of 2: daily, m.daily: 4 dates" in done.err
    assert "2 of 2: trend, m.trend: 4 dates" in done.err


def test_a_restore_is_told_where_runs_are(mart: Mart, say: Callable[..., Done]) -> None:
    mart.says("daily", TWICE)
    run(mart, redo(mart, "daily"))
    # One that is refused is told nowhere
    assert say("restore", RUN, "--phase", "sales", "--yes").code == 2
    assert say("log", RUN, "--json").json["commands"] == []

    done = say("restore", RUN, "--yes", "--as", "ada", "--json").json

    listed = {row["run_id"]: row for row in say("runs", "--json").json["runs"]}
    assert listed.keys() == {RUN, done["restore_id"]}
    assert {**listed[done["restore_id"]], "created": ""} == {
        "run_id": done["restore_id"],
        "state": "restored",
        "pipeline": "mart",
        "created": "",
        "steps_total": 2,
        "reason": f"restore of {RUN}",
        "by": "ada",
        "priority": None,
        "max_slots": None,
        "hours": None,
    }
    for name in (RUN, done["restore_id"]):
        (command,) = say("log", name, "--json").json["commands"]
        assert (command["by"], command["text"]) == (
            "ada",
            f"planner restore {RUN} --yes --as ada --json",
        )
    status = say("status", done["restore_id"], "--json")
    assert (status.code, status.json["state"], status.json["report"]) == (0, "restored", done)
    assert f"8 phase-dates of {RUN} hold what they held" in say("report", done["restore_id"]).out
    # The run itself says that what it wrote is there no more
    assert f"restored: {done['restore_id']} put back 2 of 2 tables" in say("status", RUN).out
    assert f"restored: {done['restore_id']} put back" in say("report", RUN).err
    # Its report is a page too, and a note for the next on duty
    folder = mart.settings.home_dir / "reports" / RUN
    page = (folder / f"{done['restore_id']}.html").read_text()
    assert "<td>m.daily</td>" in page
    assert "hold what they held before it" in page
    duty = mart.place / "duty.md"
    assert say("report", done["restore_id"], "--handoff", str(duty)).code == 0
    assert duty.read_text().startswith(f"## Restore of {RUN}")
    watched = say("watch", done["restore_id"])
    assert (watched.code, "put back: daily, m.daily: 4 dates" in watched.err) == (0, True)
    assert "is a restore, which has no steps" in say("retry", done["restore_id"]).err


def test_a_restore_that_failed_says_why_and_how_it_goes_on(
    mart: Mart, say: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(mart, redo(mart, "daily"))
    seen: list[RestoreRecord] = []
    messages: list[Message] = []

    def fails(*arguments: object) -> None:
        raise WarehouseUnreachable("No answer")

    with monkeypatch.context() as patched:
        patched.setattr("worker.run.restore.are_equal", lambda *arguments: frozenset())
        patched.setattr("worker.run.restore.put_back", fails)
        patched.setattr(
            "worker.run.restore_note.notify", lambda context, told, once: messages.append(told)
        )
        with pytest.raises(WarehouseUnreachable):
            restore(
                mart.context,
                RUN,
                phase="daily",
                dates=DAYS[:2],
                over=True,
                follow=seen.append,
            )

    (record,) = mart.ledger.restores()
    assert (record.state, record.why) == ("failed", "No answer")
    again = f"planner restore {RUN} --phase daily --dates {DAYS[0]}..{DAYS[1]} --over"
    told = say("status", record.id)
    assert (told.code, f"with `{again}`" in told.out) == (4, True)
    (message,) = messages
    assert (message.event, message.state, message.run_id) == (
        "restore_ended",
        "failed",
        record.id,
    )
    assert f"with `{again}`" in message.text
    assert [each.state for each in seen] == ["running", "failed"]


def test_a_restore_can_be_followed_from_elsewhere_and_is_told_when_it_has_ended(
    mart: Mart, say: Callable[..., Done]
) -> None:
    mart.says("daily", TWICE)
    run(mart, redo(mart, "daily"))
    hook = mart.place / "told.json"
    mart.settings = mart.settings.model_copy(update={"notify": f"tee {hook}"})
    mart.context = Context(mart.settings, patient=False)
    told: list[Done] = []

    def look(record: RestoreRecord) -> None:
        if record.state == "running" and len(record.done) == 1:
            told.append(say("status", record.id))
            told.append(say("runs"))

    report = restore(mart.context, RUN, follow=look)

    status, runs = told
    assert status.code == 0
    assert f"running; restore of {RUN}, 1 of 2 tables" in status.out
    assert "put back: daily, m.daily: 4 dates" in status.out
    assert "running" in runs.out
    message = json.loads(hook.read_text())
    assert (message["event"], message["state"]) == ("restore_ended", "restored")
    assert message["run_id"] == report.restore_id
    assert "8 phase-dates" in message["text"]


def test_a_retry_keeps_what_was_there_before_the_run(mart: Mart) -> None:
    before = rows(mart)
    mart.retries(1)
    mart.says("daily", DELETES)
    run(mart, redo(mart, "daily"))
    assert not rows(mart)["daily"]

    restore(mart.context, RUN, phase="daily")

    assert rows(mart)["daily"] == before["daily"]


def test_files_that_somebody_removed_are_told_before_anything_is_written(mart: Mart) -> None:
    mart.says("daily", TWICE)
    run(mart, redo(mart, "daily"))
    after = rows(mart)
    table = DeltaTable(mart.place / "warehouse/m/trend")
    assert not table.vacuum(dry_run=False)  # held off, as long as nobody forces it
    table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)

    with pytest.raises(KeptExpired, match=f"m.trend .* is kept no more, of {DAYS[0]}"):
        restore(mart.context, RUN)

    assert rows(mart) == after


def test_a_run_that_keeps_nothing_says_so(mart: Mart) -> None:
    report = run(mart, redo(mart, "daily"), keep=False)
    assert report.kept_until is None

    with pytest.raises(UsageError, match="kept nothing of what it wrote over"):
        restore(mart.context, RUN)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"phase": "sales"}, "wrote no phase 'sales': it wrote daily, trend"),
        ({"dates": [date(2024, 3, 1)]}, "wrote nothing on 2024-03-01"),
    ],
)
def test_what_the_run_did_not_write_is_refused(
    mart: Mart, asked: dict[str, Any], says: str
) -> None:
    run(mart, redo(mart, "daily"))

    with pytest.raises(UsageError, match=says):
        restore(mart.context, RUN, **asked)


def test_dates_that_a_step_writes_are_left(mart: Mart) -> None:
    run(mart, redo(mart, "daily"))
    lease = Lease(
        mart.context.redis, [Resource(name=f"{mart.context.realm}:daily:{DAYS[0]}")], seconds=5
    )
    assert lease.acquire()

    with pytest.raises(FleetError, match="writes some of these dates now"):
        restore(mart.context, RUN)


@pytest.fixture
def served(mart: Mart, monkeypatch: pytest.MonkeyPatch) -> Iterator[BigQueryServer]:
    """The same mart, on BigQuery."""
    with BigQueryServer(mart.place / "warehouse", locations={"safe": "US", "far": "EU"}) as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        mart.move_to_bigquery()
        yield server
        mart.context.warehouse.close()


@pytest.mark.slow
def test_bigquery_is_as_it_was_row_for_row(mart: Mart, served: BigQueryServer) -> None:
    mart.lose("daily", DAYS[2])
    before = rows(mart)
    mart.says("daily", TWICE)
    assert run(mart, redo(mart, "daily", chunk_dates=4, gaps=True)).state == "complete"
    assert rows(mart) != before

    report = restore(mart.context, RUN)

    assert rows(mart) == before
    assert report.phase_dates == 2 * len(DAYS)
    # And once more, nothing is to do
    inserts = served.count("jobs.insert")
    restore(mart.context, RUN)
    again = list(served.requests)[-(served.count("jobs.insert") - inserts) :]
    assert not any("MERGE" in str(each.body) for each in again)


@pytest.mark.slow
def test_copies_that_have_expired_are_told_and_the_others_put_back(
    mart: Mart, served: BigQueryServer
) -> None:
    before = rows(mart)
    mart.says("daily", TWICE)
    run(mart, redo(mart, "daily", chunk_dates=4))
    after = rows(mart)
    (expired,) = (mart.place / "warehouse/safe").glob("*__m_trend")
    shutil.rmtree(expired)

    with pytest.raises(KeptExpired, match="kept what m.trend held, is there no more"):
        restore(mart.context, RUN)
    assert rows(mart) == after

    restore(mart.context, RUN, phase="daily")
    assert rows(mart, "daily") == {"daily": before["daily"]}


def test_a_keep_dataset_in_another_location_is_refused_before_anything_is_sent(
    mart: Mart, served: BigQueryServer, say: Callable[..., Done]
) -> None:
    mart.settings = mart.settings.model_copy(update={"keep_dataset": "far"})
    asked = ("enqueue", "--redo", "--all", "--phases", "daily", "--yes")

    done = say(*asked)

    assert done.code == 3
    assert "m.daily is in US and far, where its rows are to be kept, in EU" in done.err
    assert mart.ledger.runs() == []


def test_a_pipeline_file_that_was_mended_since_still_tells_the_tables(mart: Mart) -> None:
    before = rows(mart)
    mart.says("daily", TWICE)
    run(mart, redo(mart, "daily"))
    file = Path(mart.settings.pipeline)
    file.write_text(file.read_text().replace("retries = 0", "retries = 2"))
    mart.context = Context(mart.settings, patient=False)

    restore(mart.context, RUN)

    assert rows(mart) == before
    # And a table that it names no more is told
    file.write_text(file.read_text().replace("m.trend", "m.other"))
    mart.context = Context(mart.settings, patient=False)
    with pytest.raises(UsageError, match=r"wrote m\.trend in the phase trend, .* no such"):
        restore(mart.context, RUN)


def test_rows_that_were_lost_by_workers_that_died_are_told_and_put_back(mart: Mart) -> None:
    # Given a step that had kept its rows and deleted them when each of its workers died
    before = rows(mart)
    plan = redo(mart, "daily", chunk_dates=4)
    orders = with_keeping(Orders(), mart.settings)
    mart.ledger.register(RUN, plan, orders, warehouse_id=mart.warehouse.identify())
    mart.ledger.move(RUN, RunState.RUNNING, [RunState.INCOMPLETE])
    keeping = Keeping(
        ledger=mart.ledger,
        warehouse=mart.warehouse,
        run_id=RUN,
        phase=mart.context.pipeline.by_name["daily"],
        days=14,
    )
    keeping.keep(DAYS)
    mart.sql(DELETES, start_date=DAYS[0], end_date=DAYS[-1])
    step = next(name for name, step in plan.steps() if step.phase == "daily")
    mart.ledger.client.hset(f"backfill:run:{RUN}:step:{step}", "crashes", CRASHES_MAX)

    # When it is given up
    mart.end()

    # Then it says what is lost, and the run can be restored, though none of them told its end
    told = mart.ledger.problems(RUN, step)[DAYS[0]]
    assert "gave up" in told
    assert f"put them back with `planner restore {RUN} --phase daily --dates {DAYS[0]}`" in told
    restore(mart.context, RUN)
    assert rows(mart) == before


def test_a_table_that_cannot_be_held_back_is_told_before_anything_is_sent(
    mart: Mart, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise WarehouseUnreachable("Permission denied")

    monkeypatch.setattr("sql.local_keeping.commit", refuse)

    with pytest.raises(WarehouseRefused, match=r"m\.daily cannot be told to hold .*--no-keep"):
        prepare(mart.context, redo(mart, "daily"), with_keeping(Orders(), mart.settings))


def test_a_restore_is_in_the_history_and_in_a_file(mart: Mart) -> None:
    for statement in create_statements("ops"):
        mart.sql(statement)
    run(mart, redo(mart, "daily"))
    asked = mart.settings.model_copy(update={"history_dataset": "ops"})
    mart.context = Context(asked, patient=False)

    report = restore(mart.context, RUN)

    (row,) = mart.warehouse.rows("SELECT run_id, state, reason FROM ops.backfill_runs", {})
    assert dict(row) == {
        "run_id": report.restore_id,
        "state": "restored",
        "reason": f"restore of {RUN}",
    }
    told = (mart.settings.home_dir / "reports" / RUN / f"{report.restore_id}.md").read_text()
    assert "8 phase-dates of run-of-this-test hold what they held before it" in told


def test_what_made_the_rows_that_are_put_back_is_not_the_run(
    mart: Mart, say: Callable[..., Done]
) -> None:
    def changed() -> tuple[list[str], list[str]]:
        told = say("gaps", "--changed", "--start", str(DAYS[0]), "--end", str(DAYS[-1]), "--json")
        return (
            sorted(each["phase"] for each in told.json["changed"]),
            sorted(each["phase"] for each in told.json["unknown"]),
        )

    # Given rows that one run made, of which another wrote those of one phase anew
    mart.run_id = "run-old"
    run(mart, redo(mart, "daily"))
    mart.says("daily", TWICE)
    mart.run_id = "run-new"
    run(mart, redo(mart, "daily"))
    assert changed() == ([], [])

    # When they are put back, then they are the older run's again, and not today's
    restore(mart.context, "run-new", phase="daily")
    assert changed() == (["daily"] * len(DAYS), [])

    # And what was there before any run is nobody's
    mart.says("daily", STATEMENTS["daily"])
    restore(mart.context, "run-old", phase="daily", over=True)
    assert changed() == ([], ["daily"])
    (told,) = say("gaps", "--changed", "--json", "--dates", str(DAYS[0])).json["unknown"]
    assert told["why"] == "no run here noted what made them"
