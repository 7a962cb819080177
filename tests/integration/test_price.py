"""What a run is billed: said before, by dry run, and added up after, from each job's statistics."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from planner.commands.plan import price_lines
from planner.gaps.survey import bytes_to_count
from planner.plan.cost import Cost, TooExpensive, check_dollars, cost_of, readable
from planner.plan.parse import parse_plan
from planner.plan.plan import Plan
from planner.plan.states import RunState
from planner.report.history import create_statements
from planner.report.html.plan_page import render_plan
from planner.report.html.render import render_page
from planner.report.markdown import render_markdown
from planner.report.report import billed_phases
from sql.billing import MINIMUM_BYTES_BILLED
from tests.bigquery_server.faults import ACCESS_DENIED
from tests.bigquery_server.rest import BigQueryServer
from tests.commands import Done
from tests.integration.mart import DAYS, RUN, SCOPE, Mart
from worker.context import Context
from worker.finalization.labelled import note_labelled
from worker.ledger.orders import Orders
from worker.run.control import resume
from worker.run.keep import prepare, with_keeping
from worker.run.plan import Wanted, plan_repair
from worker.status.status import status_json
from worker.step.visit import visit

Say = Callable[..., Done]


# Google's client would cost a second per step.
SCRIPT = """
import json, os, sys
from urllib.request import Request, urlopen

jobs = os.environ["BIGQUERY_EMULATOR_HOST"] + "/bigquery/v2/projects/shop/jobs"
labels = dict(pair.split("=") for pair in os.environ["BACKFILL_LABELS"].split(","))
dates = [
    {"name": name, "parameterType": {"type": "DATE"}, "parameterValue": {"value": value}}
    for name, value in zip(("start_date", "end_date"), sys.argv[1:])
]
query = {
    "query": open("daily.sql").read(),
    "useLegacySql": False,
    "parameterMode": "NAMED",
    "queryParameters": dates,
}
job = {"configuration": {"labels": labels, "query": query}}
job["jobReference"] = {"projectId": "shop", "jobId": f"job-{os.getpid()}"}
headers = {"Content-Type": "application/json"}
with urlopen(Request(jobs, json.dumps(job).encode(), headers)) as answer:
    job = json.load(answer)
where = job["jobReference"]
while job["status"]["state"] != "DONE":
    with urlopen(f"{jobs}/{where['jobId']}?location={where['location']}") as answer:
        job = json.load(answer)
sys.exit("errorResult" in job["status"])
"""


@pytest.fixture
def server(mart: Mart, monkeypatch: pytest.MonkeyPatch) -> Iterator[BigQueryServer]:
    """The mart, on BigQuery."""
    with BigQueryServer(mart.place / "warehouse", locations={"safe": "US"}) as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        mart.move_to_bigquery()
        yield server
        mart.context.warehouse.close()


def planned(mart: Mart, *, chunk_dates: int = 1) -> Plan:
    """A plan to write every date anew."""
    counting = bytes_to_count(mart.context.warehouse, mart.context.pipeline, SCOPE)
    assert counting is not None
    wanted = Wanted(
        scope=SCOPE,
        phases=["daily", "trend"],
        redo=["daily"],
        gaps=False,
        chunk_dates=chunk_dates,
    )
    return plan_repair(
        mart.context, mart.assess(), wanted, ledger=mart.ledger, cost=cost_of(counting, 6.25)
    )


def with_history(mart: Mart) -> None:
    """Let runs have a history in the warehouse."""
    for statement in create_statements("ops"):
        mart.sql(statement)
    mart.settings = mart.settings.model_copy(update={"history_dataset": "ops"})


def scripted(mart: Mart, script: str = SCRIPT) -> None:
    """Let a script of the user's fill `daily`."""
    (mart.place / "fill.py").write_text(script)
    file = mart.place / "mart.toml"
    words = f'["{sys.executable}", "fill.py", "{{start}}", "{{end}}"]'
    command = f'command = {words}\ncwd = "{mart.place}"'
    text = file.read_text().replace('kind = "sql"\nstatements = ["daily"]', command)
    file.write_text(text.replace(command, f'kind = "script"\n{command}'))
    mart.context = Context(mart.settings, patient=False)


