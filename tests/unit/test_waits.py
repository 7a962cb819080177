"""What steps wait for, why they are tried again, and where their logs are: in words."""

from __future__ import annotations

import time

from planner.plan.states import RunState, StepState
from worker.ledger.record import RunRecord, StepRecord
from worker.status.waits import logs_of, retrying, waits

NOW = time.time()
RUN = RunRecord(id="run-20260102-k7xq3w", state=RunState.RUNNING, created=NOW)
SLOT = "a slot of a (1 at once)"


def step(number: int, state: StepState = StepState.PENDING, **fields: object) -> StepRecord:
    return StepRecord.model_validate({"id": f"2025-01-0{number}/a", "state": state, **fields})


def test_what_steps_wait_for_is_told_with_since_when() -> None:
    found = waits(
        RUN,
        [
            step(1, waiting=SLOT, since=NOW - 20),
            step(2, waiting=SLOT, since=NOW - 125),
            step(3, waiting="b of its days"),
            step(4, StepState.SUCCEEDED, waiting=SLOT, since=NOW - 999),
        ],
    )

    assert [each.line(NOW) for each in found] == [
        f"2 waiting for {SLOT}, for 2 min 05 s",
        "1 waiting for b of its days",
    ]
    ended = RUN.model_copy(update={"state": RunState.FAILED, "ended": NOW})
    assert waits(ended, [step(1, waiting=SLOT)]) == []


def test_attempts_that_failed_for_one_reason_are_one_line_with_when_the_next_is() -> None:
    def failed(number: int, again: float) -> StepRecord:
        tried = {f"2025-01-0{number}": f"rows missing: t holds {number} of 9"}
        return step(number, failures=2, attempts_max=4, tried=tried, again=again)

    (found,) = retrying(RUN, [failed(2, NOW + 90), failed(1, NOW + 27)])

    assert found.line(NOW) == (
        "2 steps: attempt 2 of 4 failed: 2025-01-01: rows missing: t holds 1 of 9; again in 27 s"
    )
    assert found.line(NOW + 30).endswith("again when a worker is free")


def test_which_log_is_on_which_host_is_told() -> None:
    found = logs_of(
        [
            step(1, StepState.FAILED, worker="worker-1@north"),
            step(2, StepState.FAILED, worker="worker-1@south"),
            step(3, StepState.FAILED, worker="worker-2@south"),
            step(4, StepState.SUCCEEDED, worker="worker-1@north"),
        ]
    )

    assert [each.line(RUN.id) for each in found] == [
        f"log of 2025-01-01/a: on north, where `planner logs {RUN.id} 2025-01-01/a` shows it",
        f"logs of 2 steps: on south, where `planner logs {RUN.id}` shows it",
    ]
