"""What tests do to a run behind everybody's back."""

from __future__ import annotations

from planner.plan.plan import Plan
from planner.plan.states import STEP_ENDED, RunState, StepState
from worker.ledger.ledger import Ledger
from worker.ledger.plans import written
from worker.ledger.record import RunEnding


def end(ledger: Ledger, run_id: str, state: RunState = RunState.FAILED) -> None:
    """Let a run have ended, whatever was left to do."""
    for step, at in ledger.steps(run_id).items():
        if at not in STEP_ENDED:
            ledger.client.hset(f"backfill:run:{run_id}:steps", step, StepState.CANCELLED)
    endings = ledger.require(run_id).endings
    assert ledger.conclude(run_id, state, RunEnding(), report="{}", endings=endings)


def rename(ledger: Ledger, run_id: str, old: str, new: str = "gone") -> None:
    """Let a run's plan call a phase what no pipeline file calls it."""
    key = f"backfill:run:{run_id}"
    known = ledger.plan(run_id)
    assert known is not None
    text = known.model_dump_json().replace(f'"{old}"', f'"{new}"')
    text, chunks = written(Plan.model_validate_json(text).sealed())
    ledger.client.set(f"{key}:plan", text)
    ledger.client.hset(f"{key}:chunks", mapping=chunks)
    ledger.client.hset(key, "pipeline_checksum", "of the file as it was")
    for part, tail in (("steps", f"/{old}"), ("dates", f"{old}|")):
        for field, state in ledger.client.hgetall(f"{key}:{part}").items():
            if tail in str(field):
                ledger.client.hdel(f"{key}:{part}", field)
                ledger.client.hset(f"{key}:{part}", str(field).replace(old, new), state)