def billed_a_job(**labels: str) -> None:
    """Run a job of another's that is billed and carries labels."""
    client = bigquery.Client("shop", credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]
    config = bigquery.QueryJobConfig(labels=labels)
    client.query("SELECT COUNT(*) AS n FROM m.sales", job_config=config).result()
    client.close()  # type: ignore[no-untyped-call]


OURS = {
    "app": "backfill-fleet",
    "pipeline": "mart",
    "phase": "daily",
    "run": "r",
    "step": "s",
    "runner": "1",
    "dates": "2",
}


def begin(mart: Mart, plan: Plan, *, max_dollars: float | None = None) -> None:
    orders = with_keeping(Orders(max_dollars=max_dollars), mart.settings)
    prepare(mart.context, plan, orders)
    mart.ledger.register(RUN, plan, orders, warehouse_id=mart.context.warehouse.identify())
    mart.ledger.move(RUN, RunState.RUNNING, [RunState.INCOMPLETE])


def test_a_dry_run_asks_once_per_statement_and_size(mart: Mart, server: BigQueryServer) -> None:
    plan = planned(mart, chunk_dates=3)  # three dates and one

    dry = [
        each.body["configuration"]["query"]["query"]
        for each in server.requests
        if each.body.get("configuration", {}).get("dryRun")
        and "MERGE" in each.body["configuration"]["query"]["query"]
    ]
    assert len(dry) == 2 * 2
    assert plan.cost is not None
    # Each reads its source and what it replaces: two tables, at the minimum each; trend reads three
    tables = (2 + 3) * 2
    assert plan.cost.statements == cost_of(tables * MINIMUM_BYTES_BILLED, 6.25)
    assert plan.cost.unknown == {}
    # Keeping: a count and a look into the records for each of four steps; and of each table what
    # was kept and what is there
    assert plan.cost.keeping == cost_of((4 * 2 + 2 * 2) * MINIMUM_BYTES_BILLED, 6.25)
    assert f"keeping and comparing rows {plan.cost.keeping}" in price_lines(plan.cost)[0]
    page = render_plan(plan, mart.context.pipeline, command="planner enqueue --redo")
    assert f"{plan.cost.statements}</b><span>is what its statements are billed" in page
    assert "unknown</b><span>is what" not in page


@pytest.mark.slow
def test_the_price_said_before_is_what_is_billed_after(mart: Mart, server: BigQueryServer) -> None:
    plan = planned(mart)
    assert plan.cost is not None
    before = server.bytes_billed

    begin(mart, plan)
    report = mart.end()

    assert report.state == "complete"
    billed = server.bytes_billed - before
    assert report.billed is not None
    assert report.billed.bytes == billed
    assert abs(plan.cost.run.bytes - billed) <= billed / 10, (plan.cost, billed)
    # And each step knows its own: in the report, its page and the status
    steps = {row.id: row.billed for row in report.steps}
    assert all(steps.values())
    phases = billed_phases(report)
    of_each = ", ".join(f"{name} {readable(phases[name])}" for name in ("daily", "trend"))
    assert f"- billed: {report.billed}: {of_each}" in render_markdown(report).replace("\\", "")
    page = render_page(report)
    assert of_each in page
    assert all(f"billed {readable(billed)}" in page for billed in steps.values())
    told = status_json(mart.context, mart.ledger.require(RUN))["billed"]
    assert (told["bytes"], told["steps"]) == (billed, steps)
    assert told["phases"] == {name: phases[name] for name in ("daily", "trend")}


