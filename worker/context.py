"""The context of a process: its settings, pipeline, ledger, warehouse and plans.

Made once per process and never across a fork: connections are opened on first use.
"""

from __future__ import annotations

import time
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from planner.settings import Settings, load_settings
from sql import Warehouse, open_warehouse
from worker.ledger.connection import connect
from worker.ledger.keys import realm_of
from worker.ledger.ledger import Ledger
from worker.ledger.slots import pipeline_version

if TYPE_CHECKING:
    from planner.pipeline.pipeline import Pipeline
    from planner.plan.plan import Plan, PlannedChunk
    from worker.ledger.record import RunRecord

REREAD_SECONDS = 1.0  # between two looks at the pipeline files for one that fits a run


class Context:
    """The opened parts of one process, each opened when it is first needed."""

    def __init__(
        self, settings: Settings, *, patient: bool = True, beside: Context | None = None
    ) -> None:
        self.settings = settings
        self._beside = beside
        """The context whose connections it shares; None for its own."""
        self.is_patient = patient
        """Whether calls to Redis are retried for days, as workers do; a planner gives up soon."""
        self._plan = lru_cache(maxsize=4)(self._read_plan)
        self._others: dict[tuple[str, str], Context] = {}
        self._reread_at = 0.0

    @cached_property
    def pipeline(self) -> Pipeline:
        """This machine's pipeline file: commands to run never come from a message."""
        from planner.pipeline.load import load_pipeline

        pipeline = load_pipeline(self.settings.pipeline)
        _learn_secrets(pipeline)
        if self.settings.pipelines is None:
            self._reread_at = time.monotonic() + REREAD_SECONDS
        return pipeline

    def serving(self, run: RunRecord) -> Context:
        """The context with the pipeline file that a run was planned with; this one without any.

        Where none that is known fits, the files are read anew, and one that has changed is taken up
        beside what it was: runs that were planned before go on.
        """
        wanted = (run.pipeline, run.pipeline_checksum)
        if wanted == pipeline_version(self.pipeline):
            return self
        root = self._beside or self
        if wanted not in root._others:
            root._read_files()
        return root._others.get(wanted, self)

    def naming(self, phase: str) -> Context:
        """The context of a file that names a phase, its own first; this one without any."""
        if phase in self.pipeline.by_name or self.settings.pipelines is None:
            return self
        self._read_files()
        others = self._others.values()
        return next((other for other in others if phase in other.pipeline.by_name), self)

    def every_pipeline(self) -> list[Pipeline]:
        """What runs can be served by, its own first: the files as they are, and as they were."""
        self._read_files()
        return [self.pipeline, *(other.pipeline for other in self._others.values())]

    def _read_files(self) -> None:
        from planner.pipeline.folder import pipeline_files

        settings, own = self.settings, pipeline_version(self.pipeline)
        if time.monotonic() < self._reread_at:
            return
        for source, pipeline in pipeline_files(settings.pipeline, settings.pipelines):
            key = pipeline_version(pipeline)
            if key != own and key not in self._others:
                self._others[key] = self._with(source, pipeline)
        self._reread_at = time.monotonic() + REREAD_SECONDS

    def _with(self, source: str, pipeline: Pipeline) -> Context:
        """A context of another file, with this one's connections."""
        settings = self.settings.model_copy(update={"pipeline": source})
        other = Context(settings, patient=self.is_patient, beside=self)
        other.pipeline = pipeline
        _learn_secrets(pipeline)
        return other

    @cached_property
    def pipeline_dir(self) -> Path:
        """The folder of the pipeline file."""
        from planner.pipeline.load import pipeline_path

        return pipeline_path(self.settings.pipeline).absolute().parent

    @cached_property
    def redis(self) -> redis.Redis:
        """The client of the ledger, the leases and the budgets."""
        if self._beside is not None:
            return self._beside.redis
        return connect(self.settings, patient=self.is_patient)

    @property
    def realm(self) -> str:
        """The namespace of its dates in Redis: of its pipeline and warehouse."""
        return realm_of(self.pipeline.name, self.warehouse.identity)

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger."""
        return Ledger(self.redis)

    @cached_property
    def warehouse(self) -> Warehouse:
        """The warehouse of the settings."""
        if self._beside is not None:
            return self._beside.warehouse
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


def _learn_secrets(pipeline: Pipeline) -> None:
    from worker.processes.secrets import learn_named

    for phase in pipeline.phases:
        for runner in phase.runners:
            learn_named(secret.env for secret in runner.secrets if secret.env)


_here: tuple[int, Context] | None = None


def context_here() -> Context:
    """This process' context, made anew after a fork."""
    import os

    global _here
    if _here is None or _here[0] != os.getpid():
        _here = (os.getpid(), Context(load_settings()))
    return _here[1]
