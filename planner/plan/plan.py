"""A plan: the chunks and steps of a repair, what each should add, and how the tables stood.

Immutable, JSON, with a checksum over all of it: an edited plan is refused.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, TypeAdapter

from planner.data import Data
from planner.evidence.tables import gate_phases
from planner.gaps.gaps import (
    ANEW,
    NO_GAPS,
    RECOMPUTE,
    Assessment,
    Expected,
    Gap,
    GapReason,
    Skipped,
)
from planner.gaps.matrix import Matrix, matrix
from planner.gaps.snapshot import Snapshot, snapshot
from planner.pipeline.lookback import upstream
from planner.pipeline.model import Name, RunId
from planner.pipeline.windows import Window
from planner.plan.command import Command
from planner.plan.cost import Cost, PlanCost
from planner.plan.estimate import Estimate
from sql.billing import MINIMUM_BYTES_BILLED

if TYPE_CHECKING:
    from planner.pipeline.phase import Phase
    from planner.pipeline.pipeline import Pipeline
    from planner.plan.choose import Repair
    from planner.plan.chunks import Chunk

FORMAT = 1
LATER = ("asked", "values", "pinned")
"""Fields that the checksum covers only where they say something."""
TOGETHER = 256  # chunks that are written as JSON at once


class Task(Data):
    """One date of a step."""

    date: date
    reason: GapReason
    tables: tuple[str, ...]
    """The tables that are short."""
    expected: dict[str, int]
    """Entity → how many the date should hold afterwards."""
    flaws: tuple[GapReason, ...] = ()
    """Flaws that the plan was asked to repair; none of them may be left."""

    @property
    def most(self) -> int:
        """How many it should hold of the entity that there are most of; 1 where none is counted."""
        return max(self.expected.values(), default=1)


class Step(Data):
    """One phase of one chunk."""

    phase: Name
    start: date
    end: date
    tasks: tuple[Task, ...]
    """One per date, in order."""

    @property
    def dates(self) -> tuple[date, ...]:
        """Its dates, in order."""
        return tuple(task.date for task in self.tasks)


class PlannedChunk(Data):
    """Consecutive dates, and their steps in phase order."""

    id: str
    dates: tuple[date, ...] = Field(min_length=1)
    steps: tuple[Step, ...] = Field(min_length=1)


class PlannedRunner(Data):
    """What is to fill a phase: the first of its runners that exists, seen from the planner."""

    number: int
    """From 1, in the order of the pipeline file."""
    kind: str
    absent: tuple[str, ...]
    """The runners before it, which do not exist: what was looked for, and where."""
    note: str = ""
    """What the pipeline file says to know of it."""


class Plan(Data):
    """Everything a run needs to know, in one file."""

    format: int = FORMAT
    plan_id: RunId
    created: datetime
    pipeline: Name
    pipeline_checksum: str
    warehouse: str
    warehouse_id: str = ""
    """What tells the warehouse apart, however it is spelt; empty in plans of 0.1."""
    reason: str = ""
    """Why the user asked for it."""
    asked: Command | None = None
    """The command that made it; None in plans of before."""
    values: dict[str, str] = Field(default_factory=dict)
    """Placeholder → what the run sets in its place."""
    pinned: dict[Name, int] = Field(default_factory=dict)
    """Phase → the number of the runner that the user chose, from 1."""
    scope: Window
    chunks: tuple[PlannedChunk, ...]
    skipped: tuple[Skipped, ...]
    runners: dict[str, PlannedRunner] = Field(default_factory=dict)
    """Phase with steps → what is to run it."""
    publishes: tuple[date, ...] = ()
    """Dates that are published when the run has ended, by a script that nothing can verify."""
    owed: dict[str, tuple[date, ...]]
    """Dates to recompute after this run that the plan does not take."""
    before: Matrix
    """Per season and phase, what the warehouse held."""
    days_before: Snapshot
    """How every phase stood on every day of the reach."""
    cost: PlanCost | None = None
    """What reading the warehouse costs; None where it costs nothing."""
    estimate: Estimate | None = None
    """How long it will take; None when there is nothing to do."""
    checksum: str = ""

    @property
    def steps_total(self) -> int:
        """How many steps all chunks have."""
        return sum(len(chunk.steps) for chunk in self.chunks)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.chunks

    @property
    def leaves_gaps(self) -> bool:
        """Whether something is wrong that no run is at: then all is not well."""
        return any(left.reason not in NO_GAPS for left in self.skipped)

    def steps(self) -> Iterator[tuple[str, Step]]:
        """Every step with its id."""
        for chunk in self.chunks:
            for step in chunk.steps:
                yield step_id(chunk.id, step.phase), step

    @property
    def dates(self) -> frozenset[date]:
        """Every date that it takes, in any phase."""
        return frozenset(day for chunk in self.chunks for day in chunk.dates)

    @property
    def recompute(self) -> dict[str, dict[date, GapReason]]:
        """Phase → dates that are complete by count and have to be recomputed → why.

        Those of a cascade are wrong from the moment their upstream is repaired; some are owed,
        and not done by this plan. Those that the user asked for are right by every count.
        """
        dates = {name: dict.fromkeys(days, GapReason.CASCADE) for name, days in self.owed.items()}
        for _, step in self.steps():
            for task in step.tasks:
                if task.reason in RECOMPUTE - ANEW:
                    dates.setdefault(step.phase, {})[task.date] = task.reason
        return dates

    @property
    def reach(self) -> Window:
        """The scope and its cascade: the days that the final validation looks at."""
        return _reach(self.scope, self.chunks)

    def sealed(self) -> Self:
        """The plan with its checksum."""
        return self.model_copy(update={"checksum": self.digest()})

    def digest(self) -> str:
        """The checksum that its content ought to have."""
        digest = hashlib.sha256()
        for part in self._canonical():
            digest.update(part.encode())
        return digest.hexdigest()

    def _canonical(self) -> Iterator[str]:
        """Its content as one JSON text with sorted keys, some chunks at a time: all at once, as
        plain values, would be the largest thing that a planner holds."""
        content = self.model_dump(mode="json", exclude={"checksum", "chunks"})
        for name in LATER:
            if content[name] == Plan.model_fields[name].get_default(call_default_factory=True):
                del content[name]  # plans of before were sealed without it
        for n, name in enumerate(sorted({*content, "chunks"})):
            yield f'{"," if n else "{"}"{name}":'
            if name == "chunks":
                yield "["
                for place in range(0, len(self.chunks), TOGETHER):
                    some = _CHUNKS.dump_python(self.chunks[place : place + TOGETHER], mode="json")
                    yield f"{',' if place else ''}{_sorted(some)[1:-1]}"
                yield "]"
            else:
                yield _sorted(content[name])
        yield "}"

    def as_json(self) -> dict[str, Any]:
        """The documented shape: the plan with `steps_total`."""
        return {**super().as_json(), "steps_total": self.steps_total}


_CHUNKS: TypeAdapter[Any] = TypeAdapter(tuple[PlannedChunk, ...])


def _sorted(content: Any) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def step_id(chunk_id: str, phase: str) -> str:
    """A step's id within its run: `2022-04-16..2022-04-22/analytics`."""
    return f"{chunk_id}/{phase}"


