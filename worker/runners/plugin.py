"""Runs a runner of another package, which names it as an entry point.

It makes rows, and says how it ended; whether they are there, the recount decides, as for every
other. What it raises is a failed attempt, and never the worker's end.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from planner.files import private
from planner.pipeline.runners import PluginRunner
from planner.text import nearest
from worker.processes.secrets import redacted
from worker.runners.environment import Unset, expand
from worker.runners.job import THERE, Failed, Job, Outcome, Readiness

GROUP = "backfill_fleet.runners"


@dataclass(frozen=True)
class Plugin:
    """The runner of kind `plugin`."""

    spec: PluginRunner

    def run(self, job: Job) -> Outcome:
        try:
            outcome = self._made.run(job)
        except Unset as error:
            return Failed(error=str(error), is_permanent=True)
        except Exception as error:
            with open(job.log, "a", encoding="utf-8", opener=private) as log:
                log.write(redacted(traceback.format_exc()))
            return Failed(error=redacted(f"{self.spec.use}: {type(error).__name__}: {error}"))
        if isinstance(outcome, Outcome):
            return outcome
        told = f"{self.spec.use} answered {type(outcome).__name__}, which is no outcome"
        return Failed(error=told, is_permanent=True)

    def absence(self, beside: Path) -> str | None:
        if self._entry is not None:
            return None
        return f"no installed package names {self.spec.use} in {GROUP}"

    def readiness(self) -> Readiness:
        if self._entry is None:
            hint = nearest(self.spec.use, _entries(), what="entry points")
            advice = f"install its package where workers start; {hint}"
            return Readiness(ok=False, detail=str(self.absence(Path())), advice=advice)
        try:
            ready = getattr(self._made, "readiness", None)
            return ready() if ready else THERE
        except Unset:
            raise
        except Exception as error:
            told = redacted(f"{type(error).__name__}: {error}")
            return Readiness(ok=False, detail=f"{self.spec.use}: {told}", advice="see its package")

    @property
    def _entry(self) -> EntryPoint | None:
        return _entries().get(self.spec.use)

    @cached_property
    def _made(self) -> Any:
        """The runner, made with the options of the pipeline file. Raises `Unset`."""
        if self._entry is None:
            raise LookupError(str(self.absence(Path())))
        options = {
            name: expand(value) if isinstance(value, str) else value
            for name, value in self.spec.options.items()
        }
        return self._entry.load()(**options)


@cache
def _entries() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}
