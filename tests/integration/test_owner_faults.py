"""What goes wrong in the owner's pipeline, step by step: ledger, retries, phases after it, rows.

What one attempt makes of a fault is in `test_script_runner.py` and `test_http_runner.py`; here
it is what the run makes of it.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import redis
from typer.testing import CliRunner

from planner.cli import app
from planner.errors import BadPipeline, BadPlan
from planner.pipeline.runners import HttpBatchRunner
from planner.plan.states import DateState, RunState, StepState
from planner.sandbox.workers import environment_of
from planner.settings import Settings
from tests.integration.bench import DAYS, JOB, TABLES, Bench
from tests.integration.service import Answer, Call, Service, served
from tests.integration.test_http_runner import (
    COMPLETE,
    NO_BATCH,
    RUNNING,
    STARTED,
    fills,
    of_batch,
    runner,
    token_command,
)
from tests.integration.visits import RUN, Visits
from worker.context import Context
from worker.finalization.finalize import finalize
from worker.ledger.lease import Lease, Resource
from worker.run.enqueue import require_here
from worker.run.plan import with_runners
from worker.step import visit
from worker.step.errors import StepFailed

LATER = f"""
[[phases]]
name = "later"
after = ["facts"]
retries = 0
[[phases.tables]]
name = "lake.second"
date = "day"
entities = {{ game = "game" }}
[[phases.runners]]
kind = "script"
command = ["{sys.executable}", "{JOB}", "{{start}}", "{{end}}", "none"]
env = {{ ALL_TABLES = "1" }}
"""
"""A phase that is computed from `facts`. Its script fills the table of `facts` too."""

ANOTHER = """
[[phases]]
name = "another"
after = ["raw"]
[[phases.tables]]
name = "lake.third"
date = "day"
entities = { game = "game" }
"""


@pytest.fixture
def bench(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    client: redis.Redis,
    redis_settings: Settings,
) -> Bench:
    monkeypatch.setenv("WAREHOUSE_PLACE", str(tmp_path / "warehouse"))
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    return Bench(place=tmp_path, broker_url=redis_settings.redis_url)


@pytest.fixture
def service() -> Iterator[Service]:
    """Starts a batch that never moves, unless the test says otherwise."""
    with served(Service(start=lambda call: STARTED, status=lambda call: NO_BATCH)) as service:
        yield service


def dates_of(visits: Visits, phase: str) -> dict[date, DateState]:
    found = visits.context.ledger.all_dates(RUN)
    return {day: state for (name, day), state in found.items() if name == phase}


# -- scripts -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_exit_0_without_rows_fails_after_its_retries_and_blocks_what_comes_after(
    bench: Bench,
) -> None:
    visits = Visits(bench=bench, runners=bench.script("nothing") + LATER)

    assert visits.to_the_end() == "failed"

    facts, later = visits.step(), visits.step("later")
    assert facts.state is StepState.FAILED
    assert facts.failures == 1 + visits.context.pipeline.by_name["facts"].retries
    assert "rows missing" in facts.error
    assert later.state is StepState.BLOCKED
    assert bench.days_of(TABLES[0]) == bench.days_of(TABLES[1]) == []


@pytest.mark.slow
def test_exit_0_with_some_dates_lets_them_proceed_and_quarantines_the_others(
    bench: Bench,
) -> None:
    bad = DAYS[3]
    visits = Visits(bench=bench, runners=bench.script(f"skips:{bad}") + LATER)

    assert visits.to_the_end() == "failed"

    good = [day for day in DAYS if day != bad]
    assert bench.calls[0] == f"{DAYS[0]} {DAYS[-1]}"
    alone = [call for call in bench.calls if call == f"{bad} {bad}"]
    assert len(alone) == visits.context.pipeline.by_name["facts"].retries
    assert dates_of(visits, "facts") == {
        **dict.fromkeys(good, DateState.DONE),
        bad: DateState.FAILED,
    }
    assert dates_of(visits, "later")[bad] is DateState.BLOCKED
    assert bench.days_of(TABLES[1]) == good


@pytest.mark.slow
def test_death_by_a_signal_costs_one_retry(bench: Bench) -> None:
    visits = Visits(bench=bench, runners=bench.script("signal:once"))

    visits.visit()
    assert (visits.step().state, visits.step().failures) == (StepState.PENDING, 1)
    assert bench.days_of() == []

    assert visits.to_the_end() == "complete"
    assert bench.days_of() == list(DAYS)


@pytest.mark.slow
def test_a_time_out_of_several_processors_goes_on_where_it_got(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a script that hangs in its second processor
    monkeypatch.setenv("ALL_TABLES", "1")
    bench.tables, bench.timeout = TABLES, 4.0
    resume = """