def chunk_of(step_id: str) -> str:
    """The id of a step's chunk."""
    return step_id.rpartition("/")[0]


def phase_of(step_id: str) -> str:
    """The phase of a step, by its id."""
    return step_id.rpartition("/")[2]


def make_plan(
    pipeline: Pipeline,
    assessment: Assessment,
    repair: Repair,
    chunks: list[Chunk],
    *,
    warehouse: str,
    warehouse_id: str = "",
    scope: Window,
    reason: str = "",
    asked: Command | None = None,
    plan_id: str | None = None,
    cost: Cost | None = None,
    estimate: Estimate | None = None,
) -> Plan:
    """The plan of a repair. `cost` is that of the counts it rests on."""
    created = datetime.now(UTC).replace(microsecond=0)
    reach = _reach(scope, chunks)
    recompute = {
        phase.name: dict.fromkeys(assessment.stale.get(phase.name, ()), GapReason.STALE)
        | dict.fromkeys(repair.owed.get(phase.name, ()), GapReason.CASCADE)
        for phase in pipeline.phases
    }
    for phase, gaps in repair.todo.items():
        recompute[phase] |= {
            day: gap.reason for day, gap in gaps.items() if gap.reason in RECOMPUTE - ANEW
        }
    return Plan(
        plan_id=plan_id or new_id("plan", created),
        created=created,
        pipeline=pipeline.name,
        pipeline_checksum=pipeline.checksum,
        warehouse=warehouse,
        warehouse_id=warehouse_id,
        reason=reason,
        asked=asked,
        scope=scope,
        chunks=tuple(_planned(chunk, assessment.expected, repair.todo) for chunk in chunks),
        skipped=repair.skipped,
        owed={name: tuple(sorted(days)) for name, days in repair.owed.items()},
        before=matrix(pipeline, assessment, reach),
        days_before=snapshot(pipeline, assessment, reach, recompute),
        cost=_cost(pipeline, chunks, repair.todo, cost) if cost else None,
        estimate=estimate,
    ).sealed()


