"""What the warehouse showed: counts, ids that differ, and dates that audits found. Pure.

Counting gives a fingerprint of each table's ids per date. Where the fingerprints of a table and of
what it is measured by are alike, both hold the same ids, and nothing more is asked. Where they are
not, one more statement per table names what is apart; `unsure` says for which dates.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from sql.warehouse import Cell, Coverage

if TYPE_CHECKING:
    from planner.pipeline.accept import Accept
    from planner.pipeline.measures import Place
    from planner.pipeline.phase import Phase
    from planner.pipeline.pipeline import Pipeline

EMPTY = Cell(rows=0)
IDS_NAMED = 20  # per table, date and entity, in plans and messages
ALL_IDS = 1_000_000  # of one date, where every id is asked for


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
    bare: frozenset[str] = frozenset()
    """Sources that hold no rows since the calendar's start, and nothing below them holds any."""
    excluded: Mapping[int, frozenset[date]] = field(default_factory=dict)
    """Place of an exclusion in the pipeline file, from 0 → the days that its table lists, for every
    exclusion that names one."""
    accepts: tuple[Accept, ...] = ()
    """The accepted losses that hold today."""
    ids_named: int = IDS_NAMED
    """Ids that a finding names, at most. On the dates of `accepts` every one was asked for."""

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


@dataclass(frozen=True, kw_only=True)
class _Alike:
    """`Evidence.is_alike` of all days at once, so that none is compared anew for each table that is
    measured by another."""

    pipeline: Pipeline
    evidence: Evidence
    days: tuple[date, ...]
    _prints: dict[tuple[Place, str], list[tuple[int, int]]] = field(default_factory=dict)
    _columns: dict[tuple[Place, str], list[bool]] = field(default_factory=dict)

    def column(self, place: Place, entity: str) -> list[bool]:
        """Day by day, whether a table holds just the ids it is measured by."""
        if (place, entity) not in self._columns:
            own, column = self.prints(place, entity), [True] * len(self.days)
            for other in self.pipeline.measures[place, entity]:
                theirs, above = self.prints(other, entity), self.column(other, entity)
                column = [
                    so_far and is_alike and mine == other_print
                    for so_far, is_alike, mine, other_print in zip(
                        column, above, own, theirs, strict=True
                    )
                ]
            self._columns[place, entity] = column
        return self._columns[place, entity]

    def prints(self, place: Place, entity: str) -> list[tuple[int, int]]:
        """Day by day, how many ids a table holds, and their fingerprint."""
        if (place, entity) not in self._prints:
            self._prints[place, entity] = [
                self.evidence.print_of(place, entity, day) for day in self.days
            ]
        return self._prints[place, entity]


def unsure(
    pipeline: Pipeline, evidence: Evidence, phases: Iterable[str], days: Collection[date]
) -> dict[Place, list[date]]:
    """The dates on which counts do not tell which ids a table lacks, or has too many of.

    That is of the tables of some phases, and of those that they are measured by. A table without
    rows lacks all that is due: where that is known, nothing is asked. Where a loss is accepted, in
    the phase or in one that it is computed from, the ids tell which it is. What the days of a
    period hold does not add up, so the ids of every one are asked for.
    """
    found: dict[Place, list[date]] = {}
    alike = _Alike(pipeline=pipeline, evidence=evidence, days=tuple(days))
    places = [(name, spec.name) for name in phases for spec in pipeline.by_name[name].tables]
    for place in places:  # grows meanwhile
        grain = pipeline.by_name[place[0]].grain
        entities = pipeline.compared_by_ids(place)
        for entity in entities:
            places += [o for o in pipeline.measures[place, entity] if o not in places]
        columns = [(entity, alike.column(place, entity)) for entity in entities]
        dates = [
            day
            for n, day in enumerate(alike.days)
            if (entities and not grain.is_daily and grain.is_date(day))
            or any(
                not column[n] and _is_unsure(pipeline, evidence, place, entity, day)
                for entity, column in columns
            )
            or (entities and is_accepted(pipeline, evidence.accepts, place[0], day))
        ]
        if dates:
            found[place] = dates
    return found


def _is_unsure(
    pipeline: Pipeline, evidence: Evidence, place: Place, entity: str, day: date
) -> bool:
    if not pipeline.by_name[place[0]].grain.is_daily or evidence.is_alike(
        pipeline, place, entity, day
    ):
        return False
    others = pipeline.measures[place, entity]
    if not any(evidence.cell(other[1], day).rows for other in others):
        return False  # nothing is due, and what is there is too much
    if evidence.cell(place[1], day).rows:
        return True
    return not evidence.is_settled(pipeline, place, entity, day)


def is_accepted(pipeline: Pipeline, accepts: Iterable[Accept], phase: str, day: date) -> bool:
    """Whether a loss is accepted on a date, in a phase or in one that it is computed from."""
    return any(
        each.covers(day) and (each.phase == phase or each.phase in pipeline.ancestors[phase])
        for each in accepts
    )
