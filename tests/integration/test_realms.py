"""Two warehouses on one Redis: what runs of one hold is free in the other."""

from __future__ import annotations

import pytest

from planner.plan.states import RunState
from tests.integration.shop import PIPELINE, RUN, Shop, day
from worker.ledger.keys import held_key
from worker.ledger.lease import Lease
from worker.ledger.runs import StillHeld
from worker.step.resources import resources_of

DEV = "local:the-one-of-dev"


def test_runs_of_two_warehouses_do_not_block_each_other(shop: Shop) -> None:
    # Given a run, whose step is at work
    shop.lose_sessions(day(11))
    plan = shop.plan()
    shop.register(plan)
    first = next(step for _, step in plan.steps())
    phase = PIPELINE.by_name[first.phase]
    leases = []

    # When another run has the same dates to do in another warehouse
    shop.register(plan.model_copy(update={"warehouse_id": DEV}), "of-dev")

    # Then it holds them there, its steps get their leases, and its end frees its own alone
    for run_id in (RUN, "of-dev"):
        run = shop.ledger.require(run_id)
        assert set(shop.ledger.held("sales", run.warehouse_id).values()) == {run_id}
        resources = resources_of(run, first, phase, first.dates)
        leases.append(Lease(shop.context.redis, resources, seconds=30))
    assert [lease.acquire() for lease in leases] == [True, True]
    shop.ledger.lose(shop.ledger.require("of-dev"), "lost", report="{}")
    assert shop.ledger.held("sales", DEV) == {}
    assert set(shop.ledger.held("sales", plan.warehouse_id).values()) == {RUN}


def test_what_a_run_of_an_earlier_version_holds_stays_held(shop: Shop) -> None:
    # Given one that went on while the fleet was changed for this version
    shop.lose_sessions(day(11))
    plan = shop.plan()
    shop.register(plan)
    client, run = shop.context.redis, shop.ledger.require(RUN)
    client.rename(held_key(run.realm), held_key("sales"))
    client.hdel(f"backfill:run:{RUN}", "realm")

    # Then it keeps its dates
    with pytest.raises(StillHeld):
        shop.ledger.register("another", plan)
    assert set(shop.ledger.held("sales", plan.warehouse_id).values()) == {RUN}

    # And frees them with its end; tried again, it holds them as a run of this version
    shop.ledger.lose(shop.ledger.require(RUN), "lost", report="{}")
    assert shop.ledger.held("sales", plan.warehouse_id) == {}
    steps = [(step_id, step) for step_id, step in plan.steps()]
    pairs = [(step.phase, each) for _, step in steps for each in step.dates]
    shop.ledger.reopen(RUN, pairs, [step_id for step_id, _ in steps])
    assert shop.ledger.require(RUN).state is RunState.INCOMPLETE
    assert shop.ledger.require(RUN).realm == run.realm
    assert client.hlen(held_key(run.realm)) == len(pairs)
    assert not client.exists(held_key("sales"))
