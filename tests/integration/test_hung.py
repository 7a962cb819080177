"""A pool process that hangs loses its step to another, and never writes again."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace

import celery.worker.state as worker_state
import psutil
import pytest

from planner.plan.states import RunState
from tests.integration.shop import RUN, Shop, day
from tests.integration.tiny import Tiny
from tests.waiting import until
from worker import hung
from worker.context import Context
from worker.hung import Hangs
from worker.status.no_progress import held_up_by

PID = os.getpid()  # of a process that is there


def held_up(context: Context, run_id: str) -> list[str]:
    """What status says of processes that hang."""
    record, steps = context.ledger.require(run_id), context.ledger.step_records(run_id)
    return [line for line in held_up_by(context, record, steps) if "hangs" in line]


@pytest.mark.parametrize("ends", ["goes on", "begins anew"])
def test_status_tells_of_a_step_that_hangs_as_long_as_it_does(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, ends: str
) -> None:
    shop.lose_sessions(day(4))
    (step, *_) = shop.register(shop.plan())
    ledger, silences = shop.ledger, {PID: 5.0}
    ledger.start(RUN, step, token="first", worker="w@h")
    hangs = Hangs(shop.context, "w@h")
    monkeypatch.setattr(hangs._watch, "look", lambda: silences)
    request = SimpleNamespace(worker_pid=PID, args=[RUN, step])
    monkeypatch.setattr(worker_state, "active_requests", [request])

    hangs.look()
    hangs.look()

    (told,) = held_up(shop.context, RUN)
    assert told.startswith(f"{step}: process {PID} on w@h hangs: it is stopped")
    assert f"`kill -CONT {PID}` lets it go on. Its worker ends it after 60 s" in told
    assert caplog.text.count(told.partition(": ")[2]) == 1

    if ends == "goes on":
        silences.clear()
        hangs.look()
        assert f"pool process {PID} goes on" in caplog.text
    else:  # it was killed by others meanwhile
        monkeypatch.setattr(hung, "born", lambda pid: "")
        silences.clear()
        hangs.look()
        assert "goes on" not in caplog.text.replace("lets it go on", "")
        ledger.start(RUN, step, token="second", worker="another@h")
    assert held_up(shop.context, RUN) == []


@pytest.mark.parametrize("args", [None, [], ["../run"], [RUN, 7], {"run": RUN}])
def test_a_process_at_what_is_no_step_is_told_all_the_same(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, args: object
) -> None:
    hangs = Hangs(shop.context, "w@h")
    monkeypatch.setattr(hangs._watch, "look", lambda: {77: 5.0})
    request = SimpleNamespace(worker_pid=77, args=args)
    monkeypatch.setattr(worker_state, "active_requests", [request])

    hangs.look()

    assert "no step: no sign of life for 5 s: pool process 77 on w@h hangs" in caplog.text
    assert shop.context.redis.keys("backfill:run:*") == []


@pytest.mark.slow
def test_what_a_hung_process_was_at_is_done_by_another(tiny: Tiny) -> None:
    # Given a process that hangs inside an attempt, while its worker lives
    (at,) = tiny.days(1)
    tiny.hold(at)
    run_id = tiny.enqueue([at], ["a"])
    stopped = tiny.holder(at)
    (first,) = tiny.scripts(at)
    stopped.send_signal(signal.SIGSTOP)

    # Then status says so, and what to do
    def told() -> list[str]:
        return held_up(tiny.context, run_id)

    until(told)
    assert f"process {stopped.pid} on worker-1" in told()[0]

    # And it is ended with its script before another goes on
    until(lambda: len(tiny.scripts(at)) == 2)
    assert not tiny.works(stopped.pid)
    assert not tiny.works(first)
    assert told() == []

    # When that one hangs at the run's end, then a third ends it
    (tiny.place / "freezes_at_end").touch()
    tiny.let_go(at)
    record = tiny.ended(run_id)
    frozen = int((tiny.place / "frozen").read_text())
    assert not psutil.pid_exists(frozen)
    assert (record.state, record.endings) == (RunState.COMPLETE, 1)
    (step,) = tiny.ledger.step_records(run_id)
    assert step.attempt == 2
    log = tiny.worker.log.read_text()
    assert "a turn of the janitor failed" not in log
    assert f"pool process {stopped.pid}" in log
    assert f"pool process {frozen}" in log
