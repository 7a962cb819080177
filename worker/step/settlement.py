"""The settlement of a step: its end in the ledger, and that of its chunk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from planner.plan.plan import PlannedChunk, Step, step_id
from planner.plan.states import DateState, StepState
from worker.context import Context
from worker.ledger.lease import Lease
from worker.ledger.record import RunRecord, StepRecord
from worker.ledger.steps import Started
from worker.step.errors import Requeue, StepFailed
from worker.step.log import write_log

ERROR_CHARS = 2000
LOST_SECONDS = 0.25  # until what settled the step in our place is replayed

DateStates = dict[tuple[str, date], DateState]


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """Settles one step of a run."""

    context: Context
    run: RunRecord
    id: str
    step: Step
    chunk: PlannedChunk
    started: Started | None = None
    """What the ledger said when the attempt began; None without one: then it is asked. Fenced as
    the attempt is, it holds until the attempt's own end is written."""

    def settle(
        self,
        *,
        token: str,
        state: StepState,
        done: Sequence[date] = (),
        failed: Mapping[date, str] | None = None,
        blocked: Mapping[date, str] | None = None,
        fields: Mapping[str, str] | None = None,
        release: Lease | None = None,
    ) -> str:
        """Write the step's end into the ledger, with that of later steps that cannot run now.

        `release` is the lease that ends with it.

        Raises `StepFailed` unless it succeeded, and `Requeue` when it was taken over.
        """
        failed, blocked = failed or {}, blocked or {}
        dates = self.date_states(done=done, failed=failed, blocked=blocked)
        if state is StepState.CANCELLED:
            dates |= {(self.step.phase, day): DateState.CANCELLED for day in self.unfinished()}
        goes_on = bool(done) or self._goes_on(state)
        steps, later_dates = ({}, {}) if goes_on else self._rest_of_chunk(state)
        cut_short = self._cut_short() if state is StepState.CANCELLED else {}
        error = (
            first(failed) or first(blocked) or first(cut_short) or first(self._problems_before())
        )
        if failed or cut_short:
            write_log(self.context, self.run.id, self.id, f"{state}: {error}")
        kept = self.context.ledger.transition(
            self.run.id,
            self.id,
            token=token,
            state=state,
            fields={
                **(fields or {}),
                "error": error[:ERROR_CHARS],
                "problems": self.problems({**failed, **blocked, **cut_short}),
                "tried": "{}",
                "checkpoint": "{}",
            },
            dates=dates | later_dates,
            with_steps=steps,
            release=release,
        )
        if not kept:
            raise Requeue(LOST_SECONDS)  # taken over and settled by another worker: replay that
        return self._told(state, error, goes_on=goes_on)

    def replay(self, record: StepRecord) -> str:
        """Repeat how a settled step ended, for its chain and chord: delivery is at least once.

        The rest of its chunk was sent when it was settled; if that message was lost since, the
        reconciler sends it.
        """
        return self._told(record.state, record.error, goes_on=False)

    def _told(self, state: StepState, error: str, *, goes_on: bool) -> str:
        """What the step's task says: its state, or `StepFailed`, since no other is a SUCCESS."""
        if state is StepState.SUCCEEDED:
            return str(state)
        why = error or "the run was cancelled"
        raise StepFailed(f"{self.id} {state}: {why}", goes_on=goes_on)

    def date_states(
        self,
        *,
        done: Sequence[date],
        failed: Mapping[date, str],
        blocked: Mapping[date, str],
    ) -> DateStates:
        """Phase and date → state, for what became of the step's dates."""
        phase = self.step.phase
        dates = {(phase, day): DateState.DONE for day in done}
        dates |= {(phase, day): DateState.FAILED for day in failed}
        dates |= {(phase, day): DateState.BLOCKED for day in blocked}
        return dates

    def own_dates(self) -> dict[date, DateState]:
        """The states of the step's dates, in the ledger."""
        if self.started is not None:
            return self.started.dates
        pairs = [(self.step.phase, day) for day in self.step.dates]
        found = self.context.ledger.dates(self.run.id, pairs)
        return {day: state for (_, day), state in found.items()}

    def unfinished(self) -> list[date]:
        """The step's dates that are still to do."""
        return [day for day, state in self.own_dates().items() if state is DateState.PENDING]

    def problems(self, new: Mapping[date, str]) -> str:
        """What is wrong with the step's dates, with those of earlier attempts; JSON."""
        problems = {**self._problems_before(), **new}
        return texts(problems)

    def recounted(
        self, remarks: Mapping[date, str], counts: Mapping[date, tuple[int, int]]
    ) -> dict[str, str]:
        """What a recount showed, with that of earlier attempts, as fields of the step; JSON.

        What an earlier attempt said of a date that was counted again no longer holds.
        """
        before = self.started
        said, counted = (before.remarks, before.counts) if before else ({}, {})
        told = {day: text for day, text in said.items() if day not in counts} | dict(remarks)
        known = counted | dict(counts)
        return {
            "remarks": texts(told),
            "counts": json.dumps({str(day): pair for day, pair in known.items()}),
        }

    def _problems_before(self) -> dict[date, str]:
        if self.started is not None:
            return self.started.problems
        return self.context.ledger.problems(self.run.id, self.id)

    def _cut_short(self) -> dict[date, str]:
        """Of a step that is cancelled between two attempts: what went wrong with the last one."""
        record = self.context.ledger.step(self.run.id, self.id)
        told = f"cancelled after attempt {record.failures} of {record.attempts_max} failed"
        return {
            date.fromisoformat(day): f"{told}: {why}" for day, why in (record.tried or {}).items()
        }

    def _later_steps(self) -> list[Step]:
        names = [step.phase for step in self.chunk.steps]
        return list(self.chunk.steps[names.index(self.step.phase) + 1 :])

    def _rest_of_chunk(self, state: StepState) -> tuple[dict[str, StepState], DateStates]:
        """The end of the later steps of a chunk that ends here: no message will come for them.

        What they have done before, as when another step of the chunk is retried, stays done.
        """
        to = StepState.CANCELLED if state is StepState.CANCELLED else StepState.BLOCKED
        ledger = self.context.ledger
        ids = {step_id(self.chunk.id, step.phase): step for step in self._later_steps()}
        states = ledger.states(self.run.id, [*ids])
        left = {each: of for each, of in ids.items() if states.get(each) is StepState.PENDING}
        pairs = [(step.phase, day) for step in left.values() for day in step.dates]
        dates = ledger.dates(self.run.id, pairs)
        return dict.fromkeys(left, to), {
            pair: DateState(to) for pair, at in dates.items() if at is DateState.PENDING
        }

    def _goes_on(self, state: StepState) -> bool:
        """Whether the chunk goes on after the step: a later step can still do something."""
        if state is StepState.SUCCEEDED or DateState.DONE in self.own_dates().values():
            return True
        ancestors = self.context.pipeline.ancestors
        return state is not StepState.CANCELLED and any(
            # A phase that the file no longer names has no upstream that is known here.
            self.step.phase not in ancestors.get(other.phase, ())
            for other in self._later_steps()
        )


def first(problems: Mapping[date, str]) -> str:
    """The first of some problems, with its date; empty without any."""
    return next((f"{day}: {why}" for day, why in problems.items()), "")


def texts(told: Mapping[date, str]) -> str:
    """A text per date, cut to size; JSON."""
    return json.dumps({str(day): text[:ERROR_CHARS] for day, text in told.items()})
