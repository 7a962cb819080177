"""The ledger of runs: registered, moved between states, retried and concluded."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, cast

import redis

from planner.errors import BadRecord, FleetError, UsageError
from planner.plan.states import DateState, RunState, StepState
from planner.report.report import CodeSeen
from planner.text import counted
from worker.ledger.awaited import wake_for_run
from worker.ledger.connection import Connected, now, script
from worker.ledger.ends import KEEP_SECONDS, keys_of
from worker.ledger.keys import (
    RUNS,
    date_field,
    held_key,
    is_run_id,
    parse_date_field,
    realm_of,
    restore_key,
    run_key,
    step_key,
)
from worker.ledger.orders import PLAIN, OrderChanges, Orders
from worker.ledger.plans import written
from worker.ledger.record import (
    RunHeader,
    RunRecord,
    as_text,
    reading,
    run_record,
)
from worker.ledger.staging import STAGED_SECONDS, Staging
from worker.ledger.together import Together

if TYPE_CHECKING:
    from planner.plan.plan import Plan

EXPIRED = "expired"  # what `register.lua` answers when the staged parts are not all there

log = logging.getLogger(__name__)


def _log(error: BadRecord) -> None:
    log.warning("%s", error)


class StillHeld(Exception):
    """Another run took some of the plan's dates since the plan was made."""

    def __init__(self, held: Mapping[tuple[str, date], str]) -> None:
        super().__init__(f"{counted(len(held), 'date')} held by other runs")
        self.held = held


