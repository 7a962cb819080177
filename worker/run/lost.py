"""A run whose plan or steps are gone, as a Redis that evicts keys loses them: ended, by name.

What is left of it would look settled, or wait for ever.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from planner.plan.states import StepState
from worker.ledger.record import RunRecord
from worker.step.context import Context

log = logging.getLogger(__name__)

LOST = "lost"


def end_if_lost(context: Context, run: RunRecord, states: Mapping[str, StepState]) -> bool:
    """End a run, as failed, when Redis has dropped its plan or some of its steps."""
    gone = run.steps_total - len(states)
    if gone <= 0 and context.ledger.has_plan(run.id):
        return False
    what = f"{gone} of its {run.steps_total} steps" if gone > 0 else "its plan"
    why = (
        f"{LOST}: Redis has dropped {what}. Set its maxmemory-policy to noeviction, then plan "
        "again: `planner enqueue --gaps`"
    )
    log.error("%s is %s", run.id, why)
    context.ledger.lose(run, why)
    return True
