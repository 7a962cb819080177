"""Which dates other code than today's made, by what was noted when they were settled."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from planner.gaps.gaps import Assessment
from planner.pipeline.phase import Phase
from planner.pipeline.windows import Window
from planner.plan import made as notes
from planner.plan.asked import can_write_anew
from planner.plan.made import UNKNOWN, Fingerprint, Newest, differences
from planner.report.made import read_made
from planner.text import date_ranges
from worker.context import Context
from worker.runners.choose import choose
from worker.runners.fingerprint import fingerprint
from worker.step.mismatch import is_here

NEVER_SEEN = "no run here noted what made them"
UNREADABLE = "the code that made them, or today's, cannot be read on this machine"
NO_RUNNER = "none of its runners exists on this machine"


@dataclass(frozen=True, kw_only=True)
class Changes:
    """How the complete dates of a scope stand to the code of today."""

    changed: Mapping[str, Mapping[date, tuple[str, ...]]] = field(default_factory=dict)
    """Phase → date → what is other than when it was made: runner, statements, code, version."""
    unknown: Mapping[str, Mapping[str, tuple[date, ...]]] = field(default_factory=dict)
    """Phase → why it is not known → dates."""

    def of(self, phases: Iterable[str]) -> dict[str, tuple[date, ...]]:
        """The changed dates of some phases."""
        return {name: tuple(self.changed[name]) for name in phases if name in self.changed}

    def within(self, phases: Collection[str]) -> Changes:
        """Those of some phases."""
        return Changes(
            changed={name: days for name, days in self.changed.items() if name in phases},
            unknown={name: why for name, why in self.unknown.items() if name in phases},
        )

    @property
    def lines(self) -> list[str]:
        """What is unknown, for people."""
        return [
            f"unknown: {phase} {date_ranges(days)}: {why}"
            for phase, reasons in self.unknown.items()
            for why, days in reasons.items()
        ]


NOT_ASKED = Changes()


def changes(context: Context, assessment: Assessment, scope: Window) -> Changes:
    """Compare what made every complete date with what would make it now.

    Raises `FleetError` for a broken note, and `WarehouseError`.
    """
    known = _known(context, scope)
    changed: dict[str, dict[date, tuple[str, ...]]] = {}
    unknown: dict[str, dict[str, tuple[date, ...]]] = {}
    for phase in context.pipeline.phases:
        if phase.is_watched:
            continue
        seen = any(name == phase.name for name, _ in known)
        now = _today(context, phase) if seen else None  # git is asked, and need not be
        for day in scope.days():
            if not can_write_anew(assessment, phase, day):
                continue
            verdict = _verdict(known, phase, day, now)
            if isinstance(verdict, str):
                why = unknown.setdefault(phase.name, {})
                why[verdict] = (*why.get(verdict, ()), day)
            elif verdict:
                changed.setdefault(phase.name, {})[day] = verdict
    return Changes(changed=changed, unknown=unknown)


def _verdict(
    known: Newest, phase: Phase, day: date, now: Fingerprint | None
) -> tuple[str, ...] | str:
    """What differs, or why that is not known."""
    _, then = known.get((phase.name, day), (0.0, UNKNOWN))
    if then == UNKNOWN:
        return NEVER_SEEN
    if now is None:
        return NO_RUNNER
    found = differences(then, now)
    return UNREADABLE if found is None else found


def _known(context: Context, scope: Window) -> Newest:
    """What is noted in the home, and in the warehouse's history where there is one."""
    pipeline = context.pipeline.name
    found = notes.read(context.settings.folder("made"), pipeline=pipeline)
    here = [note for note in found if is_here(context, note)]
    dataset = context.settings.history_dataset
    if dataset is not None:
        warehouse = context.warehouse.labelled(phase="history")
        here += read_made(warehouse, dataset, pipeline=pipeline, scope=scope)
    return notes.newest(here)


def _today(context: Context, phase: Phase) -> Fingerprint | None:
    """The fingerprint of what would fill a phase now; None where none of its runners exists."""
    number = choose(phase, context.pipeline_dir).number
    return None if number is None else fingerprint(phase, number, context.pipeline_dir)