[phases.runners.resume]
argument = "--start-from"
tables = [["lake.first"], ["lake.second"], ["lake.third"]]
"""
    visits = Visits(bench=bench, runners=bench.script("hangs:2", resume))

    assert visits.to_the_end() == "complete"

    assert [call[22:] for call in bench.calls] == ["", "--start-from 2"]
    assert visits.step().failures == 0
    assert all(bench.days_of(table) == list(DAYS) for table in TABLES)


# -- the service ---------------------------------------------------------------------------------


def test_409_spends_no_retry_and_holds_no_worker(bench: Bench, service: Service) -> None:
    # Given a service that is busy with another date
    busy: Answer = (409, {"status": "already_running", "batch_id": "other"})
    service.start = lambda call: busy
    visits = Visits(bench=bench, runners=runner(service.url))

    # When the step has come by several times, then nothing was spent, and it is parked
    for _ in range(4):
        visits.visit()
    record = visits.step()
    assert (record.state, record.failures, record.attempt) == (StepState.RUNNING, 0, 1)
    assert record.parked
    assert len(service.asked("/start")) == 4

    # And when the service is free, it starts
    service.start, service.status = fills(bench), of_batch(COMPLETE)
    assert visits.to_the_end() == "complete"
    assert visits.step().failures == 0
    assert bench.days_of() == list(DAYS)


def test_one_batch_at_a_time_at_one_service_whatever_the_phase(
    bench: Bench, service: Service
) -> None:
    # Given two phases that one service works for
    service.status = of_batch(RUNNING)
    runners = runner(service.url) + ANOTHER + runner(service.url)
    visits = Visits(bench=bench, runners=runners)

    # When one has started its batch
    visits.visit("facts")
    visits.visit("another")

    # Then the other does not begin
    assert len(service.asked("/start")) == 1
    assert visits.step("another").state is StepState.PENDING


def test_a_fallback_that_is_not_used_does_not_wait_for_its_service(
    bench: Bench, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a service at work, and a phase whose script is there, with that service as a fallback
    monkeypatch.setenv("ALL_TABLES", "1")
    service.status = of_batch(RUNNING)
    runners = runner(service.url) + ANOTHER + bench.script() + runner(service.url)
    visits = Visits(bench=bench, runners=runners)
    visits.visit("facts")

    # Then the script does not wait
    visits.visit("another")
    assert visits.step("another").state is StepState.SUCCEEDED
    assert len(service.asked("/start")) == 1
    assert bench.days_of(TABLES[2]) == list(DAYS)


def test_503_blocks_the_step_with_the_services_message(bench: Bench, service: Service) -> None:
    refusal = {"error": "DATA_INCOMPLETE", "message": "2 of 7 teams have no features"}
    service.start = lambda call: (503, refusal)
    visits = Visits(bench=bench, runners=runner(service.url) + LATER)

    assert visits.to_the_end() == "failed"

    assert visits.step().state is StepState.BLOCKED
    assert "2 of 7 teams have no features" in visits.step().error
    assert visits.step("later").state is StepState.BLOCKED
    assert len(service.asked("/start")) == 1
    assert bench.days_of() == []


@pytest.mark.slow
def test_a_start_that_takes_too_long_is_not_made_twice(bench: Bench, service: Service) -> None:
    # Given a service that works before it answers, longer than we wait
    answered, running = threading.Event(), threading.Event()

    def start(call: Call) -> Answer:
        running.set()
        answered.wait(30)
        return STARTED

    def status(call: Call) -> Answer:
        if not running.is_set():
            return NO_BATCH
        bench.fill(TABLES[0], [day for day in DAYS if day not in bench.days_of()])
        running.clear()  # the next look finds it ended
        return RUNNING

    service.start, service.status = start, status
    visits = Visits(bench=bench, runners=runner(service.url, "start_timeout_seconds = 0.3"))
    try:
        assert visits.to_the_end() == "complete"
    finally:
        answered.set()

    assert len(service.asked("/start")) == 1
    assert bench.days_of() == list(DAYS)


def test_the_patience_that_the_owners_service_needs_is_the_default() -> None:
    spec = HttpBatchRunner(kind="http_batch", url="https://service.example")
    assert (spec.start_timeout_seconds, spec.settle_seconds) == (600, 300)


@pytest.mark.parametrize("force", [False, True])
def test_a_stalled_batch_of_somebody_is_ended_only_when_asked_for(
    bench: Bench, service: Service, force: bool
) -> None:
    # Given somebody's stalled batch, which the next start would end
    stalled = (200, {**RUNNING[1], "is_stalled": True})
    service.start = fills(bench)
    service.status = lambda call: of_batch(COMPLETE)(call) if call.query else stalled
    body = 'body = { start_date = "{start}", end_date = "{end}", force = false }'
    visits = Visits(bench=bench, runners=runner(service.url, body), force_service=force)

    # Then only a run with --force-service starts
    assert visits.to_the_end() == ("complete" if force else "failed")
    assert [call.body["force"] for call in service.asked("/start")] == ([True] if force else [])
    assert service.asked("/reset") == []
    assert bench.days_of() == (list(DAYS) if force else [])
    assert force or f"planner retry {RUN} --force-service" in visits.step().error


def test_force_service_is_an_option_of_a_run_and_of_each_retry(
    bench: Bench, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given the commands as a user types them, and nobody who takes the messages
    service.start = lambda call: (401, {"error": "unauthorized"})
    context = bench.context(runner(service.url))
    for name, value in environment_of(context.settings).items():
        monkeypatch.setenv(name, value)

    def publish(context: Context, run_id: str, *ignored: object) -> None:
        context.ledger.move(run_id, RunState.RUNNING, [RunState.INCOMPLETE])

    monkeypatch.setattr("worker.run.enqueue.send_steps", publish)
    monkeypatch.setattr("worker.run.control.send_steps", publish)

    def planner(*arguments: str) -> str:
        done = CliRunner().invoke(app, [*arguments, "--json"])
        assert done.exit_code == 0, done.output
        return str(json.loads(done.stdout)["run_id"])

    def forced() -> bool:
        return context.ledger.require(run_id).force_service

    def fail() -> None:
        for step_id, _ in plan.steps():
            with pytest.raises(StepFailed):
                visit.visit(context, run_id, step_id, worker="me")
        assert finalize(context, run_id) == "failed"

    # Then a run is forced when that is said, and its retries and resumptions when it is said again
    run_id = planner("enqueue", "--gaps", "--chunk-dates", "8", "--force-service")
    plan = context.ledger.plan(run_id)
    assert plan is not None
    assert forced()
    fail()
    planner("retry", run_id)
    assert not forced()
    planner("pause", run_id)
    planner("resume", run_id)
    assert not forced()
    planner("pause", run_id)
    planner("resume", run_id, "--force-service")
    assert forced()
    fail()
    planner("retry", run_id, "--force-service")
    assert forced()


@pytest.mark.slow
def test_a_batch_that_never_moves_fails_and_does_not_go_on_for_ever(
    bench: Bench, service: Service
) -> None:
    service.status = of_batch(RUNNING)
    visits = Visits(bench=bench, runners=runner(service.url, "stall_seconds = 0.2"))

    assert visits.to_the_end() == "failed"

    assert visits.step().state is StepState.FAILED
    assert bench.days_of() == []


def test_401_in_the_middle_is_met_with_one_new_token(bench: Bench, service: Service) -> None:
    # Given a token that the service takes for the start, and not for the looks after it
    def needs(token: str, then: Any) -> Any:
        def answer(call: Call) -> Answer:
            is_known = call.headers.get("Authorization") == f"Bearer {token}"
            return then(call) if is_known else (401, {"error": "expired"})

        return answer

    def status(call: Call) -> Answer:
        if not call.query:
            return needs("secret-token-1", lambda call: NO_BATCH)(call)
        answer: Answer = needs("secret-token-2", of_batch(COMPLETE))(call)
        return answer

    service.start, service.status = needs("secret-token-1", fills(bench)), status
    visits = Visits(bench=bench, runners=runner(service.url, token_command(bench.place)))

    assert visits.to_the_end() == "complete"

    assert (bench.place / "count").read_text() == "2"
    assert len(service.asked("/start")) == 1
    assert bench.days_of() == list(DAYS)


def test_401_in_the_middle_that_a_new_token_does_not_end_fails_with_advice(
    bench: Bench, service: Service
) -> None:
    service.status = lambda call: (401, {"error": "expired"}) if call.query else NO_BATCH
    visits = Visits(bench=bench, runners=runner(service.url, token_command(bench.place)))

    assert visits.to_the_end() == "failed"

    record = visits.step()
    assert (record.state, record.failures) == (StepState.FAILED, 1)
    assert "the token was refused, also a new one" in record.error
    assert "secret-token" not in record.error
    assert bench.days_of() == []


# -- fallbacks -----------------------------------------------------------------------------------

OPTION_A = """
[[phases.runners]]
kind = "script"
command = ["python3", "backfill_jobs/grade.py", "{start}", "{end}"]
cwd = "${PIPELINE_ROOT}"
"""


def option_b(url: str) -> str:
    return runner(url, 'start_path = "/grade"')


def test_the_plan_says_which_fallback_is_used_and_what_was_looked_for(
    bench: Bench, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given no grading script, a service without /grade, and a processor
    monkeypatch.setenv("PIPELINE_ROOT", str(bench.place))
    visits = Visits(bench=bench, runners=OPTION_A + option_b(service.url) + bench.script())

    plan = with_runners(visits.context, visits.plan)

    chosen = plan.as_json()["runners"]["facts"]
    assert (chosen["number"], chosen["kind"]) == (3, "script")
    assert chosen["absent"] == [
        f"there is no backfill_jobs/grade.py in {bench.place}",
        f"{service.url}/grade answers 404",
    ]
    # And it is what runs
    assert visits.to_the_end() == "complete"
    assert bench.days_of() == list(DAYS)

    # When the script is there after all, then the plan that was made is not run by another
    script = bench.place / "backfill_jobs" / "grade.py"
    script.parent.mkdir()
    script.touch()
    with pytest.raises(BadPlan, match=r"runner 3 \(script\), and now it would be runner 1"):
        require_here(visits.context, plan)


def test_without_any_fallback_there_is_no_plan(
    bench: Bench, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_ROOT", str(bench.place))
    visits = Visits(bench=bench, runners=OPTION_A + option_b(service.url))

    with pytest.raises(BadPipeline) as raised:
        with_runners(visits.context, visits.plan)

    assert f"no backfill_jobs/grade.py in {bench.place}" in str(raised.value)
    assert f"{service.url}/grade answers 404" in str(raised.value)
    assert bench.days_of() == []


# -- leases --------------------------------------------------------------------------------------


def test_a_parked_step_keeps_its_dates(bench: Bench, service: Service) -> None:
    service.status = of_batch(RUNNING)
    visits = Visits(bench=bench, runners=runner(service.url))
    visits.visit()
    dates = Resource(name=f"{visits.context.realm}:facts:{DAYS[0]}")
    lease = Lease(visits.context.redis, [dates], seconds=30)
    assert not lease.acquire()
