"""One attempt at a step: run what is left of it, recount, and say how it ended.

What is left is a list of ranges in the attempt's checkpoint: a range that has run is taken off, one
that was too large is replaced by its halves, without the dates that are complete. Knows nothing of
Celery, and settles nothing: it returns a value that the visit acts on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import Any

from redis import RedisError

from planner.pipeline.phase import Phase
from planner.plan.plan import Step, Task
from sql import Warehouse, WarehouseError, WarehouseRefused
from worker.context import Context
from worker.ledger.budget import Exceeded, spend
from worker.processes import pulse
from worker.processes.secrets import redacted
from worker.runners import (
    LEASE_LOST,
    Failed,
    Job,
    NoRunner,
    Outcome,
    Park,
    Partway,
    Ran,
    Refused,
    Stopped,
    TooLarge,
    TryLater,
    runner_for,
)
from worker.step import progress
from worker.step.before import Before, read_before
from worker.step.checkpoint import Checkpoint, Range
from worker.step.ended import Ended, OverBudget
from worker.step.gate import Pair, short_upstream
from worker.step.keep import Keeping
from worker.step.labels import labels_of
from worker.step.log import log_path
from worker.step.made import note_code
from worker.step.ranges import Ranges
from worker.step.recount import Recount, recount
from worker.step.refused import given_up, may_pass, parked

log = logging.getLogger(__name__)

SETTLE_LOOK_SECONDS = 5.0  # between two recounts while a service's rows may still appear


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt at a step, and what it works on."""

    context: Context
    run_id: str
    step_id: str
    step: Step
    phase: Phase
    dates: Sequence[date]
    number: int
    stop: Callable[[], str | None]
    now: Callable[[], float]
    """Seconds since the epoch, by a clock that all workers share."""
    note: Callable[[dict[str, Any]], bool]
    """Writes the attempt's checkpoint down while it works; False when the lease was lost."""
    which: int | None = None
    """The runner that was chosen, from 0; None when the checkpoint knows, or none exists."""
    force: bool = False
    """Whether the user lets a service end what it is doing for others."""
    checkpoint: dict[str, Any] = field(default_factory=dict)
    plan_id: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    """What the run sets."""
    keeping: Keeping | None = None
    """What keeps rows before they are written; None: nothing does."""
    in_run: Container[Pair] = ()
    """Of what the dates are computed from, the phases and dates that the run repairs."""

    @cached_property
    def _warehouse(self) -> Warehouse:
        """Its jobs say which plan and phase they are for."""
        return self.context.warehouse.labelled(plan_id=self.plan_id, phase=self.phase.name)

    @property
    def billed(self) -> int:
        """Bytes that the warehouse billed for it so far; 0 of one that could not be opened."""
        parts = (self.__dict__.get("_warehouse"), self.keeping and self.keeping.warehouse)
        return sum(part.billed for part in parts if part)

    def make(self) -> Ended | Park | Stopped | OverBudget:
        """Run every range, then recount."""
        checkpoint = Checkpoint.model_validate(self.checkpoint).within(self.step.dates)
        checkpoint.which = self.which if checkpoint.which is None else checkpoint.which
        if checkpoint.held_until > self.now():
            return self._parked(checkpoint)
        try:
            return self._prepare(checkpoint) or self._run_all(checkpoint)
        except WarehouseError as error:
            return self._uncounted(checkpoint, error)
        except OSError as error:  # such as a full disk
            why = redacted(f"the worker's machine: {error}")
            return Ended(done=(), short=dict.fromkeys(self.dates, why))
        except RedisError:  # nothing can be written down now
            raise
        except Exception as error:  # a bug of ours: settled as a failure, since it is no crash
            log.exception("%s: %s", self.run_id, self.step_id)
            why = redacted(f"{type(error).__name__}: {error}. See the worker's log.")
            return Ended(done=(), short=dict.fromkeys(self.dates, why))

    def _run_all(self, checkpoint: Checkpoint) -> Ended | Park | Stopped | OverBudget:
        """Run what is left, range by range, and recount."""
        while checkpoint.left:
            ended = self._run_next(checkpoint.left, checkpoint)
            if ended is not None:
                return ended
        return self._recount(checkpoint)

    def _run_next(
        self, left: list[Range], checkpoint: Checkpoint
    ) -> Park | Stopped | OverBudget | None:
        """Run the first range and take it off what is left; how the attempt ends, if it does."""
        dates = left[0]
        over = None if checkpoint.runner else self._spend(dates)
        if over is not None:
            return OverBudget(why=str(over), seconds=over.seconds, checkpoint=checkpoint.as_json())
        outcome = self._run(dates, checkpoint)
        if isinstance(outcome, Stopped):
            self._note_left(outcome, checkpoint)
            return replace(outcome, checkpoint=checkpoint.as_json())
        if isinstance(outcome, Park):
            checkpoint.runner = outcome.checkpoint
            return Park(seconds=outcome.seconds, checkpoint=checkpoint.as_json())
        if isinstance(outcome, TryLater):
            checkpoint.runner = outcome.checkpoint
            if may_pass(checkpoint, outcome.what, outcome.error, now=self.now()):
                return self._parked(checkpoint)
            outcome = given_up(outcome)
        checkpoint.runner, checkpoint.held_since = {}, None
        left[:1] = self._rest(dates, outcome, checkpoint)
        return None

    def _prepare(self, checkpoint: Checkpoint) -> Ended | Stopped | None:
        """Count upstream, note and keep what the tables hold; how the attempt ends where that says
        so."""
        if checkpoint.left is None:
            checkpoint.upstream = short_upstream(
                self._warehouse, self.context.pipeline, self.phase, self.dates
            )
            checkpoint.left = self._ranges.first(
                self._ready(checkpoint), which=checkpoint.which or 0, attempt=self.number
            )
        if checkpoint.before is None:
            checkpoint.before = read_before(
                self._warehouse,
                self.context.pipeline,
                self.phase,
                self.dates,
                outdated=self._outdated,
            )
            self._keep_flaws(checkpoint.before)
            # Before anything is written: after a takeover, the next attempt compares with this.
            # Without rows to compare with, there are none after the takeover either.
            if checkpoint.before != Before() and not self.note(_kept(checkpoint)):
                return Stopped(why=LEASE_LOST)
        return self._keep(checkpoint)

    def _keep(self, checkpoint: Checkpoint) -> Ended | None:
        """Keep what the tables hold, unless that is done; how the attempt ends where it fails."""
        if self.keeping is None or checkpoint.is_kept:
            return None
        dates = self._ready(checkpoint)
        try:
            self.keeping.keep(dates)
        except WarehouseError as error:
            told = f"nothing was written, since what is there cannot be kept: {error}"
            wrong = dict.fromkeys(dates, redacted(told))
            if isinstance(error, WarehouseRefused):
                return Ended(done=(), permanent=wrong, blocked=checkpoint.upstream)
            return Ended(done=(), short=wrong, blocked=checkpoint.upstream)
        checkpoint.is_kept = True
        return None

    def _uncounted(self, checkpoint: Checkpoint, error: WarehouseError) -> Ended | Park:
        """What follows when the tables cannot be counted."""
        if may_pass(checkpoint, "the tables cannot be counted", error, now=self.now()):
            return self._parked(checkpoint)
        wrong = dict.fromkeys(self.dates, f"the recount failed: {redacted(str(error))}")
        if isinstance(error, WarehouseRefused):
            return Ended(done=(), permanent=wrong)
        return Ended(done=(), short=wrong)

    def _parked(self, checkpoint: Checkpoint) -> Park:
        seconds_max = self.context.settings.poll_max_seconds
        return parked(checkpoint, now=self.now(), seconds_max=seconds_max)

    def _keep_flaws(self, before: Before) -> None:
        """Let a flaw that an earlier attempt of the run made stay new to this one, also when the
        run was ended meanwhile and is tried again."""
        if self.phase.has_flaws:
            now = {day.isoformat(): before.flaws.get(day.isoformat(), {}) for day in self.dates}
            before.flaws = self.context.ledger.keep_flaws(self.run_id, self.step_id, now)

    # -- ranges ------------------------------------------------------------------------------

    @property
    def _ranges(self) -> Ranges:
        return Ranges(phase=self.phase, dates=self.step.dates)

    def _ready(self, checkpoint: Checkpoint) -> list[date]:
        """The dates whose upstream is there."""
        return [day for day in self.dates if day not in checkpoint.upstream]

    def _rest(self, dates: Range, outcome: Outcome, checkpoint: Checkpoint) -> list[Range]:
        """What is left to do of a range that has run; writes down what went wrong with it."""
        if isinstance(outcome, Ran | Failed) and outcome.remark:
            checkpoint.remarks |= dict.fromkeys(dates, redacted(outcome.remark))
        match outcome:
            case TooLarge() if len(dates) > 1:
                return self._ranges.halves(dates, self._counted(dates, checkpoint).short)
            case Partway() if (now := len(self._filled(dates, checkpoint))) > checkpoint.reached:
                checkpoint.reached = now
                return [dates]
            case Ran():
                checkpoint.settle_seconds = max(checkpoint.settle_seconds, outcome.settle_seconds)
                if outcome.unchanged:
                    checkpoint.own_word |= set(dates)
                if outcome.note:
                    checkpoint.notes |= dict.fromkeys(dates, redacted(outcome.note))
            case Failed() | TooLarge() | Partway() | Refused():
                checkpoint.errors |= dict.fromkeys(dates, redacted(outcome.error))
                if isinstance(outcome, Refused):
                    checkpoint.blocked |= set(dates)
                elif isinstance(outcome, TooLarge) or (
                    isinstance(outcome, Failed) and outcome.is_permanent
                ):
                    checkpoint.permanent |= set(dates)
        checkpoint.reached = 0
        return []

    def _spend(self, dates: Range) -> Exceeded | None:
        """Count what a run of the range writes, before it does; a retry and a half count anew."""
        return spend(self.context.redis, self.context.warehouse.name, self.phase, dates)

    # -- one range ---------------------------------------------------------------------------

    def _run(self, dates: Range, checkpoint: Checkpoint) -> Outcome:
        if why := self.stop():
            return Stopped(why=why)
        try:
            checkpoint.which, runner = runner_for(
                self.phase, self.context.pipeline_dir, checkpoint.which
            )
        except NoRunner as error:
            return Failed(error=str(error), is_permanent=True)

        if not checkpoint.runner:
            made = note_code(self.context, self.run_id, self.phase, checkpoint.which, self.values)
            checkpoint.made |= dict.fromkeys(dates, made)

        def note(written: dict[str, Any]) -> bool:
            checkpoint.runner = written
            return self.note(checkpoint.as_json())

        job = Job(
            run_id=self.run_id,
            step_id=self.step_id,
            phase=self.phase,
            dates=dates,
            attempt=self.number,
            checkpoint=checkpoint.runner,
            log=log_path(self.context, self.run_id, self.step_id),
            pipeline_dir=self.context.pipeline_dir,
            warehouse=self._warehouse,
            grace_seconds=self.context.settings.grace_seconds,
            stop=self.stop,
            now=self.now,
            note=note,
            filled=lambda: self._filled(dates, checkpoint),
            standing=lambda: progress.standing(
                self._warehouse, self.phase, dates, outdated=self._outdated
            ),
            force=self.force,
            values=self.values,
            labels=labels_of(self, checkpoint.which),
        )
        with pulse.limited(self.phase.timeout_seconds):
            return runner.run(job)

    # -- what the warehouse shows ------------------------------------------------------------

    def _tasks(self, dates: Collection[date]) -> list[Task]:
        return [task for task in self.step.tasks if task.date in dates]

    @cached_property
    def _outdated(self) -> list[date]:
        tasks = self._tasks(self.dates)
        return progress.outdated(self.in_run, self.phase, tasks)

    def _filled(self, dates: Range, checkpoint: Checkpoint) -> frozenset[str]:
        return progress.filled(
            self._warehouse,
            self.context.pipeline,
            self.phase,
            self._tasks(dates),
            outdated=self._outdated,
            before=checkpoint.before or Before(),
        )

    def _counted(self, dates: Collection[date], checkpoint: Checkpoint) -> Recount:
        return recount(
            self._warehouse,
            self.context.pipeline,
            self.phase,
            self._tasks(dates),
            checkpoint.before or Before(),
            own_word=checkpoint.own_word,
        )

    def _pause(self, checkpoint: Checkpoint, counted: Recount) -> float | None:
        """Seconds until the next recount, where rows may still appear; None when this one holds."""
        patience = checkpoint.settle_seconds
        if counted.unchanged:  # its only fault, and the records that tell so may lag
            patience = max(patience, self._warehouse.records_lag_seconds)
        if not patience or counted.short.keys() <= checkpoint.errors.keys():
            return None
        now = self.now()
        if checkpoint.settle_since is None:
            checkpoint.settle_since = now
        waited = max(0.0, now - checkpoint.settle_since)
        return (
            min(SETTLE_LOOK_SECONDS, 0.5 + waited, patience - waited) if waited < patience else None
        )

    def _note_left(self, stopped: Stopped, checkpoint: Checkpoint) -> None:
        """Note what a step leaves that has to stop; another may write it when its lease is lost."""
        if self.keeping is not None and stopped.why != LEASE_LOST:
            with suppress(WarehouseError):
                self.keeping.note_left(self._ready(checkpoint))

    def _recount(self, checkpoint: Checkpoint) -> Ended | Park:
        dates = self._ready(checkpoint)
        if not dates:
            return Ended(done=(), blocked=checkpoint.upstream, checkpoint=_kept(checkpoint))
        counted = self._counted(dates, checkpoint)
        short = counted.short
        pause = self._pause(checkpoint, counted)
        if pause is not None:
            return Park(seconds=pause, checkpoint=checkpoint.as_json())
        said = checkpoint.notes | checkpoint.errors
        told = {d: f"{said[d]} ({what})" if d in said else what for d, what in short.items()}
        if self.keeping is not None:
            self.keeping.note_left(dates)
            told |= {d: f"{told[d]}. {lost}" for d, lost in self.keeping.told(short).items()}
        ended = checkpoint.permanent | counted.doubled
        permanent = {day: why for day, why in told.items() if day in ended}
        blocked = {day: why for day, why in told.items() if day in checkpoint.blocked}
        done = tuple(day for day in dates if day not in short)
        made = {day: checkpoint.made[day] for day in done if day in checkpoint.made}
        self.context.ledger.note_made(self.run_id, self.phase.name, made)
        return Ended(
            done=done,
            short={d: why for d, why in told.items() if d not in permanent and d not in blocked},
            permanent=permanent,
            blocked=blocked | checkpoint.upstream,
            checkpoint=_kept(checkpoint),
            remarks=_merged(done, counted.remarks, checkpoint.remarks),
            counts=counted.counts,
        )


def _kept(checkpoint: Checkpoint) -> dict[str, Any]:
    """What the next attempt has to know: how the tables stood before the first, and what to say."""
    kept = checkpoint.model_copy(update={"before": checkpoint.before or Before()})
    return kept.model_dump(mode="json", include={"before", "remarks", "made"})


def _merged(days: Sequence[date], *remarks: Mapping[date, str]) -> dict[date, str]:
    """All remarks on some dates, one text per date."""
    told = {day: [each[day] for each in remarks if day in each] for day in days}
    return {day: "; ".join(texts) for day, texts in told.items() if texts}
