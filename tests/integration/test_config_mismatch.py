"""Workers whose pipeline file is not the plan's leave its steps to others, and not for ever."""

from __future__ import annotations

import json

import pytest

from planner.plan.states import RunState, StepState
from tests.integration.ledgers import rename
from tests.integration.shop import RUN, Shop, day
from worker.finalization.finalize import finalize
from worker.ledger.lease import Lease, Resource
from worker.step.errors import OtherWorker, Requeue, StepFailed
from worker.step.mismatch import CONFIG_MISMATCHES_MAX

STEP = f"{day(11)}/sessionise"
KEY = f"backfill:run:{RUN}:step:{STEP}"
HEADER = f"backfill:run:{RUN}"


def begin(shop: Shop) -> str:
    """A run with a step to do; the checksum of its pipeline file."""
    shop.lose_sessions(day(11))
    shop.register(shop.plan())
    return shop.ledger.require(RUN).pipeline_checksum


def change_file(shop: Shop, checksum: str = "of another file") -> None:
    """From now on the run's pipeline file is another than this worker's."""
    shop.ledger.client.hset(HEADER, "pipeline_checksum", checksum)


def come_by(shop: Shop, times: int, kind: type[Requeue] = Requeue) -> None:
    for _ in range(times):
        with pytest.raises(kind):
            shop.visit(STEP)


def hold(shop: Shop) -> Lease:
    """A step that was begun, by a holder of its date."""
    name = f"{shop.context.realm}:sessionise:{day(11)}"
    lease = Lease(shop.ledger.client, [Resource(name=name), Resource(name="service:x")], seconds=60)
    assert lease.acquire()
    shop.ledger.start(RUN, STEP, token=lease.token, worker="another")
    return lease


def test_a_step_that_only_mismatched_workers_receive_fails_after_a_while(shop: Shop) -> None:
    begin(shop)
    change_file(shop)

    come_by(shop, CONFIG_MISMATCHES_MAX, kind=OtherWorker)  # as Flower calls it
    with pytest.raises(StepFailed, match="every worker's pipeline file differs"):
        shop.visit(STEP)

    assert shop.states()[STEP] is StepState.FAILED


def test_other_waits_are_no_config_mismatches(shop: Shop) -> None:
    """Paused for long, then a worker that was not started anew is the first to come by."""
    fits = begin(shop)
    shop.ledger.move(RUN, RunState.PAUSED, [RunState.RUNNING])
    come_by(shop, CONFIG_MISMATCHES_MAX + 10)
    shop.ledger.move(RUN, RunState.RUNNING, [RunState.PAUSED])

    change_file(shop)
    come_by(shop, 1)

    change_file(shop, fits)
    assert shop.visit(STEP) == "succeeded"


def test_one_worker_that_fits_is_enough(shop: Shop) -> None:
    # Given config mismatches up to the limit, and a worker whose file matches and cannot begin now
    fits = begin(shop)
    change_file(shop)
    come_by(shop, CONFIG_MISMATCHES_MAX)
    change_file(shop, fits)
    name = f"{shop.context.realm}:sessionise:{day(11)}"
    lease = Lease(shop.ledger.client, [Resource(name=name)], seconds=60)
    assert lease.acquire()
    come_by(shop, 1)
    lease.release()

    # Then config mismatches count from none
    change_file(shop)
    come_by(shop, CONFIG_MISMATCHES_MAX)
    assert shop.states()[STEP] is StepState.PENDING


def test_a_parked_step_is_given_up_too(shop: Shop) -> None:
    begin(shop)
    lease = hold(shop)
    parked = {"parked": lease.token, "checkpoint": json.dumps({})}
    shop.ledger.transition(RUN, STEP, token=lease.token, state=StepState.RUNNING, fields=parked)
    change_file(shop)

    come_by(shop, CONFIG_MISMATCHES_MAX)
    with pytest.raises(StepFailed, match="every worker's pipeline file differs"):
        shop.visit(STEP)

    assert shop.states()[STEP] is StepState.FAILED


def test_a_step_at_work_is_left_to_its_worker_and_given_up_when_that_is_gone(shop: Shop) -> None:
    begin(shop)
    lease = hold(shop)
    change_file(shop)

    come_by(shop, CONFIG_MISMATCHES_MAX + 5)
    assert shop.states()[STEP] is StepState.RUNNING

    lease.release()  # it died, and was evicted
    with pytest.raises(StepFailed, match="every worker's pipeline file differs"):
        shop.visit(STEP)
    assert shop.states()[STEP] is StepState.FAILED


def test_a_cancelled_run_settles_though_a_phase_was_renamed(shop: Shop) -> None:
    begin(shop)
    rename(shop.ledger, RUN, "aggregate")
    shop.ledger.move(RUN, RunState.CANCELLING, [RunState.RUNNING])

    for step in shop.states():
        with pytest.raises(StepFailed):
            shop.visit(step)

    assert set(shop.states().values()) == {StepState.CANCELLED}


def test_a_step_before_a_renamed_phase_is_given_up(shop: Shop) -> None:
    begin(shop)
    rename(shop.ledger, RUN, "aggregate")

    come_by(shop, CONFIG_MISMATCHES_MAX)
    with pytest.raises(StepFailed, match="pipeline file differs") as failed:
        shop.visit(STEP)

    # What a file of other rules says of the next step is for the next step
    assert failed.value.goes_on
    assert shop.states()[f"{day(11)}/gone"] is StepState.PENDING


def rename_pipeline(shop: Shop, name: str = "another") -> None:
    """From now on Redis says that the run is of a pipeline of another name."""
    shop.ledger.client.hset(HEADER, "pipeline", name)


def test_a_run_of_another_name_is_left_alone(shop: Shop) -> None:
    """Under its own name its dates would be leased anew, and written twice at once."""
    begin(shop)
    rename_pipeline(shop)

    come_by(shop, CONFIG_MISMATCHES_MAX)
    assert list(shop.ledger.client.scan_iter("backfill:lease:another*")) == []
    with pytest.raises(StepFailed, match="every worker's pipeline file differs"):
        shop.visit(STEP)


def test_the_end_of_a_run_whose_plan_is_of_another_name_waits(shop: Shop) -> None:
    begin(shop)
    for step in shop.states():
        shop.ledger.client.hset(f"{HEADER}:steps", step, str(StepState.SUCCEEDED))
    plan = shop.ledger.plan(RUN)
    assert plan is not None
    forged = plan.model_copy(update={"pipeline": "another"}).sealed()
    shop.ledger.client.set(f"{HEADER}:plan", forged.model_dump_json())
    shop.ledger.client.delete(f"{HEADER}:chunks")

    with pytest.raises(Requeue):
        finalize(shop.context, RUN)


def test_the_end_of_a_run_of_another_name_waits(shop: Shop) -> None:
    begin(shop)
    for step in shop.states():
        shop.ledger.client.hset(f"{HEADER}:steps", step, str(StepState.SUCCEEDED))
    rename_pipeline(shop)

    with pytest.raises(Requeue):
        finalize(shop.context, RUN)
