"""What the warehouse billed for a step is added to its run, which is paused above its limit."""

from __future__ import annotations

import logging

from planner.plan.cost import cost_of
from worker.context import Context
from worker.ledger.record import RunRecord

log = logging.getLogger(__name__)


def note_billed(context: Context, run: RunRecord, step_id: str | None, billed: int) -> None:
    """Add billed bytes to a run, and to a step of it; pause the run above its limit."""
    if not billed:
        return
    total = context.ledger.add_billed(run, step_id, billed)
    cost = cost_of(total, context.settings.dollars_per_tib)
    if run.max_dollars is None or cost.dollars <= run.max_dollars:
        return
    why = (
        f"it was billed {cost}, and --max-dollars allows ${run.max_dollars:g}: allow more with "
        f"`planner resume {run.id} --max-dollars …`, or end it with `planner cancel {run.id}`"
    )
    if context.ledger.pause_for(run.id, why):
        log.warning("%s is paused: %s", run.id, why)