def test_a_run_that_passes_its_limit_is_paused_and_goes_on_when_it_is_raised(
    mart: Mart, server: BigQueryServer, say: Say
) -> None:
    plan = planned(mart, chunk_dates=4)
    begin(mart, plan, max_dollars=0.0001)

    first = next(step for step, _ in plan.steps())
    assert visit(mart.context, RUN, first, worker="me") == "succeeded"

    record = mart.ledger.require(RUN)
    assert record.state is RunState.PAUSED
    assert "and --max-dollars allows $0.0001: allow more with `planner resume" in record.note
    shown = say("status", RUN)
    assert "of $0.0001 at most" in shown.out
    assert "--max-dollars allows $0.0001" in shown.out
    status = say("status", RUN, "--json").json["billed"]
    assert status["phases"].keys() == {"daily"}
    assert status["bytes"] == record.billed > 0

    resume(mart.context, RUN, max_dollars=1.0)
    assert mart.end().state == "complete"


def test_a_plan_above_the_limit_is_not_sent(mart: Mart, server: BigQueryServer, say: Say) -> None:
    asked = ("enqueue", "--redo", "--all", "--phases", "daily", "--yes")

    done = say(*asked, "--max-dollars", "0.001")

    assert done.code == 2
    assert "--max-dollars allows $0.001: nothing was sent" in done.err
    assert mart.ledger.runs() == []
    assert "The run is billed about" in done.err


@pytest.mark.parametrize(
    ("more", "variables"), [(("--no-keep",), {}), ((), {"BACKFILL_KEEP": "false"})]
)
def test_what_is_not_kept_is_not_priced(
    mart: Mart, server: BigQueryServer, more: tuple[str, ...], variables: dict[str, str]
) -> None:
    asked = ("enqueue", "--redo", "--all", "--phases", "daily", "--yes", *more)

    done = mart.command(*asked, **variables)

    assert done.code == 0, done.err
    assert "Nothing is kept of what is written over, by --no-keep" in done.err
    assert "keeping and comparing" not in done.err
    (run,) = mart.ledger.runs()
    assert run.keep is False


def test_a_plan_file_above_the_limit_is_not_sent(
    mart: Mart, server: BigQueryServer, say: Say
) -> None:
    file = mart.place / "plan.json"
    assert say("plan", "--redo", "--all", "--phases", "daily", "--out", str(file)).code == 0

    done = say("enqueue", "--plan", str(file), "--yes", "--max-dollars", "0.001")

    assert (done.code, "--max-dollars allows $0.001: nothing was sent" in done.err) == (2, True)
    assert mart.ledger.runs() == []


def test_what_nothing_tells_is_said_to_be_unknown(mart: Mart, server: BigQueryServer) -> None:
    mart.says("trend", "SELECT 1 FROM m.nowhere")

    plan = planned(mart)

    assert plan.cost is not None
    assert list(plan.cost.unknown) == ["trend"]
    assert "a dry run of its statements is refused" in plan.cost.unknown["trend"]
    with pytest.raises(TooExpensive, match="what trend reads is not in it"):
        check_dollars(plan.cost, 0.0)
    check_dollars(plan.cost, plan.cost.run.dollars)
    assert plan.cost.run.bytes > (plan.cost.statements or Cost(bytes=0, dollars=0)).bytes
    assert {day for _, step in plan.steps() for day in step.dates} == set(DAYS)


@pytest.mark.slow
def test_a_script_is_priced_by_what_the_jobs_with_its_labels_were_billed(
    mart: Mart, server: BigQueryServer
) -> None:
    # Given a script that puts the labels it finds on its job
    scripted(mart)
    first = planned(mart)
    assert first.cost is not None
    assert first.cost.scripts is None
    assert "no job of the last 90 days carries the labels" in first.cost.unknown["daily"]

    # When it has filled every date of a run
    begin(mart, first)
    assert mart.end().state == "complete"

    # Then the next plan knows what its dates cost: a MERGE of two tables, each at the minimum
    plan = planned(mart, chunk_dates=2)
    assert plan.cost is not None
    assert plan.cost.unknown == {}
    each = 2 * MINIMUM_BYTES_BILLED
    assert plan.cost.scripts == cost_of(len(DAYS) * each, 6.25)
    assert f"scripts {plan.cost.scripts}" in price_lines(plan.cost)[0]
    page = render_plan(plan, mart.context.pipeline, command="planner enqueue --redo")
    assert f"{plan.cost.scripts}</b><span>is what its scripts are billed" in page
    # And the query that tells it is one, where the tables are, and is billed with the plan's own
    asked = [
        request.body
        for request in server.requests
        if "INFORMATION_SCHEMA.JOBS" in str(request.body)
    ]
    assert len(asked) == 3  # one for each plan, and one at the run's end
    assert {body["jobReference"]["location"] for body in asked} == {"US"}
    assert parse_plan(plan.as_json(), where="here") == plan


