"""Finds the runner of a phase."""

from __future__ import annotations

from planner.pipeline import HttpBatchRunner, Phase, ScriptRunner
from worker.runners.http_batch import HttpBatch
from worker.runners.job import Runner
from worker.runners.script import Script
from worker.runners.sql import Sql


def runner_for(phase: Phase) -> Runner:
    """The runner that the pipeline file names for a phase."""
    spec = phase.runners[0]
    if isinstance(spec, ScriptRunner):
        return Script(spec)
    if isinstance(spec, HttpBatchRunner):
        return HttpBatch(spec)
    return Sql(spec)
