"""The context of a process: its settings, pipeline, ledger, warehouse and plans.

Made once per process and never across a fork: connections are opened on first use.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from planner.settings import Settings, load_settings
from sql import Warehouse, open_warehouse
from worker.ledger.connection import connect
from worker.ledger.ledger import Ledger

if TYPE_CHECKING:
    from planner.pipeline.pipeline import Pipeline
    from planner.plan.plan import Plan, PlannedChunk


class Context:
    """The opened parts of one process, each opened when it is first needed."""

    def __init__(self, settings: Settings, *, patient: bool = True) -> None:
        self.settings = settings
        self.is_patient = patient
        """Whether calls to Redis are retried for days, as workers do; a planner gives up soon."""
        self._plan = lru_cache(maxsize=4)(self._read_plan)

    @cached_property
    def pipeline(self) -> Pipeline:
        """This machine's pipeline file: commands to run never come from a message."""
        from planner.pipeline.load import load_pipeline
        from worker.processes.secrets import learn_named

        pipeline = load_pipeline(self.settings.pipeline)
        for phase in pipeline.phases:
            for runner in phase.runners:
                learn_named(secret.env for secret in runner.secrets if secret.env)
        return pipeline

    @cached_property
    def pipeline_dir(self) -> Path:
        """The folder of the pipeline file."""
        from planner.pipeline.load import pipeline_path

        return pipeline_path(self.settings.pipeline).absolute().parent

    @cached_property
    def redis(self) -> redis.Redis:
        """The client of the ledger, the leases and the budgets."""
        return connect(self.settings, patient=self.is_patient)

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger."""
        return Ledger(self.redis)

    @cached_property
    def warehouse(self) -> Warehouse:
        """The warehouse of the settings."""
        settings = self.settings
        return open_warehouse(
            settings.warehouse, location=settings.location, max_bytes=settings.max_bytes
        )

    def plan(self, run_id: str) -> Plan | None:
        """The plan of a run, read once; None when Redis does not hold it (any more)."""
        return self._plan(run_id)

    def chunk(self, run_id: str, chunk_id: str) -> PlannedChunk | None:
        """One chunk of a run's plan."""
        return self.ledger.chunk(run_id, chunk_id) or self.chunk_of_plan(run_id, chunk_id)

    def chunk_of_plan(self, run_id: str, chunk_id: str) -> PlannedChunk | None:
        """A chunk that is not by itself: of a run that was registered before 0.2."""
        plan = self.plan(run_id)
        return next((each for each in (plan.chunks if plan else ()) if each.id == chunk_id), None)

    def _read_plan(self, run_id: str) -> Plan | None:
        return self.ledger.plan(run_id)


_here: tuple[int, Context] | None = None


def context_here() -> Context:
    """This process' context, made anew after a fork."""
    import os

    global _here
    if _here is None or _here[0] != os.getpid():
        _here = (os.getpid(), Context(load_settings()))
    return _here[1]
