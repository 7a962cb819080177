"""The list of runs, for its page, and what was counted of the gaps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from planner.errors import BadRecord
from planner.plan.states import RUN_ACTIVE, STEP_ENDED
from worker.ledger.ledger import Ledger
from worker.ledger.record import RunRecord
from worker.serve.page_state import PageState
from worker.status.status import shown_state

RUNS_SHOWN = 100


class IndexLook:
    """Polls the newest runs."""

    def __init__(self, ledger: Ledger, gaps: Callable[[], dict[str, Any] | None]) -> None:
        self._ledger = ledger
        self._gaps = gaps

    def __call__(self) -> PageState:
        """Look. Raises errors of Redis and the ledger."""
        found = self._ledger.peek_newest(RUNS_SHOWN)
        active = [e.id for e in found if isinstance(e, RunRecord) and e.state in RUN_ACTIVE]
        tally = self._ledger.peek_tally(active)
        settled = {run: sum(states[each] for each in STEP_ENDED) for run, states in tally.items()}
        runs = [
            {"unreadable": str(each)} if isinstance(each, BadRecord) else _row(each, settled)
            for each in found
        ]
        return PageState(status={"at": time.time(), "runs": runs, "gaps": self._gaps()})


def _row(run: RunRecord, settled: dict[str, int]) -> dict[str, Any]:
    return {
        "run_id": run.id,
        "state": shown_state(run),
        "pipeline": run.pipeline,
        "created": run.created,
        "ended": run.ended,
        "steps_total": run.steps_total,
        "steps_settled": run.steps_total if run.is_ended else settled.get(run.id, 0),
        "reason": run.reason,
        "by": run.asked.by if run.asked else None,
    }
