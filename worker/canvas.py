"""A plan as a Celery canvas: a chain per chunk, joined by a chord whose callback finalizes.

Messages carry ids alone: remaining links are copied into each message of a chain. The same
task is the chord's body and its errback, so the run is finalized however its steps end.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping

import redis
from celery import chain, chord
from celery.canvas import Signature

from planner.pipeline.pipeline import Pipeline
from planner.plan.plan import Plan, PlannedChunk, phase_of, step_id
from planner.plan.states import STEP_ENDED, StepState
from worker.app import FINAL_QUEUE, app
from worker.messages.lanes import list_of
from worker.messages.stencil import Stencil, push
from worker.messages.transport import withholding

Shape = tuple[str, ...]
"""The phases of a chain, in order."""


def send(
    client: redis.Redis,
    run_id: str,
    plan: Plan,
    pipeline: Pipeline,
    steps: Collection[str],
    *,
    lane: int = 0,
) -> None:
    """Send some steps of a plan, at least one, as one chord, to the run's lane."""
    chains: dict[str, Shape] = {}
    for chunk in plan.chunks:
        phases = [each.phase for each in chunk.steps if step_id(chunk.id, each.phase) in steps]
        if phases:
            chains[chunk.id] = tuple(phases)
    stencils = _stencils(run_id, list(dict.fromkeys(chains.values())), pipeline, lane)
    (group,) = {stencil.group for stencil in stencils.values()}
    app.backend.set_chord_size(group, len(chains))
    push(
        client,
        (
            (list_of(stencils[phases].queue, lane), stencils[phases].copy(chunk_id, n))
            for n, (chunk_id, phases) in enumerate(chains.items())
        ),
    )


def _stencils(
    run_id: str, shapes: Collection[Shape], pipeline: Pipeline, lane: int
) -> dict[Shape, Stencil]:
    """A chain of each shape, as Celery makes it within one chord."""
    name = uuid.uuid4().hex
    header = [
        rest(run_id, [step_id(name, phase) for phase in phases], pipeline, lane=lane)
        for phases in shapes
    ]
    final = final_message(run_id, lane=lane)
    with withholding() as made:
        # One more: Celery may send a chord of one chain as a chain.
        chord([*header, header[0]], final.on_error(final_message(run_id, lane=lane))).apply_async()
    return {
        phases: Stencil(name, queue, message)
        for phases, (queue, message) in zip(shapes, made, strict=False)
    }


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