class RunLedger(Connected):
    """Reads and writes runs."""

    def register(
        self, run_id: str, plan: Plan, orders: Orders = PLAIN, *, warehouse_id: str = ""
    ) -> None:
        """Register a run as `incomplete`, and hold its dates. Raises `StillHeld`.

        `warehouse_id` is told when the warehouse had no identity yet when the plan was made.
        """
        identity = warehouse_id or plan.warehouse_id
        realm = realm_of(plan.pipeline, identity)
        header = RunHeader(
            plan_id=plan.plan_id,
            pipeline=plan.pipeline,
            pipeline_checksum=plan.pipeline_checksum,
            warehouse=plan.warehouse,
            warehouse_id=identity,
            realm=realm,
            reason=plan.reason,
            asked=orders.asked,
            values=plan.values,
            pinned=plan.pinned,
            steps_total=plan.steps_total,
            force_service=orders.force_service,
            state=RunState.INCOMPLETE,
            keep=orders.keep,
            keep_dataset=orders.keep_dataset,
            keep_days=orders.keep_days,
            max_dollars=orders.max_dollars,
            priority=orders.priority,
            lane=orders.lane,
            max_slots=orders.max_slots,
            hours=orders.hours,
        )
        staging = _staged(self.client, run_id, plan)
        earlier = held_key(plan.pipeline)  # of runs of earlier versions
        answer = script(self.client, "register")(
            keys=[RUNS, held_key(realm), earlier, run_key(run_id), *staging.keys],
            args=[
                run_id,
                json.dumps(header.as_hash()),
                as_text(orders.deadline_seconds),
                *staging.sizes.values(),
            ],
        )
        if answer == [EXPIRED]:
            raise FleetError(
                f"Redis has dropped what was staged of {run_id}: it evicts keys, or this took more "
                f"than {STAGED_SECONDS // 60} min between two batches. Nothing was sent: try again."
            )
        if answer:
            staging.drop()
            raise StillHeld(_holders(answer))

    def move(self, run_id: str, to: RunState, allowed: Iterable[RunState]) -> str:
        """Move a run that is in one of the allowed states; the state it is in afterwards.

        Steps that a pause made wait come by.
        """
        together = Together(self.client)
        together.script("move", keys=[run_key(run_id)], args=[to, *allowed])
        wake_for_run(together, run_id)
        return str(together.send()[0])

    def force_service(self, run_id: str) -> None:
        """Let services end batches that are not this run's, from now on."""
        self.client.hset(run_key(run_id), "force_service", "1")

    def share_anew(self, run_id: str, changes: OrderChanges, *, lane: int) -> None:
        """Write down how a run shares the fleet from now on, and in which lane its messages are."""
        told: dict[Any, Any] = {"lane": as_text(lane)}
        told |= {name: as_text(new) for name, new in vars(changes).items() if new is not None}
        self.client.hset(run_key(run_id), mapping=told)

    def reopen(
        self,
        run_id: str,
        dates: Iterable[tuple[str, date]],
        steps: Iterable[str],
        orders: Orders = PLAIN,
    ) -> None:
        """Reopen an ended run for some of its dates, as `incomplete`. Raises `StillHeld`."""
        step_ids = list(steps)
        run = self.require(run_id)
        realm = realm_of(run.pipeline, run.warehouse_id)
        answer = script(self.client, "reopen")(
            keys=[
                run_key(run_id),
                held_key(realm),
                run_key(run_id, "steps"),
                run_key(run_id, "dates"),
                held_key(run.pipeline),  # of runs of earlier versions
                *(step_key(run_id, step_id) for step_id in step_ids),
                *keys_of(self.client, run_id),
            ],
            args=[
                run_id,
                json.dumps([date_field(*pair) for pair in dates]),
                json.dumps(step_ids),
                as_text(orders.force_service),
                as_text(orders.deadline_seconds),
                realm,
            ],
        )
        if len(answer) == 1:
            raise UsageError(f"{run_id} is {answer[0]}: only an ended run can be tried again.")
        if answer:
            raise StillHeld(_holders(answer))

    def has_plan(self, run_id: str) -> bool:
        """Whether Redis still holds the plan of a run."""
        return bool(self.client.exists(run_key(run_id, "plan")))

    def run(self, run_id: str) -> RunRecord | None:
        """A run; None when Redis does not hold it (any more).

        One whose deadline has passed is `cancelling`.
        """
        (record,) = self._records([run_id])
        if isinstance(record, BadRecord):
            raise record
        return record

    def require(self, run_id: str) -> RunRecord:
        """A run. Raises `UsageError` when there is none."""
        run = self.run(run_id)
        if run is None and self.client.exists(restore_key(run_id)):
            raise UsageError(
                f"{run_id} is a restore, which has no steps: `planner status`, `report` and `log` "
                "tell of it."
            )
        if run is None:
            raise UsageError(f"There is no run {run_id!r}: `planner runs` lists them.")
        return run

    def runs(self, on_bad: Callable[[BadRecord], None] = _log) -> list[RunRecord]:
        """Every run that Redis still holds, newest first.

        One that cannot be read is told to `on_bad`, and passed over; so is one that is gone before
        its time, as an evicting Redis loses it. The first read after a run's deadline moves it to
        cancelling; a replica, which takes no writes, answers all the same. `peek_newest` never
        writes.
        """
        with reading("the list of runs"):
            listed = self.client.zrevrange(RUNS, 0, -1, withscores=True)
            created = {str(run_id): since for run_id, since in cast("list[Any]", listed)}
        found = dict(zip(created, self._records([*created]), strict=True))
        if None in found.values():  # none expires before it
            kept_since = now(self.client) - KEEP_SECONDS
            gone = [run_id for run_id, record in found.items() if record is None]
            found |= {run_id: _gone(run_id) for run_id in gone if created[run_id] > kept_since}
        for record in found.values():
            if isinstance(record, BadRecord):
                on_bad(record)
        return [record for record in found.values() if isinstance(record, RunRecord)]

    def held(self, pipeline: str, warehouse_id: str) -> dict[tuple[str, date], str]:
        """Phase and date → the run that is repairing it, also one of an earlier version."""
        with reading(f"the dates that runs of {pipeline} hold"):
            found = self._hash(held_key(pipeline))
            if warehouse_id:
                found = {**found, **self._hash(held_key(realm_of(pipeline, warehouse_id)))}
            return {parse_date_field(key): run_id for key, run_id in found.items()}

    def note_published(self, run_id: str, day: date) -> None:
        """Write down that a date was published."""
        self.client.sadd(run_key(run_id, "published"), day.isoformat())

    def published(self, run_id: str) -> set[date]:
        """The dates that a run has published so far."""
        with reading(run_id):
            found = cast("set[str]", self.client.smembers(run_key(run_id, "published")))
            return {date.fromisoformat(day) for day in found}

    def report(self, run_id: str) -> str | None:
        """A run's report, JSON; None before the run has ended."""
        with reading(f"the report of {run_id}"):
            found = self.client.get(run_key(run_id, "report"))
            return None if found is None else str(found)

    def note_code(self, run_id: str, code: str) -> str | None:
        """Note by which code a run's steps are run; the latest one before it, where it is new."""
        key = run_key(run_id, "code")
        before = cast("list[str]", self.client.zrange(key, -1, -1))
        is_new = self.client.zadd(key, {code: now(self.client)}, nx=True)
        return before[0] if is_new and before else None

    def code(self, run_id: str) -> tuple[CodeSeen, ...]:
        """By which code a run's steps were run, in the order in which it was first seen."""
        found = self.client.zrange(run_key(run_id, "code"), 0, -1, withscores=True)
        seen = cast("list[tuple[str, float]]", found)  # decode_responses
        return tuple(CodeSeen(code=text, since=since) for text, since in seen)

    def _records(self, run_ids: Sequence[str]) -> list[RunRecord | BadRecord | None]:
        """Some runs, in one round trip; None for those that Redis does not hold."""
        together = Together(self.client)
        asked = [run_id for run_id in run_ids if is_run_id(run_id)]
        for run_id in asked:
            together.script("look", keys=[run_key(run_id)], args=[])
        try:
            found = together.answers()
        except (
            UnicodeDecodeError
        ):  # one of them is not UTF-8, and the client answers none of the others
            found = [self._look(run_id) for run_id in asked]
        answers = dict(zip(asked, found, strict=True))
        return [_record(run_id, answers.get(run_id)) for run_id in run_ids]

    def _look(self, run_id: str) -> Any:
        try:
            return script(self.client, "look")(keys=[run_key(run_id)])
        except (redis.ResponseError, UnicodeDecodeError) as error:
            return error


