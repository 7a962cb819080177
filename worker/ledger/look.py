"""What a delivery of a step's message asks the ledger first, in one round trip."""

from __future__ import annotations

from dataclasses import dataclass

from planner.plan.plan import PlannedChunk, chunk_of
from planner.plan.states import StepState
from worker.ledger.connection import Connected
from worker.ledger.keys import is_run_id, run_key, step_key
from worker.ledger.plans import read_chunk
from worker.ledger.record import RunRecord, StepRecord, run_record, step_record
from worker.ledger.together import Together


@dataclass(frozen=True, kw_only=True)
class Look:
    """A run, one of its steps, and the step's chunk."""

    run: RunRecord
    record: StepRecord
    chunk: PlannedChunk | None
    """None when the ledger does not hold it by itself."""


class LookLedger(Connected):
    """Reads what a visit begins with."""

    def look(self, run_id: str, step_id: str) -> Look | None:
        """How a run and one of its steps stand; None when Redis does not hold the run.

        A run whose deadline has passed is `cancelling`. Raises `BadPlan`.
        """
        if not is_run_id(run_id) or not isinstance(step_id, str):
            return None  # from a message, which may say anything
        together = Together(self.client)
        together.script("look", keys=[run_key(run_id)], args=[])
        together.commands.hget(run_key(run_id, "steps"), step_id)
        together.commands.hgetall(step_key(run_id, step_id))
        together.commands.hget(run_key(run_id, "chunks"), chunk_of(step_id))
        run, state, fields, chunk = together.send()
        if not run:
            return None
        return Look(
            run=run_record(run_id, dict(zip(run[::2], run[1::2], strict=True))),
            record=step_record(step_id, StepState(state or StepState.PENDING), fields),
            chunk=None if chunk is None else read_chunk(run_id, chunk_of(step_id), chunk),
        )
