"""A step, from its message to its settlement: ledger → gate → lease → attempt → settlement.

Delivery is at least once, so a message only says that a step may be due: the ledger decides. A
visit handles one delivery. It returns (the chain goes on), or raises `Requeue` or `StepFailed`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property, partial
from typing import NoReturn

from planner.pipeline.phase import Phase
from planner.plan.plan import Step
from planner.plan.states import RUN_ENDED, STEP_ENDED, DateState, RunState, StepState
from worker.ledger.connection import now
from worker.ledger.lease import Lease, Resource
from worker.ledger.record import RunRecord, StepRecord
from worker.ledger.steps import Started
from worker.runners import Park, Stopped, which_of
from worker.step import gate
from worker.step.attempt import Attempt, Ended, OverBudget
from worker.step.context import Context
from worker.step.errors import AttemptFailed, OtherWorker, Requeue, StepFailed, Waiting
from worker.step.log import write_log
from worker.step.mismatch import CONFIG_MISMATCHES_MAX, Mismatch, mismatch
from worker.step.resources import resources_of, services_of
from worker.step.retry import Retry, decide
from worker.step.settlement import ERROR_CHARS, Settlement, first, texts
from worker.step.stop import Stop

FIRST_WAIT_SECONDS = 0.25  # then pauses grow up to BACKFILL_POLL_MAX_SECONDS
WAIT_GROWTH = 1.3
CRASHES_MAX = 20  # takeovers of one step: so often, the step itself kills its workers


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One delivery of a step's message."""

    context: Context
    run: RunRecord
    id: str
    step: Step
    phase: Phase
    """Any, when this worker's pipeline file does not name the step's: it can only be settled."""
    worker: str

    def make(self) -> str:
        """Do what is due. Returns what happened, or raises `Requeue` or `StepFailed`."""
        ledger = self.context.ledger
        record = ledger.step(self.run.id, self.id)
        if record.state in STEP_ENDED:
            return self._settlement.replay(record)
        if self.run.state is RunState.CANCELLING:
            return self._settle_idle(record, StepState.CANCELLED)
        if self.run.state in RUN_ENDED:
            raise StepFailed(f"{self.id} was not run: {self.run.id} is {self.run.state}")
        goes_on = self.run.state is RunState.PAUSED and record.parked
        if self.run.state is not RunState.RUNNING and not goes_on:
            raise self._wait()
        other = mismatch(self.context, self.run)
        if other is not None:
            return self._config_mismatch(record, other)
        if record.config_mismatches:
            ledger.note_config_match(self.run.id, self.id)

        states = ledger.dates(self.run.id, [(self.phase.name, day) for day in self.step.dates])
        left = [d for d in self.step.dates if states.get((self.phase.name, d)) is DateState.PENDING]
        verdict = gate.check(ledger, self.run.id, self.phase, left)
        if verdict.waiting_for is not None:
            raise self._wait(f"{verdict.waiting_for[0]} of its days")
        if not verdict.ready:
            return self._settlement.settle(
                token="", state=StepState.BLOCKED, blocked=verdict.blocked
            )
        return self._take(record, verdict.ready, verdict.blocked)

    @cached_property
    def _settlement(self) -> Settlement:
        return Settlement(context=self.context, run=self.run, id=self.id, step=self.step)

    # -- an attempt --------------------------------------------------------------------------

    def _take(self, record: StepRecord, ready: Sequence[date], blocked: Mapping[date, str]) -> str:
        """Take the step's resources, make an attempt, and act on how it ended."""
        which = None if record.parked else which_of(self.phase, self.context.pipeline_dir)
        services = services_of(self.phase, parked=bool(record.parked), which=which)
        lease = self._lease(record, ready, services)
        keep = False
        try:
            started = self.context.ledger.start(
                self.run.id, self.id, token=lease.token, worker=self.worker, parked=record.parked
            )
            if not isinstance(started, Started):
                raise Requeue(FIRST_WAIT_SECONDS)  # paused, cancelled or ended since: look anew
            if started.crashes >= CRASHES_MAX:
                why = f"gave up: {CRASHES_MAX} workers died while they ran it"
                return self._settlement.settle(
                    token=lease.token,
                    state=StepState.FAILED,
                    failed=dict.fromkeys(ready, why),
                    blocked=blocked,
                )
            with lease.kept_alive():
                outcome = self._attempt(record, ready, lease, started, which).make()
            keep = isinstance(outcome, Park)
            return self._act_on(outcome, record, lease, blocked)
        finally:
            if not keep:
                lease.release()

    def _lease(
        self, record: StepRecord, dates: Sequence[date], services: Sequence[Resource]
    ) -> Lease:
        """The lease on all that the step needs, taken over where it was parked.

        Raises `Requeue` while others hold any of it.
        """
        resources = [*resources_of(self.run, self.step, self.phase, dates), *services]
        lease = Lease(self.context.redis, resources, seconds=self.context.settings.lease_seconds)
        if not lease.acquire(instead_of=[record.parked] if record.parked else []):
            raise self._wait(lease.full())
        return lease

    def _attempt(
        self,
        record: StepRecord,
        dates: Sequence[date],
        lease: Lease,
        started: Started,
        which: int | None,
    ) -> Attempt:
        ledger = self.context.ledger
        return Attempt(
            context=self.context,
            run_id=self.run.id,
            step_id=self.id,
            step=self.step,
            phase=self.phase,
            dates=dates,
            number=record.failures + 1,
            stop=Stop(self.context, self.run.id, lease),
            now=partial(now, self.context.redis),
            note=partial(ledger.note_checkpoint, self.run.id, self.id, token=lease.token),
            which=which,
            force=self.run.force_service,
            checkpoint=started.checkpoint,
            plan_id=self.run.plan_id,
        )

    def _act_on(
        self,
        outcome: Ended | Park | Stopped | OverBudget,
        record: StepRecord,
        lease: Lease,
        blocked: Mapping[date, str],
    ) -> str:
        if isinstance(outcome, Park):
            self._park(lease, outcome)
        if isinstance(outcome, OverBudget):
            self._wait_for_budget(lease, record, outcome)
        if isinstance(outcome, Stopped):
            return self._stopped(lease, outcome)
        return self._ended(lease, record, outcome, blocked)

    def _park(self, lease: Lease, park: Park) -> NoReturn:
        """Keep the lease without a worker: announce a silence until the next look is overdue."""
        lease.beat(silent_seconds=park.seconds + self.context.settings.visibility_seconds)
        self._put_back(
            lease,
            StepState.RUNNING,
            {"parked": lease.token, "checkpoint": json.dumps(park.checkpoint)},
        )
        raise Requeue(park.seconds, "a service works on it")

    def _wait_for_budget(self, lease: Lease, record: StepRecord, over: OverBudget) -> NoReturn:
        """Requeue the step with what is left of it: no retry spent, no resource held."""
        self._put_back(
            lease,
            StepState.PENDING,
            {
                "attempt": str(record.attempt),
                "checkpoint": json.dumps(over.checkpoint),
                "waiting": over.why,
            },
        )
        raise Waiting(min(over.seconds, self.context.settings.poll_max_seconds), over.why)

    def _stopped(self, lease: Lease, outcome: Stopped) -> str:
        if outcome.why == Stop.CANCELLED:
            return self._settlement.settle(token=lease.token, state=StepState.CANCELLED)
        if outcome.why == Stop.SHUTDOWN:
            checkpoint = {"checkpoint": json.dumps(outcome.checkpoint)}
            self._put_back(lease, StepState.PENDING, checkpoint)
            raise Requeue(0)  # to another worker
        raise self._wait()  # the lease expired: another worker takes the step over

    def _ended(
        self, lease: Lease, record: StepRecord, ended: Ended, blocked: Mapping[date, str]
    ) -> str:
        failures = record.failures + bool(ended.short or ended.permanent)
        retry = decide(self.phase, attempt=failures, is_permanent=not ended.short)
        if ended.short and retry is not None:
            self._retry(lease, ended, retry, failures)
        failed, blocked = {**ended.short, **ended.permanent}, {**blocked, **ended.blocked}
        before = self._settlement.own_dates().values()
        state = StepState.SUCCEEDED
        if failed or DateState.FAILED in before:
            state = StepState.FAILED
        elif blocked or DateState.BLOCKED in before:
            state = StepState.BLOCKED
        return self._settlement.settle(
            token=lease.token,
            state=state,
            done=ended.done,
            failed=failed,
            blocked=blocked,
            fields={
                "failures": str(failures),
                **self._settlement.recounted(ended.remarks, ended.counts),
            },
        )

    def _retry(self, lease: Lease, ended: Ended, retry: Retry, failures: int) -> NoReturn:
        """Requeue the step for the dates that are short; the others are settled now."""
        settlement = self._settlement
        now, of = self.context.ledger.now(), self.phase.retries + 1
        why = f"attempt {failures} of {of} failed: {first(ended.short)}"
        write_log(self.context, self.run.id, self.id, f"{why}; again in {retry.seconds:.0f} s")
        kept = self._put_back(
            lease,
            StepState.PENDING,
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
        state: StepState,
        fields: Mapping[str, str],
        dates: Mapping[tuple[str, date], DateState] | None = None,
    ) -> bool:
        """End the attempt without settling the step; False when the step was taken over."""
        return self.context.ledger.transition(
            self.run.id, self.id, token=lease.token, state=state, fields=fields, dates=dates
        )

    # -- without an attempt ------------------------------------------------------------------

    def _settle_idle(
        self, record: StepRecord, state: StepState, failed: Mapping[date, str] | None = None
    ) -> str:
        """Settle a step without an attempt, unless a worker holds it, which will settle it."""
        services = services_of(self.phase, parked=True, which=None) if record.parked else []
        lease = self._lease(record, self.step.dates, services)
        try:
            token = record.token if record.state is StepState.RUNNING else ""
            return self._settlement.settle(token=token, state=state, failed=failed)
        finally:
            lease.release()

    def _config_mismatch(self, record: StepRecord, other: Mismatch) -> str:
        """This worker's configuration is not the run's: leave the step to one whose is."""
        if self.context.ledger.note_config_mismatch(self.run.id, self.id) <= CONFIG_MISMATCHES_MAX:
            raise self._wait(other.waits_for, OtherWorker)
        failed = dict.fromkeys(self._settlement.unfinished(), other.reason)
        return self._settle_idle(record, StepState.FAILED, failed)

    def _wait(self, what: str = "", kind: type[Requeue] = Waiting) -> Requeue:
        """To be raised: the step waits for something, a little longer every time."""
        waits = self.context.ledger.note_wait(self.run.id, self.id, what)
        pause = FIRST_WAIT_SECONDS * WAIT_GROWTH ** min(waits, 50)
        why = f"waits for {what}" if what else f"its run is {self.run.state}"
        return kind(min(pause, self.context.settings.poll_max_seconds), why)


def visit(context: Context, run_id: str, step_id: str, *, worker: str) -> str:
    """Handle one delivery of a step's message. See `Visit.make`."""
    run = context.ledger.run(run_id)
    step = context.step(run_id, step_id) if run else None
    if run is None or step is None:
        raise StepFailed(
            f"{step_id} was not run: {run_id} is forgotten, since Redis was emptied. "
            "`planner enqueue --gaps` plans its dates anew."
        )
    return Visit(
        context=context,
        run=run,
        id=step_id,
        step=step,
        phase=context.pipeline.by_name.get(step.phase) or context.pipeline.phases[0],
        worker=worker,
    ).make()
