"""A pipeline of another domain, all SQL: nothing in the fleet is about basketball."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from planner.gaps.gaps import Assessment, GapReason
from planner.gaps.survey import survey
from planner.pipeline.load import SHIPPED, load_pipeline
from planner.pipeline.phase import Phase
from planner.pipeline.runners import SqlRunner
from planner.pipeline.windows import Window
from planner.plan.choose import choose
from planner.plan.chunks import chunk
from planner.plan.plan import Plan, make_plan
from planner.sandbox.compare import Difference, differences
from sql import Warehouse, load, open_warehouse
from tests.commands import here
from worker.runners.job import Failed, Job, Ran
from worker.runners.sql import Sql

PIPELINE = load_pipeline("sales")
TABLES = [spec.table for phase in PIPELINE.phases for spec in phase.tables]

SCOPE = Window(start=date(2025, 6, 2), end=date(2025, 7, 11))
"""40 days from a Monday on, with a till test and the summer sale."""
TILL_TEST = date(2025, 6, 29)
SUNDAYS = [day for day in SCOPE.days() if day.isoweekday() == 7]


def day(text: str) -> date:
    return date.fromisoformat(f"2025-{text}")


def days(first: str, last: str) -> list[date]:
    return list(Window(start=day(first), end=day(last)).days())


def in_step(phase: Phase, dates: tuple[date, ...], warehouse: Warehouse, log: Path) -> object:
    """Run a phase over some dates as a worker does."""
    (spec,) = phase.runners
    assert isinstance(spec, SqlRunner)
    return Sql(spec).run(
        Job(
            run_id="run-1",
            step_id="step-1",
            phase=phase,
            dates=dates,
            attempt=1,
            checkpoint={},
            log=log,
            pipeline_dir=SHIPPED,
            warehouse=warehouse,
            grace_seconds=1,
            stop=lambda: None,
        )
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse filled in one piece. Not to be written to."""
    folder = tmp_path_factory.mktemp("sales") / "whole"
    warehouse = open_warehouse(f"local:{folder}")
    for table in TABLES:
        warehouse.run(load(f"sales/create/{table.name.partition('.')[2]}"), {})
    orders = Path(__file__).with_name("sales_orders.sql").read_text(encoding="utf-8")
    warehouse.run(orders, {"start_date": SCOPE.start, "end_date": SCOPE.end})
    for phase in PIPELINE.phases:
        if not phase.is_source:
            ran = in_step(phase, tuple(SCOPE.days()), warehouse, folder.parent / "log")
            assert isinstance(ran, Ran)
    warehouse.close()
    return folder


class Shop:
    """A copy of the whole warehouse, to break and repair."""

    def __init__(self, folder: Path, whole: Path) -> None:
        self.folder = folder
        self.whole = open_warehouse(f"local:{whole}")
        self.here = open_warehouse(f"local:{folder}")

    def lose(self, table: str, dates: list[date], *, store: int | None = None) -> None:
        """Delete rows of some dates, of one store when it is given."""
        column = next(each.date for each in TABLES if each.name == table)
        of_store = "" if store is None else " AND store_id = @store"
        for each in dates:
            self.here.run(
                f"DELETE FROM {table} WHERE {column} = @day{of_store}",
                {"day": each, **({} if store is None else {"store": store})},
            )

    def health(self, scope: Window = SCOPE) -> Assessment:
        return survey(self.here, PIPELINE, scope)

    def plan(self, scope: Window = SCOPE) -> Plan:
        health = self.health(scope)
        repair = choose(
            PIPELINE, health, scope=scope, phases=["sessionise", "aggregate"], owed=None
        )
        busy = {each for phase in PIPELINE.phases for each in health.complete[phase.name]}
        return make_plan(
            PIPELINE,
            health,
            repair,
            chunk(PIPELINE, repair.todo, busy, size=PIPELINE.chunk_dates),
            warehouse=self.here.name,
            scope=scope,
        )

    def run(self, plan: Plan) -> None:
        """Run a plan's steps, phase after phase."""
        for phase in PIPELINE.phases:
            for _, step in plan.steps():
                if step.phase == phase.name:
                    ran = in_step(phase, step.dates, self.here, self.folder.parent / "log")
                    assert isinstance(ran, Ran)

    def differences(self) -> list[Difference]:
        return differences(self.whole, self.here, TABLES)

    def planner(self, *arguments: str) -> tuple[int, Any]:
        """Run a command, and read the JSON that it prints."""
        environment = {
            **os.environ,
            "BACKFILL_PIPELINE": "sales",
            "BACKFILL_WAREHOUSE": self.here.name,
            "BACKFILL_HOME": str(self.folder.parent / "home"),
        }
        done = here(*arguments, environment=environment, cwd=self.folder.parent)
        return done.code, done.json


