"""Judges the success criteria of a pipeline file, date by date.

Each kind of criterion is one function: what it expects of a date, and what is there. What is
expected of a season is the sum over its dates, or the least number of rows that the file names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any

from planner.pipeline.criteria import (
    CompleteCriterion,
    Criterion,
    DatesCriterion,
    EntitiesCriterion,
    RowsCriterion,
)
from planner.pipeline.model import exact
from planner.validation.counts import (
    Counts,
    Part,
    counting,
    criterion_seasons,
    entity_of,
)
from planner.validation.criterion_row import CriterionRow, Status

DATES_KEPT = 10  # of those that offend; `gaps` lists every date

Verdict = tuple[int, int]
"""Expected and found on one date."""


def judge(facts: Counts) -> Iterator[CriterionRow]:
    """Judge every criterion in every season in scope that it names."""
    parts = {(part.season.name, part.name): part for part in facts.parts}
    for criterion in facts.pipeline.success_criteria:
        for season in criterion_seasons(facts.pipeline, criterion, facts.scope):
            if (season.name, "") in parts:
                part = parts.get((season.name, criterion.part))
                yield _judge(facts, criterion, season.name, part)


def _judge(facts: Counts, criterion: Criterion, season: str, part: Part | None) -> CriterionRow:
    verdict, days = _KINDS[criterion.kind], part.window.days() if part else ()
    judged = {day: one for day in days if (one := verdict(facts, criterion, day)) is not None}
    if isinstance(criterion, (EntitiesCriterion, DatesCriterion)):
        for day in judged.keys() & facts.assessment.accepted.get(criterion.phase, {}).keys():
            judged[day] = (judged[day][0], judged[day][0])
    offending = [day for day, (expected, found) in judged.items() if found < expected]
    found = sum(found for _, found in judged.values())
    if isinstance(criterion, RowsCriterion):
        expected, needed = criterion.minimum, Decimal(criterion.minimum)
        is_judged, is_empty = part is not None and part.is_whole, found == 0
    else:
        expected = sum(expected for expected, _ in judged.values())
        needed = expected * (1 - exact(getattr(criterion, "tolerance", 0)))
        is_judged, is_empty = part is not None, expected == 0
    status: Status = "holds" if found >= needed else "fails"
    if is_empty:
        status = "no rows"
    if not is_judged:
        status = "not judged"
    return CriterionRow(
        criterion=criterion.name,
        season=season,
        status=status,
        expected=expected,
        found=found,
        offending=len(offending),
        dates=tuple(offending[:DATES_KEPT]),
    )


def _entities(facts: Counts, criterion: EntitiesCriterion, day: date) -> Verdict | None:
    if not facts.is_allowed(criterion.phase, day):
        return None
    entity = entity_of(facts.pipeline, criterion)
    others = counting(facts.pipeline, criterion.against, entity)
    expected = max(facts.cell(spec, day).entities.get(entity, 0) for spec in others)
    found = []
    for spec in counting(facts.pipeline, criterion.phase, entity):
        have = facts.cell(spec, day).entities.get(entity, 0)
        apart = facts.compared[criterion.name, spec.name].get(day)
        if apart is not None:
            have -= apart.surplus
            expected = max(expected, have + apart.lacking)
        found.append(have)
    # More than is expected on one date does not make up for less on another.
    return (expected, min(expected, *found)) if expected else None


def _dates(facts: Counts, criterion: DatesCriterion, day: date) -> Verdict | None:
    if not facts.holds(criterion.against, day) or not facts.is_allowed(criterion.phase, day):
        return None
    tables = facts.pipeline.by_name[criterion.phase].tables
    return 1, int(all(facts.cell(spec, day).rows for spec in tables))


def _rows(facts: Counts, criterion: RowsCriterion, day: date) -> Verdict | None:
    if not facts.assessment.is_due(criterion.phase, day):
        return None
    tables = facts.pipeline.by_name[criterion.phase].tables
    return 1, min(facts.cell(spec, day).rows for spec in tables)


def _complete(facts: Counts, criterion: CompleteCriterion, day: date) -> Verdict | None:
    phases = criterion.phases or facts.pipeline.by_name
    due = [phase for phase in phases if facts.assessment.is_due(phase, day)]
    return (1, int(all(day in facts.assessment.complete[phase] for phase in due))) if due else None


_KINDS: dict[str, Callable[[Counts, Any, date], Verdict | None]] = {
    "entities": _entities,
    "dates": _dates,
    "rows": _rows,
    "complete": _complete,
}