def _cost(
    pipeline: Pipeline, chunks: list[Chunk], todo: Mapping[str, Mapping[date, Gap]], counting: Cost
) -> PlanCost:
    """A step's dates are a few megabytes of a table at most, so each query is billed the minimum.

    The final validation counts what was counted for the plan.
    """
    steps = [(pipeline.by_name[name], each.dates) for each in chunks for name in each.phases]
    queries = sum(_queries(pipeline, phase, dates, todo) for phase, dates in steps)
    dollars_per_byte = counting.dollars / counting.bytes if counting.bytes else 0.0
    billed = queries * MINIMUM_BYTES_BILLED + counting.bytes
    return PlanCost(
        counting=counting,
        recounts=Cost(bytes=billed, dollars=round(billed * dollars_per_byte, 6)),
    )


def _queries(
    pipeline: Pipeline,
    phase: Phase,
    dates: Iterable[date],
    todo: Mapping[str, Mapping[date, Gap]],
) -> int:
    """Of a step: the gate's counts, its recount, and a look at rows that it has to replace.

    These and their versions are looked up before it where its upstream changes, and the versions
    afterwards where it was complete. Ids are named only where a recount shows them to differ.
    """
    from planner.evidence.table_reads import tables_read  # who reads a plan makes none

    days = list(dates)
    tables = len(phase.tables)
    queries = tables_read(pipeline, gate_phases(phase), phase.after)
    queries += tables_read(pipeline, [phase.name], [phase.name])
    is_full = any(todo[phase.name][day].reason in RECOMPUTE for day in days)
    is_changed = any(
        past in todo.get(name, ()) for day in days for name, past in upstream(day, phase)
    )
    if is_full or is_changed:
        queries += 2 * tables
    elif phase.has_flaws:
        queries += tables
    return queries + (tables if is_full else 0)


def _reach(scope: Window, chunks: Iterable[Chunk | PlannedChunk]) -> Window:
    days = [day for chunk in chunks for day in chunk.dates]
    return Window(start=min([scope.start, *days]), end=max([scope.end, *days]))


def _planned(
    chunk: Chunk,
    expected: Mapping[str, Mapping[date, Expected]],
    todo: Mapping[str, Mapping[date, Gap]],
) -> PlannedChunk:
    steps = [
        Step.unchecked(
            phase=phase,
            start=chunk.dates[0],
            end=chunk.dates[-1],
            tasks=tuple(_task(todo[phase][day], expected[phase][day]) for day in chunk.dates),
        )
        for phase in chunk.phases
    ]
    return PlannedChunk.unchecked(id=chunk.id, dates=chunk.dates, steps=tuple(steps))


def _task(gap: Gap, due: Expected) -> Task:
    return Task.unchecked(
        date=gap.date, reason=gap.reason, tables=gap.tables, expected=due, flaws=gap.asked
    )


def new_id(kind: str, now: datetime) -> str:
    """An id that people can read aloud: `run-20260102-k7xq3w`."""
    alphabet = "abcdefghjkmnpqrstvwxyz23456789"  # no characters that look alike
    return f"{kind}-{now:%Y%m%d}-{''.join(secrets.choice(alphabet) for _ in range(6))}"
