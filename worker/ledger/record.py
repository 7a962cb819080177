"""What the ledger knows of one run, and of one step: Redis' texts, as values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from planner.plan.states import RUN_ENDED, RunState, StepState


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """What the ledger knows of one step."""

    id: str
    state: StepState
    attempt: int = 0
    """How often it was begun."""
    failures: int = 0
    """Attempts that ended badly; the rest ended with their worker, or were handed back."""
    worker: str = ""
    started: float | None = None
    """Seconds since the epoch, by Redis's clock."""
    began: float | None = None
    """When the attempt that goes on began."""
    ended: float | None = None
    error: str = ""
    token: str = ""
    """Of the lease under which it was started."""
    parked: str = ""
    """The token it was parked under, while a service works for it."""
    waits: int = 0
    """How often it waited in a row, for its upstream phases or for others to make room."""
    config_mismatches: int = 0
    """How often in a row only workers with another pipeline file came by."""
    waiting: str = ""
    """What it waited for when it last came by, in words."""
    worked: float = 0.0
    """Seconds that it was at work: all attempts, and batches that a service worked on for it, but
    no pause between attempts."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What the ledger knows of one run."""

    id: str
    plan_id: str
    pipeline: str
    pipeline_checksum: str
    warehouse: str
    state: RunState
    reason: str
    created: float
    started: float | None
    ended: float | None
    resumed: float | None = None
    """When it was last tried again."""
    paused: float | None = None
    """When it was last paused."""
    paused_seconds: float = 0.0
    """How long it was paused, since it was last tried again; a pause that goes on is not in it."""
    validation: dict[str, Any] | None
    steps_total: int
    publication: dict[str, Any] | None = None
    """What was published when the run had ended; None without any."""
    force_service: bool = False
    """Whether a service may be told to end what it is doing for others."""
    endings: int = 0
    """How often it was finalized: once, and once more for every retry."""
    deadline: int | None = None
    """When it is to be cancelled, if it still goes on; seconds since the epoch."""
    stopped_by: str = ""
    """`deadline` when that is what cancelled it."""
    note: str = ""
    """What its end waits for, or why it ended without a count; empty as a rule."""

    @property
    def is_ended(self) -> bool:
        return self.state in RUN_ENDED


def _float(text: str | None) -> float | None:
    return float(text) if text else None


def run_record(run_id: str, found: Mapping[str, str]) -> RunRecord:
    """Read a run's hash."""
    validation, publication = found.get("validation"), found.get("publication")
    return RunRecord(
        id=run_id,
        plan_id=found.get("plan_id", ""),
        pipeline=found.get("pipeline", ""),
        pipeline_checksum=found.get("pipeline_checksum", ""),
        warehouse=found.get("warehouse", ""),
        state=RunState(found.get("state", RunState.INCOMPLETE)),
        reason=found.get("reason", ""),
        created=float(found.get("created", 0)),
        started=_float(found.get("started")),
        ended=_float(found.get("ended")),
        resumed=_float(found.get("resumed")),
        paused=_float(found.get("paused")),
        paused_seconds=float(found.get("paused_seconds", 0)),
        validation=json.loads(validation) if validation else None,
        steps_total=int(found.get("steps_total", 0)),
        publication=json.loads(publication) if publication else None,
        force_service=found.get("force_service") == "1",
        endings=int(found.get("endings", 0)),
        deadline=int(found["deadline"]) if "deadline" in found else None,
        stopped_by=found.get("stopped_by", ""),
        note=found.get("note", ""),
    )


def step_record(step_id: str, state: StepState, found: Mapping[str, str]) -> StepRecord:
    """Read a step's hash."""
    return StepRecord(
        id=step_id,
        state=state,
        attempt=int(found.get("attempt", 0)),
        failures=int(found.get("failures", 0)),
        worker=found.get("worker", ""),
        started=_float(found.get("started")),
        began=_float(found.get("began")),
        ended=_float(found.get("ended")),
        error=found.get("error", ""),
        token=found.get("token", ""),
        parked=found.get("parked", ""),
        waits=int(found.get("waits", 0)),
        config_mismatches=int(found.get("misfits", 0)),
        waiting=found.get("waiting", ""),
        worked=float(found.get("worked", 0)),
    )
