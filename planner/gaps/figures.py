"""How many of each entity a phase ought to hold on a date, and how many it does. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from planner.evidence.evidence import Evidence
from planner.gaps.accepted import Losses
from planner.gaps.gaps import Expected
from planner.gaps.undue import Undue
from planner.pipeline.measures import Place
from planner.pipeline.phase import Phase
from planner.pipeline.pipeline import Pipeline


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The entities of a pipeline, date by date, as the warehouse showed them."""

    pipeline: Pipeline
    evidence: Evidence
    undue: Undue
    losses: Losses
    _counted: dict[tuple[Place, str, date], tuple[int, int]] = field(default_factory=dict)
    _beginnings: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def due(self, phase: Phase, day: date) -> Expected:
        """How many of each entity a phase ought to hold: what the tables where the entity begins
        hold, or what `against` names."""
        due: dict[str, int] = {}
        for table, entity in self._beginning(phase) if phase.grain.is_daily else ():
            count = self.evidence.cell(table, day).entities.get(entity, 0)
            due[entity] = max(due.get(entity, 0), count)
        for spec in self.undue.due(phase, day):
            for entity in spec.entities:
                if self.pipeline.measures[(phase.name, spec.name), entity]:
                    want, _ = self.counts((phase.name, spec.name), entity, day)
                    due[entity] = want
        return due

    def _beginning(self, phase: Phase) -> list[tuple[str, str]]:
        """Tables upstream of a phase, and the entities that begin there; those that were counted.

        What the phase itself is measured by always was; others tell of entities that it does not
        count, and are for people.
        """
        if phase.name not in self._beginnings:
            self._beginnings[phase.name] = [
                (table, entity)
                for ((name, table), entity), others in self.pipeline.measures.items()
                if not others
                and name in self.pipeline.ancestors[phase.name]
                and table in self.evidence.coverage
            ]
        return self._beginnings[phase.name]

    def held(self, phase: Phase, day: date) -> int:
        """How many of the pipeline's own entity a phase holds in full, in every table that counts
        it. One source is enough; any other phase is all its tables."""
        entity = self.pipeline.entity
        able = [spec for spec in phase.tables if entity in spec.entities]
        specs = [spec for spec in self.undue.due(phase, day) if spec in able] or able
        counts = [self.counts((phase.name, spec.name), entity, day)[1] for spec in specs]
        return max(counts) if phase.is_source else min(counts)

    def counts(self, place: Place, entity: str, day: date) -> tuple[int, int]:
        """How many ids are due in a table, and how many of them it holds."""
        key = (place, entity, day)
        if key not in self._counted:
            self._counted[key] = self._count(place, entity, day)
        return self._counted[key]

    def _count(self, place: Place, entity: str, day: date) -> tuple[int, int]:
        others = self.pipeline.measures[place, entity]
        count = self.evidence.cell(place[1], day).entities.get(entity, 0)
        if not others:
            return count, count
        if not self.pipeline.by_name[place[0]].grain.is_daily:
            apart = self.evidence.differences[place][day, entity]
            return count - apart.surplus + apart.lacking, count - apart.surplus
        counts = [self.evidence.cell(other[1], day).entities.get(entity, 0) for other in others]
        if not self.pipeline.by_ids(entity):
            return self.losses.most(place, entity, day, max(counts)), count
        if self.evidence.is_alike(self.pipeline, place, entity, day):
            return count, count
        if not any(counts):
            return 0, 0
        is_known = not self.losses.reach(place[0], day)
        if is_known and not count and self.evidence.is_settled(self.pipeline, place, entity, day):
            return max(counts), 0
        apart = self.evidence.differences[place][day, entity]
        have = count - apart.surplus
        lost = self.losses.above(place[0], entity, day).intersection(apart.lacks)
        return have + apart.lacking - len(lost), have
