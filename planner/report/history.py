"""The history in the warehouse: `backfill_runs` and `data_gaps`, for dashboards to read.

Optional: no command reads these two back, and a repair goes on without it. Each table is written in
one statement per run, and idempotently: a run that is finalized twice gives the same rows. Beside
them stand `backfill_made` (`planner.report.made`), `backfill_commands`, and what runs were billed
(`planner.report.costs`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from planner.gaps.gaps import Assessment, GapReason, SkipReason
from planner.plan.states import StepState
from planner.report.commands import COMMANDS
from planner.report.costs import COSTS, STEP_COSTS
from planner.report.made import MADE
from planner.report.report import Report
from sql import TableNotFound, Warehouse, WarehouseRefused, load
from sql.statements import quote_table

if TYPE_CHECKING:
    from planner.pipeline.windows import Window
    from planner.plan.plan import Plan
    from planner.report.restored import RestoreReport

RUNS, GAPS = "backfill_runs", "data_gaps"
TABLES = (RUNS, GAPS, MADE, COMMANDS, COSTS, STEP_COSTS)
_COLUMN = re.compile(r"^  (\w+) ", re.MULTILINE)
RESTORED = "restored"
"""The state of a restore, which is no run: it is written when every table was counted."""
OPEN, HEALED, ACCEPTED = "open", "healed", "accepted"


@dataclass(frozen=True, kw_only=True)
class FoundGap:
    """A phase and date that was found short."""

    phase: str
    date: date
    reason: str
    status: str = OPEN
    run: str = ""
    """The run that took it; empty for none."""


def create_statements(dataset: str) -> list[str]:
    """GoogleSQL that creates the tables where they are missing, in the order of `TABLES`."""
    return [load(f"history/create/{name}").format(**_names(dataset)) for name in TABLES]


def check_columns(warehouse: Warehouse, dataset: str) -> None:
    """Raises `WarehouseRefused` where a table of that name is there and is another one.

    A pipeline may well have a `data_gaps` of its own. Tables that are absent are no error here.
    """
    for name, statement in zip(TABLES, create_statements(dataset), strict=True):
        try:
            columns = {column.lower() for column in warehouse.columns(f"{dataset}.{name}")}
        except TableNotFound:
            continue
        absent = [each for each in _COLUMN.findall(statement) if each not in columns]
        if absent:
            raise WarehouseRefused(
                f"{dataset}.{name} is another table than that of the run history: it has no column "
                f"{absent[0]!r}. Set BACKFILL_HISTORY_DATASET to a dataset of its own."
            )


def write_run(warehouse: Warehouse, dataset: str, report: Report) -> None:
    """Write the row of an ended run. Raises `WarehouseError`."""
    check = report.validation
    warehouse.run(
        load("history/runs").format(**_names(dataset)),
        {
            "run_id": report.run_id,
            "plan_id": report.plan_id,
            "pipeline": report.pipeline,
            "state": report.state,
            "reason": report.reason,
            "scope_start": report.scope.start,
            "scope_end": report.scope.end,
            "created_ms": _milliseconds(report.created),
            "ended_ms": _milliseconds(report.ended),
            "steps": len(report.steps),
            "steps_succeeded": sum(row.state == StepState.SUCCEEDED for row in report.steps),
            "dates_checked": check.checked,
            "dates_short": len(check.short),
            "dates_remaining": check.remaining,
            "work_seconds": float(sum(row.seconds or 0.0 for row in report.steps)),
        },
    )


def write_restore(warehouse: Warehouse, dataset: str, report: RestoreReport) -> None:
    """Write the row of a restore beside those of runs. Raises `WarehouseError`."""
    days = [day for each in report.tables for day in each.dates]
    warehouse.run(
        load("history/runs").format(**_names(dataset)),
        {
            "run_id": report.restore_id,
            "plan_id": "",
            "pipeline": report.pipeline,
            "state": RESTORED,
            "reason": f"restore of {report.run_id}",
            "scope_start": min(days),
            "scope_end": max(days),
            "created_ms": _milliseconds(report.begun),
            "ended_ms": _milliseconds(report.ended),
            "steps": len(report.tables),
            "steps_succeeded": len(report.tables),
            "dates_checked": report.phase_dates,
            "dates_short": 0,
            "dates_remaining": 0,
            "work_seconds": report.ended - report.begun,
        },
    )


def write_gaps(
    warehouse: Warehouse,
    dataset: str,
    pipeline: str,
    found: Iterable[FoundGap],
    *,
    counted: Window,
    detected: datetime,
    now: float,
) -> None:
    """Write all gaps that a count of `counted` found. Raises `WarehouseError`.

    `detected` is when they were found; `now`, in seconds since the epoch, when they were counted:
    a gap that was healed after that is not opened again. Known gaps keep their `detected`.
    """
    none = FoundGap(phase="", date=counted.start, reason="")
    rows = [none, *found]
    warehouse.run(
        load("history/gaps").format(**_names(dataset)),
        {
            "pipeline": pipeline,
            "start_date": counted.start,
            "end_date": counted.end,
            "detected_ms": _milliseconds(detected.timestamp()),
            "counted_ms": _milliseconds(now),
            "gap_phases": [row.phase for row in rows],
            "gap_dates": [row.date for row in rows],
            "gap_reasons": [row.reason for row in rows],
            "gap_statuses": [row.status for row in rows],
            "gap_runs": [row.run for row in rows],
        },
    )


def gaps_after(plan: Plan, report: Report, assessment: Assessment) -> list[FoundGap]:
    """Gaps after a run: those its plan took, healed or still open, and all others of its reach."""
    short = {(each.phase, each.date): each.reason for each in report.validation.short}
    taken = {
        (step.phase, task.date): FoundGap(
            phase=step.phase,
            date=task.date,
            reason=short.get((step.phase, task.date), task.reason),
            status=OPEN if (step.phase, task.date) in short else HEALED,
            run=report.run_id,
        )
        for _, step in plan.steps()
        for task in step.tasks
    }
    others = open_gaps(assessment, plan.owed, plan.reach)
    return [*taken.values(), *(gap for gap in others if (gap.phase, gap.date) not in taken)]


def open_gaps(
    assessment: Assessment, owed: Mapping[str, Iterable[date]], counted: Window
) -> list[FoundGap]:
    """Gaps that no run repairs yet: those counted, dates to recompute, and accepted losses.
    Unjudged dates are among them, so that a gap whose source is gone is not called healed."""
    gaps = {
        (phase, day): FoundGap(phase=phase, date=day, reason=reason)
        for reason, dates in ((GapReason.STALE, assessment.stale), (GapReason.CASCADE, owed))
        for phase, days in dates.items()
        for day in days
        if day in counted
    }
    gaps |= {
        (phase, day): FoundGap(phase=phase, date=day, reason=gap.reason)
        for phase, found in assessment.gaps.items()
        for day, gap in found.items()
        if day in counted
    }
    gaps |= {
        (phase, day): FoundGap(phase=phase, date=day, reason=each.gap.reason, status=ACCEPTED)
        for phase, found in assessment.accepted.items()
        for day, each in found.items()
        if day in counted and day not in assessment.gaps[phase]
    }
    gaps |= {
        (phase, day): FoundGap(phase=phase, date=day, reason=SkipReason.UNJUDGED)
        for phase, days in assessment.unsettled(SkipReason.UNJUDGED, counted).items()
        for day in days
    }
    return list(gaps.values())


def _names(dataset: str) -> dict[str, str]:
    return {
        "runs": quote_table(f"{dataset}.{RUNS}"),
        "gaps": quote_table(f"{dataset}.{GAPS}"),
        "made": quote_table(f"{dataset}.{MADE}"),
        "commands": quote_table(f"{dataset}.{COMMANDS}"),
        "costs": quote_table(f"{dataset}.{COSTS}"),
        "step_costs": quote_table(f"{dataset}.{STEP_COSTS}"),
    }


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
