"""Every way in which stock Celery 5.7.0 on Redis was seen to break, and what becomes of it here.

The numbers are rows of one table of experiments: each test makes the row's situation on a real
worker with two slots, and says how our run ends. `test_transport.py` shows what stock does where
we repair it, and fails when a repair is not needed any more.
"""

from __future__ import annotations

import ast
import itertools
import json
import os
import signal
from datetime import date
from pathlib import Path

import celery
import kombu
import psutil
import pytest

import worker.tasks as tasks_module
from tests.integration.tiny import ALL, Tiny
from tests.waiting import until
from worker.ledger.record import RunRecord


def whole(record: RunRecord) -> bool:
    """Every step done, and finalized once."""
    return (str(record.state), record.endings) == ("complete", 1)


def failed_once(record: RunRecord) -> bool:
    return (str(record.state), record.endings) == ("failed", 1)


def outcomes(tiny: Tiny, run_id: str, day: date) -> dict[str, str]:
    """Phase → how its step ended."""
    states = tiny.states(run_id)
    return {step.rpartition("/")[2]: state for step, state in states.items() if str(day) in step}


def test_the_versions_that_were_taken_apart() -> None:
    """With another version, look at worker/messages/transport.py: what stock does right can go."""
    assert (celery.__version__, kombu.__version__) == ("5.7.0", "5.7.0")


@pytest.mark.slow
def test_row_1_a_link_in_the_middle_fails(tiny: Tiny) -> None:
    # Given two chunks whose second link fails, and one that is well
    bad, worse, good = tiny.days(3)
    for day in (bad, worse):
        tiny.spoil(day, "b")

    record = tiny.ended(run_id := tiny.enqueue([bad, worse, good]))

    assert failed_once(record)
    for day in (bad, worse):
        assert outcomes(tiny, run_id, day)["b"] == "failed"
        assert outcomes(tiny, run_id, day)["c"] == "blocked"
    assert set(outcomes(tiny, run_id, good).values()) == {"succeeded"}


@pytest.mark.parametrize("failing", ["b", "d"])
@pytest.mark.quick("d")
def test_row_2_one_of_two_parallel_steps_fails(tiny: Tiny, failing: str) -> None:
    """Two phases after one, and one after both: no group in the chain, and the other one runs."""
    (day,) = tiny.days(1)
    tiny.spoil(day, failing)

    record = tiny.ended(run_id := tiny.enqueue([day]))

    assert failed_once(record)
    other = "d" if failing == "b" else "b"
    expected = {"a": "succeeded", failing: "failed", other: "succeeded", "c": "blocked"}
    assert outcomes(tiny, run_id, day) == expected


def test_row_3_several_errbacks_finalize_once(tiny: Tiny) -> None:
    settings = json.loads(tiny.say("settings"))
    assert settings["task_allow_error_cb_on_chord_header"] is False
    (day,) = tiny.days(1)
    tiny.hold(day)
    run_id = tiny.enqueue([day])

    for _ in range(3):
        tiny.say("finalize", run_id)
    tiny.let_go(day)

    assert whole(tiny.ended(run_id))
    until(lambda: not tiny.client.hlen("unacked") and not tiny.client.llen("final"))
    assert tiny.ledger.require(run_id).endings == 1


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.quick("True")
def test_row_4_retries_are_used_up_after_polls(tiny: Tiny, last: bool) -> None:
    """A link that waits for another chunk, then fails, is tried again, and gives up."""
    (day,) = tiny.days(1)
    phase = "c" if last else "b"
    tiny.spoil(day, phase)

    record = tiny.ended(run_id := tiny.enqueue([day]))

    assert failed_once(record)
    assert tiny.ledger.step(run_id, f"{day}/{phase}").attempt == 2


def test_row_5_links_are_revoked_and_terminated(tiny: Tiny) -> None:
    # Given a step at work, and the next link of its chain revoked
    (day,) = tiny.days(1)
    tiny.hold(day)
    run_id = tiny.enqueue([day])
    tiny.holder(day)
    (message,) = [each for each in tiny.messages() if each["shadow"] == f"{day}/a"]
    following = message["chain"][-1]["options"]["task_id"]
    tiny.say("revoke", following)

    # When the one at work is revoked too, as Flower's button does
    tiny.say("revoke", message["id"], "terminate")
    first = tiny.scripts(day)[0]
    until(lambda: not tiny.works(first))
    tiny.let_go(day)

    # Then both are sent again: who wants to stop a run cancels it
    assert whole(tiny.ended(run_id))
    assert tiny.ledger.step(run_id, f"{day}/a").attempt == 2


