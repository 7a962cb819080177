"""A step, from its message to its settlement: ledger → gate → lease → attempt → settlement.

Delivery is at least once, so a message only says that a step may be due: the ledger decides. A
visit handles one delivery. It returns (the chain goes on), or raises `Requeue` or `StepFailed`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property, partial
from typing import NoReturn

from planner.pipeline.phase import Phase
from planner.plan.plan import PlannedChunk, Step, chunk_of, phase_of
from planner.plan.states import RUN_ENDED, STEP_ENDED, DateState, RunState, StepState
from worker.context import Context
from worker.ledger.awaited import Awaited, awaited_date
from worker.ledger.connection import now
from worker.ledger.lease import Lease, Resource
from worker.ledger.record import RunRecord, StepRecord
from worker.ledger.steps import Started
from worker.runners import Park, Stopped, which_of
from worker.step import gate
from worker.step.attempt import Attempt
from worker.step.billed import note_billed
from worker.step.ended import Ended, OverBudget
from worker.step.errors import AttemptFailed, OtherWorker, Requeue, StepFailed, Waiting, Working
from worker.step.keep import keeping_of
from worker.step.log import write_log
from worker.step.mismatch import CONFIG_MISMATCHES_MAX, Mismatch, mismatch
from worker.step.resources import resources_of, services_of
from worker.step.retry import Retry, decide
from worker.step.settlement import ERROR_CHARS, Settlement, first, texts
from worker.step.stop import Stop
from worker.step.traced import make_traced
from worker.step.waits import FIRST_WAIT_SECONDS, wait, wait_for_lease, wait_for_run

CRASHES_MAX = 20  # takeovers of one step (poison message): then the step itself kills its workers


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What an attempt holds."""

    lease: Lease
    started: Started
    blocked: Mapping[date, str]
    """Dates of the step that the gate does not let through, and why."""


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One delivery of a step's message."""

    context: Context
    run: RunRecord
    id: str
    record: StepRecord
    """How the step stood when its message was delivered."""
    chunk: PlannedChunk
    step: Step
    phase: Phase
    """Any, when this worker's pipeline file does not name the step's: it can only be settled."""
    worker: str

    def make(self) -> str:
        """Do what is due: replay, wait, settle or attempt. Raises `Requeue` or `StepFailed`."""
        ledger, record = self.context.ledger, self.record
        if record.state in STEP_ENDED:
            return self._settlement.replay(record)
        if self.run.state is RunState.CANCELLING:
            return self._settle_idle(record, StepState.CANCELLED)
        if self.run.state in RUN_ENDED:
            raise StepFailed(f"{self.id} was not run: {self.run.id} is {self.run.state}")
        goes_on = self.run.state in (RunState.PAUSED, RunState.RUNNING) and record.parked
        requeue = None if goes_on else wait_for_run(self.context, self.run, self.id)
        if requeue:
            raise requeue
        other = mismatch(self.context, self.run)
        if other is not None:
            return self._config_mismatch(record, other)
        if record.config_mismatches:
            ledger.note_config_match(self.run.id, self.id)

        upstream = gate.upstream_of(self.phase, self.step.dates)
        asked = dict.fromkeys(
            [*self._dates, *(pair for each in upstream.values() for pair in each)]
        )
        states = ledger.dates(self.run.id, asked)
        left = [d for d in self.step.dates if states.get((self.phase.name, d)) is DateState.PENDING]
        verdict = gate.check(states, self.phase, left)
        if verdict.waiting_for is not None:
            name, _ = verdict.waiting_for
            awaited = awaited_date(self.run.id, self.id, verdict.waiting_for)
            raise self._wait(f"{name} of its days", awaited=awaited)
        if not verdict.ready:
            return self._settlement.settle(
                token="", state=StepState.BLOCKED, blocked=verdict.blocked
            )
        return self._take(verdict.ready, verdict.blocked, states)

    @property
    def _dates(self) -> list[gate.Pair]:
        """The phase and dates of the step."""
        return [(self.phase.name, day) for day in self.step.dates]

    @cached_property
    def _settlement(self) -> Settlement:
        return Settlement(
            context=self.context, run=self.run, id=self.id, step=self.step, chunk=self.chunk
        )

    # -- an attempt --------------------------------------------------------------------------

    def _take(
        self,
        ready: Sequence[date],
        blocked: Mapping[date, str],
        states: Mapping[gate.Pair, DateState],
    ) -> str:
        """Take the step's resources, make an attempt, and act on how it ended."""
        record = self.record
        which = (
            None
            if record.parked
            else which_of(
                self.phase, self.context.pipeline_dir, self.run.pinned.get(self.phase.name)
            )
        )
        services = services_of(self.phase, parked=bool(record.parked), which=which)
        lease = self._lease(ready, services)
        keep = False
        try:
            started = self.context.ledger.start(
                self.run.id,
                self.id,
                token=lease.token,
                worker=self.worker,
                parked=record.parked,
                dates=self._dates,
                lease=lease,
            )
            if started is None:
                keep = True  # it was not acquired, so there is nothing to release
                raise self._wait_for_lease(lease)
            if not isinstance(started, Started):
                raise Requeue(FIRST_WAIT_SECONDS)  # paused, cancelled or ended since: look anew
            taken = Taken(lease=lease, started=started, blocked=blocked)
            # Another attempt may have settled some between the look and the lease.
            ready = [day for day in ready if started.dates.get(day) is DateState.PENDING]
            if started.crashes >= CRASHES_MAX:
                return self._give_up(taken, ready)
            attempt = self._attempt(ready, taken, which, states)
            with lease.kept_alive():
                outcome = make_traced(self.run, attempt)
                note_billed(self.context, self.run, self.id, attempt.billed)
            keep = isinstance(outcome, Park)
            return self._act_on(outcome, taken)
        finally:
            if not keep:
                lease.release()

    def _lease(self, dates: Sequence[date], services: Sequence[Resource]) -> Lease:
        """A lease on all that the step needs, to be acquired."""
        resources = [*resources_of(self.run, self.step, self.phase, dates), *services]
        return Lease(self.context.redis, resources, seconds=self.context.settings.lease_seconds)

    def _attempt(
        self,
        dates: Sequence[date],
        taken: Taken,
        which: int | None,
        states: Mapping[gate.Pair, DateState],
    ) -> Attempt:
        ledger, lease = self.context.ledger, taken.lease
        return Attempt(
            context=self.context,
            run_id=self.run.id,
            step_id=self.id,
            step=self.step,
            phase=self.phase,
            dates=dates,
            number=taken.started.failures + 1,
            stop=Stop(self.context, self.run.id, lease),
            now=partial(now, self.context.redis),
            note=partial(ledger.note_checkpoint, self.run.id, self.id, token=lease.token),
            which=which,
            force=self.run.force_service,
            checkpoint=taken.started.checkpoint,
            plan_id=self.run.plan_id,
            values=self.run.values,
            keeping=keeping_of(self.context, self.run, self.phase),
            in_run=states,
        )

    def _give_up(self, taken: Taken, ready: Sequence[date]) -> str:
        """Fail a step that has killed its workers too often, as a dead letter would be."""
        why = f"gave up: {CRASHES_MAX} workers died while they ran it"
        keeping = keeping_of(self.context, self.run, self.phase)
        lost = keeping.given_up(ready) if keeping else {}
        return self._settlement_of(taken).settle(
            token=taken.lease.token,
            state=StepState.FAILED,
            failed={day: f"{why}. {lost[day]}" if day in lost else why for day in ready},
            blocked=taken.blocked,
            release=taken.lease,
        )

    def _settlement_of(self, taken: Taken) -> Settlement:
        """The settlement of an attempt: it knows what the ledger said when that began."""
        return replace(self._settlement, started=taken.started)

    def _act_on(self, outcome: Ended | Park | Stopped | OverBudget, taken: Taken) -> str:
        if isinstance(outcome, Park):
            self._park(taken.lease, outcome)
        if isinstance(outcome, OverBudget):
            self._wait_for_budget(taken.lease, outcome)
        if isinstance(outcome, Stopped):
            return self._stopped(taken, outcome)
        return self._ended(taken, outcome)

    def _park(self, lease: Lease, park: Park) -> NoReturn:
        """Keep the lease without a worker: announce a silence until the next look is overdue."""
        lease.beat(silent_seconds=park.seconds + self.context.settings.visibility_seconds)
        parked = {
            "parked": lease.token,
            "checkpoint": json.dumps(park.checkpoint),
            "waiting": park.why[:ERROR_CHARS] if park.is_refused else "",
        }
        self.context.ledger.transition(
            self.run.id, self.id, token=lease.token, state=StepState.RUNNING, fields=parked
        )
        raise Working(park.seconds, park.why[:ERROR_CHARS])

    def _wait_for_budget(self, lease: Lease, over: OverBudget) -> NoReturn:
        """Requeue the step with what is left of it: no retry spent, no resource held."""
        self._put_back(
            lease,
            {
                "attempt": str(self.record.attempt),
                "checkpoint": json.dumps(over.checkpoint),
                "waiting": over.why,
            },
        )
        raise Waiting(min(over.seconds, self.context.settings.poll_max_seconds), over.why)

    def _stopped(self, taken: Taken, outcome: Stopped) -> str:
        lease = taken.lease
        if outcome.why == Stop.CANCELLED:
            return self._settlement_of(taken).settle(
                token=lease.token, state=StepState.CANCELLED, release=lease
            )
        if outcome.why == Stop.SHUTDOWN:
            self._put_back(lease, {"checkpoint": json.dumps(outcome.checkpoint)})
            raise Requeue(0)  # to another worker
        raise self._wait()  # the lease expired: another worker takes the step over

    def _ended(self, taken: Taken, ended: Ended) -> str:
        failures = taken.started.failures + bool(ended.short or ended.permanent)
        retry = decide(self.phase, attempt=failures, is_permanent=not ended.short)
        if ended.short and retry is not None:
            self._retry(taken, ended, retry, failures)
        settlement = self._settlement_of(taken)
        failed, blocked = {**ended.short, **ended.permanent}, {**taken.blocked, **ended.blocked}
        before = settlement.own_dates().values()
        state = StepState.SUCCEEDED
        if failed or DateState.FAILED in before:
            state = StepState.FAILED
        elif blocked or DateState.BLOCKED in before:
            state = StepState.BLOCKED
        return settlement.settle(
            token=taken.lease.token,
            state=state,
            done=ended.done,
            failed=failed,
            blocked=blocked,
            fields={
                "failures": str(failures),
                **settlement.recounted(ended.remarks, ended.counts),
            },
            release=taken.lease,
        )

    def _retry(self, taken: Taken, ended: Ended, retry: Retry, failures: int) -> NoReturn:
        """Requeue the step for the dates that are short; the others are settled now."""
        settlement = self._settlement_of(taken)
        now, of = self.context.ledger.now(), self.phase.retries + 1
        why = f"attempt {failures} of {of} failed: {first(ended.short)}"
        write_log(self.context, self.run.id, self.id, f"{why}; again in {retry.seconds:.0f} s")
        kept = self._put_back(
            taken.lease,
            {
                "failures": str(failures),
                "attempts_max": str(of),
                "again": f"{now + retry.seconds:.3f}",
                "tried": texts(ended.short),
                "error": first(ended.short)[:ERROR_CHARS],
                "problems": settlement.problems({**ended.permanent, **ended.blocked}),
                "checkpoint": json.dumps(ended.checkpoint),
                **settlement.recounted(ended.remarks, ended.counts),
            },
            dates=settlement.date_states(
                done=ended.done, failed=ended.permanent, blocked=ended.blocked
            ),
        )
        raise AttemptFailed(retry.seconds if kept else FIRST_WAIT_SECONDS, why[:ERROR_CHARS])

    def _put_back(
        self,
        lease: Lease,
        fields: Mapping[str, str],
        dates: Mapping[tuple[str, date], DateState] | None = None,
    ) -> bool:
        """End the attempt and its lease without settling the step; False when it was taken over."""
        return self.context.ledger.transition(
            self.run.id,
            self.id,
            token=lease.token,
            state=StepState.PENDING,
            fields=fields,
            dates=dates,
            release=lease,
        )

    # -- without an attempt ------------------------------------------------------------------

    def _settle_idle(
        self, record: StepRecord, state: StepState, failed: Mapping[date, str] | None = None
    ) -> str:
        """Settle a step without an attempt, unless a worker holds it, which will settle it."""
        services = services_of(self.phase, parked=True, which=None) if record.parked else []
        lease = self._lease(self.step.dates, services)
        if not lease.acquire(instead_of=[record.parked] if record.parked else []):
            raise self._wait_for_lease(lease)
        try:
            token = record.token if record.state is StepState.RUNNING else ""
            return self._settlement.settle(token=token, state=state, failed=failed, release=lease)
        finally:
            lease.release()

    def _config_mismatch(self, record: StepRecord, other: Mismatch) -> str:
        """This worker's configuration is not the run's: leave the step to another worker."""
        if self.context.ledger.note_config_mismatch(self.run.id, self.id) <= CONFIG_MISMATCHES_MAX:
            raise self._wait(other.waits_for, OtherWorker)
        failed = dict.fromkeys(self._settlement.unfinished(), other.reason)
        return self._settle_idle(record, StepState.FAILED, failed)

    def _wait_for_lease(self, lease: Lease) -> Requeue:
        return wait_for_lease(self.context, self.run, self.id, lease)

    def _wait(
        self, what: str = "", kind: type[Requeue] = Waiting, awaited: Awaited | None = None
    ) -> Requeue:
        return wait(self.context, self.run, self.id, what, kind, awaited)


def visit(
    context: Context,
    run_id: str,
    step_id: str,
    *,
    worker: str,
    on_run: Callable[[RunRecord], None] = lambda run: None,
) -> str:
    """Handle one delivery of a step's message; `on_run` is called with its run."""
    look = context.ledger.look(run_id, step_id)
    chunk = look.chunk if look else None
    if look is not None and chunk is None:
        chunk = context.chunk_of_plan(run_id, chunk_of(step_id))
    steps = chunk.steps if chunk else ()
    step = next((each for each in steps if each.phase == phase_of(step_id)), None)
    if look is None or chunk is None or step is None:
        raise StepFailed(
            f"{step_id} was not run: {run_id} is forgotten, since Redis was emptied. "
            "`planner enqueue --gaps` plans its dates anew."
        )
    on_run(look.run)
    context = context.serving(look.run)
    return Visit(
        context=context,
        run=look.run,
        id=step_id,
        record=look.record,
        chunk=chunk,
        step=step,
        phase=context.pipeline.by_name.get(step.phase) or context.pipeline.phases[0],
        worker=worker,
    ).make()
