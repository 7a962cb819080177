"""A shop that is broken: steps are visited by hand, on a real Redis and a real warehouse."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from planner.gaps.survey import survey
from planner.pipeline.load import load_pipeline
from planner.pipeline.windows import DAY, Window
from planner.plan.plan import Plan
from planner.plan.states import RunState, StepState
from planner.sandbox.compare import differences
from planner.settings import Settings
from sql import load, open_warehouse
from sql.local import LocalWarehouse
from sql.warehouse import Parameters
from worker.context import Context
from worker.run.plan import Wanted, plan_gaps
from worker.step import visit
from worker.step.errors import Requeue, StepFailed

PIPELINE = load_pipeline("sales")
SCOPE = Window(start=date(2025, 3, 3), end=date(2025, 4, 11))
TABLES = [spec.table for phase in PIPELINE.phases for spec in phase.tables]
LAST = SCOPE.end
"""Its report alone is made from its sessions: a plan that makes them anew has two steps. One for an
earlier day has eight, as reports look back."""
EVE = LAST - DAY
RUN = "run-of-this-test"
TOUCH = """
MERGE shop_raw.orders USING (SELECT * FROM shop_raw.orders WHERE order_date = @day) ON FALSE
WHEN NOT MATCHED BY SOURCE AND order_date = @day THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
"""
DELETE = "DELETE FROM {table} WHERE {column} = @day"


class Shop:
    """A broken warehouse, a ledger, and nobody who works but the test."""

    def __init__(self, folder: Path, whole: Path, redis_url: str) -> None:
        self.whole = whole
        settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            warehouse=f"local:{folder / 'warehouse'}",
            pipeline="sales",
            broker_url=redis_url,
            home=folder / "home",
            poll_max_seconds=0.05,
        )
        self.context = Context(settings, patient=False)
        self.context.warehouse.identify()  # as when a run is sent
        self.ledger = self.context.ledger

    def lose(self, table: str, column: str, *days: date) -> None:
        for day in days:
            self.context.warehouse.run(DELETE.format(table=table, column=column), {"day": day})

    def lose_sessions(self, *days: date) -> None:
        self.lose("shop_analytics.sessions", "order_date", *days)

    def plan(self, *, chunk_dates: int = 1, with_estimate: bool = False) -> Plan:
        health = survey(self.context.warehouse, PIPELINE, SCOPE)
        wanted = Wanted(scope=SCOPE, phases=["sessionise", "aggregate"], chunk_dates=chunk_dates)
        return plan_gaps(
            self.context, health, wanted, ledger=self.ledger, with_estimate=with_estimate
        )

    def register(self, plan: Plan, run_id: str = RUN) -> list[str]:
        self.ledger.register(run_id, plan)
        self.ledger.move(run_id, RunState.RUNNING, [RunState.INCOMPLETE])
        return [step_id for step_id, _ in plan.steps()]

    def fresh(self) -> Context:
        """As a process that has read nothing yet."""
        return Context(self.context.settings, patient=False)

    def plan_of(self, run_id: str) -> Plan:
        """The plan of a run, as the ledger holds it."""
        plan = self.ledger.plan(run_id)
        assert plan is not None
        return plan

    def visit(self, step_id: str) -> str:
        return visit.visit(self.context, RUN, step_id, worker="me")

    def states(self) -> dict[str, StepState]:
        return self.ledger.steps(RUN)

    def differences(self) -> list[object]:
        return [*differences(open_warehouse(f"local:{self.whole}"), self.context.warehouse, TABLES)]


def day(number: int) -> date:
    """A day on which all stores are open."""
    return date(2025, 3, number)


def lose_what_is_written(monkeypatch: pytest.MonkeyPatch, day: date) -> None:
    """From now on the sessions of a day are gone as soon as they are written."""
    write = LocalWarehouse.run
    lose = DELETE.format(table="shop_analytics.sessions", column="order_date")

    def run(self: LocalWarehouse, statement: str, parameters: Parameters) -> int:
        rows = write(self, statement, parameters)
        write(self, lose, {"day": day})
        return rows

    monkeypatch.setattr(LocalWarehouse, "run", run)


def drain(shop: Shop, ids: list[str], run_id: str = RUN) -> None:
    """Visit steps until all have settled."""
    for _ in range(50):
        for step in ids:
            try:
                visit.visit(shop.context, run_id, step, worker="me")
            except (Requeue, StepFailed):
                continue
        if StepState.PENDING not in shop.ledger.steps(run_id).values():
            return
    raise AssertionError("steps do not settle")


def build_shop(folder: Path) -> None:
    """The warehouse with everything in it, built in one piece."""
    warehouse = open_warehouse(f"local:{folder}")
    span = {"start_date": SCOPE.start, "end_date": SCOPE.end}
    for table in TABLES:
        warehouse.run(load(f"sales/create/{table.name.partition('.')[2]}"), {})
    orders = Path(__file__).with_name("sales_orders.sql").read_text(encoding="utf-8")
    warehouse.run(orders, span)
    warehouse.run(load("sales/sessions"), span)
    warehouse.run(load("sales/store_daily"), span)
    warehouse.close()
