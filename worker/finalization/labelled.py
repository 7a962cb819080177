"""What jobs that the fleet does not start itself are billed, by the labels that they carry.

Those are jobs of scripts, services and runners of packages. Before a run, its price is estimated by
earlier jobs, per date; after it, its own jobs tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from planner.pipeline.runners import RunnerSpec
from planner.plan.plan import Plan, phase_of
from sql import WarehouseError
from sql.billing import MINIMUM_BYTES_BILLED
from sql.errors import AccessDenied
from sql.labels import SINCE_DAYS, Maker, billed_per_date, billed_per_step, label_value
from sql.warehouse import Warehouse
from worker.context import Context
from worker.ledger.record import RunRecord
from worker.step.mismatch import mismatch


@dataclass(kw_only=True)
class Earlier:
    """What earlier jobs were billed, as far as it is known."""

    bytes: int = 0
    is_known: bool = False
    """Whether it is known of any phase."""
    unknown: dict[str, str] = field(default_factory=dict)
    """Phase → why it is not known."""
    places: int = 0
    """Locations whose records were asked, and are asked again at the run's end."""

    @property
    def asking(self) -> int:
        """Bytes that asking the records once more is billed, at least."""
        return self.places * MINIMUM_BYTES_BILLED


def runner_of(context: Context, plan: Plan, phase: str) -> tuple[int, RunnerSpec]:
    """The runner that fills a phase of a plan, and its number, from 1."""
    number = plan.runners[phase].number if phase in plan.runners else 1
    return number, context.pipeline.by_name[phase].runners[number - 1]


def billed_before(context: Context, warehouse: Warehouse, dates: Mapping[Maker, int]) -> Earlier:
    """What so many dates of each phase's runner are billed, by one query per location."""
    earlier = Earlier()
    numbers = dict(dates.keys())  # phase → number of its runner
    places = _places(context, warehouse, numbers, earlier.unknown)
    earlier.places = len(places)
    for place, phases in places.items():
        try:
            found = billed_per_date(warehouse, place, context.pipeline.name, phases)
        except WarehouseError as error:
            told = f"what earlier jobs of its runner were billed {_unread(error)}"
            earlier.unknown |= dict.fromkeys(phases, told)
            continue
        for phase in phases:
            maker = (phase, numbers[phase])
            if maker in found:
                earlier.bytes += round(found[maker] * dates[maker])
                earlier.is_known = True
            else:
                earlier.unknown[phase] = (
                    f"no job of the last {SINCE_DAYS} days carries the labels of its "
                    f"{_named(context, *maker)}"
                )
    return earlier


def note_labelled(context: Context, run: RunRecord, plan: Plan) -> None:
    """Note what the jobs were billed that carry the labels of an ended run's steps; and of which
    phases none tells that, and why. Nothing where the warehouse bills nothing."""
    run = context.ledger.require(run.id)
    if not run.billed:
        return
    begun: dict[str, list[str]] = {}
    for record in context.ledger.step_records(run.id):
        if record.started is not None:
            begun.setdefault(phase_of(record.id), []).append(record.id)
    other = mismatch(context, run, plan)
    if other is not None:
        context.ledger.note_labelled(run, {}, dict.fromkeys(begun, other.reason))
        return
    makers = {phase: runner_of(context, plan, phase) for phase in begun}
    others = [phase for phase, (_, spec) in makers.items() if not spec.statement_names]
    unknown: dict[str, str] = {}
    billed: dict[str, int] = {}
    warehouse = context.warehouse.labelled(plan_id=plan.plan_id, phase="final")
    for place, phases in _places(context, warehouse, others, unknown).items():
        try:
            found = billed_per_step(warehouse, place, run.id, run.created)
        except WarehouseError as error:
            told = f"what the jobs of its runner were billed {_unread(error)}"
            unknown |= dict.fromkeys(phases, told)
            continue
        for phase in phases:
            steps = {step: found.get(label_value(step)) for step in begun[phase]}
            told_of = {step: size for step, size in steps.items() if size is not None}
            billed |= told_of
            if not told_of:
                named = _named(context, phase, makers[phase][0])
                unknown[phase] = f"no job of the run carries the labels of its {named}"
    context.ledger.note_labelled(run, billed, unknown)
    context.ledger.add_billed(run, None, warehouse.billed)


def _places(
    context: Context, warehouse: Warehouse, phases: Iterable[str], unknown: dict[str, str]
) -> dict[str, list[str]]:
    """Location → phases whose jobs ran there; `unknown` gets the reason for the others."""
    places: dict[str, list[str]] = {}
    for phase in phases:
        table = context.pipeline.by_name[phase].tables[0].name
        try:
            place = warehouse.location(table)
        except WarehouseError as error:
            unknown[phase] = f"where its jobs ran is not told: {error}"
            continue
        if place is None:
            unknown[phase] = f"BigQuery does not tell the location of {table}"
        else:
            places.setdefault(place, []).append(phase)
    return places


def _unread(error: WarehouseError) -> str:
    told = f"cannot be read: {error}"
    if isinstance(error, AccessDenied):
        told = f"{told} roles/bigquery.resourceViewer may read it."
    return told


def _named(context: Context, phase: str, number: int) -> str:
    """A runner, and where it finds the labels."""
    spec = context.pipeline.by_name[phase].runners[number - 1]
    return f"{spec.kind} runner: {spec.labels_in}"
