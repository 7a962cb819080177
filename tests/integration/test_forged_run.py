"""What whoever writes to Redis puts into a run's record: leases, runners and copies stay ours."""

from __future__ import annotations

import json

import pytest

from planner.errors import BadRecord, UsageError
from planner.plan.states import RunState, StepState
from tests.integration.shop import PIPELINE, RUN, Shop, day
from worker.finalization.kept import require_kept
from worker.ledger.keys import run_key
from worker.ledger.lease import Lease
from worker.run.control import retry
from worker.step.errors import Requeue, StepFailed
from worker.step.mismatch import CONFIG_MISMATCHES_MAX
from worker.step.resources import resources_of

STEP = f"{day(11)}/sessionise"


@pytest.fixture
def begun(shop: Shop) -> Shop:
    shop.lose_sessions(day(11))
    shop.register(shop.plan())
    return shop


def forge(shop: Shop, field: str, value: str) -> None:
    shop.ledger.client.hset(run_key(RUN), field, value)


@pytest.mark.parametrize("forged", ["", "sales", "another", "sales@local:elsewhere", "x" * 5000])
def test_a_date_has_one_lease_whatever_redis_says_of_a_realm(begun: Shop, forged: str) -> None:
    shop, step = begun, next(step for _, step in begun.plan_of(RUN).steps())
    phase = PIPELINE.by_name[step.phase]
    honest = resources_of(shop.ledger.require(RUN), step, phase, step.dates)
    assert Lease(shop.context.redis, honest, seconds=30).acquire()

    forge(shop, "realm", forged)

    run = shop.ledger.require(RUN)
    assert not Lease(
        shop.context.redis, resources_of(run, step, phase, step.dates), seconds=30
    ).acquire()


def test_a_run_of_before_and_one_of_now_have_no_date_at_once(begun: Shop) -> None:
    """Whichever is first, and though workers of before know the pipeline's name alone."""
    shop, step = begun, next(step for _, step in begun.plan_of(RUN).steps())
    phase, run = PIPELINE.by_name[step.phase], begun.ledger.require(RUN)
    before = run.model_copy(update={"realm": ""})

    for first, second in ((run, before), (before, run)):
        held = Lease(shop.context.redis, resources_of(first, step, phase, step.dates), seconds=30)
        other = Lease(shop.context.redis, resources_of(second, step, phase, step.dates), seconds=30)
        assert held.acquire()
        assert not other.acquire()
        held.release()


@pytest.mark.parametrize("number", [0, -1, 99, 10**30])
def test_a_runner_that_is_not_there_is_told_in_words(begun: Shop, number: int) -> None:
    forge(begun, "pinned", json.dumps({"sessionise": number}))

    with pytest.raises(StepFailed, match="sessionise has no runner"):
        begun.visit(STEP)
    assert begun.states()[STEP] is StepState.FAILED


@pytest.mark.parametrize("days", ["0", "-1", "9" * 30])
def test_days_to_keep_for_that_are_none_are_told_in_words(begun: Shop, days: str) -> None:
    forge(begun, "keep_days", days)

    with pytest.raises(BadRecord, match="keep_days"):
        begun.ledger.require(RUN)


def test_rows_are_copied_nowhere_but_where_the_worker_keeps(begun: Shop) -> None:
    """A dataset of somebody else's would have the rows read by others."""
    shop = begun
    on_bigquery = {"warehouse": "bigquery:x"}  # as far as the settings tell
    shop.context.settings = shop.context.settings.model_copy(update=on_bigquery)
    forge(shop, "keep", "1")
    forge(shop, "keep_dataset", "elsewhere.public")

    for _ in range(CONFIG_MISMATCHES_MAX):
        with pytest.raises(Requeue, match="BACKFILL_KEEP_DATASET"):
            shop.visit(STEP)
    with pytest.raises(StepFailed, match="BACKFILL_KEEP_DATASET differs"):
        shop.visit(STEP)

    run = shop.ledger.require(RUN)
    with pytest.raises(UsageError, match=r"elsewhere\.public"):
        require_kept(shop.context, run)
    shop.ledger.move(RUN, RunState.FAILED, [RunState.RUNNING])
    with pytest.raises(UsageError, match=r"elsewhere\.public: set BACKFILL_KEEP_DATASET"):
        retry(shop.context, RUN)
