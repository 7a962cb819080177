"""The failures of a run: its dates that are not done, and why, by the ledger."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from typing import TYPE_CHECKING

from planner.plan.plan import Plan, step_id
from planner.plan.states import DateState
from planner.report.advice import retry_command
from planner.report.report import Failure

if TYPE_CHECKING:
    from worker.context import Context
    from worker.ledger.record import RunRecord


def failures(
    context: Context, run: RunRecord, plan: Plan, dates: dict[tuple[str, date], DateState]
) -> tuple[Failure, ...]:
    """Dates that are not done, grouped by phase, state and reason."""
    groups: dict[tuple[str, str, str], list[date]] = defaultdict(list)
    told = context.ledger.told(run.id, [name for name, _ in plan.steps()], "problems")
    for chunk in plan.chunks:
        cause = ""
        for step in chunk.steps:
            problems = told[step_id(chunk.id, step.phase)]
            for day in step.dates:
                state = dates.get((step.phase, day), DateState.PENDING)
                if state is not DateState.DONE:
                    why = problems.get(day) or cause or str(state)
                    if state is DateState.CANCELLED and run.stopped_by == "deadline":
                        why = "the run's deadline passed"
                    groups[step.phase, str(state), why].append(day)
            if problems and not cause:
                cause = f"after {step.phase}: {next(iter(problems.values()))}"
    return tuple(
        Failure(
            phase=phase,
            dates=tuple(days),
            state=state,
            reason=why,
            retry=retry_command(run.id, phase, tuple(days), why),
        )
        for (phase, state, why), days in groups.items()
    )
