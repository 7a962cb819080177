"""A plan that was made before is looked at again before it is run."""

from __future__ import annotations

import os
from pathlib import Path

from planner.errors import BadPlan
from planner.gaps.gaps import Assessment, GapReason
from planner.gaps.survey import survey
from planner.plan.plan import Plan
from planner.sandbox.workers import environment_of
from sql import load
from tests.commands import planner
from tests.integration.shop import PIPELINE, RUN, SCOPE, Shop, day
from worker.run.enqueue import require_now


def now(shop: Shop) -> Assessment:
    return survey(shop.context.warehouse, PIPELINE, SCOPE)


def changed(shop: Shop, plan: Plan) -> str:
    """Why a plan is refused now; empty when it is not."""
    try:
        require_now(shop.context, plan, now(shop))
    except BadPlan as error:
        return str(error)
    return ""


def test_a_plan_is_good_as_long_as_the_warehouse_is_as_it_was(shop: Shop) -> None:
    shop.lose_sessions(day(11), day(12))
    plan = shop.plan()

    assert any(task.reason is GapReason.CASCADE for _, s in plan.steps() for task in s.tasks)
    assert changed(shop, plan) == ""


def test_a_plan_is_refused_when_a_date_is_complete_by_now(shop: Shop) -> None:
    shop.lose_sessions(day(11), day(12))
    plan = shop.plan()
    span = {"start_date": day(12), "end_date": day(12)}
    shop.context.warehouse.run(load("sales/sessions"), span)

    assert f"sessionise {day(12)} is complete now" in changed(shop, plan)
    assert "Make a new plan" in changed(shop, plan)


def test_a_plan_file_that_is_out_of_date_publishes_nothing(shop: Shop, tmp_path: Path) -> None:
    shop.lose_sessions(day(11))
    file = tmp_path / "plan.json"
    file.write_text(shop.plan().model_dump_json())
    shop.context.warehouse.run(load("sales/sessions"), {"start_date": day(11), "end_date": day(11)})

    environment = {**os.environ, **environment_of(shop.context.settings)}
    done = planner("enqueue", "--plan", str(file), environment=environment, cwd=tmp_path)

    assert done.code == 2
    assert f"the warehouse has changed since: sessionise {day(11)} is complete now" in done.err
    assert shop.ledger.runs() == []


def test_a_plan_is_refused_when_what_it_needs_is_gone(shop: Shop) -> None:
    # Given a plan of reports, made when all sessions were there
    shop.lose("shop_reports.store_daily", "report_date", day(20))
    plan = shop.plan()
    assert {step.phase for _, step in plan.steps()} == {"aggregate"}

    # When sessions of its week are lost
    shop.lose_sessions(day(18))

    assert f"needs sessionise {day(18)}, which is short now" in changed(shop, plan)


def test_a_plan_is_refused_when_its_source_has_gone_or_changed(shop: Shop) -> None:
    shop.lose_sessions(day(11))
    plan = shop.plan()
    one = "DELETE FROM shop_raw.orders WHERE order_date = @day AND store_id = 1"
    shop.context.warehouse.run(one, {"day": day(11)})
    assert "should hold" in changed(shop, plan)

    shop.lose("shop_raw.orders", "order_date", day(11))
    assert f"sessionise {day(11)} is off_day now" in changed(shop, plan)


def test_a_plan_is_refused_while_another_run_is_at_its_dates(shop: Shop) -> None:
    shop.lose_sessions(day(11))
    plan = shop.plan()
    shop.register(plan)

    assert f"{RUN} is repairing some of its dates" in changed(shop, plan)
