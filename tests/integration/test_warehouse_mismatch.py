"""A worker with another warehouse than the run's neither repairs nor counts anything there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from planner.errors import BadPlan
from planner.plan.owed import Owed, save
from planner.plan.parse import parse_plan
from planner.plan.plan import Plan
from planner.plan.states import StepState
from planner.report.report import NOT_COUNTED, Report
from sql import Warehouse, WarehouseUnreachable
from tests.integration.shop import RUN, Shop, day, drain
from tests.integration.tiny import Tiny
from tests.waiting import until
from worker.context import Context
from worker.finalization.finalize import finalize
from worker.processes.children import supervised
from worker.run.enqueue import require_here
from worker.run.plan import owed_now
from worker.step import visit
from worker.step.errors import Requeue, StepFailed
from worker.step.mismatch import CONFIG_MISMATCHES_MAX

STEP = f"{day(11)}/sessionise"
KEY = f"backfill:run:{RUN}"
WAITS = "a worker with the run's warehouse"
WHY = "every worker's warehouse differs from the run's: .*BACKFILL_WAREHOUSE"


def elsewhere(shop: Shop, folder: Path | str) -> Context:
    """A worker whose BACKFILL_WAREHOUSE is `folder`."""
    settings = shop.context.settings.model_copy(update={"warehouse": f"local:{folder}"})
    return Context(settings, patient=False)


@pytest.fixture
def other(shop: Shop, tmp_path: Path) -> Context:
    """A worker with a warehouse of its own, which holds the same rows."""
    return elsewhere(shop, shutil.copytree(shop.whole, tmp_path / "other"))


@pytest.fixture
def begun(shop: Shop) -> Plan:
    """A run with a step to do."""
    shop.lose_sessions(day(11))
    shop.register(plan := shop.plan())
    return plan


def come_by(context: Context, times: int) -> None:
    for _ in range(times):
        with pytest.raises(Requeue):
            visit.visit(context, RUN, STEP, worker="another")


def as_before(shop: Shop) -> None:
    """The run as a version registered it that knew warehouses by their names alone."""
    shop.ledger.client.hdel(KEY, "warehouse_id")


# -- steps -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("begun")
def test_a_step_is_left_to_a_worker_with_the_run_s_warehouse(shop: Shop, other: Context) -> None:
    come_by(other, CONFIG_MISMATCHES_MAX)
    record = shop.ledger.step(RUN, STEP)
    assert (record.state, record.attempt) == (StepState.PENDING, 0)
    assert record.waiting == WAITS

    assert shop.visit(STEP) == "succeeded"
    assert shop.ledger.step(RUN, STEP).config_mismatches == 0


@pytest.mark.usefixtures("begun")
def test_a_step_that_no_worker_has_the_warehouse_for_fails_after_a_while(
    shop: Shop, other: Context
) -> None:
    come_by(other, CONFIG_MISMATCHES_MAX)
    with pytest.raises(StepFailed, match=WHY):
        visit.visit(other, RUN, STEP, worker="another")

    assert shop.states()[STEP] is StepState.FAILED


@pytest.mark.usefixtures("begun")
def test_both_kinds_of_mismatch_are_counted_together(shop: Shop, other: Context) -> None:
    fits = shop.ledger.require(RUN).pipeline_checksum
    shop.ledger.client.hset(KEY, "pipeline_checksum", "of another file")
    come_by(shop.context, CONFIG_MISMATCHES_MAX // 2)
    shop.ledger.client.hset(KEY, "pipeline_checksum", fits)
    come_by(other, CONFIG_MISMATCHES_MAX // 2)

    with pytest.raises(StepFailed, match=WHY):
        visit.visit(other, RUN, STEP, worker="another")


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize("spelling", ["link", "relative", "detour"])
def test_a_folder_is_the_same_however_it_is_spelt(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    folder = tmp_path / "warehouse"
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    spelt = {
        "link": tmp_path / "link",
        "relative": "warehouse",
        "detour": folder / ".." / "warehouse",
    }

    assert visit.visit(elsewhere(shop, spelt[spelling]), RUN, STEP, worker="me") == "succeeded"


def test_what_is_owed_is_owed_however_the_folder_is_spelt(
    shop: Shop, other: Context, tmp_path: Path
) -> None:
    """Else a plan by another spelling would call dates complete that are to be recomputed."""
    note = Owed(
        run_id=RUN,
        pipeline=shop.context.pipeline.name,
        warehouse=shop.context.warehouse.name,
        warehouse_id=shop.context.warehouse.identify(),
        dates={"sessionise": {day(11)}},
    )
    save(shop.context.settings.folder("owed"), note)
    (tmp_path / "link").symlink_to(tmp_path / "warehouse")

    assert owed_now(elsewhere(shop, tmp_path / "link"), None) == [note]
    assert owed_now(other, None) == []


@pytest.mark.usefixtures("begun")
def test_a_run_of_an_earlier_version_compares_names(shop: Shop, other: Context) -> None:
    as_before(shop)
    come_by(other, 1)

    assert shop.ledger.step(RUN, STEP).waiting == WAITS
    assert shop.visit(STEP) == "succeeded"


@pytest.mark.usefixtures("begun")
def test_a_folder_that_is_away_is_no_other_warehouse(shop: Shop, tmp_path: Path) -> None:
    """It is waited for, or told of, as a warehouse that does not answer."""
    (tmp_path / "warehouse").rename(tmp_path / "away")
    context = elsewhere(shop, tmp_path / "warehouse")

    with pytest.raises(Requeue):
        visit.visit(context, RUN, STEP, worker="me")

    record = shop.ledger.step(RUN, STEP)
    assert record.config_mismatches == 0
    assert "There is no warehouse" in record.error


def test_a_warehouse_that_cannot_be_opened_is_no_other_warehouse(
    shop: Shop, begun: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As BigQuery without credentials: the attempt and the count tell of it."""
    monkeypatch.setattr("worker.context.open_warehouse", refuse)
    context = Context(shop.context.settings, patient=False)

    with pytest.raises(Requeue):
        visit.visit(context, RUN, STEP, worker="me")
    record = shop.ledger.step(RUN, STEP)
    assert (record.failures, record.config_mismatches) == (1, 0)
    assert "no credentials" in record.error

    drain(shop, [step_id for step_id, _ in begun.steps()])
    with pytest.raises(Requeue):
        finalize(context, RUN)
    assert "no credentials" in shop.ledger.require(RUN).note


