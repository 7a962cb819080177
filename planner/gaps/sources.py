"""What a source lacks of what the pipeline file expects of it. Pure.

Nothing stands before a source, so without `expects` a date on which it holds no rows is a day off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

from planner.evidence.evidence import Evidence
from planner.gaps.gaps import Finding, GapReason
from planner.gaps.undue import Undue
from planner.pipeline.calendar import Calendar
from planner.pipeline.closing import Closing
from planner.pipeline.expects import Expects
from planner.pipeline.phase import Phase
from planner.pipeline.tables import TableSpec


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The sources of a pipeline, judged by what is expected of them."""

    calendar: Calendar
    evidence: Evidence
    undue: Undue
    closing: Closing | None
    """None: every day has long been over."""
    last: date
    """The last day that was counted."""
    _newest: dict[str, date] = field(default_factory=dict)

    def is_waited_for(self, phase: Phase, day: date) -> bool:
        """Whether all that is lacking on a day may still come, and is not late."""
        if self.closing is None:
            return False
        due = self.undue.due(phase, day)
        short = [spec for spec in due if any(self._lacks(phase, spec, day))]
        return bool(short) and all(self._is_in_time(phase, spec, day) for spec in short)

    def is_short(self, phase: Phase, day: date) -> bool:
        """Whether any table of a source that is due lacks what is expected of it."""
        due = self.undue.due(phase, day)
        return any(any(self.findings(phase, spec, day)) for spec in due)

    def findings(self, phase: Phase, spec: TableSpec, day: date) -> Iterator[Finding]:
        """What one table of a source lacks on a day, and is late with."""
        return iter(()) if self._is_in_time(phase, spec, day) else self._lacks(phase, spec, day)

    def _is_in_time(self, phase: Phase, spec: TableSpec, day: date) -> bool:
        expects = phase.expected(spec)
        late_after = expects.late_after if expects else None
        return self.closing is not None and self.closing.is_waited_for(phase, day, late_after)

    def _lacks(self, phase: Phase, spec: TableSpec, day: date) -> Iterator[Finding]:
        expects = phase.expected(spec)
        if expects is None or not self.calendar.covers(day):
            return
        cell = self.evidence.cell(spec.name, day)
        if not cell.rows:
            is_tail = day > self._newest_of(spec.name)
            if self._is_due(phase, expects, day):
                reason = GapReason.LATE if is_tail and self._reaches_now else GapReason.MISSING
                yield Finding(table=spec.name, reason=reason, expected=1, found=0)
            elif is_tail and self._reaches_now and expects.late_after is not None:
                yield Finding(table=spec.name, reason=GapReason.LATE, expected=1, found=0)
            return
        for entity, least in expects.entities.items():
            found = cell.entities.get(entity, least)
            if entity in spec.entities and found < least:
                yield Finding(
                    table=spec.name,
                    reason=GapReason.PARTIAL,
                    expected=least,
                    found=found,
                    entity=entity,
                    apart=least - found,
                )
        yield from self._unlisted(phase, spec, day)

    def _unlisted(self, phase: Phase, spec: TableSpec, day: date) -> Iterator[Finding]:
        """Ids that `against` lists, and the table lacks."""
        differences = self.evidence.unlisted.get((phase.name, spec.name), {})
        for entity in spec.entities:
            apart = differences.get((day, entity))
            if apart is not None and apart.lacking:
                held = self.evidence.cell(spec.name, day).entities[entity] - apart.surplus
                yield Finding(
                    table=spec.name,
                    reason=GapReason.PARTIAL,
                    expected=held + apart.lacking,
                    found=held,
                    entity=entity,
                    ids=apart.lacks,
                    apart=apart.lacking,
                )

    def _is_due(self, phase: Phase, expects: Expects, day: date) -> bool:
        """Whether a table has to hold rows: another of its phase does, or the file says so."""
        if expects.is_usual(day) or any(
            day in self.evidence.coverage[other.name] for other in phase.tables
        ):
            return True
        listing = expects.lists_days
        return listing is not None and day in self.evidence.listed[listing.key]

    @property
    def _reaches_now(self) -> bool:
        """Whether the newest days are among those counted: else none can be told to be late."""
        return self.closing is not None and self.last >= self.closing.today

    def _newest_of(self, table: str) -> date:
        if table not in self._newest:
            self._newest[table] = max(self.evidence.coverage[table], default=date.min)
        return self._newest[table]
