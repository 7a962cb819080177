"""Gaps and their reasons, skipped dates and theirs, and the assessment that holds both.

Values only; `planner.gaps.assess` makes them from what the warehouse showed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING

from planner.pipeline.lookback import upstream
from planner.text import counted, shown_id

if TYPE_CHECKING:
    from planner.pipeline.phase import Phase
    from planner.pipeline.windows import Window

Expected = Mapping[str, int]
"""Entity → how many distinct ones make a date complete."""


class GapReason(StrEnum):
    """Why a phase and date has to be done."""

    MISSING = "missing"
    """No rows."""
    PARTIAL = "partial"
    """Ids that upstream holds are not there, or whole tables of the phase."""
    LATE = "late"
    """A source holds no rows of a date on which they are due, and none of any later one."""
    DUPLICATE = "duplicate"
    """Rows share a `key` of the pipeline file."""
    AUDIT = "audit"
    """An audit of the pipeline file finds the date wrong."""
    UNFILLED = "unfilled"
    """A column holds fewer values than `filled` asks for."""
    SURPLUS = "surplus"
    """It holds ids that what it is measured by does not hold."""
    ORPHAN = "orphan"
    """It holds rows, and no source does, or its phase is due by week or month and not on this date.
    A repair deletes none."""
    CASCADE = "cascade"
    """Rows are there, and were computed from rows that are repaired now."""
    STALE = "stale"
    """Rows are there, and what they are computed from was written after them; with `--stale`
    alone."""
    REDO = "redo"
    """Rows are there, and `--redo` asked for them to be written anew; in plans alone."""
    CHANGED = "changed"
    """Rows are there, and were made by other code than today's; with `--changed` alone."""


SHORT = frozenset({GapReason.MISSING, GapReason.PARTIAL, GapReason.LATE})
"""Rows are not there. What rests on them cannot be computed."""

FLAWS = (GapReason.DUPLICATE, GapReason.AUDIT, GapReason.UNFILLED, GapReason.SURPLUS)
"""Rows are there, and not as they should be; the worst first. To run a script that appends once
more would make them worse, so a repair takes them only when it is asked to."""

OUTDATED = frozenset({GapReason.CASCADE, GapReason.STALE})
"""Rows are there, and were computed before what they are computed from."""

ANEW = frozenset({GapReason.REDO, GapReason.CHANGED})
"""Rows are there, and right by every count: they are written anew because the user asks."""

RECOMPUTE = OUTDATED | frozenset(FLAWS) | ANEW
"""Rows are all there by count, and have to be written anew: only new versions of them show that it
was done."""


class SkipReason(StrEnum):
    """Why a phase and date is skipped."""

    OFF_DAY = "off_day"
    """The source phases hold nothing: no games, no orders, out of season."""
    BOOTSTRAP = "bootstrap"
    """Among the first days of a season or period, and the phase skips them."""
    BETWEEN = "between"
    """No date of a phase that is due by week or month."""
    EXCLUDED = "excluded"
    """The pipeline file says so, or a table that it names."""
    ACCEPTED = "accepted"
    """What it is computed from is lost as a whole, or its own rows are, and the pipeline file
    accepts that."""
    UPSTREAM_MISSING = "upstream_missing"
    """What it is computed from is not there, and is not repaired by this plan."""
    FLAWED = "flawed"
    """Its rows are there and not as they should be, and the plan was not asked to repair them."""
    OPEN = "open"
    """The day is not closed, or one that it reads, or what its source lacks is not late yet: rows
    may still come."""
    UNJUDGED = "unjudged"
    """Its source holds no rows of it, and phases below do, so nothing tells what is due. No gap,
    and exit code 1."""
    WATCHED = "watched"
    """It is short, and its phase has no runner: what fills it is not run from here."""
    BEYOND = "beyond"
    """A source holds rows on it, and it is later than the calendar's end."""
    LEFT_OUT = "left_out"
    """`--exclude` left the date out of this plan."""
    IN_FLIGHT = "in_flight"
    """Another run is repairing it, or what it is computed from."""


