"""Keeps what a step's tables hold before the run writes them for the first time.

What is kept is noted in the ledger before the runner begins, so that after a takeover nothing is
kept of what the crashed attempt had begun to write.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from planner.pipeline.phase import Phase
from planner.pipeline.tables import TableSpec
from planner.report.advice import PUT_BACK, restore_command
from sql import Unsupported, Warehouse, WarehouseError
from sql.keeping import Keeper, whole
from sql.warehouse import Cell
from worker.context import Context
from worker.ledger.kept import Kept, Left, Place
from worker.ledger.ledger import Ledger
from worker.ledger.record import RunRecord

NOTHING = Cell(rows=0)


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """What a step keeps, and knows of what it kept."""

    ledger: Ledger
    warehouse: Warehouse
    run_id: str
    phase: Phase
    dataset: str = ""
    days: int = 1

    @cached_property
    def _keeper(self) -> Keeper:
        return self.warehouse.keeper(dataset=self.dataset, days=self.days)

    def keep(self, dates: Sequence[date]) -> None:
        """Keep what the tables hold on some dates, unless the run has. Raises `WarehouseError`."""
        known = self._known(dates)
        for spec in self.phase.tables:
            new = [day for day in dates if (self.phase.name, spec.name, day) not in known]
            if new:
                self.ledger.note_kept(self.run_id, self._kept(spec, new))

    def _kept(self, spec: TableSpec, dates: Sequence[date]) -> dict[Place, Kept]:
        table = self.warehouse.dated(whole(spec.table))
        cells = self.warehouse.coverage(table, min(dates), max(dates))
        held = [day for day in dates if day in cells]
        why = ""
        try:
            places = self._keeper.keep(table, held, self.run_id) if held else {}
        except Unsupported as error:
            places, why = {}, str(error)
        return {
            (self.phase.name, spec.name, day): Kept(
                rows=cells.get(day, NOTHING).rows,
                fingerprints=dict(cells.get(day, NOTHING).fingerprints),
                place=places.get(day, ""),
                not_kept=why if day in held else "",
            )
            for day in dates
        }

    def note_left(self, dates: Collection[date]) -> None:
        """Note the marks of what the step left on some dates. Raises `WarehouseError`."""
        if not dates:
            return
        at = self.ledger.now()
        found: dict[Place, Left] = {}
        for spec in self.phase.tables:
            try:
                marks = marks_of(self.warehouse, spec, dates)
            except Unsupported:
                continue
            found |= {
                (self.phase.name, spec.name, day): Left(mark=marks.get(day, ""), at=at)
                for day in dates
            }
        self.ledger.note_left(self.run_id, found)

    def told(self, dates: Collection[date]) -> Mapping[date, str]:
        """What to say of dates that hold less than the run found: that it can be put back, and how.

        Raises `WarehouseError`.
        """
        known = self._known(dates)
        lost: dict[date, str] = {}
        for spec in self.phase.tables if known else ():
            table = self.warehouse.dated(whole(spec.table))
            cells = self.warehouse.coverage(table, min(dates), max(dates))
            for day in dates:
                kept = known.get((self.phase.name, spec.name, day))
                now = cells.get(day, NOTHING).rows
                if kept is not None and now < kept.rows:
                    command = restore_command(self.run_id, self.phase.name, [day])
                    how = (
                        f"{PUT_BACK} `{command}`"
                        if kept.is_kept
                        else f"they were not kept: {kept.not_kept}"
                    )
                    lost.setdefault(
                        day,
                        f"{spec.name} held {kept.rows} rows before the run, and holds {now}: {how}",
                    )
        return lost

    def given_up(self, dates: Collection[date]) -> Mapping[date, str]:
        """As `told`, of a step that killed its workers, with the marks of what they left; nothing
        while the warehouse does not answer."""
        with suppress(WarehouseError):
            self.note_left(dates)
            return self.told(dates)
        return {}

    def _known(self, dates: Collection[date]) -> dict[Place, Kept]:
        tables = [spec.name for spec in self.phase.tables]
        places = [(self.phase.name, table, day) for table in tables for day in dates]
        return self.ledger.kept_of(self.run_id, places)


def marks_of(warehouse: Warehouse, spec: TableSpec, dates: Collection[date]) -> dict[date, str]:
    """Date → a mark that changes when its rows are written; dates without rows are absent.

    Raises `WarehouseError`.
    """
    versions = warehouse.versions(spec.table, min(dates), max(dates))
    return {day: "|".join(versions[day]) for day in dates if day in versions}


def keeping_of(context: Context, run: RunRecord, phase: Phase) -> Keeping | None:
    """What keeps rows that a run writes over; None where it keeps none."""
    if not run.keep:
        return None
    return Keeping(
        ledger=context.ledger,
        warehouse=context.warehouse.labelled(plan_id=run.plan_id, phase=phase.name),
        run_id=run.id,
        phase=phase,
        dataset=run.keep_dataset,
        days=run.keep_days,
    )
