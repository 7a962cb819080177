"""Whether a worker may work for a run: its pipeline file and its warehouse are the run's."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from planner.plan.made import Made
from planner.plan.owed import Owed
from planner.plan.plan import Plan
from sql import WarehouseError
from worker.context import Context
from worker.ledger.record import RunRecord

CONFIG_MISMATCHES_MAX = 60  # in a row, about ten minutes: a rolling deployment is over by then


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """What a worker has that is not the run's."""

    waits_for: str
    """What a step or a finalization waits for instead."""
    reason: str
    """Why it ends without, when none came for long."""
    setting: str
    """What tells a worker's from the run's."""


PIPELINE = Mismatch(
    waits_for="a worker with the plan's pipeline file",
    reason="every worker's pipeline file differs from the plan's: start workers and planner "
    "with the same BACKFILL_PIPELINE",
    setting="BACKFILL_PIPELINE",
)
WAREHOUSE = Mismatch(
    waits_for="a worker with the run's warehouse",
    reason="every worker's warehouse differs from the run's: start workers and planner with the "
    "same BACKFILL_WAREHOUSE",
    setting="BACKFILL_WAREHOUSE",
)
KEEPING = Mismatch(
    waits_for="a worker with the run's BACKFILL_KEEP_DATASET",
    reason="every worker's BACKFILL_KEEP_DATASET differs from the run's: start workers and planner "
    "with the same, or run it with --no-keep",
    setting="BACKFILL_KEEP_DATASET",
)


def mismatch(context: Context, run: RunRecord, plan: Plan | None = None) -> Mismatch | None:
    """What is not as the run was planned with; None when all is.

    Names are compared too, and in its plan where the caller has read that: leases are named after
    the pipeline, and under another name a date could be leased twice. A warehouse that cannot be
    opened is none to tell apart: the attempt, or the count, says why.
    """
    names = {run.pipeline, plan.pipeline if plan else run.pipeline}
    if names != {context.pipeline.name} or run.pipeline_checksum != context.pipeline.checksum:
        return PIPELINE
    with suppress(WarehouseError):
        if not is_here(context, run):
            return WAREHOUSE
    return None if keeps_here(context, run) else KEEPING


def keeps_here(context: Context, run: RunRecord) -> bool:
    """Whether a run keeps rows where this context does: who writes to Redis must not choose where
    they are copied to, or from. The local warehouse keeps them where they are."""
    is_kept_there = run.keep and not context.settings.is_local
    return not is_kept_there or run.keep_dataset == (context.settings.keep_dataset or "")


def is_here(context: Context, made: RunRecord | Plan | Owed | Made) -> bool:
    """Whether a run, a plan or a note of what is owed is of this context's warehouse.

    A folder is the same however it is spelt. What was made before 0.2 knows the name alone.
    """
    here = context.warehouse.identity
    if made.warehouse_id and made.warehouse_id == here:
        return True
    # Where a folder cannot hold an id, or is not there, its path stands for it.
    has_no_id = not made.warehouse_id or _is_path(made.warehouse_id) or _is_path(here)
    return has_no_id and made.warehouse == context.warehouse.name


def _is_path(identity: str) -> bool:
    return identity.startswith("local:/")
