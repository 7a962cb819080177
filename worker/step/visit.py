"""A step, from its message to its settlement: ledger → gate → lease → attempt → ledger.

A message is only a hint that a step may be due: the ledger says whether it is. Whatever this
module decides is one of three things for the transport: return (go on with the chain), raise
`Requeue` (come back later, no worker held), or raise `StepFailed` (the chain ends here).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import NoReturn

from planner.errors import FleetError
from planner.pipeline.phase import Phase
from planner.pipeline.runners import HttpBatchRunner
from planner.plan.plan import Step, step_id
from planner.plan.states import RUN_ENDED, STEP_ENDED, DateState, RunState, StepState
from worker.ledger.budget import table_key
from worker.ledger.connection import now
from worker.ledger.lease import Lease, Resource
from worker.ledger.ledger import Started
from worker.ledger.record import RunRecord, StepRecord
from worker.runners import Park, Stopped, which_of
from worker.step import gate
from worker.step.attempt import Attempt, Ended, OverBudget
from worker.step.context import Context
from worker.step.retry import GiveUp, decide
from worker.step.stop import Stop

FIRST_WAIT_SECONDS = 0.25  # then pauses grow up to BACKFILL_POLL_MAX_SECONDS
WAIT_GROWTH = 1.3
CRASHES_MAX = 20  # a step whose worker died, or fell silent, this often kills its workers
CONFIG_MISMATCHES_MAX = 60  # in a row, about ten minutes: a rolling deployment is over by then
ERROR_CHARS = 2000


class Requeue(Exception):
    """The step is to come back later."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"again in {seconds:.1f} s")
        self.seconds = seconds