@pytest.mark.parametrize(
    ("labels", "bytes_told"),
    [
        ({}, 2 * MINIMUM_BYTES_BILLED),  # ours: 10 MB for two dates, and four are planned
        ({"dates": "0"}, None),
        ({"dates": "-2"}, None),
        ({"dates": "many"}, None),
        ({"dates": "99999999"}, None),
        ({"dates": ""}, None),
        ({"runner": "x"}, None),
        ({"runner": "2"}, None),  # another runner of the phase
        ({"phase": "trend"}, None),
        ({"pipeline": "other"}, None),
        ({"app": "other"}, None),
    ],
)
@pytest.mark.quick(0, 1, 7)
def test_jobs_without_one_of_the_labels_tell_nothing(
    mart: Mart, server: BigQueryServer, labels: dict[str, str], bytes_told: int | None
) -> None:
    scripted(mart)
    billed_a_job(**OURS | labels)

    cost = planned(mart).cost

    assert cost is not None
    assert (cost.scripts and cost.scripts.bytes) == bytes_told
    assert ("daily" in cost.unknown) is (bytes_told is None)


def test_attempts_at_a_step_are_billed_together_for_its_dates(
    mart: Mart, server: BigQueryServer
) -> None:
    scripted(mart)
    for dates in ("2", "1"):  # a retry, of the date that the first attempt left
        billed_a_job(**OURS | {"dates": dates})
    billed_a_job(**OURS | {"step": "other"})

    cost = planned(mart).cost

    assert cost is not None
    assert cost.scripts is not None
    assert cost.scripts.bytes == 3 * MINIMUM_BYTES_BILLED // (2 + 2) * len(DAYS)


