"""The steps of a run, polled: each poll reads only the steps that may have changed."""

from __future__ import annotations

from itertools import islice

from planner.plan.states import STEP_ENDED, StepState
from worker.ledger.record import StepRecord
from worker.ledger.steps import StepLedger

PENDING_AT_ONCE = 30  # pending steps per look: of them only what they wait for may be older


class Followed:
    """The steps of one run, as of the last poll."""

    def __init__(self, ledger: StepLedger, run_id: str) -> None:
        self._ledger = ledger
        self._run_id = run_id
        self._seen: dict[str, StepRecord] = {}
        """In the order of their last look, oldest first."""

    def look(self) -> list[StepRecord]:
        """Every step of the run. At first all are read; then those that run or that moved, and the
        pending ones in turns."""
        states = self._ledger.steps(self._run_id)
        wanted = {each for each, state in states.items() if self._may_differ(each, state)}
        pending = (each for each, seen in self._seen.items() if seen.state not in STEP_ENDED)
        wanted.update(islice((each for each in pending if each not in wanted), PENDING_AT_ONCE))
        read = self._ledger.records_of(
            self._run_id, {each: state for each, state in states.items() if each in wanted}
        )
        for record in read:
            self._seen.pop(record.id, None)
            self._seen[record.id] = record
        return [self._seen[each] for each in states]

    def _may_differ(self, step_id: str, state: StepState) -> bool:
        seen = self._seen.get(step_id)
        return seen is None or seen.state is not state or state is StepState.RUNNING
