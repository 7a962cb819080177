"""The results of the validation suite: rows of plain values for each of its queries.

Pure: everything follows from counts that are already there. `planner.validation.queries` has the
same as SQL, whose rows have the same columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Literal

from pydantic import ConfigDict

from planner.data import Data
from planner.gaps.gaps import GapReason
from planner.pipeline.phase import Phase
from planner.pipeline.tables import Band, TableSpec
from planner.validation.counts import Counts, Part
from planner.validation.criterion_row import CriterionRow
from planner.validation.judge import judge
from sql.warehouse import EVERY_SYSTEM, Cell, Grade


class CountRow(Data):
    """What a table holds of a season, or of a named part of it."""

    season: str
    part: str
    """The window's name; `""` for the whole season."""
    phase: str
    table_name: str
    dates: int
    entities: int | None
    """Of the pipeline's own entity, added up over dates; None where it is not counted."""
    row_count: int
    first_date: date | None
    last_date: date | None


class MatrixRow(Data):
    """How complete a phase is in a season, or in a named part of it. Dates, unless said."""

    season: str
    part: str
    phase: str
    expected: int
    complete: int
    missing: int
    partial: int
    orphan: int
    """Dates with rows on which a phase that they are computed from has none."""
    entities: int | None
    row_count: int
    status: Literal["complete", "gaps", "nothing due"]
    overall: Literal["complete", "gaps", "no rows"]
    """Over all phases of the season."""


class GapRow(Data):
    """A phase and date that is short, flawed or an orphan."""

    season: str | None
    phase: str
    date: date
    status: GapReason
    expected: int
    """Entities of the shortest table; rows (1) where it counts none; of an orphan 0."""
    found: int
    table_names: str


class DensityRow(Data):
    """Rows per entity of a table in a season, and its band."""

    season: str
    phase: str
    table_name: str
    row_count: int
    entities: int
    per_entity: float | None
    low: float | None
    high: float | None
    status: Literal["ok", "low", "high", "no band", "no rows"]


class OffBand(Data):
    """A date on which a table holds too few or too many rows for each entity."""

    phase: str
    table_name: str
    date: date
    per_entity: float
    status: Literal["low", "high"]


class GradeRow(Data):
    """How right a system was in a season."""

    model_config = ConfigDict(allow_inf_nan=True)  # a table's errors may be no numbers

    season: str
    table_name: str
    system: str
    """`*` for all of them."""
    entities: int
    row_count: int
    mean_error: float | None
    accuracy: float | None
    """Share of the rows that could be judged."""
    status: Literal["graded", "no rows"]


class Results(Data):
    """Query → its rows. Each query is a file in `sql/queries/` as well."""

    counts: tuple[CountRow, ...]
    matrix: tuple[MatrixRow, ...]
    gaps: tuple[GapRow, ...]
    density: tuple[DensityRow, ...]
    grades: tuple[GradeRow, ...]
    criteria: tuple[CriterionRow, ...]

    @property
    def hold(self) -> bool:
        """Whether every criterion that was judged holds, and at least one was."""
        judged = [row for row in self.criteria if row.status != "not judged"]
        return bool(judged) and all(row.status == "holds" for row in judged)


QUERIES = tuple(Results.model_fields)


def results_of(counts: Counts) -> Results:
    """The result of every query."""
    return Results(
        counts=tuple(_counts(counts)),
        matrix=tuple(_matrix(counts)),
        gaps=tuple(_gaps(counts)),
        density=tuple(_density(counts)),
        grades=tuple(_grades(counts)),
        criteria=tuple(judge(counts)),
    )


def _tables(counts: Counts) -> Iterator[tuple[Phase, TableSpec]]:
    for phase in counts.pipeline.phases:
        for spec in phase.tables:
            yield phase, spec


def _cells(counts: Counts, spec: TableSpec, part: Part) -> dict[date, Cell]:
    return {day: cell for day, cell in counts.coverage[spec.name].items() if day in part.window}


def _counts(counts: Counts) -> Iterator[CountRow]:
    entity = counts.pipeline.entity
    for phase, spec in _tables(counts):
        for part in counts.parts:
            cells = _cells(counts, spec, part)
            yield CountRow(
                season=part.season.name,
                part=part.name,
                phase=phase.name,
                table_name=spec.name,
                dates=len(cells),
                entities=_entities(cells.values(), entity) if entity in spec.entities else None,
                row_count=sum(cell.rows for cell in cells.values()),
                first_date=min(cells, default=None),
                last_date=max(cells, default=None),
            )


