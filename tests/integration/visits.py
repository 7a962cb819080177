"""A run on the bench, visited by hand: real ledger, leases, gates and finalization; no Celery."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from planner.gaps.survey import survey
from planner.pipeline.windows import Window
from planner.plan.plan import Plan
from planner.plan.states import STEP_ENDED, RunState
from tests.integration.bench import DAYS, WAIT_SECONDS, Bench
from worker.context import Context
from worker.finalization.finalize import finalize
from worker.ledger.orders import Orders
from worker.ledger.record import StepRecord
from worker.run.plan import Wanted, plan_gaps
from worker.step import visit
from worker.step.errors import Requeue, StepFailed

SCOPE = Window(start=DAYS[0], end=DAYS[-1])
RUN = "run-of-this-test"


@dataclass(kw_only=True)
class Visits:
    """Every gap of the bench in one chunk, and whoever comes by to repair it."""

    bench: Bench
    runners: str
    """Of the phase `facts`, and more phases after it."""
    force_service: bool = False
    plan: Plan = field(init=False)
    context: Context = field(init=False)

    def __post_init__(self) -> None:
        self.context = self.bench.context(self.runners)
        phases = [phase.name for phase in self.context.pipeline.phases if phase.after]
        wanted = Wanted(scope=SCOPE, phases=phases, chunk_dates=len(DAYS))
        health = survey(self.context.warehouse, self.context.pipeline, SCOPE)
        self.plan = plan_gaps(self.context, health, wanted, ledger=self.context.ledger)
        self.context.ledger.register(RUN, self.plan, Orders(force_service=self.force_service))
        self.context.ledger.move(RUN, RunState.RUNNING, [RunState.INCOMPLETE])

    def step_id(self, phase: str = "facts") -> str:
        (found,) = [step_id for step_id, step in self.plan.steps() if step.phase == phase]
        return found

    def step(self, phase: str = "facts") -> StepRecord:
        return self.context.ledger.step(RUN, self.step_id(phase))

    def visit(self, phase: str = "facts") -> None:
        """One delivery of a step's message."""
        try:
            visit.visit(self.context, RUN, self.step_id(phase), worker="me")
        except (Requeue, StepFailed):
            return

    def settle(self) -> None:
        """Visit until every step has settled; pauses are cut short."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not STEP_ENDED.issuperset(self.context.ledger.steps(RUN).values()):
            assert time.monotonic() < deadline, self.context.ledger.steps(RUN)
            for _, step in self.plan.steps():
                self.visit(step.phase)

    def to_the_end(self) -> str:
        """Settle every step, and finalize."""
        self.settle()
        return finalize(self.context, RUN)
