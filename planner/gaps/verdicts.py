"""How one phase stands, date by date, and the assessment that is made of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, TypeVar

from planner.gaps.gaps import Accepted, Assessment, Expected, Gap, Skipped

if TYPE_CHECKING:
    from planner.pipeline.windows import Window

Dated = TypeVar("Dated", Gap, Skipped)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How a phase stands on one date, or on every date of a kind."""

    holds: bool
    """Whether it holds any row."""
    empty: Skipped | None = None
    """Why nothing is due; the rest is about dates on which rows are."""
    is_gone: bool = False
    """Whether nothing is known of it, and nothing may be computed from it."""
    orphan: Gap | None = None
    """Rows on a date on which nothing is due."""
    expected: Expected = field(default_factory=dict)
    gap: Gap | None = None
    accepted: Accepted | None = None
    held: int | None = None
    """How many of the pipeline's entity it holds; None where it does not count it."""


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """The dates of one phase, as they were added."""

    counts_entity: bool
    """Whether any of its tables counts the pipeline's entity."""
    gaps: dict[date, Gap] = field(default_factory=dict)
    orphans: dict[date, Gap] = field(default_factory=dict)
    empty: dict[date, Skipped] = field(default_factory=dict)
    expected: dict[date, Expected] = field(default_factory=dict)
    held: dict[date, int] = field(default_factory=dict)
    accepted: dict[date, Accepted] = field(default_factory=dict)
    complete: set[date] = field(default_factory=set)
    holding: set[date] = field(default_factory=set)
    gone: set[date] = field(default_factory=set)

    def add(self, day: date, verdict: Verdict) -> None:
        """Note how a date stands; the verdict may be that of another date of its kind."""
        if verdict.holds:
            self.holding.add(day)
        if verdict.empty is not None:
            self.empty[day] = _of(day, verdict.empty)
            if verdict.is_gone:
                self.gone.add(day)
            if verdict.orphan is not None:
                self.orphans[day] = _of(day, verdict.orphan)
            return
        self.expected[day] = verdict.expected
        if verdict.accepted is not None:
            self.accepted[day] = verdict.accepted
        if verdict.held is not None:
            self.held[day] = verdict.held
        if verdict.gap is None:
            self.complete.add(day)
        else:
            self.gaps[day] = _of(day, verdict.gap)


def _of(day: date, found: Dated) -> Dated:
    """The same of another date."""
    if found.date == day:
        return found
    return type(found)(**{**vars(found), "date": day})  # `dataclasses.replace` takes twice as long


def assessment_of(window: Window, phases: Mapping[str, Verdicts]) -> Assessment:
    """The assessment of a window: phase → how its dates stand."""
    return Assessment(
        window=window,
        gaps={name: each.gaps for name, each in phases.items()},
        empty={name: each.empty for name, each in phases.items()},
        complete={name: frozenset(each.complete) for name, each in phases.items()},
        expected={name: each.expected for name, each in phases.items()},
        held={name: each.held for name, each in phases.items() if each.counts_entity},
        orphans={name: each.orphans for name, each in phases.items() if each.orphans},
        accepted={name: each.accepted for name, each in phases.items() if each.accepted},
        holding={name: frozenset(each.holding) for name, each in phases.items()},
        gone={name: frozenset(each.gone) for name, each in phases.items()},
    )