def test_row_6_a_task_that_no_worker_knows(tiny: Tiny) -> None:
    """Such a message is dropped; a run has two kinds of task, and every worker knows both."""
    (day,) = tiny.days(1)
    tiny.hold(day)
    run_id = tiny.enqueue([day])
    tiny.holder(day)
    sent = {each["task"] for each in tiny.messages()}
    sent |= {link["task"] for each in tiny.messages() for link in each["chain"] or ()}
    tiny.say("unknown", "a")
    tiny.let_go(day)

    assert whole(tiny.ended(run_id))
    assert sent == {"backfill.step"}
    until(lambda: not tiny.client.llen("a"))


@pytest.mark.parametrize("row", ["7: raise Ignore", "8: Task.replace"])
def test_rows_7_and_8_never_happen(row: str) -> None:
    """A task returns, fails, or comes again: nothing that would leave its chord waiting."""
    path = Path(tasks_module.__file__ or "")
    tree = ast.parse(path.read_text())
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    what = row.rpartition(" ")[2].rpartition(".")[2]
    assert what not in names | attributes


@pytest.mark.slow
def test_row_9_a_time_limit_in_the_middle_of_a_chain(tiny: Tiny) -> None:
    (day,) = tiny.days(1)
    tiny.lose(day, "t")
    tiny.hold(day, "t")

    record = tiny.ended(run_id := tiny.enqueue([day], ["t", "u"]))

    assert failed_once(record)
    assert outcomes(tiny, run_id, day) == {"t": "failed", "u": "blocked"}
    assert "timed out" in tiny.ledger.step(run_id, f"{day}/t").error
    assert not tiny.works(tiny.scripts(day, "t")[0])


@pytest.mark.slow
def test_row_10_a_step_outlives_the_visibility_timeout(tiny: Tiny) -> None:
    (day,) = tiny.days(1)
    tiny.hold(day)
    run_id = tiny.enqueue([day])
    began = tiny.holder(day).create_time()
    twice = 2.2 * tiny.settings.visibility_seconds * 10**9
    until(lambda: tiny.ticks(day)[-1][1] - tiny.ticks(day)[0][1] > twice)
    tiny.let_go(day)

    assert whole(tiny.ended(run_id)), began
    assert len(tiny.scripts(day)) == 1


@pytest.mark.slow
def test_row_11_connections_are_cut_under_a_running_step(tiny: Tiny) -> None:
    (day,) = tiny.days(1)
    tiny.hold(day)
    run_id = tiny.enqueue([day])
    tiny.holder(day)

    tiny.client.client_kill_filter(_type="normal", skipme=True)
    tiny.client.client_kill_filter(_type="pubsub", skipme=True)
    until(lambda: len(tiny.client.client_list(_type="normal")) > 2)  # they are back
    before = tiny.ticks(day)[-1][1]
    until(lambda: tiny.ticks(day)[-1][1] > before + 10**9)
    tiny.let_go(day)

    assert whole(tiny.ended(run_id))
    assert len(tiny.scripts(day)) == 1


@pytest.mark.slow
def test_rows_12_and_19_redis_goes_away_and_the_last_link_ends_meanwhile(tiny: Tiny) -> None:
    # Given a worker that runs a step and has a free slot
    (day,) = tiny.days(1)
    tiny.hold(day)
    run_id = tiny.enqueue([day], ["a"])
    script = psutil.Process(tiny.holder(day).children()[0].pid)
    main = tiny.worker.process
    assert tiny.server.process is not None

    # When Redis is killed, the step ends, and Redis comes back
    tiny.server.process.kill()
    tiny.server.process.wait()
    tiny.let_go(day)
    script.wait(10)
    tiny.server.start()

    # Then the same worker hands in what it did
    assert whole(tiny.ended(run_id))
    assert len(tiny.scripts(day)) == 1
    assert tiny.worker.process is main
    assert main is not None
    assert main.poll() is None


