"""What a step's tables held before it, so that what it did can be told from what was there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from pydantic import BaseModel, field_validator

from planner.evidence.audits import run_audits
from planner.evidence.read import read_coverage
from planner.gaps.gaps import GapReason
from planner.pipeline.phase import Phase
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from sql.errors import Unsupported
from sql.warehouse import Cell, Coverage, Warehouse

Versions = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Table → date (ISO) → marks of what its rows are made of. A table without versions is absent."""

Flaws = Mapping[str, Mapping[str, int]]
"""Date (ISO) → table, reason and what it is about → how bad it is: rows too many, rows without a
value in a million, 1 for an audit."""

MILLION = 1_000_000


class Held(BaseModel):
    """What one table held on one date."""

    rows: int
    fingerprints: dict[str, int]
    last_written: str | None = None
    """By the column `written_at`; ISO."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """Whether a date's rows were written anew."""

    complaint: str | None = None
    remarks: tuple[str, ...] = ()


class Before(BaseModel):
    """JSON in a step's checkpoint: what its tables held when it began."""

    versions: dict[str, dict[str, tuple[str, ...]]] = {}
    held: dict[str, dict[str, Held]] = {}
    """Table → date → what it held; only of dates whose rows have to be written anew."""
    flaws: dict[str, dict[str, int]] = {}

    @field_validator("versions", mode="before")
    @classmethod
    def _one_text(cls, versions: object) -> object:
        """Steps that began before 0.2 kept one text per date."""
        if not isinstance(versions, dict):
            return versions
        return {
            table: {d: v.split("|") if isinstance(v, str) else v for d, v in days.items()}
            for table, days in versions.items()
        }

    def compare(
        self, phase: Phase, day: date, after: Versions, cells: Mapping[str, Coverage]
    ) -> Proof:
        """Whether all tables of a phase hold new rows on a date that had rows before."""
        remarks: list[str] = []
        for spec in phase.tables:
            was = self.held.get(spec.name, {}).get(day.isoformat())
            cell = cells[spec.name].get(day, Cell(rows=0))
            if spec.written_at is not None and was is not None and was.last_written is not None:
                if cell.written is None or cell.written[0].isoformat() <= was.last_written:
                    return Proof(
                        complaint=f"not recomputed: {spec.name} on {day} holds rows that were "
                        f"written before the step, by {spec.written_at}"
                    )
                continue
            if spec.name not in after:
                remarks.append(
                    f"recomputation is not proved: nothing versions the rows of {spec.name}"
                )
                continue
            if is_unchanged(self.versions, after, spec.name, day):
                return Proof(complaint=f"not recomputed: {spec.name} on {day} is unchanged")
            if was is not None and was.rows and _grew(was, cell):
                remarks.append(
                    f"new version, author unknown: {spec.name} holds {cell.rows} rows of the same "
                    f"ids, and held {was.rows} before"
                )
        return Proof(remarks=tuple(remarks))


def read_before(
    warehouse: Warehouse,
    pipeline: Pipeline,
    phase: Phase,
    dates: Collection[date],
    *,
    outdated: Collection[date],
) -> Before:
    """Look at a step's tables before it writes.

    Costs nothing where no date has rows that have to be written anew (`outdated`) and no table
    can have a flaw. Raises `sql.WarehouseError`.
    """
    if not outdated and not phase.has_flaws:
        return Before()
    window = Window(start=min(dates), end=max(dates))
    cells = read_coverage(warehouse, phase.tables, window)
    audited = run_audits(warehouse, pipeline, phase.tables, window)
    versions = versions_of(warehouse, phase, outdated)
    return Before(
        versions={table: dict(days) for table, days in versions.items()},
        held={
            table: {day.isoformat(): _held(cell) for day, cell in days.items() if day in outdated}
            for table, days in cells.items()
        },
        flaws={day: dict(found) for day, found in flaws_of(phase, cells, audited).items()},
    )


def versions_of(warehouse: Warehouse, phase: Phase, days: Collection[date]) -> Versions:
    """The versions of some dates' rows, where there are any.

    A table that BigQuery partitions otherwise than by day gives many dates one version, and any
    write of one of them makes all look recomputed.
    """
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for spec in phase.tables if days else ():
        try:
            versions = warehouse.versions(spec.table, min(days), max(days))
        except Unsupported:
            continue
        found[spec.name] = {day.isoformat(): versions[day] for day in versions if day in days}
    return found


def is_unchanged(before: Versions, after: Versions, table: str, day: date) -> bool:
    """Whether any mark of before is left: then not all rows of the date were written anew."""
    old, new = (marks.get(table, {}).get(day.isoformat(), ()) for marks in (before, after))
    return not set(old).isdisjoint(new)


def flaw_key(table: str, reason: GapReason, about: str) -> str:
    """What tells a flaw of a date from its others."""
    return f"{table} {reason} {about}"


def flaws_of(
    phase: Phase,
    cells: Mapping[str, Coverage],
    audited: Mapping[str, Mapping[str, Iterable[date]]],
) -> Flaws:
    """How bad each flaw is, that a step can make: duplicates, values that are absent, audits."""
    found: dict[str, dict[str, int]] = {}

    def note(day: date, table: str, reason: GapReason, about: str, amount: int) -> None:
        if amount:
            found.setdefault(day.isoformat(), {})[flaw_key(table, reason, about)] = amount

    for spec in phase.tables:
        for day, cell in cells[spec.name].items():
            note(day, spec.name, GapReason.DUPLICATE, ", ".join(spec.key), cell.duplicates)
            for column in spec.filled:
                absent = cell.rows - cell.filled.get(column, 0)
                share = absent * MILLION // max(cell.rows, 1)  # more rows alone are not worse
                note(day, spec.name, GapReason.UNFILLED, column, share)
        for audit, days in audited.get(spec.name, {}).items():
            for day in days:
                note(day, spec.name, GapReason.AUDIT, audit, 1)
    return found


def _held(cell: Cell) -> Held:
    return Held(
        rows=cell.rows,
        fingerprints=dict(cell.fingerprints),
        last_written=cell.written[1].isoformat() if cell.written else None,
    )


def _grew(was: Held, cell: Cell) -> bool:
    """Whether rows were added and no id: what a recomputation does not do."""
    return cell.rows > was.rows and dict(cell.fingerprints) == was.fingerprints
