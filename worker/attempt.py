"""One attempt at a step: run what is left of it, recount, and say how it ended.

Knows nothing of Celery, and settles nothing: it gives back a value that the step acts on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from planner.pipeline import Phase
from planner.plan import Step, Task
from sql import WarehouseError, WarehouseRefused
from worker.fleet import Fleet
from worker.runners import Failed, Job, Park, Ran, Refused, Stopped, runner_for
from worker.verification import recount, versions_before

SETTLE_LOOK_SECONDS = 5.0  # between two recounts while a service's rows may still appear


@dataclass(frozen=True, kw_only=True)
class Ended:
    """Every range has run, and the recount has spoken."""

    done: tuple[date, ...]
    short: dict[date, str]
    """Date → what is wrong with it."""
    is_permanent: bool = False
    is_refused: bool = False
    """Something it needs is not there, so it is blocked rather than failed."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What an attempt works on."""

    fleet: Fleet
    run_id: str
    step_id: str
    step: Step
    phase: Phase
    dates: Sequence[date]
    number: int
    stop: Callable[[], str | None]
    memory: dict[str, Any] = field(default_factory=dict)

    @property
    def tasks(self) -> list[Task]:
        return [task for task in self.step.tasks if task.date in self.dates]

    def make(self) -> Ended | Park | Stopped:
        """Run every range, then recount."""
        memory = dict(self.memory)
        try:
            if "versions" not in memory:
                memory["versions"] = versions_before(self.fleet.warehouse, self.phase, self.tasks)
            errors: dict[str, str] = memory.setdefault("errors", {})
            ranges = self._ranges()
            while (at := memory.setdefault("at", 0)) < len(ranges):
                outcome = self._run(ranges[at], memory.get("runner", {}))
                match outcome:
                    case Stopped():
                        return outcome
                    case Park():
                        return Park(
                            seconds=outcome.seconds, memory={**memory, "runner": outcome.memory}
                        )
                    case Ran():
                        memory["settle"] = max(memory.get("settle", 0.0), outcome.settle_seconds)
                    case Failed() | Refused():
                        for day in ranges[at]:
                            errors[day.isoformat()] = outcome.error
                        if isinstance(outcome, Refused):
                            memory["refused"] = True
                        elif outcome.is_permanent:
                            memory["permanent"] = True
                memory["at"] = at + 1
                memory.pop("runner", None)
            return self._recount(memory, errors)
        except WarehouseError as error:
            return Ended(
                done=(),
                short=dict.fromkeys(self.dates, f"the recount failed: {error}"),
                is_permanent=isinstance(error, WarehouseRefused),
            )

    def _ranges(self) -> list[tuple[date, ...]]:
        """Consecutive dates together at first; each alone once something went wrong."""
        if self.number > 1:
            return [(day,) for day in self.dates]
        order = {day: n for n, day in enumerate(self.step.dates)}
        ranges: list[tuple[date, ...]] = []
        for day in self.dates:
            if ranges and order[day] == order[ranges[-1][-1]] + 1:
                ranges[-1] = (*ranges[-1], day)
            else:
                ranges.append((day,))
        return ranges

    def _run(
        self, dates: tuple[date, ...], memory: dict[str, Any]
    ) -> Ran | Failed | Refused | Park | Stopped:
        settings = self.fleet.settings
        log = settings.folder(f"logs/{self.run_id}") / f"{self.step_id.replace('/', '.')}.log"
        job = Job(
            run_id=self.run_id,
            step_id=self.step_id,
            phase=self.phase,
            dates=dates,
            attempt=self.number,
            memory=memory,
            log=log,
            pipeline_dir=self.fleet.pipeline_dir,
            warehouse=self.fleet.warehouse,
            grace_seconds=settings.grace_seconds,
            stop=self.stop,
        )
        why = self.stop()
        return Stopped(why=why) if why else runner_for(self.phase).run(job)

    def _recount(self, memory: dict[str, Any], errors: dict[str, str]) -> Ended | Park:
        short = recount(self.fleet.warehouse, self.phase, self.tasks, memory["versions"])
        settled = memory.get("settled", 0.0)
        if short and not errors and settled < memory.get("settle", 0.0):
            pause = min(SETTLE_LOOK_SECONDS, 0.5 + settled)
            return Park(seconds=pause, memory={**memory, "settled": settled + pause})
        told = {
            day: f"{errors[day.isoformat()]} ({what})" if day.isoformat() in errors else what
            for day, what in short.items()
        }
        return Ended(
            done=tuple(day for day in self.dates if day not in short),
            short=told,
            is_permanent=bool(memory.get("permanent")),
            is_refused=bool(memory.get("refused")),
        )