def test_a_service_is_priced_by_the_labels_of_its_jobs_too(
    mart: Mart, server: BigQueryServer
) -> None:
    runner = 'kind = "http_batch"\nurl = "http://127.0.0.1:9"'
    file = mart.place / "mart.toml"
    file.write_text(file.read_text().replace('kind = "sql"\nstatements = ["daily"]', runner))
    mart.context = Context(mart.settings, patient=False)
    before = planned(mart).cost
    assert before is not None
    assert "a start's X-Backfill-Labels has them" in before.unknown["daily"]
    assert before.scripts is None

    billed_a_job(**OURS)
    after = planned(mart).cost

    assert after is not None
    assert "daily" not in after.unknown
    assert after.scripts == cost_of(MINIMUM_BYTES_BILLED * len(DAYS) // 2, 6.25)


def test_what_a_script_was_billed_is_added_after_the_run_by_the_labels_of_its_jobs(
    mart: Mart, server: BigQueryServer, say: Say
) -> None:
    # Given a history, and a run of a script that puts the labels it finds on its jobs
    with_history(mart)
    scripted(mart)
    plan = planned(mart, chunk_dates=2)
    before = server.bytes_billed
    begin(mart, plan)
    billed_a_job(app="backfill-fleet", run="another-run", step=f"{DAYS[0]}-daily")
    others = server.bytes_billed - before

    # When it has ended
    report = mart.end()

    # Then all that it was billed is known: each step by a MERGE of two tables, and marked
    assert report.state == "complete"
    each = 2 * MINIMUM_BYTES_BILLED
    labelled = {row.id: row.labelled for row in report.steps}
    assert labelled == {name: each if step.phase == "daily" else 0 for name, step in plan.steps()}
    assert sorted(labelled.values()) == [0, 0, each, each]
    assert report.unbilled == {}
    assert report.billed is not None
    history = server.bytes_billed - before - others - report.billed.bytes
    assert 0 <= history < 10 * each  # its own rows, which are written after
    mark = f"(of these {readable(2 * each)} by jobs with its labels)"
    assert mark in render_markdown(report).replace("\\", "")
    page = render_page(report)
    assert mark in page
    assert f"(of these {readable(each)} by jobs with its labels)" in page
    told = say("status", RUN, "--json").json["billed"]
    assert told["labelled"] == {"daily": 2 * each}
    assert told["unknown"] == {}
    assert sum(told["steps"].values()) == sum(told["phases"].values())
    assert mark in say("status", RUN).out
    # And so it is in the history
    rows = mart.warehouse.rows(
        "SELECT step, bytes_billed, bytes_labelled, unknown FROM ops.backfill_step_costs", {}
    )
    assert {row["step"]: row["bytes_labelled"] for row in rows} == labelled
    assert {row["step"]: row["bytes_billed"] for row in rows} == told["steps"]
    assert {row["unknown"] for row in rows} == {""}
    # And the same again is priced as it was billed, within a tenth
    again = planned(mart, chunk_dates=2).cost
    assert again is not None
    assert abs(again.run.bytes - report.billed.bytes) <= report.billed.bytes / 10, again
    # And asked for again, nothing is added
    record = mart.ledger.require(RUN)
    note_labelled(mart.context, record, plan)
    steps = mart.ledger.step_records(RUN)
    assert {step.id: step.billed for step in steps} == told["steps"]


@pytest.mark.parametrize(
    ("script", "denied", "why"),
    [
        (
            SCRIPT.replace('"labels": labels, ', ""),
            False,
            "no job of the run carries the labels of its script runner: BACKFILL_LABELS has them",
        ),
        (SCRIPT, True, "were billed cannot be read: .* roles/bigquery.resourceViewer may read it"),
    ],
)
@pytest.mark.quick(0)
def test_what_no_label_tells_after_a_run_is_unknown_and_said_so(
    mart: Mart, server: BigQueryServer, say: Say, script: str, denied: bool, why: str
) -> None:
    with_history(mart)
    scripted(mart, script)
    begin(mart, planned(mart, chunk_dates=len(DAYS)))
    if denied:
        server.fail(replace(ACCESS_DENIED.within_job(), about="JOBS"), on="jobs.insert")

    report = mart.end()

    assert report.state == "complete"
    assert list(report.unbilled) == ["daily"]
    assert re.search(why, report.unbilled["daily"])
    line = f"billed: unknown for daily: {report.unbilled['daily']}"
    assert line in say("status", RUN).out
    assert "billed: unknown for daily" in render_markdown(report)
    assert "unknown for daily" in render_page(report)
    assert say("status", RUN, "--json").json["billed"]["unknown"] == report.unbilled
    rows = mart.warehouse.rows("SELECT DISTINCT phase, unknown FROM ops.backfill_step_costs", {})
    assert {row["phase"]: row["unknown"] for row in rows} == {**report.unbilled, "trend": ""}


def test_records_of_jobs_that_may_not_be_read_leave_a_script_unknown(
    mart: Mart, server: BigQueryServer
) -> None:
    scripted(mart)
    assessment = mart.assess()
    wanted = Wanted(scope=SCOPE, phases=["daily", "trend"], redo=["daily"], gaps=False)
    server.fail(ACCESS_DENIED.within_job(), on="jobs.insert")

    cost = plan_repair(
        mart.context, assessment, wanted, ledger=mart.ledger, cost=cost_of(0, 6.25)
    ).cost

    assert cost is not None
    assert cost.scripts is None
    assert "were billed cannot be read" in cost.unknown["daily"]
    assert "roles/bigquery.resourceViewer" in cost.unknown["daily"]
    assert cost.statements is not None