def test_row_13_running_steps_are_not_cancelled_on_a_lost_connection(tiny: Tiny) -> None:
    settings = json.loads(tiny.say("settings"))
    assert settings["worker_cancel_long_running_tasks_on_connection_loss"] is False


@pytest.mark.slow
def test_row_14_killed_between_the_result_and_the_finalization(tiny: Tiny) -> None:
    (day,) = tiny.days(1)
    (tiny.place / "dies_before_body").touch()

    record = tiny.ended(run_id := tiny.enqueue([day], ["a"]))

    assert not (tiny.place / "dies_before_body").exists()  # it died
    assert whole(record)
    assert tiny.ledger.step(run_id, f"{day}/a").attempt == 1


@pytest.mark.slow
def test_rows_15_and_18_a_pool_process_is_killed_and_its_script_has_children(tiny: Tiny) -> None:
    # Given a step whose script has a child in a session of its own
    (day,) = tiny.days(1)
    tiny.hold(day, leaves=True)
    run_id = tiny.enqueue([day])
    holder = tiny.holder(day)
    until(lambda: len(holder.children(recursive=True)) >= 3)
    family = [process.pid for process in holder.children(recursive=True)]

    # When its pool process is killed
    holder.kill()
    until(lambda: len(tiny.scripts(day)) == 2)

    # Then it runs again at once, and no process of the first is alive
    assert [pid for pid in family if tiny.works(pid)] == []
    tiny.let_go(day)
    assert whole(tiny.ended(run_id))
    assert_one_after_the_other(tiny, day)
    assert tiny.ledger.step(run_id, f"{day}/a").attempt == 2


@pytest.mark.slow
def test_row_16_a_worker_is_killed_with_all_its_processes(tiny: Tiny) -> None:
    # Given a step whose script has a child in a session of its own
    (day,) = tiny.days(1)
    tiny.hold(day, leaves=True)
    run_id = tiny.enqueue([day])
    holder = tiny.holder(day)
    until(lambda: len(holder.children(recursive=True)) >= 3)
    family = [process.pid for process in holder.children(recursive=True)]
    assert len({os.getpgid(pid) for pid in family}) == 2
    assert tiny.worker.process is not None

    # When its whole worker is killed
    tiny.worker.process.kill()
    until(lambda: len(tiny.scripts(day)) == 2)

    # Then the step runs again, when every process of the first script is gone
    assert [pid for pid in family if tiny.works(pid)] == []
    tiny.let_go(day)
    assert whole(tiny.ended(run_id))
    assert_one_after_the_other(tiny, day)


@pytest.mark.slow
def test_row_17_sigterm_does_not_wait_for_the_step(tiny: Tiny) -> None:
    # Given a step that takes longer than the grace
    (day,) = tiny.days(1)
    tiny.hold(day)
    run_id = tiny.enqueue([day])
    tiny.holder(day)
    main = tiny.worker.process
    assert main is not None

    # When its worker is asked to stop
    main.send_signal(signal.SIGTERM)
    main.wait(15)

    # Then the step is run by the next one, without losing a retry
    until(lambda: len(tiny.scripts(day)) == 2)
    tiny.let_go(day)
    assert whole(tiny.ended(run_id))
    assert_one_after_the_other(tiny, day)
    step = tiny.ledger.step(run_id, f"{day}/a")
    assert (step.attempt, step.failures) == (2, 0)


def assert_one_after_the_other(tiny: Tiny, day: date) -> None:
    """No two scripts worked on a day at once."""
    seen = [pid for pid, _ in sorted(tiny.ticks(day), key=lambda tick: tick[1])]
    changes = sum(one != other for one, other in itertools.pairwise(seen))
    assert changes == len(set(seen)) - 1


def test_every_phase_of_the_tiny_pipeline_is_tried(tiny: Tiny) -> None:
    """What the other tests stand on: without a fault a run is whole, each step once."""
    (day,) = tiny.days(1)
    record = tiny.ended(run_id := tiny.enqueue([day]))

    assert whole(record)
    assert outcomes(tiny, run_id, day) == dict.fromkeys(ALL, "succeeded")
    assert {tiny.ledger.step(run_id, step).attempt for step in tiny.states(run_id)} == {1}
