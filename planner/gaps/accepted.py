"""Accepted losses: what a date lacks for good, and what that leaves to expect below it. Pure.

A loss that is accepted counts as complete, with a mark. What is computed from it cannot hold what
it lacks, so that is not expected there either; where the accepted date holds nothing at all,
nothing is due below it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

from planner.evidence.evidence import Evidence, is_accepted
from planner.gaps.gaps import SHORT, Accepted, Finding, Gap
from planner.pipeline.accept import Accept
from planner.pipeline.measures import Place
from planner.pipeline.pipeline import Pipeline


@dataclass(frozen=True, kw_only=True)
class Losses:
    """The accepted losses of a pipeline file, over what the warehouse showed."""

    pipeline: Pipeline
    evidence: Evidence

    @cached_property
    def _by_phase(self) -> dict[str, list[Accept]]:
        found: dict[str, list[Accept]] = {}
        for each in self.evidence.accepts:
            found.setdefault(each.phase, []).append(each)
        return found

    def of(self, phase: str, day: date) -> tuple[Accept, ...]:
        """What is accepted of a phase on a day."""
        return tuple(each for each in self._by_phase.get(phase, ()) if each.covers(day))

    def reach(self, phase: str, day: date) -> bool:
        """Whether a loss of the phase, or of one that it is computed from, is accepted."""
        return is_accepted(self.pipeline, self.evidence.accepts, phase, day)

    def above(self, phase: str, entity: str, day: date) -> frozenset[str]:
        """Ids that a phase cannot hold, since one that it is computed from lost them for good."""
        lost: set[str] = set()
        for name in self.pipeline.ancestors[phase]:
            accepts = self.of(name, day)
            for spec in self.pipeline.by_name[name].tables if accepts else ():
                apart = self.evidence.differences.get((name, spec.name), {}).get((day, entity))
                if apart is not None:
                    lost |= {each for each in apart.lacks if _covers(accepts, each)}
        return frozenset(lost)

    def most(self, place: Place, entity: str, day: date, count: int) -> int:
        """Where ids are not compared: `count`, or what a phase above holds that lost some."""
        for name in self.pipeline.ancestors[place[0]]:
            if any(not each.ids for each in self.of(name, day)):
                for spec in self.pipeline.by_name[name].tables:
                    if entity in spec.entities:
                        held = self.evidence.cell(spec.name, day).entities.get(entity, 0)
                        count = min(count, held)
        return count


def left(accepts: tuple[Accept, ...], finding: Finding) -> Finding | None:
    """What of a finding is not accepted; None when all of it is."""
    if not accepts or finding.reason not in SHORT:
        return finding
    if any(not each.ids for each in accepts):
        return None
    others = tuple(each for each in finding.ids if not _covers(accepts, each))
    gone = len(finding.ids) - len(others)
    if not gone:
        return finding
    if gone == finding.apart:
        return None
    return replace(
        finding,
        ids=others,
        apart=finding.apart - gone,
        expected=max(finding.expected - gone, finding.found + 1),
    )


def mark(accepts: tuple[Accept, ...], gap: Gap) -> Accepted:
    """The mark of a date of which all that it lacks is accepted."""
    ends = [each.until for each in accepts if each.until is not None]
    return Accepted(
        gap=gap,
        reason="; ".join(dict.fromkeys(each.reason for each in accepts)),
        until=min(ends, default=None),
    )


def _covers(accepts: tuple[Accept, ...], an_id: str) -> bool:
    return any(not each.ids or an_id in each.ids for each in accepts)
