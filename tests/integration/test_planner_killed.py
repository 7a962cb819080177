"""A planner that dies leaves nothing, or a run that is incomplete and can be resumed."""

from __future__ import annotations

import os
import signal
from functools import partial

import pytest

from planner.plan.states import RunState, StepState
from planner.sandbox.workers import environment_of
from tests.commands import planner
from tests.integration.shop import LAST, RUN, SCOPE, Shop, drain
from worker.finalization.finalize import finalize
from worker.ledger import runs as runs_module
from worker.ledger.ledger import Ledger
from worker.ledger.staging import Staging
from worker.run import control
from worker.run import enqueue as enqueue_module
from worker.run.plan import owed_now

MOMENTS = {
    "before it registers": (Ledger, "register"),
    "while it stages": (Staging, "put_text"),
    "before it names what it staged": (runs_module, "script"),
    "before it takes over": (enqueue_module, "_take_over"),
    "before it sends": (enqueue_module, "send_steps"),
    "before it says so": (Ledger, "move"),
}

NOTHING = ("before it registers", "while it stages", "before it names what it staged")
"""Moments at which there is no run yet, and nothing that stays."""


def dies(moment: str) -> None:
    """From now on, this process does not survive a moment."""

    def die(*arguments: object, **options: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(*MOMENTS[moment], die)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.quick("before it names what it staged", "before it sends")
def test_a_planner_that_is_killed_leaves_nothing_or_an_incomplete_run(
    shop: Shop, moment: str
) -> None:
    # Given a planner that is killed, between what it writes down and what it sends
    shop.lose_sessions(LAST)
    wanted = {(step.phase, step.dates) for _, step in shop.plan().steps()}
    options = ["enqueue", "--gaps", "--json", "--start", str(SCOPE.start), "--end", str(SCOPE.end)]
    done = planner(
        *options,
        "--chunk-dates",
        "1",
        environment={**os.environ, **environment_of(shop.context.settings)},
        cwd=shop.context.settings.home_dir.parent,
        before=partial(dies, moment),
    )
    assert done.code == -signal.SIGKILL, done.err
    assert done.out == ""

    # Then there is no run, or one that is incomplete, has begun nothing, and can be resumed
    runs = shop.ledger.runs()
    if moment in NOTHING:
        assert runs == []
        client = shop.context.redis
        assert {key for key in client.scan_iter("backfill:*") if client.ttl(key) < 0} == set()
        assert bool(client.keys("backfill:staged:*")) == (moment != "before it registers")
        assert shop.ledger.held("sales", shop.context.warehouse.identity) == {}
        run_id = RUN
        plan = shop.plan()
        enqueue_module._note_owed(shop.context, run_id, plan)
        shop.register(plan)
        taken = {(step.phase, d) for _, step in plan.steps() for d in step.dates}
        enqueue_module._take_over(shop.context, run_id, taken)
    else:
        (run,) = runs
        run_id = run.id
        assert run.state is RunState.INCOMPLETE
        assert set(shop.ledger.steps(run_id).values()) == {StepState.PENDING}
        assert shop.plan().is_empty
        assert {skipped.run_id for skipped in shop.plan().skipped} == {run_id}
        control.resume(shop.context, run_id)

    # And that one repairs everything, and owes nothing afterwards
    found = shop.context.plan(run_id)
    assert found is not None
    assert {(step.phase, step.dates) for _, step in found.steps()} == wanted
    drain(shop, [step_id for step_id, _ in found.steps()], run_id)
    assert finalize(shop.context, run_id) == "complete"
    assert shop.differences() == []
    assert owed_now(shop.context, None) == []