def refuse(*arguments: object, **options: object) -> Warehouse:
    raise WarehouseUnreachable("no credentials")


# -- the end of a run ------------------------------------------------------------------------


def test_a_run_is_not_counted_in_another_warehouse(shop: Shop, other: Context) -> None:
    # Given a run that is done, and another warehouse that keeps a history
    shop.lose_sessions(day(11))
    drain(shop, shop.register(shop.plan()))
    other.settings = other.settings.model_copy(update={"history_dataset": "ops"})

    # When only a worker with that one comes to end it
    for _ in range(CONFIG_MISMATCHES_MAX):
        with pytest.raises(Requeue):
            finalize(other, RUN)
    assert shop.ledger.require(RUN).note == f"its end waits for {WAITS}"
    assert finalize(other, RUN) == "failed"

    # Then the run says that nothing was counted, and nothing is written there
    report = Report.model_validate_json(shop.ledger.report(RUN) or "")
    assert {short.reason for short in report.validation.short} == {NOT_COUNTED}
    assert "every worker's warehouse differs from the run's" in report.notes[0]
    assert "ops" in report.notes[1]
    assert "warehouse is not the run's" in report.notes[1]


def test_the_end_of_a_run_waits_for_a_worker_with_its_warehouse(shop: Shop, other: Context) -> None:
    shop.lose_sessions(day(11))
    drain(shop, shop.register(shop.plan()))
    with pytest.raises(Requeue):
        finalize(other, RUN)

    assert finalize(shop.context, RUN) == "complete"


# -- plans -----------------------------------------------------------------------------------


def test_a_plan_is_for_one_warehouse_however_it_is_spelt(
    shop: Shop, other: Context, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "warehouse")
    plan = shop.plan()

    require_here(elsewhere(shop, tmp_path / "link"), plan)
    with pytest.raises(BadPlan, match="was made for .*BACKFILL_WAREHOUSE is .*other"):
        require_here(other, plan)


def test_another_folder_under_the_same_path_is_another_warehouse(
    shop: Shop, tmp_path: Path
) -> None:
    plan = shop.plan()
    folder = tmp_path / "warehouse"
    folder.rename(tmp_path / "away")
    shutil.copytree(shop.whole, folder)

    with pytest.raises(BadPlan, match="another warehouse .*same name"):
        require_here(elsewhere(shop, folder), plan)


def test_a_plan_of_an_earlier_version_is_whole_and_compares_names(
    shop: Shop, other: Context, tmp_path: Path
) -> None:
    # Given a plan that was sealed before plans knew their warehouse's identity
    plan = shop.plan().model_copy(update={"warehouse_id": ""}).sealed()
    content = plan.model_dump(mode="json")
    del content["warehouse_id"]
    (tmp_path / "link").symlink_to(tmp_path / "warehouse")

    before = parse_plan(content, where="plan.json")

    require_here(shop.context, before)
    for context in (other, elsewhere(shop, tmp_path / "link")):
        with pytest.raises(BadPlan, match="was made for"):
            require_here(context, before)


# -- real workers ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tiny, Tiny]]:
    """Redis and a planner of the first; the second is only there for its warehouse."""
    first, second = (Tiny(tmp_path_factory.mktemp(name)) for name in ("first", "second"))
    with first.up(worker=False):
        yield first, second


@pytest.mark.slow
def test_a_worker_with_another_warehouse_leaves_a_run_to_one_that_has_it(
    worlds: tuple[Tiny, Tiny],
) -> None:
    tiny, second = worlds
    (tiny.place / "link").symlink_to(tiny.place / "warehouse")
    (day,) = tiny.days(1)
    run_id = tiny.enqueue([day])

    # Given a worker whose warehouse is another, where every row is there
    with supervised([tiny.worker_process(1, warehouse=second.settings.warehouse)]):
        until(lambda: tiny.ledger.step(run_id, f"{day}/a").config_mismatches > 2)
    assert set(tiny.states(run_id).values()) == {"pending"}
    assert tiny.scripts(day) == []

    # When one comes that spells the run's warehouse another way, then it does it
    with supervised([tiny.worker_process(2, warehouse=f"local:{tiny.place / 'link'}")]):
        assert str(tiny.ended(run_id).state) == "complete"
