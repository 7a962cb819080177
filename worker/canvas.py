"""A plan as a Celery canvas: a chain per chunk, joined by a chord whose callback finalizes.

Messages carry ids alone: remaining links are copied into each message of a chain. The same
task is the chord's body and its errback, so the run is finalized however its steps end.
"""

from __future__ import annotations

from celery import chain, chord
from celery.canvas import Signature

from planner.pipeline import Pipeline
from planner.plan import Plan, step_id
from worker.app import FINAL_QUEUE
from worker.tasks import finalize, step


def canvas(run_id: str, plan: Plan, pipeline: Pipeline) -> Signature:
    """The chord of a plan that has at least one chunk."""
    header = [
        chain(
            *(step_message(run_id, step_id(chunk.id, each.phase), pipeline) for each in chunk.steps)
        )
        for chunk in plan.chunks
    ]
    return chord(header, final_message(run_id).on_error(final_message(run_id)))


def step_message(run_id: str, which: str, pipeline: Pipeline) -> Signature:
    """A step's message, on its phase's queue; Flower shows it by its id."""
    phase = pipeline.by_name[which.rpartition("/")[2]]
    return step.si(run_id, which).set(queue=phase.queue_name, shadow=which)


def final_message(run_id: str) -> Signature:
    """The message that finalizes a run."""
    return finalize.si(run_id).set(queue=FINAL_QUEUE, shadow=f"finalize {run_id}")
