"""Dates that are judged alike: those of which a judgement reads the same. Pure.

Most dates of a long calendar differ in nothing but their day: the same tables hold the same ids.
What is judged of one of them holds for all, so a judgement is made once per kind. A kind names all
that a judgement of a date reads; where something is about single dates (an id that is apart, an
audit, an accepted loss, a day that is open, a week), the date has none, and is judged by itself.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING

from planner.pipeline.windows import moved

if TYPE_CHECKING:
    from planner.evidence.evidence import Evidence
    from planner.gaps.undue import Undue
    from planner.gaps.unsettled import Unsettled
    from planner.pipeline.closing import Closing
    from planner.pipeline.phase import Phase
    from planner.pipeline.pipeline import Pipeline
    from planner.pipeline.windows import Window

Kind = tuple[Hashable, ...]


@dataclass(frozen=True, kw_only=True)
class Kinds:
    """The kinds of the dates of a window."""

    pipeline: Pipeline
    evidence: Evidence
    undue: Undue
    unsettled: Unsettled
    closing: Closing | None
    window: Window

    def of(self, day: date) -> Kind | None:
        """The kind of a date; None where it is judged by itself."""
        if not self._have_kinds or day >= self._open_from or day in self._apart:
            return None
        if any(each.covers(day) for each in self.evidence.accepts):
            return None
        return (*self._calendar(day), *self._cells(day))

    @cached_property
    def _have_kinds(self) -> bool:
        """Whether a date is judged by what is on that day alone: no phase is due by week or month,
        and nothing is expected of weekdays or of the newest days."""
        return not any(
            not phase.grain.is_daily or any(phase.expected(spec) for spec in phase.tables)
            for phase in self.pipeline.phases
        )

    @cached_property
    def _open_from(self) -> date:
        """The first day of the window that may be open in any phase; they close in order."""
        closing, start = self.closing, self.window.start
        days = range((self.window.end - start).days + 1)
        if closing is None:
            return date.max

        def is_open(n: int) -> bool:
            day = moved(start, n)
            return any(closing.now < closing.closes(phase, day) for phase in self.pipeline.phases)

        return moved(start, bisect_left(days, True, key=is_open))

    @cached_property
    def _apart(self) -> frozenset[date]:
        """The days of which more is known than counts: ids that differ, audits that failed."""
        named = (*self.evidence.differences.values(), *self.evidence.unlisted.values())
        ids = {day for differences in named for day, _ in differences}
        audits = (days for failed in self.evidence.audited.values() for days in failed.values())
        return frozenset(ids.union(*audits))

    @cached_property
    def _sources(self) -> list[Phase]:
        """The sources that were counted: no judgement reads the others."""
        return [
            phase
            for phase in self.pipeline.phases
            if phase.is_source and all(spec.name in self.evidence.coverage for spec in phase.tables)
        ]

    @cached_property
    def _by_rows(self) -> frozenset[str]:
        """The tables of which a share of the rows has to hold a value."""
        return frozenset(
            spec.name for phase in self.pipeline.phases for spec in phase.tables if spec.filled
        )

    def _calendar(self, day: date) -> Iterator[Hashable]:
        """What is not due on a day by the file, and what is not known of its sources."""
        if not self.undue.is_silent:
            for phase in self.pipeline.phases:
                yield from self.undue.reasons(phase, day)
        for source in self._sources:
            yield self.unsettled.retention.is_gone(source, day)
        if self.evidence.bare:
            yield self.unsettled.sources.calendar.covers(day)

    def _cells(self, day: date) -> Iterator[Hashable]:
        """What each table holds, one by one. Fingerprints are only ever compared with each other,
        or with none, and the number of rows is read only beside other figures, or where a source
        holds none."""
        is_sourced = all(self.evidence.holds(source, day) for source in self._sources)
        prints: dict[tuple[str, int], int] = {}
        for table, cells in self.evidence.coverage.items():
            cell = cells.get(day)
            if cell is None:
                yield None
                continue
            is_counted = cell.duplicates or table in self._by_rows or not is_sourced
            numbers = [
                (pair[0], pair[1] and prints.setdefault(pair, len(prints) + 1))
                for pair in cell.fingerprints.items()
            ]
            yield (
                cell.rows if is_counted else bool(cell.rows),
                tuple(cell.entities.items()),
                tuple(numbers),
                is_counted and (cell.duplicates, tuple(cell.filled.items())),
            )
