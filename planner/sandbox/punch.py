"""Makes holes in a built sandbox: the gaps that there are to find and to repair.

A hole only deletes rows and never changes one, and raw tables stay as they are. So a repair that
runs the pipeline's own jobs in the right order gives back the rows that were there.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

from planner.errors import UsageError
from planner.pipeline.phase import Phase
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.tables import TableSpec
from planner.pipeline.windows import Season
from sql import Coverage, Scalar, Warehouse, load
from sql.statements import quote_column, quote_table

# What the owner's plan says: playoffs of these seasons stopped at raw.
_PLAN_YEARS = (2021, 2022, 2023)
_PLAN_PARTIAL_DATES = 4
_PLAN_PARTIAL_PHASES = ("analytics", "precompute")
# Where in a season the plan's partial dates are, as shares of its regular dates.
_PLAN_PLACES = (0.35, 0.6, 0.5, 0.8)


@dataclass(frozen=True, kw_only=True, slots=True)
class Hole:
    """Rows that are gone."""

    phase: str
    tables: tuple[str, ...]
    """What was deleted from: tables of the phase, or also all of the phases after it."""
    start: date
    end: date
    """Last date; the first one for a hole of one date."""
    entity: str | None = None
    """The game whose rows are gone; None: all rows of the dates."""
    rows: int
    """How many rows are gone, in all tables together."""


class _Place(NamedTuple):
    phase: Phase
    table: TableSpec


def punch(warehouse: Warehouse, pipeline: Pipeline, *, seed: int, holes: int) -> list[Hole]:
    """Make random holes, each on a date of its own; the same seed makes the same ones.

    They go through the phases in turn. A hole is a date of a phase and of every phase after it,
    a date of one table, or one game of one table. Raises `UsageError` when there are fewer
    dates than holes, and `sql.WarehouseError`.
    """
    rng = random.Random(seed)
    phases = [phase for phase in pipeline.phases if not phase.is_source]
    # The last phase has rows only where all have.
    days = sorted(_coverage(warehouse, pipeline, phases[-1].tables[0]))
    if holes > len(days):
        raise UsageError(f"{holes} holes need as many dates, and only {len(days)} are complete.")
    made = []
    for number, day in enumerate(rng.sample(days, holes)):
        phase = phases[number % len(phases)]
        place = _Place(phase, rng.choice(phase.tables))
        match rng.choice(("phase", "table", "game")):
            case "phase":
                made.append(_cut(warehouse, phase, _from(pipeline, phase), day, day))
            case "table":
                made.append(_cut(warehouse, phase, [place.table], day, day))
            case _:
                game = rng.choice(_games(warehouse, pipeline, day))
                made.append(_cut_game(warehouse, pipeline, place, day, game))
    return made


def punch_plan(warehouse: Warehouse, pipeline: Pipeline) -> list[Hole]:
    """Make the holes of the owner's plan, of the seasons that the warehouse holds.

    Analytics and everything after it miss the playoffs of three seasons; the last season was
    never graded; four dates miss a game in one table. Raises `UsageError` when the warehouse
    holds no season, and `sql.WarehouseError`.
    """
    phases = [phase for phase in pipeline.phases if not phase.is_source]
    first, last = phases[0], phases[-1]
    days = sorted(_coverage(warehouse, pipeline, last.tables[0]))
    present = [season for season in pipeline.seasons if any(day in season for day in days)]
    if not present:
        raise UsageError(f"{warehouse.name} holds no graded season: build one first.")
    tables = [
        _Place(phase, table)
        for phase in phases
        if phase.name in _PLAN_PARTIAL_PHASES
        for table in phase.tables
        if "game" in table.entities
    ]
    made = []
    for number, day in enumerate(_partial_dates(present, days)):
        place, game = tables[number % len(tables)], _games(warehouse, pipeline, day)[0]
        made.append(_cut_game(warehouse, pipeline, place, day, game))
    for season in present:
        window = season.windows.get("playoffs")
        if window and season.year in _PLAN_YEARS:
            after = _from(pipeline, first)
            made.append(_cut(warehouse, first, after, window.start, window.end))
    ungraded = present[-1]
    made.append(_cut(warehouse, last, list(last.tables), ungraded.start, ungraded.end))
    return [hole for hole in made if hole.rows]


def _partial_dates(seasons: list[Season], days: list[date]) -> list[date]:
    """Some dates of the regular seasons, one in each season before a second in any."""
    regular = [
        [
            day
            for day in days
            if day in season and not any(day in window for window in season.windows.values())
        ]
        for season in seasons
    ]
    chosen = [
        inside[int(share * len(inside))] for share in _PLAN_PLACES for inside in regular if inside
    ]
    return list(dict.fromkeys(chosen))[:_PLAN_PARTIAL_DATES]


def _from(pipeline: Pipeline, phase: Phase) -> list[TableSpec]:
    """The tables of the phase and of every phase after it."""
    return [
        table
        for other in pipeline.phases
        if other is phase or phase.name in pipeline.ancestors[other.name]
        for table in other.tables
    ]


def _coverage(warehouse: Warehouse, pipeline: Pipeline, table: TableSpec) -> Coverage:
    return warehouse.coverage(table.table, pipeline.seasons[0].start, pipeline.seasons[-1].end)


def _games(warehouse: Warehouse, pipeline: Pipeline, day: date) -> list[str]:
    """The date's games, as the first source table knows them."""
    return ids_of(warehouse, _source(pipeline), "game", day)


