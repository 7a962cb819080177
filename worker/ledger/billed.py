"""The ledger of what the warehouse billed: per step, and per run with its counts at the end.

An attempt whose worker is killed tells nothing of what it asked, so the sum is what is known.
"""

from __future__ import annotations

from planner.plan.states import RunState
from worker.ledger.connection import Connected, script
from worker.ledger.keys import BILLED, run_key, step_key
from worker.ledger.record import RunRecord


class BilledLedger(Connected):
    """Adds up billed bytes, and stops a run that passes its limit."""

    def add_billed(self, run: RunRecord, step_id: str | None, billed: int) -> int:
        """Add bytes to a run, and to a step of it; what the run was billed so far."""
        pipe = self.client.pipeline(transaction=False)
        pipe.hincrby(BILLED, run.pipeline, billed)
        if step_id is not None:
            pipe.hincrby(step_key(run.id, step_id), "billed", billed)
        pipe.hincrby(run_key(run.id), "billed", billed)
        return int(pipe.execute()[-1])

    def limit_dollars(self, run_id: str, dollars: float) -> None:
        """Let a run be billed as much as this, from now on."""
        self.client.hset(run_key(run_id), "max_dollars", str(dollars))

    def pause_for(self, run_id: str, why: str) -> bool:
        """Pause a run that goes on, and say why; False when it does not go on."""
        answer = script(self.client, "move")(
            keys=[run_key(run_id)], args=[RunState.PAUSED, RunState.RUNNING]
        )
        if answer == RunState.PAUSED:
            self.client.hset(run_key(run_id), "note", why)
        return bool(answer == RunState.PAUSED)

    def forget_note(self, run_id: str) -> None:
        """What a run waited for no longer holds."""
        self.client.hset(run_key(run_id), "note", "")
