"""The ledger of what the warehouse billed: per step, and per run with its counts at the end.

An attempt whose worker is killed tells nothing of what it asked, so the sum is what is known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

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

    def note_labelled(
        self, run: RunRecord, billed: Mapping[str, int], unknown: Mapping[str, str]
    ) -> None:
        """Note what jobs with the labels of steps were billed in all, a part of what each step was;
        and phase → why none tells that of it. Noted again, only what is more is added. By one
        process at a time: the one that ends the run."""
        pipe = self.client.pipeline(transaction=False)
        for step_id in billed:
            pipe.hget(step_key(run.id, step_id), "labelled")
        known = dict(zip(billed, (int(size or 0) for size in pipe.execute()), strict=True))
        more = {step: max(0, size - known[step]) for step, size in billed.items()}
        pipe = self.client.pipeline()  # a process that dies here adds all of it, or nothing
        for step_id, size in more.items():
            pipe.hset(step_key(run.id, step_id), "labelled", known[step_id] + size)
            pipe.hincrby(step_key(run.id, step_id), "billed", size)
        pipe.hincrby(run_key(run.id), "billed", sum(more.values()))
        pipe.hincrby(BILLED, run.pipeline, sum(more.values()))
        pipe.hset(run_key(run.id), "unbilled", json.dumps(dict(unknown)))
        pipe.execute()

    def limit_dollars(self, run_id: str, dollars: float) -> None:
        """Let a run be billed as much as this, from now on."""
        self.client.hset(run_key(run_id), "max_dollars", str(dollars))

    def pause_for(self, run_id: str, why: str) -> bool:
        """Pause a running run, and note why; False when it is not running."""
        answer = script(self.client, "move")(
            keys=[run_key(run_id)], args=[RunState.PAUSED, RunState.RUNNING]
        )
        if answer == RunState.PAUSED:
            self.client.hset(run_key(run_id), "note", why)
        return bool(answer == RunState.PAUSED)

    def forget_note(self, run_id: str) -> None:
        """Clear the note of what a run waited for."""
        self.client.hset(run_key(run_id), "note", "")