def ids_of(warehouse: Warehouse, table: TableSpec, entity: str, day: date) -> list[Any]:
    """The ids of an entity that a table holds on a date, in order."""
    statement = load("sandbox/ids").format(
        table=quote_table(table.name),
        date=quote_column(table.date),
        entity=quote_column(column_of(table, entity)),
    )
    return [row["id"] for row in warehouse.rows(statement, {"day": day})]


def _source(pipeline: Pipeline) -> TableSpec:
    """The first source table that knows games. Raises `UsageError` when there is none."""
    for phase in pipeline.phases:
        for table in phase.tables:
            if phase.is_source and "game" in table.entities:
                return table
    raise UsageError(f"No source table of the pipeline {pipeline.name!r} has an entity `game`.")


def _cut(
    warehouse: Warehouse, phase: Phase, tables: list[TableSpec], start: date, end: date
) -> Hole:
    """Delete every row of the dates."""
    return Hole(
        phase=phase.name,
        tables=tuple(table.name for table in tables),
        start=start,
        end=end,
        rows=sum(delete_rows(warehouse, table, start, end) for table in tables),
    )


def _cut_game(
    warehouse: Warehouse, pipeline: Pipeline, place: _Place, day: date, game: str
) -> Hole:
    """Delete one game's rows; where games are not known, those of its players or teams."""
    phase, table = place
    column, members = _members(warehouse, _source(pipeline), table, day, game)
    return Hole(
        phase=phase.name,
        tables=(table.name,),
        start=day,
        end=day,
        entity=game,
        rows=delete_rows(warehouse, table, day, day, column, members),
    )


def _members(
    warehouse: Warehouse, source: TableSpec, table: TableSpec, day: date, game: str
) -> tuple[str, list[Scalar]]:
    """A column of the table, and its values that belong to the game."""
    if "game" in table.entities:
        return column_of(table, "game"), [game]
    for entity in table.entities:
        if entity in source.entities:
            statement = load("sandbox/members").format(
                column=quote_column(column_of(source, entity)),
                table=quote_table(source.name),
                date=quote_column(source.date),
                game=quote_column(column_of(source, "game")),
            )
            rows = warehouse.rows(statement, {"day": day, "game": game})
            return column_of(table, entity), [row["member"] for row in rows]
    raise UsageError(f"{table.name} has no entity that its source knows too.")


def column_of(table: TableSpec, entity: str) -> str:
    """The column of an entity. Raises `UsageError` where it takes several."""
    column = table.entities[entity]
    if not isinstance(column, str):
        raise UsageError(f"{table.name} tells a {entity} by several columns: no sandbox does.")
    return column


def delete_rows(
    warehouse: Warehouse,
    table: TableSpec,
    start: date,
    end: date,
    column: str | None = None,
    values: list[Scalar] | None = None,
) -> int:
    """Delete the dates' rows, or of them those with one of the values; how many went."""

    def rows() -> int:
        return sum(cell.rows for cell in warehouse.coverage(table.table, start, end).values())

    named = {f"value_{number}": value for number, value in enumerate(values or [])}
    also = ""
    if column:
        also = f" AND {quote_column(column)} IN ({', '.join(f'@{name}' for name in named)})"
    statement = load("sandbox/delete").format(
        table=quote_table(table.name), date=quote_column(table.date), also=also
    )
    before = rows()
    if before:
        warehouse.run(statement, {"start_date": start, "end_date": end, **named})
    return before - rows()
