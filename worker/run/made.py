"""What a run made, written down at its end where it outlives Redis."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from planner.plan import made as notes
from planner.plan.made import Made
from planner.plan.states import DateState
from worker.ledger.record import RunRecord
from worker.step.context import Context


def made_by(context: Context, run: RunRecord, dates: Mapping[tuple[str, date], DateState]) -> Made:
    """What made the dates that the run settled."""
    done = {pair for pair, state in dates.items() if state is DateState.DONE}
    return Made(
        run_id=run.id,
        pipeline=run.pipeline,
        warehouse=run.warehouse,
        warehouse_id=run.warehouse_id,
        ended=context.ledger.now(),
        made=context.ledger.made(run.id, done),
    )


def save_made(context: Context, made: Made) -> None:
    """Write it into `HOME/made`. Raises `OSError`."""
    if made.made:
        notes.save(context.settings.folder("made"), made)
