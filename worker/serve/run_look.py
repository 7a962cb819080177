"""How a run stands, for its page: looks at the ledger, and remembers what cannot change any more.

A look is three round trips to Redis at most, and none of its commands writes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date
from typing import Any

from planner.gaps.snapshot import COMPLETE
from planner.plan.plan import Plan, Step
from planner.plan.states import STEP_ENDED, DateState, StepState
from planner.report.causes import causes, causes_json
from planner.report.html.moment import CODES, step_row
from planner.report.html.states import Live
from planner.text import date_runs
from worker.context import Context
from worker.finalization.report import row_of
from worker.ledger.record import RunRecord, StepRecord
from worker.serve.page_state import PageState
from worker.serve.tail import last_lines, log_file
from worker.status.failures import failures
from worker.status.forecast import Forecast, forecast
from worker.status.status import progress_json

FORECAST_SECONDS = 5.0  # between two: it simulates the fleet
CAUSES_SECONDS = 5.0  # between two looks at what failed: it asks for every step
WORKING_SHOWN = 50
_UNDONE = {
    DateState.FAILED: Live.FAILED,
    DateState.BLOCKED: Live.BLOCKED,
    DateState.CANCELLED: Live.CANCELLED,
}
Pair = tuple[str, date]


class RunLook:
    """Polls one run."""

    def __init__(self, context: Context, run_id: str, plan: Plan) -> None:
        self._context = context
        self._run_id = run_id
        self._plan = plan
        self._steps: dict[str, Step] = dict(plan.steps())
        self._settled: dict[str, StepRecord] = {}
        self._counts: dict[str, dict[date, Any]] = {}
        """Step → date → due and there, at its recount."""
        self._next = {"forecast": 0.0, "causes": 0.0}
        self._ahead = Forecast(planned=None, spent=0.0, left=None)
        self._undone = 0
        self._causes: list[dict[str, Any]] = []

    def __call__(self) -> PageState:
        """Look. Raises `LookupError` when the run is gone, and errors of Redis and the ledger."""
        record, states, dates = self._context.ledger.peek(self._run_id)
        states = {step: state for step, state in states.items() if step in self._steps}
        records = self._records(states)
        if self._is_time("forecast", FORECAST_SECONDS) or record.is_ended:
            self._ahead = forecast(self._context, record, records)
        self._look_at_causes(record, dates)
        rows = {("cells", f"{p}|{d}"): row for (p, d), row in self._cells(records, dates)}
        rows |= {("steps", each.id): self._step_row(each) for each in records if each.attempt}
        return PageState(
            status=self._status(record, records),
            rows=rows,
            is_over=record.is_ended,
        )

    def _is_time(self, what: str, seconds: float) -> bool:
        now = time.monotonic()
        if now < self._next[what]:
            return False
        self._next[what] = now + seconds
        return True

    def _records(self, states: dict[str, StepState]) -> list[StepRecord]:
        """Every step, in the plan's order. One that has settled is read once: only a retry of the
        run opens it again."""
        ledger = self._context.ledger
        self._settled = {
            step: known for step, known in self._settled.items() if states.get(step) == known.state
        }
        asked = [step for step in states if step not in self._settled]
        found = {each.id: each for each in ledger.peek_steps(self._run_id, states, asked)}
        new = [step for step, each in found.items() if each.state in STEP_ENDED]
        if new:
            self._counts |= ledger.told(self._run_id, new, "counts")
            self._settled |= {step: found[step] for step in new}
        found |= self._settled
        return [found[step] for step in self._steps if step in found]

    def _look_at_causes(self, record: RunRecord, dates: dict[Pair, DateState]) -> None:
        undone = sum(state in _UNDONE for state in dates.values())
        if undone != self._undone and (self._is_time("causes", CAUSES_SECONDS) or record.is_ended):
            self._undone = undone
            found = failures(self._context, record, self._plan, dates)
            told = [each for each in found if each.state != DateState.PENDING]
            self._causes = causes_json(causes(record.id, told))

    # -- the page's JSON ---------------------------------------------------------------------

    def _cells(
        self, records: list[StepRecord], dates: dict[Pair, DateState]
    ) -> Iterator[tuple[Pair, list[Any]]]:
        """Phase, date, code of its state (null: as it was found, and still to do), and where they
        are known, how many entities are due and there."""
        for record in records:
            step = self._steps[record.id]
            counts = self._counts.get(record.id, {})
            for task in step.tasks:
                at = dates.get((step.phase, task.date), DateState.PENDING)
                row: list[Any] = [step.phase, str(task.date)]
                if at is DateState.DONE:
                    due, there = counts.get(task.date) or (task.most, task.most)
                    row += [CODES[COMPLETE], due, there]
                elif at in _UNDONE:
                    row.append(CODES[_UNDONE[at]])
                else:
                    live = _live(record)
                    row.append(CODES[live] if live else None)
                yield (step.phase, task.date), row

    def _step_row(self, record: StepRecord) -> list[Any]:
        log = log_file(self._context, self._run_id, record.id)
        row = row_of(record, self._steps[record.id])
        told = row.model_copy(update={"error": record.retry_text or record.error})
        return step_row(told, str(log))

    def _status(self, record: RunRecord, records: list[StepRecord]) -> dict[str, Any]:
        found = progress_json(self._context, record, records, self._ahead)
        return {
            **found,
            "at": time.time(),
            "is_ended": record.is_ended,
            "left_worst_seconds": self._worst(found["estimate"]["left_seconds"]),
            "working": [*self._working(records)],
            "phases": self._phases(records),
            "causes": self._causes,
        }

    def _worst(self, left: float | None) -> float | None:
        """What is left, if all of it is as slow as the slowest tenth."""
        foreseen = self._plan.estimate
        if left is None or foreseen is None or not foreseen.seconds or not foreseen.worst_seconds:
            return left
        return round(left * max(1.0, foreseen.worst_seconds / foreseen.seconds), 1)

    def _working(self, records: list[StepRecord]) -> Iterator[dict[str, Any]]:
        """The steps that are at work, each with its log's path and last lines."""
        running = [each for each in records if each.state is StepState.RUNNING]
        for each in running[:WORKING_SHOWN]:
            path = log_file(self._context, self._run_id, each.id)
            lines = last_lines(path)
            yield {
                "step": each.id,
                "phase": self._steps[each.id].phase,
                "dates": date_runs(self._steps[each.id].dates),
                "worker": each.worker,
                "is_parked": bool(each.parked),
                "attempt": each.attempt,
                "since": each.began or each.started,
                "log": str(path),
                "lines": lines,
            }

    def _phases(self, records: list[StepRecord]) -> list[dict[str, Any]]:
        """Per phase: steps, how they stand, and work and price so far, against what was planned."""
        foreseen = self._plan.estimate.phases if self._plan.estimate else {}
        found: dict[str, dict[str, Any]] = {}
        for name in self._plan.days_before.phases:
            mine = [each for each in records if self._steps[each.id].phase == name]
            if not mine:
                continue
            found[name] = {
                "phase": name,
                "steps": len(mine),
                **{str(s): sum(each.state is s for each in mine) for s in StepState},
                "planned_seconds": foreseen[name].seconds if name in foreseen else None,
                "worked_seconds": round(sum(each.worked for each in mine), 1),
                "billed": sum(each.billed for each in mine),
            }
        return [*found.values()]


def _live(record: StepRecord) -> Live | None:
    """Where the run is with a step's dates that are not settled; None: it has not come to them."""
    if record.state is StepState.RUNNING:
        return Live.RUNNING
    if record.retry_text:
        return Live.RETRYING
    return Live.WAITING if record.waiting else None
