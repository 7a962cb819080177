"""A run whose end cannot be counted: what it waits for, that it says so, and that it ends."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from planner.errors import UsageError
from planner.plan.states import RunState
from planner.report.html.render import render_page
from planner.report.markdown import render_markdown
from planner.report.report import NOT_COUNTED, Report
from planner.sandbox.workers import environment_of
from tests.commands import planner
from tests.integration.ledgers import end
from tests.integration.shop import LAST, RUN, Shop, drain
from worker.finalization.finalize import TRIES_MAX, finalize
from worker.run.control import resume, retry
from worker.status.status import status_json
from worker.step.errors import Requeue
from worker.step.mismatch import CONFIG_MISMATCHES_MAX


def done(shop: Shop) -> None:
    """A run whose steps have all been done."""
    shop.lose_sessions(LAST)
    drain(shop, shop.register(shop.plan()))


def folder(shop: Shop) -> Path:
    return Path(shop.context.settings.warehouse.removeprefix("local:"))


def look_anew(shop: Shop) -> None:
    """Another worker: this one has the tables open."""
    shop.context.warehouse.close()
    del shop.context.warehouse


def status(shop: Shop) -> dict[str, Any]:
    return status_json(shop.context, shop.ledger.require(RUN))


def change_file(shop: Shop) -> None:
    """From now on this worker's pipeline file is another than the plan's."""
    shop.ledger.client.hset(f"backfill:run:{RUN}", "pipeline_checksum", "of another file")


def ended_without(shop: Shop, why: str) -> None:
    """The run says that nobody counted it, and believes nothing."""
    report = Report.model_validate_json(shop.ledger.report(RUN) or "")
    assert not report.validation.passed
    assert {short.reason for short in report.validation.short} == {NOT_COUNTED}
    assert why in status(shop)["note"]
    for text in (render_markdown(report), render_page(report)):
        assert "ended without its final count" in text
    assert shop.ledger.held("sales", shop.context.warehouse.identity) == {}


@pytest.mark.slow
def test_a_warehouse_that_refuses_the_count_fails_the_run(shop: Shop) -> None:
    done(shop)
    shutil.rmtree(folder(shop) / "shop_reports" / "store_daily")
    look_anew(shop)

    assert finalize(shop.context, RUN) == "failed"

    ended_without(shop, "store_daily")


def test_a_run_whose_count_was_refused_is_counted_again(shop: Shop) -> None:
    # Given a run that did everything, and could not be counted
    done(shop)
    table = folder(shop) / "shop_reports" / "store_daily"
    table.rename(table.with_name("away"))
    look_anew(shop)
    assert finalize(shop.context, RUN) == "failed"

    # When the table is back, and the run is tried again
    table.with_name("away").rename(table)
    look_anew(shop)
    settings = shop.context.settings
    environment = {**os.environ, **environment_of(settings)}
    told = planner("retry", RUN, environment=environment, cwd=settings.home_dir.parent)
    assert (told.code, "its final count" in told.out) == (0, True), told
    assert shop.ledger.client.llen("final") == 1

    # Then it is counted, and nothing is done anew; a second retry has nothing to do
    assert finalize(shop.context, RUN) == "complete"
    with pytest.raises(UsageError, match="Nothing of .* is left"):
        retry(shop.context, RUN)


def test_a_warehouse_that_does_not_answer_is_waited_for_where_people_see_it(shop: Shop) -> None:
    # Given a warehouse that is away
    done(shop)
    away = folder(shop).with_name("away")
    folder(shop).rename(away)

    # When the run is to end, then it waits, and says for what
    with pytest.raises(Requeue):
        finalize(shop.context, RUN)
    assert "its end waits: " in status(shop)["note"]

    # And when it is there again, the run ends as if nothing had been
    away.rename(folder(shop))
    assert finalize(shop.context, RUN) == "complete"
    assert status(shop)["note"] is None


def test_a_cancelled_run_waits_for_no_warehouse(shop: Shop) -> None:
    done(shop)
    folder(shop).rename(folder(shop).with_name("away"))
    look_anew(shop)
    shop.ledger.move(RUN, RunState.CANCELLING, [RunState.RUNNING])

    assert finalize(shop.context, RUN) == "cancelled"

    ended_without(shop, "There is no warehouse in")


def test_a_worker_with_another_pipeline_file_ends_no_run_by_its_own(shop: Shop) -> None:
    done(shop)
    change_file(shop)

    for _ in range(CONFIG_MISMATCHES_MAX):
        with pytest.raises(Requeue):
            finalize(shop.context, RUN)
    assert status(shop)["note"] == "its end waits for a worker with the plan's pipeline file"
    assert finalize(shop.context, RUN) == "failed"

    ended_without(shop, "every worker's pipeline file differs")


def test_an_error_that_nobody_foresaw_ends_the_run_after_a_few_tries(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("division by zero")

    done(shop)
    monkeypatch.setattr("worker.finalization.finalize.report_of", broken)
    for _ in range(TRIES_MAX - 1):
        with pytest.raises(Requeue):
            finalize(shop.context, RUN)

    assert finalize(shop.context, RUN) == "failed"

    assert "ZeroDivisionError: division by zero" in status(shop)["note"]
    assert shop.ledger.held("sales", shop.context.warehouse.identity) == {}


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.quick(1)
def test_a_run_in_which_nothing_runs_is_cancelled_at_once(shop: Shop, begun: bool) -> None:
    # Given a run of two steps, and no worker
    shop.lose_sessions(LAST)
    first, *_ = shop.register(shop.plan())
    if begun:
        shop.visit(first)

    settings = shop.context.settings
    environment = {**os.environ, **environment_of(settings)}
    told = planner("cancel", RUN, environment=environment, cwd=settings.home_dir.parent)

    assert (told.code, "is cancelled" in told.out) == (0, True), told
    assert shop.ledger.require(RUN).state is RunState.CANCELLED
    assert shop.ledger.held("sales", shop.context.warehouse.identity) == {}
    assert Report.model_validate_json(shop.ledger.report(RUN) or "").state == "cancelled"


def test_a_run_of_another_pipeline_file_is_neither_resumed_nor_retried(shop: Shop) -> None:
    done(shop)
    change_file(shop)
    shop.ledger.move(RUN, RunState.PAUSED, [RunState.RUNNING])
    with pytest.raises(UsageError, match="BACKFILL_PIPELINE"):
        resume(shop.context, RUN)
    assert shop.ledger.require(RUN).state is RunState.PAUSED

    end(shop.ledger, RUN)
    with pytest.raises(UsageError, match="BACKFILL_PIPELINE"):
        retry(shop.context, RUN)
    assert shop.ledger.require(RUN).state is RunState.FAILED
