"""What earlier runs took says how long the next one takes."""

from __future__ import annotations

import shutil
import time

import pytest

from planner.commands.watch import drift_warning
from planner.plan.estimate import PhaseEstimate
from planner.plan.states import RunState
from tests.integration.shop import RUN, Shop, day, drain
from worker.finalization.finalize import finalize
from worker.ledger.slots import sign_off, sign_on
from worker.run.estimate import history
from worker.status.forecast import Forecast, forecast


@pytest.mark.parametrize("where", ["files", "ledger"])
@pytest.mark.quick("ledger")
def test_a_plan_foresees_what_the_last_run_took(shop: Shop, where: str) -> None:
    # Given a pipeline file without figures, nobody at work, and a run that has ended
    shop.lose_sessions(day(11))
    first = shop.plan(chunk_dates=7, with_estimate=True)
    assert first.estimate is not None
    assert (first.estimate.seconds, first.estimate.slots_are_assumed) == (None, True)
    assert first.estimate.unknown == ("sessionise", "aggregate")
    drain(shop, shop.register(first))
    assert finalize(shop.context, RUN) == "complete"
    if where == "files":
        shop.ledger.client.flushall()
    else:
        shutil.rmtree(shop.context.settings.folder("reports"))

    # When the same is to do, and two workers are there, one of them dead
    sign_on(shop.ledger.client, "here", 3, seconds=60)
    sign_on(shop.ledger.client, "dead", 5, seconds=-1)
    sign_on(shop.ledger.client, "leaving", 7, seconds=60)
    sign_off(shop.ledger.client, "leaving", 7)
    shop.lose_sessions(day(11))
    made = shop.plan(with_estimate=True).estimate

    # Then it is estimated by what the steps took
    assert made is not None
    assert (made.runs, made.slots, made.slots_are_assumed) == (1, 3, False)
    assert {phase.source for phase in made.phases.values()} == {"runs"}
    assert made.seconds is not None
    assert made.worst_seconds is not None
    assert 0 < made.seconds <= made.worst_seconds < 60


def test_runs_of_other_warehouses_and_broken_reports_say_nothing(shop: Shop) -> None:
    shop.lose_sessions(day(11))
    drain(shop, shop.register(shop.plan(chunk_dates=7)))
    finalize(shop.context, RUN)
    path = shop.context.settings.folder("reports") / RUN / "report.json"
    text = path.read_text()
    shop.ledger.client.flushall()

    path.write_text(text.replace(shop.context.warehouse.name, "local:/elsewhere"))
    assert history(shop.context, None).runs == 0
    path.write_text(text[:-20])
    assert history(shop.context, None).runs == 0
    path.write_text(text)
    assert history(shop.context, None).runs == 1


def test_a_run_that_takes_far_longer_than_planned_drifts(shop: Shop) -> None:
    # Given a run of four chunks whose plan foresaw a second a date
    shop.lose_sessions(day(11))
    bare = shop.plan(with_estimate=True)
    assert bare.estimate is not None
    phases = {
        name: PhaseEstimate(
            steps=9,
            dates=10,
            seconds_per_date=1,
            slow_seconds_per_date=1,
            seconds=10,
            slow_seconds=10,
            source="file",
        )
        for name in ("sessionise", "aggregate")
    }
    update = {"phases": phases, "seconds": 8.0}
    foreseen = bare.estimate.model_copy(update=update)
    ids = shop.register(bare.model_copy(update={"estimate": foreseen}).sealed())

    def now() -> Forecast:
        records = shop.ledger.step_records(RUN, ids)
        return forecast(shop.context, shop.ledger.require(RUN), records)

    # At first it is as planned: every step a second, one after the other
    assert (now().planned, now().left, now().drifts) == (8.0, pytest.approx(len(ids)), False)

    # When steps take a minute each, it is corrected by the run's own pace, from three on
    real = [shop.visit(each) for each in ids[:4]]
    assert real == ["succeeded"] * 4
    aggregates = [each for each in ids[:4] if each.endswith("aggregate")]
    assert len(aggregates) == 3
    for each in aggregates:
        shop.ledger.client.hset(f"backfill:run:{RUN}:step:{each}", "worked", 60)
    assert now().left == pytest.approx(60 * (len(ids) - 4))
    assert now().drifts
    assert "drifts" in drift_warning(shop.ledger.require(RUN), now())


def earlier(shop: Shop, field: str, seconds: float) -> None:
    """Let a time of the run's be so long ago."""
    shop.ledger.client.hset(f"backfill:run:{RUN}", field, time.time() - seconds)


def spent(shop: Shop) -> float:
    return forecast(shop.context, shop.ledger.require(RUN), []).spent


def test_a_run_that_is_tried_again_the_next_morning_begins_anew(shop: Shop) -> None:
    # Given a run that started yesterday, was paused, and has ended
    shop.lose_sessions(day(11))
    ids = shop.register(shop.plan(chunk_dates=7))
    drain(shop, ids)
    earlier(shop, "started", 50_000)
    shop.ledger.client.hset(f"backfill:run:{RUN}", "paused_seconds", 40_000)
    finalize(shop.context, RUN)
    assert spent(shop) == pytest.approx(10_000, abs=60)

    # When a date of it is tried again
    shop.ledger.reopen(RUN, [("sessionise", day(11))], ids[:1])
    shop.ledger.move(RUN, RunState.RUNNING, [RunState.INCOMPLETE])

    # Then what it spends is counted from there on
    assert spent(shop) < 60
    earlier(shop, "resumed", 300)
    assert spent(shop) == pytest.approx(300, abs=60)


def test_pauses_are_not_spent(shop: Shop) -> None:
    shop.lose_sessions(day(11))
    shop.visit(shop.register(shop.plan())[0])
    earlier(shop, "started", 5_000)

    for pause, worked in ((3_000, 2_000), (1_000, 1_000)):
        shop.ledger.move(RUN, RunState.PAUSED, [RunState.RUNNING])
        earlier(shop, "paused", pause)
        assert spent(shop) == pytest.approx(worked, abs=60)  # while it is paused
        shop.ledger.move(RUN, RunState.RUNNING, [RunState.PAUSED])
        assert spent(shop) == pytest.approx(worked, abs=60)  # and when it goes on


def test_what_failed_before_it_succeeded_is_no_sample_of_a_pace(shop: Shop) -> None:
    # Given two steps of a phase, one of which took two attempts
    shop.lose_sessions(day(11))
    ids = shop.register(shop.plan(chunk_dates=7))
    drain(shop, ids)
    aggregates = [each for each in ids if each.endswith("aggregate")]
    assert len(aggregates) > 1
    for each in ids:
        fields = {"worked": 5.0} if each != aggregates[0] else {"worked": 500.0, "attempt": 2}
        shop.ledger.client.hset(f"backfill:run:{RUN}:step:{each}", mapping=fields)
    finalize(shop.context, RUN)

    found = history(shop.context, shop.ledger).samples["aggregate"]

    assert [seconds for _, seconds in found] == [5.0] * (len(aggregates) - 1)
