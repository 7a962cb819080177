"""Whether a run keeps what it writes over: decided, and made sure of, before it is sent."""

from __future__ import annotations

from dataclasses import replace

from planner.plan.plan import Plan
from planner.settings import Settings
from sql.keeping import whole
from worker.context import Context
from worker.ledger.orders import Orders


def with_keeping(orders: Orders, settings: Settings) -> Orders:
    """Orders to keep what is written over, where the settings say so; else as they are.

    The local warehouse keeps unless told not to, since that costs nothing. BigQuery's copies cost
    storage and need a dataset, so there naming one is what turns it on.
    """
    if not settings.keep or not (settings.is_local or settings.keep_dataset):
        return orders
    return replace(
        orders,
        keep=True,
        keep_dataset=settings.keep_dataset or "",
        keep_days=settings.keep_days,
    )


def prepare(context: Context, plan: Plan, orders: Orders) -> None:
    """Make sure that what a plan writes over can be kept, before anything is sent.

    Raises `WarehouseError` where it cannot.
    """
    if not orders.keep:
        return
    names = dict.fromkeys(step.phase for _, step in plan.steps())
    specs = [spec for name in names for spec in context.pipeline.by_name[name].tables]
    warehouse = context.warehouse.labelled(plan_id=plan.plan_id, phase="keeping")
    keeper = warehouse.keeper(dataset=orders.keep_dataset, days=orders.keep_days)
    keeper.prepare([warehouse.dated(whole(spec.table)) for spec in specs])