NO_GAPS = frozenset({SkipReason.IN_FLIGHT, SkipReason.OPEN})
"""Reasons to leave a date that are no sign of anything being wrong."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What is wrong with one table on one date."""

    table: str
    reason: GapReason
    expected: int
    """Entities, distinct keys or rows with a value, as the reason counts."""
    found: int
    entity: str = ""
    """What is counted; empty where it is rows."""
    ids: tuple[str, ...] = ()
    """The first of the ids that are lacking, or too many."""
    apart: int = 0
    """How many ids are lacking, or too many."""
    about: str = ""
    """The column that is unfilled, the audit, or when a phase is due that has rows between."""
    others: tuple[str, ...] = ()
    """Further entities of the table that are short as well."""

    @property
    def named(self) -> str:
        """The ids that are apart: `s04, s07 and 3 more`."""
        more = self.apart - len(self.ids)
        return ", ".join(map(shown_id, self.ids)) + (f" and {more:,} more" if more > 0 else "")

    def __str__(self) -> str:
        """`shop.trend holds 10 of 12 stores: lacks s04, s07`."""
        return f"{self.table} {_SAYS[self.reason](self)}"


def _lacking(finding: Finding) -> str:
    if not finding.entity:
        return "holds no rows"
    text = f"holds {finding.found} of {counted(finding.expected, finding.entity)}"
    return f"{text}: lacks {finding.named}" if finding.ids else text