class StepFailed(FleetError):
    """A step failed, was blocked or was cancelled: the rest of its chain does not run."""


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
            return self._replay(record)
        if self.run.state is RunState.CANCELLING:
            return self._settle_idle(record, StepState.CANCELLED)
        if self.run.state in RUN_ENDED:
            return f"the run is {self.run.state}"
        goes_on = self.run.state is RunState.PAUSED and record.parked
        if self.run.state is not RunState.RUNNING and not goes_on:
            raise self._later()
        if self.run.pipeline_checksum != self.context.pipeline.checksum:
            return self._config_mismatch(record)
        if record.config_mismatches:
            ledger.note_config_match(self.run.id, self.id)

        states = ledger.dates(self.run.id, [(self.phase.name, day) for day in self.step.dates])
        left = [d for d in self.step.dates if states.get((self.phase.name, d)) is DateState.PENDING]
        verdict = gate.check(ledger, self.run.id, self.phase, left)
        if verdict.waiting_for is not None:
            raise self._later(f"{verdict.waiting_for[0]} of its days")
        if not verdict.ready:
            return self._settle(token="", state=StepState.BLOCKED, blocked=verdict.blocked)
        return self._attempt(record, verdict.ready, verdict.blocked)

    # -- an attempt --------------------------------------------------------------------------

    def _attempt(
        self, record: StepRecord, ready: Sequence[date], blocked: Mapping[date, str]
    ) -> str:
        ledger, settings = self.context.ledger, self.context.settings
        which = None if record.parked else which_of(self.phase, self.context.pipeline_dir)
        resources = self._resources(ready) + self._services(record, which)
        lease = Lease(ledger.client, resources, seconds=settings.lease_seconds)
        if lease.acquire(instead_of=[record.parked] if record.parked else []) is not None:
            raise self._later(lease.full())
        keep = False
        try:
            started = ledger.start(
                self.run.id, self.id, token=lease.token, worker=self.worker, parked=record.parked
            )
            if not isinstance(started, Started):
                raise Requeue(FIRST_WAIT_SECONDS)  # paused, cancelled or ended since: look anew
            if started.crashes >= CRASHES_MAX:
                why = f"gave up: {CRASHES_MAX} workers died while they ran it"
                short = dict.fromkeys(ready, why)
                return self._settle(
                    token=lease.token,
                    state=StepState.FAILED,
                    failed=short,
                    blocked=blocked,
                )
            with lease:
                outcome = Attempt(
                    context=self.context,
                    run_id=self.run.id,
                    step_id=self.id,
                    step=self.step,
                    phase=self.phase,
                    dates=ready,
                    number=record.failures + 1,
                    stop=Stop(self.context, self.run.id, lease),
                    now=partial(now, self.context.redis),
                    note=partial(ledger.note_checkpoint, self.run.id, self.id, token=lease.token),
                    which=which,
                    force=self.run.force_service,
                    checkpoint=started.checkpoint,
                    plan_id=self.run.plan_id,
                ).make()
            keep = isinstance(outcome, Park)
            match outcome:
                case Park():
                    self._park(lease, outcome)
                case Stopped():
                    return self._stopped(lease, record, outcome)
                case OverBudget():
                    self._wait_for_budget(lease, record, outcome)
                case Ended():
                    return self._ended(lease, record, outcome, blocked)
        finally:
            if not keep:
                lease.release()

    def _resources(self, dates: Sequence[date]) -> list[Resource]:
        name = f"{self.run.pipeline}:{self.step.phase}"
        limit = self.phase.concurrency
        resources = [
            Resource(name=f"{name}:{day}", full="another step of its dates") for day in dates
        ]
        resources.append(
            Resource(
                name=name, capacity=limit, full=f"a slot of {self.phase.name} ({limit} at once)"
            )
        )
        resources += [
            Resource(
                name=f"writers:{table_key(self.run.warehouse, spec.name)}",
                capacity=spec.writers,
                full=f"a turn to write {spec.name} ({spec.writers} at once)",
            )
            for spec in self.phase.tables
            if spec.writers is not None
        ]
        return resources

    def _services(self, record: StepRecord, which: int | None) -> list[Resource]:
        """The service that is to work for the step; a step is parked for no other reason."""
        runners = self.phase.runners if record.parked else self.phase.runners[which or 0 :][:1]
        return [
            Resource(name=f"service:{runner.url}", full=f"the service {runner.url}")
            for runner in runners
            if isinstance(runner, HttpBatchRunner)
        ]

    def _park(self, lease: Lease, park: Park) -> NoReturn:
        """Keep the lease while nobody works: silent on purpose until the next look is overdue."""
        lease.beat(silent_seconds=park.seconds + self.context.settings.visibility_seconds)
        self.context.ledger.transition(
            self.run.id,
            self.id,
            token=lease.token,
            state=StepState.RUNNING,
            fields={"parked": lease.token, "checkpoint": json.dumps(park.checkpoint)},
        )
        raise Requeue(park.seconds)

    def _wait_for_budget(self, lease: Lease, record: StepRecord, over: OverBudget) -> NoReturn:
        """Put the step back with what is left of it: no retry spent, and nothing held."""
        self.context.ledger.transition(
            self.run.id,
            self.id,
            token=lease.token,
            state=StepState.PENDING,
            fields={
                "attempt": str(record.attempt),
                "checkpoint": json.dumps(over.checkpoint),
                "waiting": over.why,
            },
        )
        raise Requeue(min(over.seconds, self.context.settings.poll_max_seconds))

    def _stopped(self, lease: Lease, record: StepRecord, outcome: Stopped) -> str:
        if outcome.why == Stop.CANCELLED:
            return self._settle(token=lease.token, state=StepState.CANCELLED)
        if outcome.why == Stop.SHUTDOWN:
            self.context.ledger.transition(
                self.run.id,
                self.id,
                token=lease.token,
                state=StepState.PENDING,
                fields={"checkpoint": json.dumps(outcome.checkpoint)},
            )
            raise Requeue(0)  # to another worker
        raise self._later()  # the lease was lost: it is somebody else's now, see how they do

    # -- endings -----------------------------------------------------------------------------

    def _ended(
        self, lease: Lease, record: StepRecord, ended: Ended, blocked: Mapping[date, str]
    ) -> str:
        failures = record.failures + bool(ended.short or ended.permanent)
        failed, blocked = {**ended.short, **ended.permanent}, {**blocked, **ended.blocked}
        next_ = decide(self.phase, attempt=failures, is_permanent=not ended.short)
        if ended.short and not isinstance(next_, GiveUp):
            dates = {(self.phase.name, day): DateState.DONE for day in ended.done}
            dates |= {(self.phase.name, day): DateState.FAILED for day in ended.permanent}
            dates |= {(self.phase.name, day): DateState.BLOCKED for day in ended.blocked}
            kept = self.context.ledger.transition(
                self.run.id,
                self.id,
                token=lease.token,
                state=StepState.PENDING,
                fields={
                    "failures": str(failures),
                    "error": _first(ended.short)[:ERROR_CHARS],
                    "problems": self._problems({**ended.permanent, **ended.blocked}),
                    "checkpoint": json.dumps(ended.checkpoint),
                },
                dates=dates,
            )
            raise Requeue(next_.seconds if kept else FIRST_WAIT_SECONDS)
        state = StepState.SUCCEEDED
        if failed or DateState.FAILED in self._own_dates().values():
            state = StepState.FAILED
        elif blocked or DateState.BLOCKED in self._own_dates().values():
            state = StepState.BLOCKED
        return self._settle(
            token=lease.token,
            state=state,
            done=ended.done,
            failed=failed,
            blocked=blocked,
            fields={"failures": str(failures)},
        )

    def _settle_idle(
        self, record: StepRecord, state: StepState, failed: Mapping[date, str] | None = None
    ) -> str:
        """Settle a step without an attempt, unless somebody is at it, who will."""
        resources = self._resources(self.step.dates)
        if record.parked:
            resources += self._services(record, None)
        lease = Lease(self.context.redis, resources, seconds=self.context.settings.lease_seconds)
        if lease.acquire(instead_of=[record.parked] if record.parked else []) is not None:
            raise self._later(lease.full())
        try:
            token = record.token if record.state is StepState.RUNNING else ""
            return self._settle(token=token, state=state, failed=failed)
        finally:
            lease.release()

    def _settle(
        self,
        *,
        token: str,
        state: StepState,
        done: Sequence[date] = (),
        failed: Mapping[date, str] | None = None,
        blocked: Mapping[date, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> str:
        """Write the step's end into the ledger, and what it means for the rest of its chunk."""
        failed, blocked = failed or {}, blocked or {}
        phase = self.step.phase
        dates = {(phase, day): DateState.DONE for day in done}
        dates |= {(phase, day): DateState.FAILED for day in failed}
        dates |= {(phase, day): DateState.BLOCKED for day in blocked}
        if state is StepState.CANCELLED:
            dates |= {(phase, day): DateState.CANCELLED for day in self._unfinished()}
        later: dict[str, StepState] = {}
        goes_on = bool(done) or self._goes_on(state)
        if not goes_on:
            # Its chain ends here: nobody will come by to settle the rest.
            rest = StepState.CANCELLED if state is StepState.CANCELLED else StepState.BLOCKED
            for other in self._later_steps():
                later[step_id(self._chunk_id, other.phase)] = rest
                dates |= {(other.phase, day): DateState(rest) for day in other.dates}
        error = _first(failed) or _first(blocked) or self._error_before()
        kept = self.context.ledger.transition(
            self.run.id,
            self.id,
            token=token,
            state=state,
            fields={
                **(fields or {}),
                "error": error[:ERROR_CHARS],
                "problems": self._problems({**failed, **blocked}),
                "checkpoint": "{}",
            },
            dates=dates,
            with_steps=later,
        )
        if not kept:
            raise Requeue(FIRST_WAIT_SECONDS)  # settled by somebody else: replay what they wrote
        if not goes_on:
            raise StepFailed(f"{self.id} {state}: {error or 'the run was cancelled'}")
        return str(state)

    def _replay(self, record: StepRecord) -> str:
        """Say again how the step ended, so that its chain and chord hear of it."""
        if not self._goes_on(record.state):
            raise StepFailed(f"{self.id} {record.state}: {record.error}")
        return str(record.state)

    def _config_mismatch(self, record: StepRecord) -> str:
        """This worker's pipeline file is not the plan's: leave the step to one whose is."""
        if self.context.ledger.note_config_mismatch(self.run.id, self.id) <= CONFIG_MISMATCHES_MAX:
            raise self._later("a worker with the plan's pipeline file")
        why = (
            "every worker's pipeline file differs from the plan's: start workers and planner "
            "with the same BACKFILL_PIPELINE"
        )
        failed = dict.fromkeys(self._unfinished(), why)
        return self._settle_idle(record, StepState.FAILED, failed)

    # -- helpers -----------------------------------------------------------------------------

    @property
    def _chunk_id(self) -> str:
        return self.id.rpartition("/")[0]

    def _later_steps(self) -> list[Step]:
        plan = self.context.plan(self.run.id)
        chunks = plan.chunks if plan else ()
        steps = next((chunk.steps for chunk in chunks if chunk.id == self._chunk_id), ())
        names = [step.phase for step in steps]
        return list(steps[names.index(self.step.phase) + 1 :])

    def _own_dates(self) -> dict[date, DateState]:
        pairs = [(self.step.phase, day) for day in self.step.dates]
        found = self.context.ledger.dates(self.run.id, pairs)
        return {day: state for (_, day), state in found.items()}

    def _goes_on(self, state: StepState) -> bool:
        """Whether the chain goes on after the step: something is left that can still be done."""
        if state is StepState.SUCCEEDED or DateState.DONE in self._own_dates().values():
            return True
        ancestors = self.context.pipeline.ancestors
        return state is not StepState.CANCELLED and any(
            # A phase that the file does not name any more hangs on nothing that is known here.
            self.step.phase not in ancestors.get(other.phase, ())
            for other in self._later_steps()
        )

    def _unfinished(self) -> list[date]:
        return [day for day, state in self._own_dates().items() if state is DateState.PENDING]

    def _problems(self, new: Mapping[date, str]) -> str:
        """What is wrong with the step's dates, those of earlier attempts included."""
        problems = {**self.context.ledger.problems(self.run.id, self.id), **new}
        return json.dumps({str(day): why[:ERROR_CHARS] for day, why in problems.items()})

    def _error_before(self) -> str:
        return _first(self.context.ledger.problems(self.run.id, self.id))

    def _later(self, what: str = "") -> Requeue:
        waits = self.context.ledger.note_wait(self.run.id, self.id, what)
        pause = FIRST_WAIT_SECONDS * WAIT_GROWTH ** min(waits, 50)
        return Requeue(min(pause, self.context.settings.poll_max_seconds))


def visit(context: Context, run_id: str, step_id: str, *, worker: str) -> str:
    """Handle one delivery of a step's message. See `Visit.make`."""
    run = context.ledger.run(run_id)
    step = context.step(run_id, step_id) if run else None
    if run is None or step is None:
        return "forgotten"  # Redis was emptied since: the next `enqueue --gaps` sees to it
    return Visit(
        context=context,
        run=run,
        id=step_id,
        step=step,
        phase=context.pipeline.by_name.get(step.phase) or context.pipeline.phases[0],
        worker=worker,
    ).make()


def _first(problems: Mapping[date, str]) -> str:
    return next((f"{day}: {why}" for day, why in problems.items()), "")
