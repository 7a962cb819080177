"""The estimate of a repair: what steps took in earlier runs, and the workers and budgets of now."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from planner.plan.estimate import Estimate, History, estimate
from planner.plan.states import StepState
from planner.report.report import StepRow
from worker.ledger.budget import spent
from worker.ledger.slots import slots_now

if TYPE_CHECKING:
    from planner.plan.chunks import Chunk
    from worker.context import Context
    from worker.ledger.ledger import Ledger

log = logging.getLogger(__name__)

RUNS_MAX = 10  # the latest: older ones are less like the next


class _PastRun(BaseModel):
    """The part of a report that an estimate reads."""

    run_id: str
    pipeline: str
    warehouse: str
    ended: float
    steps: tuple[StepRow, ...]


def estimated(context: Context, chunks: Iterable[Chunk], ledger: Ledger | None) -> Estimate | None:
    """Estimate a repair from earlier runs on this warehouse, else from the pipeline file.

    Without a ledger the workers and the budgets of today are unknown.
    """
    pipeline = context.pipeline
    limited = {spec.name for phase in pipeline.phases for spec in phase.tables if spec.daily_writes}
    return estimate(
        pipeline,
        chunks,
        history(context, ledger),
        slots=slots_now(ledger.client) if ledger else None,
        spent=spent(ledger.client, context.warehouse.name, sorted(limited)) if ledger else {},
    )


def history(context: Context, ledger: Ledger | None) -> History:
    """The steps that succeeded in the latest runs, by the reports here and in the ledger.

    Only those at their first attempt: `worked` adds up all attempts, and an estimate assumes no
    failures.
    """
    runs = list(islice(_past_runs(context, ledger), RUNS_MAX))
    samples: dict[str, list[tuple[int, float]]] = {}
    for run in runs:
        for row in run.steps:
            is_smooth = row.state == StepState.SUCCEEDED and row.attempt == 1
            if is_smooth and row.worked and row.dates:
                samples.setdefault(row.phase, []).append((len(row.dates), row.worked))
    return History(runs=len(runs), samples=samples)


def _past_runs(context: Context, ledger: Ledger | None) -> Iterator[_PastRun]:
    """Ended runs of this pipeline on this warehouse, latest first."""
    texts = {
        record.id: record.ended
        for record in (ledger.runs() if ledger else [])
        if record.is_ended and record.ended is not None
    }
    files = {
        path.parent.name: path for path in context.settings.folder("reports").glob("*/report.json")
    }
    times = {name: path.stat().st_mtime for name, path in files.items()} | texts
    for run_id in sorted(times, key=lambda each: times[each], reverse=True):
        try:
            text = files[run_id].read_text(encoding="utf-8") if run_id in files else None
            if text is None and ledger is not None:
                text = ledger.report(run_id)
            run = _PastRun.model_validate_json(text or "")
        except (OSError, ValidationError) as error:
            log.info("the report of %s cannot be read: %s", run_id, type(error).__name__)
            continue
        if (run.pipeline, run.warehouse) == (context.pipeline.name, context.warehouse.name):
            yield run
