"""Small pipelines, and coverage for them, that tests of the core begin with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from planner.evidence.evidence import Difference, Evidence, unsure
from planner.gaps.assess import assess
from planner.gaps.gaps import Assessment
from planner.pipeline.closing import Closing
from planner.pipeline.criteria import EntitiesCriterion
from planner.pipeline.lookback import lookback, with_lookback
from planner.pipeline.measures import Place
from planner.pipeline.phase import Phase
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from planner.validation.counts import Counts, counting, entity_of
from sql.warehouse import Cell, Coverage

FIRST = date(2024, 1, 1)
"""The first day of the only season of `pipeline()`, which lasts the year."""

Cover = dict[str, dict[date, Cell]]
"""Table → date → cell, and mutable, so that a test can break it."""


def day(n: int) -> date:
    """The day `n` days after the season's first."""
    return FIRST + timedelta(days=n)


def days(first: int, last: int) -> list[date]:
    """Days by number, both ends included."""
    return [day(n) for n in range(first, last + 1)]


def window(first: int, last: int) -> Window:
    return Window(start=day(first), end=day(last))


def table(name: str, **options: Any) -> dict[str, Any]:
    """A table as the file holds it; it counts orders and items."""
    entities = {"order": "order_id", "item": "item_id"}
    return {"name": f"shop.{name}", "date": "day", "entities": entities, **options}


def phase(name: str, *after: str, **options: Any) -> dict[str, Any]:
    """A phase as the file holds it, with one table of its name unless `tables` are given."""
    runners = [{"kind": "script", "command": ["true"]}] if after else []
    return {
        "name": name,
        "after": list(after),
        "tables": [table(name)],
        "runners": runners,
        **options,
    }


def season(name: str, start: date, end: date, **options: Any) -> dict[str, Any]:
    return {"name": name, "year": start.year, "start": start, "end": end, **options}


def content(*phases: dict[str, Any], **options: Any) -> dict[str, Any]:
    """A pipeline file's content: raw → clean → report when no phases are given."""
    return {
        "name": "tiny",
        "seasons": [season("2024", FIRST, date(2024, 12, 31))],
        "phases": phases or (phase("raw"), phase("clean", "raw"), phase("report", "clean")),
        **options,
    }


def pipeline(*phases: dict[str, Any], **options: Any) -> Pipeline:
    return Pipeline.model_validate(content(*phases, **options))


def rolling(lookback_days: int) -> Pipeline:
    """raw → clean → report, where a report is computed from some days before it, too."""
    return pipeline(
        phase("raw"), phase("clean", "raw"), phase("report", "clean", lookback_days=lookback_days)
    )


def cell(orders: int, items: int | None = None) -> Cell:
    """What a table holds on a date; as many items as orders unless said."""
    items = orders if items is None else items
    return Cell(rows=max(orders, items), entities={"order": orders, "item": items})


def covered(of: Pipeline, on: Iterable[date], orders: int = 4) -> Cover:
    """Every table complete on some dates."""
    on = list(on)
    return {
        spec.name: dict.fromkeys(on, cell(orders)) for each in of.phases for spec in each.tables
    }


def empty(cover: Cover, table_name: str, *dates: date) -> None:
    """Take dates out of a table."""
    for each in dates:
        del cover[f"shop.{table_name}"][each]


def judge(of: Pipeline, cover: Mapping[str, Coverage], scope: Window) -> Assessment:
    """Assess a scope and as far around it as matters."""
    return assessed(of, cover, with_lookback(of, scope))


def shown(of: Pipeline, cover: Mapping[str, Coverage], window: Window) -> Evidence:
    """Counts as evidence: of n distinct ids, the table holds the first n there are."""
    coverage = {
        name: {day: replace(held, fingerprints=dict(held.entities)) for day, held in cells.items()}
        for name, cells in cover.items()
    }
    counted = Evidence(coverage=coverage, accepts=of.accept)
    named = 3 if not of.accept else 1_000

    def count(place: Place, entity: str, day: date) -> int:
        own = counted.cell(place[1], day).entities.get(entity, 0)
        return min([own, *([due(place, entity, day)] if of.measures[place, entity] else [])])

    def due(place: Place, entity: str, day: date) -> int:
        phase = of.by_name[place[0]]
        days = [day] if phase.grain.is_daily else lookback(day, phase).days()
        others = of.measures[place, entity]
        return max(count(other, entity, on) for on in days for other in others)

    def apart(place: Place, entity: str, day: date) -> Difference:
        own, want = counted.cell(place[1], day).entities.get(entity, 0), due(place, entity, day)
        return Difference(
            lacking=max(0, want - own),
            lacks=tuple(f"{entity}-{n}" for n in range(own, min(want, own + named))),
            surplus=max(0, own - want),
            holds=tuple(f"{entity}-{n}" for n in range(want, min(own, want + named))),
        )

    asked = unsure(of, counted, of.by_name, list(window.days()))
    differences = {
        place: {
            (day, entity): apart(place, entity, day)
            for day in days
            for spec in of.by_name[place[0]].tables
            if spec.name == place[1]
            for entity in spec.entities
            if of.measures[place, entity]
        }
        for place, days in asked.items()
    }
    return replace(counted, differences=differences)


def closing(of: Pipeline, today: date) -> Closing:
    """The clock of a pipeline when a day has just begun."""
    return Closing(pipeline=of, now=datetime.combine(today, time(), UTC))


def assessed(of: Pipeline, cover: Mapping[str, Coverage], window: Window) -> Assessment:
    """Judge a window by counts alone."""
    return assess(of, shown(of, cover, window), window)


def repair_cells(cover: Cover, each: Phase, on: date, due: Mapping[str, int]) -> None:
    """Give a phase on a date what it should hold."""
    for spec in each.tables:
        entities = {entity: due.get(entity, 0) for entity in spec.entities}
        cover[spec.name][on] = Cell(rows=max([1, *entities.values()]), entities=entities)


def counts(of: Pipeline, cover: Mapping[str, Coverage], scope: Window) -> Counts:
    """Counts of a scope, as evidence for criteria too."""
    evidence = shown(of, cover, scope)

    def apart(criterion: EntitiesCriterion, table: str, day: date) -> Difference:
        entity = entity_of(of, criterion)
        own = evidence.cell(table, day).entities.get(entity, 0)
        others = counting(of, criterion.against, entity)
        want = max(evidence.cell(spec.name, day).entities.get(entity, 0) for spec in others)
        return Difference(lacking=max(0, want - own), surplus=max(0, own - want))

    return Counts(
        pipeline=of,
        scope=scope,
        evidence=evidence,
        compared={
            (criterion.name, spec.name): {
                day: apart(criterion, spec.name, day) for day in scope.days()
            }
            for criterion in of.criteria
            if isinstance(criterion, EntitiesCriterion)
            for spec in counting(of, criterion.phase, entity_of(of, criterion))
        },
    )