@pytest.fixture
def shop(whole: Path, tmp_path: Path) -> Iterator[Shop]:
    shutil.copytree(whole, tmp_path / "warehouse")
    made = Shop(tmp_path / "warehouse", whole)
    yield made
    made.whole.close()
    made.here.close()


def test_a_visit_ends_after_half_an_hour_without_an_order(shop: Shop) -> None:
    visits = shop.here.rows(
        "SELECT MAX(session_number) AS most, SUM(orders) AS orders, COUNT(*) AS sessions "
        "FROM shop_analytics.sessions WHERE order_date = @day",
        {"day": day("06-04")},
    )[0]
    orders = shop.here.rows(
        "SELECT visitor_id, store_id, UNIX_SECONDS(ordered_at) AS second FROM shop_raw.orders "
        "WHERE order_date = @day ORDER BY store_id, visitor_id, second",
        {"day": day("06-04")},
    )

    # The same, counted by hand
    expected, last = 0, None
    for row in orders:
        visitor = (row["store_id"], row["visitor_id"])
        if last is None or last[0] != visitor or row["second"] - last[1] >= 1800:
            expected += 1
        last = (visitor, row["second"])
    assert visits["orders"] == len(orders)
    assert visits["sessions"] == expected
    assert len({(row["store_id"], row["visitor_id"]) for row in orders}) < expected < len(orders)


def test_a_week_is_the_day_and_the_six_before_it(shop: Shop) -> None:
    (report,) = shop.here.rows(
        "SELECT * FROM shop_reports.store_daily WHERE report_date = @day AND store_id = 4",
        {"day": day("06-18")},
    )
    (week,) = shop.here.rows(
        "SELECT SUM(cents) AS cents, COUNT(DISTINCT order_date) AS days FROM shop_raw.orders "
        "WHERE store_id = 4 AND order_date BETWEEN @first AND @last",
        {"first": day("06-12"), "last": day("06-18")},
    )

    # Seven days, of which the store is closed on Sunday and Monday
    assert (report["cents_in_week"], report["days_open_in_week"]) == (week["cents"], 5)


def test_what_is_filled_in_one_piece_has_no_gaps(shop: Shop) -> None:
    health = shop.health()

    assert not any(health.gaps.values())
    assert {left.date for left in health.empty["aggregate"].values() if left.date in SCOPE} == {
        *SUNDAYS
    }
    assert health.empty["load"][TILL_TEST].reason == "excluded"


@pytest.mark.slow
def test_a_repair_is_a_rebuild_row_for_row(shop: Shop) -> None:
    # Given days that stopped at the load, days of which a store or a report is lost
    shop.lose("shop_analytics.sessions", days("06-10", "06-12"))
    shop.lose("shop_analytics.sessions", [day("06-20")], store=2)
    shop.lose("shop_reports.store_daily", [day("06-05"), day("07-01")])
    shop.lose("shop_reports.store_daily", [day("07-04")], store=4)
    # and reports that were made over the hole: complete by count, and wrong
    spoilt = (day("06-13"), day("06-14"))
    assert isinstance(in_step(PIPELINE.phases[2], spoilt, shop.here, shop.folder / "log"), Ran)
    assert len(shop.differences()) == 2

    # When the plan is run
    plan = shop.plan()
    shop.run(plan)

    # Then not a row differs from those made in one piece
    assert plan.skipped == ()
    assert shop.differences() == []
    assert not any(shop.health().gaps.values())
    # and no more than the week after each repaired day was made again
    redone = {
        task.date
        for _, step in plan.steps()
        for task in step.tasks
        if task.reason is GapReason.CASCADE
    }
    open_days = set(SCOPE.days()) - set(SUNDAYS)
    assert redone == {
        each
        for each in open_days
        if any(
            first <= each <= last + timedelta(days=6)
            for first, last in ((day("06-10"), day("06-12")), (day("06-20"), day("06-20")))
        )
    }


