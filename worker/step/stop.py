"""When a step, or the publishing of its run, has to stop: asked several times a second."""

from __future__ import annotations

from planner.plan.states import RUN_ENDED, RunState
from worker.context import Context
from worker.ledger.lease import Lease
from worker.processes import shutdown
from worker.runners import LEASE_LOST


class Stop:
    """Why what runs for a run has to stop. Answers at once, also while Redis does not answer.

    The run's state is read in the thread of the lease's heartbeat.
    """

    CANCELLED = "the run was cancelled"
    SHUTDOWN = "the worker is shutting down"

    def __init__(self, context: Context, run_id: str, lease: Lease) -> None:
        self._context, self._run_id, self._lease = context, run_id, lease
        self._is_cancelled = False
        lease.on_beat = self._look

    def __call__(self) -> str | None:
        if self._lease.is_lost:
            return LEASE_LOST
        if shutdown.is_due():
            return self.SHUTDOWN
        return self.CANCELLED if self._is_cancelled else None

    def _look(self) -> None:
        run = self._context.ledger.run(self._run_id)
        self._is_cancelled = run is None or run.state in RUN_ENDED | {RunState.CANCELLING}
