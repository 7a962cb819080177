"""Runs as they are written down, for readers that may write nothing.

`look.lua`, which the rest of the ledger reads runs by, moves one whose deadline has passed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import Any, cast

from planner.errors import BadRecord
from planner.plan.states import DateState, StepState
from worker.ledger.connection import Connected
from worker.ledger.keys import RUNS, is_run_id, parse_date_field, run_key, step_key
from worker.ledger.record import RunRecord, StepRecord, reading, run_record, step_record


class PeekLedger(Connected):
    """Reads without scripts, so that a read-only Redis user may call it."""

    def peek(
        self, run_id: str
    ) -> tuple[RunRecord, dict[str, StepState], dict[tuple[str, date], DateState]]:
        """A run, its steps' states, and those of its phases and dates, in one round trip.

        Raises `BadRecord`, and `LookupError` for what is no run.
        """
        if not is_run_id(run_id):
            raise LookupError(run_id)
        pipe = self.client.pipeline(transaction=False)
        for part in ("", "steps", "dates"):
            pipe.hgetall(run_key(run_id, part))
        with reading(run_id):
            fields, steps, dates = pipe.execute()
            if fields:
                return (
                    run_record(run_id, fields),
                    {step: StepState(state) for step, state in steps.items()},
                    {parse_date_field(key): DateState(state) for key, state in dates.items()},
                )
        raise LookupError(run_id)

    def peek_steps(
        self, run_id: str, states: dict[str, StepState], step_ids: Sequence[str]
    ) -> list[StepRecord]:
        """All that is known of some steps, whose states are known, in one round trip."""
        pipe = self.client.pipeline(transaction=False)
        for step in step_ids:
            pipe.hgetall(step_key(run_id, step))
        with reading(f"the steps of {run_id}"):
            found = zip(step_ids, pipe.execute(), strict=True)
            return [step_record(step, states[step], fields) for step, fields in found]

    def peek_newest(self, at_most: int) -> list[RunRecord | BadRecord]:
        """The newest runs, in two round trips; those that cannot be read as their error."""
        with reading("the list of runs"):
            listed = cast("list[str]", self.client.zrevrange(RUNS, 0, at_most - 1))
        ids = [each for each in listed if is_run_id(each)]
        pipe = self.client.pipeline(transaction=False)
        for run_id in ids:
            pipe.hgetall(run_key(run_id))
        found = zip(ids, pipe.execute(raise_on_error=False), strict=True)
        return [_record(run_id, fields) for run_id, fields in found if fields]

    def peek_tally(self, run_ids: Sequence[str]) -> dict[str, Counter[str]]:
        """Run → state → how many steps of it are there, in one round trip."""
        pipe = self.client.pipeline(transaction=False)
        for run_id in run_ids:
            pipe.hvals(run_key(run_id, "steps"))
        found = zip(run_ids, pipe.execute(raise_on_error=False), strict=True)
        return {run_id: Counter(map(str, v)) for run_id, v in found if isinstance(v, list)}


def _record(run_id: str, fields: Any) -> RunRecord | BadRecord:
    try:
        with reading(run_id):
            if isinstance(fields, Exception):
                raise fields
            return run_record(run_id, fields)
    except BadRecord as error:
        return error
