"""The names of the ledger's keys in Redis.

A run that was begun by an earlier version goes on under a later one, so names stay as they are.
"""

from __future__ import annotations

import re
from datetime import date

from planner.pipeline.model import RUN_ID

PREFIX = "backfill"
RUNS = f"{PREFIX}:runs"
RESTORES = f"{PREFIX}:restores"
BILLED = f"{PREFIX}:billed"
"""Pipeline → the bytes that were billed for all its runs, ever: a counter for `planner metrics`."""

_RUN_ID = re.compile(RUN_ID)


def is_run_id(run_id: object) -> bool:
    """Whether what a message or Redis calls a run can be one: it becomes a part of paths."""
    return isinstance(run_id, str) and _RUN_ID.fullmatch(run_id) is not None


def run_key(run_id: str, part: str = "") -> str:
    """The key of a run's hash, or of one of its parts."""
    return f"{PREFIX}:run:{run_id}:{part}" if part else f"{PREFIX}:run:{run_id}"


def step_key(run_id: str, step_id: str) -> str:
    """The key of a step's hash."""
    return run_key(run_id, f"step:{step_id}")


def restore_key(restore_id: str, part: str = "") -> str:
    """The key of a restore, or of one of its parts."""
    return f"{RESTORES}:{restore_id}:{part}" if part else f"{RESTORES}:{restore_id}"


def realm_of(pipeline: str, warehouse_id: str) -> str:
    """The namespace of phases and dates in Redis: one per pipeline and warehouse.

    Where the warehouse is not known, the pipeline alone, as for runs of earlier versions.
    """
    return f"{pipeline}@{warehouse_id}" if warehouse_id else pipeline


def held_key(realm: str) -> str:
    """The key of the hash that says which run holds a phase and date."""
    return f"{PREFIX}:held:{realm}"


def date_field(phase: str, day: date) -> str:
    """A phase and date, as a hash's field."""
    return f"{phase}|{day}"


def parse_date_field(text: str) -> tuple[str, date]:
    """The phase and date of a hash's field."""
    phase, _, day = text.partition("|")
    return phase, date.fromisoformat(day)
