"""An attempt that failed says why, and when the next one is made, wherever people look."""

from __future__ import annotations

import io
import json
import re

import pytest
from rich.console import Console

from planner.commands.runs import _print_status
from planner.console import run_ending as ending
from planner.console.run_status import cause_lines_of
from planner.plan.states import RunState, StepState
from tests.integration.shop import RUN, Shop, day, lose_what_is_written
from tests.integration.tiny import Tiny
from tests.waiting import until
from worker.finalization.finalize import finalize
from worker.status.status import status_json
from worker.step.errors import AttemptFailed, Requeue, StepFailed
from worker.step.log import log_path

STEP = f"{day(11)}/sessionise"


@pytest.fixture
def short(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A run whose step loses its rows as soon as they are written."""
    shop.lose_sessions(day(11))
    shop.register(shop.plan())
    lose_what_is_written(monkeypatch, day(11))
    return shop


def status(shop: Shop, capsys: pytest.CaptureFixture[str]) -> str:
    _print_status(status_json(shop.context, shop.ledger.require(RUN)))
    return capsys.readouterr().out


def test_status_log_and_message_say_why_an_attempt_failed_and_when_the_next_is_made(
    short: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AttemptFailed, match="attempt 1 of 4 failed: 2025-03-11: rows missing"):
        short.visit(STEP)

    reason = "attempt 1 of 4 failed: 2025-03-11: rows missing: shop_analytics.sessions holds 0"
    assert re.search(rf"{STEP}: {reason}.*; again in \d+ s", status(short, capsys))
    log = log_path(short.context, RUN, STEP).read_text()
    assert re.search(rf"UTC {reason}.*; again in \d+ s", log)
    (told,) = status_json(short.context, short.ledger.require(RUN))["retrying"]
    assert (told["steps"], reason in told["reason"]) == ([STEP], True)


def test_it_survives_a_cancel(short: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Requeue):
        short.visit(STEP)
    short.ledger.move(RUN, RunState.CANCELLING, [RunState.RUNNING])

    for step in short.states():
        with pytest.raises(StepFailed):
            short.visit(step)
    assert finalize(short.context, RUN) == "cancelled"

    reason = "cancelled after attempt 1 of 4 failed: rows missing: shop_analytics.sessions holds 0"
    assert reason in status(short, capsys)
    assert reason in str(short.ledger.report(RUN))


def test_a_step_that_succeeds_at_last_says_nothing_of_it(
    short: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Requeue):
        short.visit(STEP)
    monkeypatch.undo()

    assert short.visit(STEP) == "succeeded"

    assert "attempt" not in status(short, capsys)


def test_a_command_that_waited_ends_with_causes_report_and_what_to_do_next(
    short: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.StringIO()
    monkeypatch.setattr(ending, "err", Console(file=written, width=400))
    for _ in range(4):
        with pytest.raises((Requeue, StepFailed)):
            short.visit(STEP)
    for step in short.states():
        with pytest.raises(StepFailed):
            short.visit(step)
    assert finalize(short.context, RUN) == "failed"

    ending.print_ending(short.context, short.ledger.require(RUN))

    said = written.getvalue()
    page = short.context.settings.home_dir / "reports" / RUN / "report.html"
    assert "sessionise failed, 1 date: 2025-03-11: rows missing" in said
    assert f"report: {page}" in said
    assert f"next: mend the cause, then `planner retry {RUN}`" in said
    assert "if rows cannot come any more: `planner gaps --accept`" in said
    assert cause_lines_of(status_json(short.context, short.ledger.require(RUN)))[0] in said


def test_a_statement_that_was_refused_leaves_its_log(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.lose_sessions(day(11))
    shop.register(shop.plan())
    bad = "SELECT nothing FROM nowhere.at_all"
    monkeypatch.setattr("worker.runners.sql.read_statement", lambda name, beside: bad)

    with pytest.raises((Requeue, StepFailed)):
        shop.visit(STEP)

    (refused, *_) = log_path(shop.context, RUN, STEP).read_text().splitlines()
    assert refused.startswith("sales/sessions 2025-03-11 2025-03-11: The local warehouse does not")


def test_flower_shows_why_a_step_was_put_back(tiny: Tiny) -> None:
    tiny.say("listen")
    (when,) = tiny.days(1)
    tiny.spoil(when, "b")
    run_id = tiny.enqueue([when])
    tiny.ended(run_id)

    until(lambda: any("AttemptFailed" in why for why in shown(tiny, run_id)))
    why = next(why for why in shown(tiny, run_id) if "AttemptFailed" in why)
    assert f"attempt 1 of 2 failed: {when}: rows missing" in why
    # Under its own name: what is sent anew tells the name of every step's task otherwise.
    assert {name for name, _ in json.loads(tiny.say("shown", run_id))} <= {
        *tiny.states(run_id),
        f"finalize {run_id}",
    }
    assert tiny.ledger.step(run_id, f"{when}/b").state is StepState.FAILED


def test_flower_tells_a_step_that_waits_for_upstream_from_one_that_failed(tiny: Tiny) -> None:
    tiny.say("listen")
    (when,) = tiny.days(1)
    tiny.hold(when)
    run_id = tiny.enqueue([when])
    tiny.holder(when)
    tiny.say("step", run_id, f"{when}/b")

    until(lambda: any(re.search(r"Waiting\(.*waits for a ", w) for w in shown(tiny, run_id)))
    tiny.let_go(when)
    assert str(tiny.ended(run_id).state) == "complete"


def shown(tiny: Tiny, run_id: str) -> list[str]:
    """Why steps of a run were put back, as Flower shows it."""
    return [why for _, why in json.loads(tiny.say("shown", run_id))]