def _staged(client: redis.Redis, run_id: str, plan: Plan) -> Staging:
    """The parts that a run is registered with, staged; its dates first."""
    text, chunks = written(plan)
    staging = Staging(client, run_id)
    dates = (date_field(step.phase, day) for _, step in plan.steps() for day in step.dates)
    staging.put("dates", dict.fromkeys(dates, DateState.PENDING))
    staging.put("steps", dict.fromkeys((step for step, _ in plan.steps()), StepState.PENDING))
    staging.put("chunks", chunks)
    staging.put_text("plan", text)
    return staging


def _gone(run_id: str) -> BadRecord:
    return BadRecord(
        f"{run_id} is lost: Redis has dropped what it held of it. Set its maxmemory-policy to "
        "noeviction, then plan again: `planner enqueue --gaps`."
    )


def _holders(answer: list[str]) -> dict[tuple[str, date], str]:
    """Phase and date → the run that holds it, from a flat list of both."""
    pairs = zip(answer[::2], answer[1::2], strict=True)
    return {parse_date_field(field): run_id for field, run_id in pairs}


def _record(run_id: str, answer: Any) -> RunRecord | BadRecord | None:
    """A run as `look.lua` answers; None for no run."""
    try:
        with reading(run_id):
            if isinstance(answer, Exception):
                raise answer
            fields = dict(zip(answer[::2], answer[1::2], strict=True)) if answer else {}
            return run_record(run_id, fields) if fields else None
    except BadRecord as error:
        return error
