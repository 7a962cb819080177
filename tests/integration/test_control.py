"""Control of a run on a real worker: its deadline, and what a retry takes."""

from __future__ import annotations

import pytest

from tests.integration.tiny import Tiny
from tests.waiting import until


@pytest.mark.slow
def test_a_deadline_ends_what_runs_with_all_its_processes(tiny: Tiny) -> None:
    # Given a run with a step that goes on, and one that is done
    long, short = tiny.days(2)
    tiny.hold(long, leaves=True)
    run_id = tiny.register([long, short], deadline_seconds=3600)
    tiny.say("send", run_id)
    holder = tiny.holder(long)
    until(lambda: len(holder.children(recursive=True)) >= 3)
    family = [process.pid for process in holder.children(recursive=True)]
    until(lambda: tiny.states(run_id)[f"{short}/c"] == "succeeded")

    # When its deadline passes, and nobody does anything
    now, _ = tiny.client.time()
    tiny.client.hset(f"backfill:run:{run_id}", "deadline", now + 1)
    record = tiny.ended(run_id)

    # Then it is cancelled, with what is there, and nothing of the script is left
    assert (str(record.state), record.stopped_by, record.endings) == ("cancelled", "deadline", 1)
    assert [pid for pid in family if tiny.works(pid)] == []
    states = tiny.states(run_id)
    assert {states[f"{short}/{phase}"] for phase in "abcd"} == {"succeeded"}
    assert {states[f"{long}/{phase}"] for phase in "abcd"} == {"cancelled"}

    # And a retry, without a deadline, completes it
    tiny.let_go(long)
    assert tiny.say("retry", run_id) == "4"
    record = tiny.ended(run_id)
    assert (str(record.state), record.stopped_by, record.endings) == ("complete", "", 2)


@pytest.mark.slow
def test_a_retry_takes_what_is_not_done_with_new_attempts(tiny: Tiny) -> None:
    # Given a run with a failed and a blocked step
    (day,) = tiny.days(1)
    tiny.spoil(day, "b")
    run_id = tiny.enqueue([day])
    assert str(tiny.ended(run_id).state) == "failed"
    tiny.heal(day)

    # When it is tried again
    assert tiny.say("retry", run_id) == "2"
    record = tiny.ended(run_id)

    # Then only those two were run, as attempts of their own
    assert (str(record.state), record.endings) == ("complete", 2)
    attempts = {phase: tiny.ledger.step(run_id, f"{day}/{phase}").attempt for phase in "abdc"}
    assert attempts == {"a": 1, "b": 3, "d": 1, "c": 1}
