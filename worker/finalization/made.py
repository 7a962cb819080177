"""What a run made, written down at its end where it outlives Redis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date

from planner.errors import FleetError
from planner.plan import made as notes
from planner.plan.made import UNKNOWN, Fingerprint, Made, MadeBy
from planner.plan.states import DateState
from planner.report.made import write_made
from worker.context import Context
from worker.ledger.record import RunRecord


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
    """Write it into `HOME/made`, and merge what is there of long ago. Raises `OSError`."""
    if not made.made:
        return
    folder = context.settings.folder("made")
    notes.save(folder, made)
    with suppress(FleetError):  # a broken note is reported where it is read
        notes.merge_older(folder, now=made.ended)


def save_restored(
    context: Context, run: RunRecord, restore_id: str, pairs: Iterable[tuple[str, date]]
) -> None:
    """Note what made rows that were put back: what made them before the run, or that it is unknown.

    Raises `OSError`, and `FleetError` for a note that cannot be read.
    """
    folder = context.settings.folder("made")
    earlier = [
        note
        for note in notes.read(folder, pipeline=run.pipeline)
        if note.run_id != run.id and note.ended < run.created
    ]
    before = notes.newest(earlier)
    found: dict[Fingerprint, dict[str, list[date]]] = {}
    for phase, day in sorted(pairs):
        _, fingerprint = before.get((phase, day), (0.0, UNKNOWN))
        found.setdefault(fingerprint, {}).setdefault(phase, []).append(day)
    made = Made(
        run_id=restore_id,
        pipeline=run.pipeline,
        warehouse=run.warehouse,
        warehouse_id=run.warehouse_id,
        ended=context.ledger.now(),
        made=tuple(
            MadeBy(fingerprint=each, dates={phase: tuple(days) for phase, days in dates.items()})
            for each, dates in found.items()
        ),
    )
    save_made(context, made)
    if context.settings.history_dataset:
        warehouse = context.warehouse.labelled(phase="history")
        write_made(warehouse, context.settings.history_dataset, made)
