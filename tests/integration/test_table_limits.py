"""Writers of a table, and its writes in 24 hours."""

from __future__ import annotations

from typing import Any

import pytest

from planner.plan.states import StepState
from tests.integration.shop import PIPELINE, RUN, Shop, day
from worker.ledger.budget import spent, table_key
from worker.ledger.lease import Lease, Resource
from worker.runners import Job, Outcome, Runner, TooLarge
from worker.step import attempt
from worker.step.errors import Requeue


def limit(shop: Shop, **limits: int) -> None:
    """Give the table of sessions limits, as a pipeline file does."""
    *rest, spec = (phase := shop.context.pipeline.by_name["sessionise"]).tables
    tables = (*rest, spec.model_copy(update=limits))
    limited = phase.model_copy(update={"tables": tables, "concurrency": 16})
    phases = [limited if each.name == phase.name else each for each in PIPELINE.phases]
    shop.context.__dict__["pipeline"] = PIPELINE.model_copy(update={"phases": tuple(phases)})
    shop.context.pipeline.__dict__.pop("by_name", None)


def test_a_table_has_so_many_writers_whichever_pipeline_they_are_of(shop: Shop) -> None:
    # Given a table that one may write at once, and somebody of another pipeline who does
    limit(shop, writers=1)
    shop.lose_sessions(day(11))
    ids = shop.register(shop.plan())
    table = table_key(shop.context.warehouse.name, "shop_analytics.sessions")
    other = Lease(shop.ledger.client, [Resource(name=f"writers:{table}")], seconds=30)
    assert other.acquire()

    # When a step of ours comes by, then it waits, holds nothing, and says for what
    with pytest.raises(Requeue):
        shop.visit(ids[0])
    record = shop.ledger.step(RUN, ids[0])
    assert (record.state, record.attempt) == (StepState.PENDING, 0)
    assert record.waiting == "a turn to write shop_analytics.sessions (1 at once)"

    # And it runs when the other is through
    other.release()
    assert shop.visit(ids[0]) == "succeeded"
    assert shop.ledger.step(RUN, ids[0]).waiting == ""


def test_a_step_beyond_the_budget_waits_until_there_is_room(shop: Shop) -> None:
    # Given a table that may be written three times a day, and four dates to write
    limit(shop, daily_writes=3)
    shop.lose_sessions(day(11), day(12), day(13), day(14))
    ids = [each for each in shop.register(shop.plan()) if each.endswith("sessionise")]
    for each in ids[:3]:
        assert shop.visit(each) == "succeeded"

    # When the last one comes by, as often as it likes
    for _ in range(3):
        with pytest.raises(Requeue):
            shop.visit(ids[3])

    # Then it waits, with no attempt and no retry spent, nothing held, and says for what
    record = shop.ledger.step(RUN, ids[3])
    assert (record.state, record.attempt, record.failures) == (StepState.PENDING, 0, 0)
    assert record.waiting == "room in the budget of shop_analytics.sessions (3 writes in 24 hours)"
    assert shop.ledger.client.keys("backfill:lease:sales*") == []
    warehouse = shop.context.warehouse.name
    tables = ["shop_analytics.sessions"]
    assert spent(shop.ledger.client, warehouse, tables) == {tables[0]: 3}

    # And it runs when a day has passed
    shop.ledger.client.delete(f"backfill:budget:{table_key(warehouse, tables[0])}")
    assert shop.visit(ids[3]) == "succeeded"


def test_every_run_of_a_range_counts_also_of_its_halves(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a step of two dates, a service's limit of one, and a budget for three writes
    limit(shop, daily_writes=3)
    shop.lose_sessions(day(11), day(12))
    step = shop.register(shop.plan(chunk_dates=2))[0]
    ran: list[int] = []
    real = attempt.runner_for

    class OneAtOnce:
        def __init__(self, runner: Runner) -> None:
            self.runner = runner

        def run(self, job: Job) -> Outcome:
            ran.append(len(job.dates))
            return self.runner.run(job) if len(job.dates) == 1 else TooLarge(error="413")

    def choose(*arguments: Any) -> tuple[int, Runner]:
        which, runner = real(*arguments)
        return which, OneAtOnce(runner)

    monkeypatch.setattr(attempt, "runner_for", choose)

    # When it was too large, and one half has run
    with pytest.raises(Requeue):
        shop.visit(step)

    # Then two and one writes are counted, and the other half waits for its own
    assert ran == [2, 1]
    assert "room in the budget" in shop.ledger.step(RUN, step).waiting
    assert shop.ledger.step(RUN, step).failures == 0

    # And it alone is left to do
    shop.ledger.client.delete(*shop.ledger.client.keys("backfill:budget:*"))
    assert shop.visit(step) == "succeeded"
    assert ran == [2, 1, 1]


def test_a_range_never_costs_more_than_a_day_allows(shop: Shop) -> None:
    limit(shop, daily_writes=5, writes_per_date=2)
    shop.lose_sessions(day(11), day(12), day(13))
    step = shop.register(shop.plan(chunk_dates=3))[0]

    with pytest.raises(Requeue):  # two of three dates are affordable
        shop.visit(step)

    table = "shop_analytics.sessions"
    assert spent(shop.ledger.client, shop.context.warehouse.name, [table]) == {table: 4}
