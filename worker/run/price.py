"""What a plan will be billed: its statements by dry run, its scripts by what earlier runs' jobs
were, and what keeping rows asks.

A dry run is free. Statements are asked about once for each number of dates that one run of them
takes, not once per step: dates of a table are alike, and a plan of years has thousands of steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date

from planner.gaps.gaps import RECOMPUTE
from planner.pipeline.phase import Phase
from planner.pipeline.runners import RunnerSpec
from planner.pipeline.statements import read_statement
from planner.plan.cost import cost_of
from planner.plan.plan import Plan, Step
from sql import WarehouseError
from sql.billing import MINIMUM_BYTES_BILLED
from sql.keeping import rows_query, whole
from sql.labels import Maker
from sql.warehouse import Parameters, Warehouse
from worker.context import Context
from worker.finalization.labelled import billed_before, runner_of
from worker.ledger.orders import Orders
from worker.run.keep import with_keeping

QUERIES_TO_KEEP = 2
"""Of each table that a step writes: a count before it, and its records after."""


def with_price(context: Context, plan: Plan) -> Plan:
    """The plan with what its steps will be billed, where the warehouse bills at all.

    What a dry run refuses, and what no earlier job of a script or service tells, is unknown, and
    said to be.
    """
    if plan.cost is None or plan.is_empty:
        return plan
    warehouse = context.warehouse.labelled(plan_id=plan.plan_id, phase="planning")
    dollars = context.settings.dollars_per_tib
    billed = 0
    unknown: dict[str, str] = {}
    others: dict[Maker, int] = {}
    for name in dict.fromkeys(step.phase for _, step in plan.steps()):
        steps = [step for _, step in plan.steps() if step.phase == name]
        phase = context.pipeline.by_name[name]
        number, spec = runner_of(context, plan, name)
        if not spec.statement_names:
            others[name, number] = len({day for step in steps for day in step.dates})
            continue
        try:
            billed += _billed(context, warehouse, phase, spec, steps, plan.values)
        except (WarehouseError, OSError, ValueError) as error:
            unknown[name] = f"a dry run of its statements is refused: {error}"
    keeping = None
    if with_keeping(Orders(), context.settings).keep:
        keeping = cost_of(_kept(context, warehouse, plan), dollars)
    earlier = billed_before(context, warehouse, others)
    parts = {
        "counting": cost_of(plan.cost.counting.bytes + warehouse.billed, dollars),
        "recounts": cost_of(plan.cost.recounts.bytes + earlier.asking, dollars),
        "statements": cost_of(billed, dollars),
        "scripts": cost_of(earlier.bytes, dollars) if earlier.is_known else None,
        "keeping": keeping,
        "unknown": unknown | earlier.unknown,
    }
    cost = plan.cost.model_copy(update=parts)
    return plan.model_copy(update={"cost": cost}).sealed()


def _billed(
    context: Context,
    warehouse: Warehouse,
    phase: Phase,
    spec: RunnerSpec,
    steps: list[Step],
    values: Mapping[str, str],
) -> int:
    """What a phase's statements are billed over all its steps; `values` are what the run sets."""
    ranges = [each for step in steps for each in ranges_of(step, phase, spec)]
    first = {len(days): days for days in reversed(ranges)}
    total = 0
    for size, count in Counter(map(len, ranges)).items():
        days = first[size]
        bounds: Parameters = {"start_date": days[0], "end_date": days[-1], **spec.chosen(values)}
        for name in spec.statement_names:
            text = read_statement(name, context.pipeline_dir)
            total += count * (warehouse.bytes_to_run(text, bounds) or 0)
    return total


def ranges_of(step: Step, phase: Phase, spec: RunnerSpec) -> Iterator[tuple[date, ...]]:
    """The dates of a step that are run together."""
    size = 1 if spec.takes_one_date else phase.dates_at_once or len(step.dates)
    for start in range(0, len(step.dates), size):
        yield step.dates[start : start + size]


def _kept(context: Context, warehouse: Warehouse, plan: Plan) -> int:
    """What is asked to keep rows, and to compare those that were complete with what follows."""
    queries = 0
    anew: dict[str, set[date]] = {}
    for _, step in plan.steps():
        queries += QUERIES_TO_KEEP * len(context.pipeline.by_name[step.phase].tables)
        days = {task.date for task in step.tasks if task.reason in RECOMPUTE}
        if days:
            anew.setdefault(step.phase, set()).update(days)
    billed = queries * MINIMUM_BYTES_BILLED
    for name, days in anew.items():
        for spec in context.pipeline.by_name[name].tables:
            table = warehouse.dated(whole(spec.table))
            billed += 2 * (warehouse.bytes_to_run(*rows_query(table, days)) or 0)
    return billed