def test_a_week_is_not_reported_over_a_day_that_stays_lost(shop: Shop) -> None:
    # Given a lost day before the scope, and a lost report of the week after it
    shop.lose("shop_analytics.sessions", [day("06-10")])
    shop.lose("shop_reports.store_daily", [day("06-13"), day("06-18")])

    plan = shop.plan(Window(start=day("06-12"), end=SCOPE.end))
    shop.run(plan)

    assert [(left.date, left.reason) for left in plan.skipped] == [
        (day("06-13"), "upstream_missing")
    ]
    assert [each.dates for each in shop.differences()] == [(day("06-10"),), (day("06-13"),)]


def test_a_statement_that_is_refused_fails_for_good(shop: Shop) -> None:
    shutil.rmtree(shop.folder / "shop_analytics" / "sessions")

    failed = in_step(PIPELINE.phases[1], (SCOPE.start,), shop.here, shop.folder / "log")

    assert isinstance(failed, Failed)
    assert failed.is_permanent
    assert "shop_analytics.sessions" in failed.error


def test_gaps_are_printed_in_the_documented_shape(shop: Shop) -> None:
    shop.lose("shop_analytics.sessions", [day("06-10")])
    shop.lose("shop_reports.store_daily", [day("07-04")], store=4)

    code, found = shop.planner(
        "gaps", "--start", str(SCOPE.start), "--end", str(SCOPE.end), "--json"
    )

    assert code == 1
    assert list(found) == [
        "pipeline",
        "scope",
        "phases",
        "gaps",
        "empty",
        "accepted",
        "beyond",
        "notices",
        "cost",
        "changed",
        "unknown",
    ]
    assert found["pipeline"] == "sales"
    assert found["scope"] == {"start": "2025-06-02", "end": "2025-07-11"}
    open_days = 40 - len(SUNDAYS)
    assert not any(phase.pop("accepted") for phase in found["phases"])
    assert found["phases"] == [
        {"phase": "load", "expected": open_days, "complete": open_days, "gaps": 0},
        {"phase": "sessionise", "expected": open_days, "complete": open_days - 1, "gaps": 1},
        # One store of one day, and the week that holds the lost day less its Sunday
        {"phase": "aggregate", "expected": open_days, "complete": open_days - 1, "gaps": 7},
    ]
    (visitors,) = shop.here.rows(
        "SELECT COUNT(DISTINCT store_id) AS n FROM shop_raw.orders WHERE order_date = @day",
        {"day": day("06-10")},
    )
    findings = [gap.pop("findings") for gap in found["gaps"]]
    assert [finding["ids"] for finding in findings[-1]] == [["4"]]
    assert found["gaps"][0] == {
        "phase": "sessionise",
        "date": "2025-06-10",
        "reason": "missing",
        "expected": visitors["n"],
        "found": 0,
        "tables": ["shop_analytics.sessions"],
    }
    assert found["gaps"][-1] == {
        "phase": "aggregate",
        "date": "2025-07-04",
        "reason": "partial",
        "expected": 4,
        "found": 3,
        "tables": ["shop_reports.store_daily"],
    }
    assert [each["date"] for each in found["gaps"][1:-1]] == [
        str(each) for each in days("06-10", "06-16") if each not in SUNDAYS
    ]
    assert {each["reason"] for each in found["gaps"][1:-1]} == {"cascade"}
    assert found["empty"] == [
        {
            "phase": phase.name,
            "date": str(each),
            "reason": "excluded" if each == TILL_TEST else "off_day",
        }
        for phase in PIPELINE.phases
        for each in SUNDAYS
    ]


def test_a_sound_warehouse_prints_no_gaps_and_ends_well(shop: Shop) -> None:
    code, found = shop.planner("gaps", "--season", "2025", "--json")

    assert (code, found["gaps"]) == (0, [])