_SAYS: Mapping[GapReason, Callable[[Finding], str]] = {
    GapReason.MISSING: _lacking,
    GapReason.PARTIAL: _lacking,
    GapReason.LATE: lambda f: f"is late: it {_lacking(f)}",
    GapReason.DUPLICATE: lambda f: (
        f"holds {f.found:,} rows for {f.expected:,} keys ({f.about}): "
        f"{f.found - f.expected:,} too many"
    ),
    GapReason.AUDIT: lambda f: f"fails the audit {f.about}",
    GapReason.UNFILLED: lambda f: (
        f"has a value of {f.about} in {f.found:,} rows, and {f.expected:,} at least should"
    ),
    GapReason.SURPLUS: lambda f: (
        f"holds {counted(f.apart, f.entity)} too many" + (f": {f.named}" if f.ids else "")
    ),
    GapReason.ORPHAN: lambda f: (
        f"holds {f.found:,} rows, and "
        + (f"its phase is due {f.about}" if f.about else "nothing upstream does")
    ),
}


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A phase and date that is short, or not as it should be."""

    phase: str
    date: date
    reason: GapReason
    expected: int
    """Entities of the shortest table; rows (1) where a table counts none."""
    found: int
    tables: tuple[str, ...]
    """The tables that are short."""
    findings: tuple[Finding, ...] = ()
    """Everything that is wrong, the worst first; `reason` is that of the first. None of a date
    that is to be computed again."""
    asked: tuple[GapReason, ...] = ()
    """Flaws that a plan was asked to repair, `reason` among them or not."""

    @property
    def reasons(self) -> frozenset[GapReason]:
        """Every reason that there is."""
        return frozenset({self.reason, *(finding.reason for finding in self.findings)})

    @property
    def detail(self) -> str:
        """What is wrong, in words."""
        return "; ".join(map(str, self.findings))

    @property
    def lacks(self) -> tuple[str, ...]:
        """The ids that it lacks, as far as they are named."""
        return tuple(dict.fromkeys(each for finding in self._short for each in finding.ids))

    @property
    def unnamed(self) -> int:
        """How many more ids one of its tables lacks."""
        return max((each.apart - len(each.ids) for each in self._short), default=0)

    @property
    def _short(self) -> list[Finding]:
        return [each for each in self.findings if each.reason in SHORT]


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A phase and date that is not done, and why."""

    phase: str
    date: date
    reason: SkipReason
    detail: str = ""
    run_id: str | None = None
    """The run that holds it, for `in_flight`."""


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """A date whose loss is accepted by the pipeline file: complete, with a mark."""

    gap: Gap
    """What it would be."""
    reason: str
    """Why it is accepted."""
    until: date | None
    """The last day on which it is; None for good."""


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """Every phase and date of a window: complete, a gap, or legitimately empty."""

    window: Window
    gaps: Mapping[str, Mapping[date, Gap]]
    empty: Mapping[str, Mapping[date, Skipped]]
    complete: Mapping[str, frozenset[date]]
    expected: Mapping[str, Mapping[date, Expected]] = field(repr=False)
    """Phase → date → how many of each entity it ought to hold."""
    held: Mapping[str, Mapping[date, int]] = field(repr=False)
    """Phase → date → how many of the pipeline's own entity it holds in full, in every table
    that counts it. A phase that does not count it is absent."""
    stale: Mapping[str, Collection[date]] = field(default_factory=dict)
    """Phase → dates with all their rows whose upstream was written after them; empty unless asked
    for."""
    doubtful: Mapping[str, Collection[date]] = field(default_factory=dict)
    """Phase → dates that look stale, and hold more than their upstream does now."""
    orphans: Mapping[str, Mapping[date, Gap]] = field(default_factory=dict)
    """Phase → date → rows on a date on which nothing is due."""
    accepted: Mapping[str, Mapping[date, Accepted]] = field(default_factory=dict)
    """Phase → date → a loss that is accepted. Such a date is complete, unless it has a flaw too."""
    holding: Mapping[str, frozenset[date]] = field(default_factory=dict, repr=False)
    """Phase → dates on which it holds any row, due or not."""
    gone: Mapping[str, frozenset[date]] = field(default_factory=dict, repr=False)
    """Phase → dates whose rows are gone, or not there, though phases below hold some: what is
    computed from them would be computed from nothing."""
    beyond: tuple[Skipped, ...] = ()
    """Sources and dates after the calendar's end that hold rows; empty unless looked for."""

    def is_full(self, phase: str, day: date) -> bool:
        """Whether all rows are there, with or without a flaw."""
        gap = self.gaps[phase].get(day)
        return day in self.complete[phase] if gap is None else gap.reason not in SHORT

    def is_due(self, phase: str, day: date) -> bool:
        """Whether rows are expected, there or not."""
        return day in self.complete[phase] or day in self.gaps[phase]

    def short_upstream(self, phase: Phase, day: date) -> Gap | None:
        """The first date in the lookback window of a date whose upstream rows are not there."""
        for name, past in upstream(day, phase):
            gap = self.gaps[name].get(past)
            if gap is not None and gap.reason in SHORT:
                return gap
        return None

    def unready_upstream(self, phase: Phase, day: date) -> Skipped | None:
        """The first date in the lookback window of a date whose upstream rows are gone, or may
        still come."""
        found = (self.unready(name, past) for name, past in upstream(day, phase))
        return next((each for each in found if each is not None), None)

    def unready(self, phase: str, day: date) -> Skipped | None:
        """Why nothing may be computed from a date that is no gap; None when it may."""
        left = self.empty[phase].get(day)
        is_unready = left is not None and left.reason is SkipReason.OPEN
        return left if is_unready or day in self.gone.get(phase, ()) else None

    def unsettled(self, reason: SkipReason, scope: Window) -> dict[str, list[date]]:
        """Phase → its dates of the scope that are neither gaps nor complete, for a reason."""
        found = {
            phase: [day for day in sorted(days) if day in scope and days[day].reason is reason]
            for phase, days in self.empty.items()
        }
        return {phase: days for phase, days in found.items() if days}


def count_due(phase: Phase, due: Expected) -> int:
    """How many a phase ought to hold of its first entity; 1 where it counts none."""
    first = next(iter(phase.tables[0].entities), None)
    return due.get(first, 1) if first else 1


def recomputed(phase: Phase, day: date, assessment: Assessment, reason: GapReason) -> Gap:
    """A date that is complete by count, and has to be computed again."""
    count = count_due(phase, assessment.expected[phase.name].get(day, {}))
    return Gap(
        phase=phase.name,
        date=day,
        reason=reason,
        expected=count,
        found=count,
        tables=tuple(spec.name for spec in phase.tables),
    )
