"""What the warehouse showed: counts, ids that differ, and dates that audits found. Pure.

Counting gives a fingerprint of each table's ids per date. Where the fingerprints of a table and of
what it is measured by are alike, both hold the same ids, and nothing more is asked. Where they are
not, one more statement per table names what is apart; `unsure` says for which dates.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from planner.pipeline.measures import Place
from planner.pipeline.phase import Phase
from planner.pipeline.pipeline import Pipeline
from sql.warehouse import Cell, Coverage

EMPTY = Cell(rows=0)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How the ids of a table differ from those that it is measured by, on one date."""

    lacking: int = 0
    """Ids that it ought to hold, and does not."""
    lacks: tuple[str, ...] = ()
    """The first of them, in order."""
    surplus: int = 0
    """Ids that it holds, and what it is measured by does not."""
    holds: tuple[str, ...] = ()
    """The first of them, in order."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a judgement rests on. What is absent from it cannot be judged, and raises `KeyError`."""

    coverage: Mapping[str, Coverage]
    """Table → cells by date."""
    differences: Mapping[Place, Mapping[tuple[date, str], Difference]] = field(default_factory=dict)
    """Place → date and entity → what is apart, for every date that `unsure` names."""
    audited: Mapping[str, Mapping[str, frozenset[date]]] = field(default_factory=dict)
    """Table → audit → dates that it found wrong."""
    listed: Mapping[str, Coverage] = field(default_factory=dict)
    """Key of a listing → what it lists on each date, for every source that was counted."""
    unlisted: Mapping[Place, Mapping[tuple[date, str], Difference]] = field(default_factory=dict)
    """Table of a source → date and entity → how its ids differ from those that `against` lists."""
    held_before: frozenset[str] = frozenset()
    """Sources that hold rows before the days that were counted, as far as it was asked."""

    def cell(self, table: str, day: date) -> Cell:
        """What a table holds on a date."""
        return self.coverage[table].get(day, EMPTY)

    def holds(self, phase: Phase, day: date) -> bool:
        """Whether any table of a phase holds rows on a date."""
        return any(day in self.coverage[spec.name] for spec in phase.tables)

    def is_alike(self, pipeline: Pipeline, place: Place, entity: str, day: date) -> bool:
        """Whether the fingerprints show that a table holds just the ids it is measured by."""
        own = self.print_of(place, entity, day)
        return all(
            self.print_of(other, entity, day) == own and self.is_alike(pipeline, other, entity, day)
            for other in pipeline.measures[place, entity]
        )

    def is_settled(self, pipeline: Pipeline, place: Place, entity: str, day: date) -> bool:
        """Whether all that a table is measured by holds the same ids, so that its count is due."""
        others = pipeline.measures[place, entity]
        prints = {self.print_of(other, entity, day) for other in others}
        return len(prints) <= 1 and all(
            not pipeline.measures[other, entity] or self.is_alike(pipeline, other, entity, day)
            for other in others
        )

    def print_of(self, place: Place, entity: str, day: date) -> tuple[int, int]:
        """How many distinct ids a table holds on a date, and their fingerprint."""
        cell = self.cell(place[1], day)
        if not cell.rows:
            return 0, 0
        return cell.entities[entity], cell.fingerprints[entity]


def unsure(
    pipeline: Pipeline, evidence: Evidence, phases: Iterable[str], days: Collection[date]
) -> dict[Place, list[date]]:
    """The dates on which counts do not tell which ids a table lacks, or has too many of.

    That is of the tables of some phases, and of those that they are measured by. A table without
    rows lacks all that is due: where that is known, nothing is asked.
    """
    found: dict[Place, list[date]] = {}
    places = [(name, spec.name) for name in phases for spec in pipeline.by_name[name].tables]
    for place in places:  # grows meanwhile
        entities = pipeline.compared_by_ids(place)
        for entity in entities:
            places += [o for o in pipeline.measures[place, entity] if o not in places]
        dates = [
            day
            for day in days
            if any(_is_unsure(pipeline, evidence, place, entity, day) for entity in entities)
        ]
        if dates:
            found[place] = dates
    return found


def _is_unsure(
    pipeline: Pipeline, evidence: Evidence, place: Place, entity: str, day: date
) -> bool:
    if evidence.is_alike(pipeline, place, entity, day):
        return False
    others = pipeline.measures[place, entity]
    if not any(evidence.cell(other[1], day).rows for other in others):
        return False  # nothing is due, and what is there is too much
    if evidence.cell(place[1], day).rows:
        return True
    return not evidence.is_settled(pipeline, place, entity, day)
