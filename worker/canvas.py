"""A plan as a Celery canvas: a chain per chunk, joined by a chord whose callback finalizes.

Messages carry ids alone: remaining links are copied into each message of a chain. The same
task is the chord's body and its errback, so the run is finalized however its steps end.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from celery import chain, chord
from celery.canvas import Signature

from planner.pipeline.pipeline import Pipeline
from planner.plan.plan import Plan, PlannedChunk, phase_of, step_id
from planner.plan.states import STEP_ENDED, StepState
from worker.app import FINAL_QUEUE, app


def canvas(
    run_id: str, plan: Plan, pipeline: Pipeline, steps: Collection[str], *, lane: int = 0
) -> Signature:
    """The chord of some steps of a plan: at least one."""
    links = [
        [each for step in chunk.steps if (each := step_id(chunk.id, step.phase)) in steps]
        for chunk in plan.chunks
    ]
    header = [rest(run_id, chunk, pipeline, lane=lane) for chunk in links if chunk]
    final = final_message(run_id, lane=lane)
    return chord(header, final.on_error(final_message(run_id, lane=lane)))


def ids_of(chunk: PlannedChunk) -> list[str]:
    """The ids of a chunk's steps, in order."""
    return [step_id(chunk.id, step.phase) for step in chunk.steps]


def unsettled(chunk: PlannedChunk, states: Mapping[str, StepState]) -> list[str]:
    """The steps of a chunk that have not settled, in order."""
    return [each for each in ids_of(chunk) if states.get(each) not in STEP_ENDED]


def rest(run_id: str, steps: Collection[str], pipeline: Pipeline, *, lane: int = 0) -> Signature:
    """What is left of a chunk whose chain has ended, or was lost: at least one step, no chord.

    Nothing is called back at its end: the run's finalization waits until every step has settled.
    """
    return chain(*(step_message(run_id, each, pipeline, lane=lane) for each in steps))


def step_message(run_id: str, which: str, pipeline: Pipeline, *, lane: int = 0) -> Signature:
    """A step's message, on its phase's queue; Flower shows it by its id.

    A step whose phase the pipeline file no longer names goes to the final queue, which every worker
    serves, to be settled.
    """
    phase = pipeline.by_name.get(phase_of(which))
    return app.signature(
        "backfill.step",
        args=(run_id, which),
        immutable=True,
        queue=phase.queue_name if phase else FINAL_QUEUE,
        priority=lane,
        shadow=which,
    )


def final_message(run_id: str, *, lane: int = 0) -> Signature:
    """The message that finalizes a run."""
    return app.signature(
        "backfill.finalize",
        args=(run_id,),
        immutable=True,
        queue=FINAL_QUEUE,
        priority=lane,
        shadow=f"finalize {run_id}",
    )