def _matrix(counts: Counts) -> Iterator[MatrixRow]:
    assessment = counts.assessment
    for part in counts.parts:
        due = {
            phase.name: [day for day in part.window.days() if assessment.is_due(phase.name, day)]
            for phase in counts.pipeline.phases
        }
        short = {
            name: [assessment.gaps[name][day] for day in days if day in assessment.gaps[name]]
            for name, days in due.items()
        }
        sources = [phase.name for phase in counts.pipeline.phases if phase.is_source]
        overall: Literal["complete", "gaps", "no rows"] = "no rows"
        if any(due[name] for name in sources):
            overall = "gaps" if any(short.values()) else "complete"
        for phase in counts.pipeline.phases:
            days, gaps, held = due[phase.name], short[phase.name], assessment.held.get(phase.name)
            missing = sum(gap.reason == "missing" for gap in gaps)
            yield MatrixRow(
                season=part.season.name,
                part=part.name,
                phase=phase.name,
                expected=len(days),
                complete=len(days) - len(gaps),
                missing=missing,
                partial=len(gaps) - missing,
                orphan=sum(counts.is_orphan(phase.name, day) for day in part.window.days()),
                entities=None if held is None else sum(held.get(day, 0) for day in days),
                row_count=sum(
                    cell.rows
                    for spec in phase.tables
                    for cell in _cells(counts, spec, part).values()
                ),
                status="gaps" if gaps else "complete" if days else "nothing due",
                overall=overall,
            )


def _gaps(counts: Counts) -> Iterator[GapRow]:
    for phase in counts.pipeline.phases:
        for day in counts.scope.days():
            season = counts.calendar.season_of(day)
            name = season.name if season else None
            gap = counts.assessment.gaps[phase.name].get(day)
            # In the order of their names, as SQL sorts them: an orphan that is partial comes first.
            if gap is not None and gap.reason < GapReason.ORPHAN:
                yield _gap_row(name, phase, day, gap.reason, gap.expected, gap.found, gap.tables)
            if counts.is_orphan(phase.name, day):
                tables = [spec.name for spec in phase.tables if day in counts.coverage[spec.name]]
                rows = sum(counts.cell(spec, day).rows for spec in phase.tables)
                yield _gap_row(name, phase, day, GapReason.ORPHAN, 0, rows, tables)
            if gap is not None and gap.reason > GapReason.ORPHAN:
                yield _gap_row(name, phase, day, gap.reason, gap.expected, gap.found, gap.tables)


def _gap_row(
    season: str | None,
    phase: Phase,
    day: date,
    status: GapReason,
    expected: int,
    found: int,
    tables: Iterable[str],
) -> GapRow:
    return GapRow(
        season=season,
        phase=phase.name,
        date=day,
        status=status,
        expected=expected,
        found=found,
        table_names=", ".join(tables),
    )


def _density(counts: Counts) -> Iterator[DensityRow]:
    entity = counts.pipeline.entity
    for phase, spec in _tables(counts):
        if entity not in spec.entities:
            continue
        band = spec.rows_per_entity
        for part in counts.seasons:
            cells = _cells(counts, spec, part).values()
            rows, entities = sum(cell.rows for cell in cells), _entities(cells, entity)
            each = _ratio(rows, entities)
            yield DensityRow(
                season=part.season.name,
                phase=phase.name,
                table_name=spec.name,
                row_count=rows,
                entities=entities,
                per_entity=each,
                low=band.low if band else None,
                high=band.high if band else None,
                status=_within(each, band),
            )


def off_band(counts: Counts) -> tuple[OffBand, ...]:
    """Dates of the scope whose rows per entity are outside the band of their table."""
    entity = counts.pipeline.entity
    found: list[OffBand] = []
    for phase, spec in _tables(counts):
        for day, cell in sorted(counts.coverage[spec.name].items()):
            each = _ratio(cell.rows, cell.entities.get(entity, 0))
            status = _within(each, spec.rows_per_entity)
            if day in counts.scope and each is not None and status in ("low", "high"):
                found.append(
                    OffBand(
                        phase=phase.name,
                        table_name=spec.name,
                        date=day,
                        per_entity=each,
                        status=status,
                    )
                )
    return tuple(found)


def _within(
    each: float | None, band: Band | None
) -> Literal["ok", "low", "high", "no band", "no rows"]:
    if each is None:
        return "no rows"
    if band is None:
        return "no band"
    return "low" if each < band.low else "high" if each > band.high else "ok"


def _grades(counts: Counts) -> Iterator[GradeRow]:
    for _, spec in _tables(counts):
        if spec.grades is None:
            continue
        for part in counts.seasons:
            systems: dict[str, list[Grade]] = {EVERY_SYSTEM: []}
            for cell in _cells(counts, spec, part).values():
                for system, grade in cell.grades.items():
                    systems.setdefault(system, []).append(grade)
            for system, grades in sorted(systems.items()):
                yield GradeRow(
                    season=part.season.name,
                    table_name=spec.name,
                    system=system,
                    entities=_entities(grades, counts.pipeline.entity),
                    row_count=sum(grade.rows for grade in grades),
                    mean_error=_ratio(
                        sum(grade.error_sum for grade in grades),
                        sum(grade.measured for grade in grades),
                    ),
                    accuracy=_ratio(
                        sum(grade.correct for grade in grades),
                        sum(grade.judged for grade in grades),
                    ),
                    status="graded" if grades else "no rows",
                )


def _entities(counted: Iterable[Cell | Grade], entity: str) -> int:
    return sum(one.entities.get(entity, 0) for one in counted)


def _ratio(of: float, to: int) -> float | None:
    return of / to if to else None
