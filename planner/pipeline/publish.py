"""Publishing: a script that writes no table, run for repaired dates when their run has ended.

It is no phase, because a phase is believed when a recount shows its rows, and here there is
nothing to count: no gap, no step, no gate could be true of it. So it is kept apart, runs once per
run for what that run has repaired and a recount has shown, and the plan, `planner status` and the
report say that it ran and that it was not verified. It changes no run's state.

A range of dates is never given: its exit code is 0 even when dates failed, and the script takes the
range's last date for the latest. So every date is a call of its own, oldest first, and the newest
date that the phase holds is the last call, repaired or not: then the script's latest is the latest.
"""

from __future__ import annotations

from datetime import date
from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from planner.data import Data
from planner.pipeline.model import Model, Name
from planner.pipeline.runners import ScriptRunner


class Publish(Model):
    """The `[publish]` table of the pipeline file."""

    after: Name
    """The phase whose repaired dates are published."""
    runner: ScriptRunner
    """A runner of kind `script`, without `resume`."""
    timeout_seconds: float = Field(default=3600, gt=0)
    """For one date."""

    @model_validator(mode="after")
    def _no_tables(self) -> Self:
        if self.runner.resume is not None:
            raise ValueError("publishing has no tables to resume by")
        return self


class Publication(Data):
    """What a run published; kept in Redis and in the report."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)

    phase: str
    verified: Literal[False] = False
    """Nothing can be recounted."""
    ran: tuple[date, ...]
    """Dates for which the script ended well."""
    failed: dict[date, str]
    """Date → what went wrong with it."""
    commands: tuple[str, ...] = Field(
        default=(), validation_alias="again", serialization_alias="again"
    )
    """What a person types to publish what failed: one command a date. Its JSON key is `again`."""
