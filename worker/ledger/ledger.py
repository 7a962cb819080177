"""The ledger: what was asked for and what ran, in Redis. The authority on whether a step ran.

Keys, below `backfill:`

    runs                  sorted set   run id → when it was registered
    held:PIPELINE         hash         `phase|date` → the run that is repairing it
    run:ID                hash         header: plan, pipeline, state, times, validation
    run:ID:plan           string       the plan, JSON
    run:ID:steps          hash         step id → state
    run:ID:dates          hash         `phase|date` → state
    run:ID:published      set          dates that were published
    run:ID:step:STEP      hash         token, worker, attempt, times, error

Every transition is one Lua script. Ended runs stay for `KEEP_SECONDS`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, cast

import redis

from planner.errors import UsageError
from planner.pipeline.model import RUN_ID
from planner.plan.plan import Plan, parse_plan
from planner.plan.states import DateState, RunState, StepState
from worker.ledger.connection import now, script
from worker.ledger.orders import PLAIN, Orders
from worker.ledger.record import RunRecord, StepRecord, run_record, step_record

PREFIX = "backfill"
KEEP_SECONDS = 30 * 86_400  # ended runs can be reported on for a month

_RUN_ID = re.compile(RUN_ID)


class StillHeld(Exception):
    """Another run took some of the plan's dates since the plan was made."""

    def __init__(self, held: Mapping[tuple[str, date], str]) -> None:
        super().__init__(f"{len(held)} dates are held by other runs")
        self.held = held


@dataclass(frozen=True, kw_only=True)
class Started:
    """A step may run."""

    crashes: int
    """Attempts so far that never came to an end."""
    checkpoint: dict[str, Any]
    """What the runner wrote down when it parked the step."""


class Ledger:
    """Reads and writes the ledger through one Redis client."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def now(self) -> float:
        """Seconds since the epoch, by Redis's clock: a worker's own may be wrong."""
        return now(self.client)

    # -- runs --------------------------------------------------------------------------------

    def register(self, run_id: str, plan: Plan, orders: Orders = PLAIN) -> None:
        """Write a run down as `incomplete`, and hold its dates. Raises `StillHeld`."""
        header = {
            "plan_id": plan.plan_id,
            "pipeline": plan.pipeline,
            "pipeline_checksum": plan.pipeline_checksum,
            "warehouse": plan.warehouse,
            "reason": plan.reason,
            "steps_total": str(plan.steps_total),
            "force_service": str(int(orders.force_service)),
            "state": RunState.INCOMPLETE,
        }
        dates = [_field(step.phase, day) for _, step in plan.steps() for day in step.dates]
        answer = self._script("register")(
            keys=[
                f"{PREFIX}:runs",
                _held(plan.pipeline),
                _run(run_id),
                _run(run_id, "plan"),
                _run(run_id, "steps"),
                _run(run_id, "dates"),
            ],
            args=[
                run_id,
                json.dumps(header),
                plan.model_dump_json(),
                json.dumps([step for step, _ in plan.steps()]),
                json.dumps(dates),
                _text(orders.deadline_seconds),
            ],
        )
        if answer:
            pairs = zip(answer[::2], answer[1::2], strict=True)
            raise StillHeld({_parse_field(key): run for key, run in pairs})

    def move(self, run_id: str, to: RunState, allowed: Iterable[RunState]) -> str:
        """Move a run that is in one of the allowed states; the state it is in afterwards."""
        return str(self._script("move")(keys=[_run(run_id)], args=[to, *allowed]))

    def force_service(self, run_id: str) -> None:
        """From now on services may end what they do for others, for this run."""
        self.client.hset(_run(run_id), "force_service", "1")

    def reopen(
        self,
        run_id: str,
        dates: Iterable[tuple[str, date]],
        steps: Iterable[str],
        orders: Orders = PLAIN,
    ) -> None:
        """Take up dates of an ended run again, as `incomplete`. Raises `StillHeld`."""
        step_ids = list(steps)
        run = self.require(run_id)
        answer = self._script("reopen")(
            keys=[
                _run(run_id),
                _held(run.pipeline),
                _run(run_id, "steps"),
                _run(run_id, "dates"),
                *(_step_key(run_id, step_id) for step_id in step_ids),
            ],
            args=[
                run_id,
                json.dumps([_field(*pair) for pair in dates]),
                json.dumps(step_ids),
                str(int(orders.force_service)),
                _text(orders.deadline_seconds),
            ],
        )
        if len(answer) == 1:
            raise UsageError(f"{run_id} is {answer[0]}: only an ended run can be tried again.")
        if answer:
            pairs = zip(answer[::2], answer[1::2], strict=True)
            raise StillHeld({_parse_field(key): holder for key, holder in pairs})
        for key in self.client.scan_iter(f"{_run(run_id)}*", count=1000):
            self.client.persist(key)

    def conclude(
        self,
        run_id: str,
        state: RunState,
        fields: Mapping[str, str],
        *,
        report: str,
        endings: int,
    ) -> bool:
        """End a run with its report, once. Its dates are free again.

        False when it had ended, or goes on: `endings` are those before what the report is about,
        so that one of an earlier round does not end a retry.
        """
        pipeline = self.client.hget(_run(run_id), "pipeline") or ""
        ended = self._script("conclude")(
            keys=[
                _run(run_id),
                _held(str(pipeline)),
                _run(run_id, "dates"),
                _run(run_id, "report"),
                _run(run_id, "steps"),
            ],
            args=[run_id, state, json.dumps(dict(fields)), report, str(endings)],
        )
        if ended:
            for key in self.client.scan_iter(f"{_run(run_id)}*", count=1000):
                self.client.expire(key, KEEP_SECONDS)
        return bool(ended)

    def run(self, run_id: str) -> RunRecord | None:
        """A run, or None when Redis has not heard of it (or has forgotten).

        One whose deadline has passed is `cancelling`.
        """
        if not isinstance(run_id, str) or _RUN_ID.fullmatch(run_id) is None:
            return None  # from a message, or from Redis: it would be part of paths
        answer = self._script("look")(keys=[_run(run_id)])
        found = dict(zip(answer[::2], answer[1::2], strict=True))
        return run_record(run_id, found) if found else None

    def require(self, run_id: str) -> RunRecord:
        """A run. Raises `UsageError` when there is none."""
        run = self.run(run_id)
        if run is None:
            raise UsageError(f"There is no run {run_id!r}: `planner runs` lists them.")
        return run

    def runs(self) -> list[RunRecord]:
        """Every run that is remembered, newest first."""
        ids = [str(run_id) for run_id in self.client.zrevrange(f"{PREFIX}:runs", 0, -1)]
        records = {run_id: self.run(run_id) for run_id in ids}
        forgotten = [run_id for run_id, record in records.items() if record is None]
        if forgotten:
            self.client.zrem(f"{PREFIX}:runs", *forgotten)
        return [record for record in records.values() if record is not None]

    def plan(self, run_id: str) -> Plan | None:
        """The plan of a run."""
        text = self.client.get(_run(run_id, "plan"))
        return None if text is None else parse_plan(json.loads(text), where=f"the plan of {run_id}")

    def held(self, pipeline: str) -> dict[tuple[str, date], str]:
        """Phase and date → the run that is repairing it."""
        found = self._hash(_held(pipeline))
        return {_parse_field(key): run_id for key, run_id in found.items()}

    # -- steps -------------------------------------------------------------------------------

    def step_state(self, run_id: str, step_id: str) -> StepState | None:
        """The state of a step; None when it is forgotten."""
        state = self.client.hget(_run(run_id, "steps"), step_id)
        return None if state is None else StepState(str(state))

    def step(self, run_id: str, step_id: str) -> StepRecord:
        """All that is known of a step."""
        state = self.step_state(run_id, step_id) or StepState.PENDING
        return step_record(step_id, state, self._hash(_step_key(run_id, step_id)))

    def steps(self, run_id: str) -> dict[str, StepState]:
        """Step id → state, for the whole run."""
        found = self._hash(_run(run_id, "steps"))
        return {step_id: StepState(state) for step_id, state in found.items()}

    def step_records(self, run_id: str, step_ids: Iterable[str]) -> list[StepRecord]:
        """All that is known of some steps, in one round trip."""
        states = self.steps(run_id)
        wanted = [step_id for step_id in step_ids if step_id in states]
        pipe = self.client.pipeline(transaction=False)
        for step_id in wanted:
            pipe.hgetall(_step_key(run_id, step_id))
        return [
            step_record(step_id, states[step_id], found)
            for step_id, found in zip(wanted, pipe.execute(), strict=True)
        ]

    def problems(self, run_id: str, step_id: str) -> dict[date, str]:
        """The dates of a settled step that are not done, each with what is wrong."""
        text = self.client.hget(_step_key(run_id, step_id), "problems")
        found = json.loads(text) if text else {}
        return {date.fromisoformat(day): str(why) for day, why in found.items()}

    def dates(
        self, run_id: str, wanted: Iterable[tuple[str, date]]
    ) -> dict[tuple[str, date], DateState]:
        """The states of some phases and dates; those that are not in the run are absent."""
        pairs = list(wanted)
        if not pairs:
            return {}
        found = self.client.hmget(_run(run_id, "dates"), [_field(*pair) for pair in pairs])
        return {
            pair: DateState(str(state))
            for pair, state in zip(pairs, found, strict=True)
            if state is not None
        }

    def all_dates(self, run_id: str) -> dict[tuple[str, date], DateState]:
        """Phase and date → state, for the whole run."""
        found = self._hash(_run(run_id, "dates"))
        return {_parse_field(key): DateState(state) for key, state in found.items()}

    def start(
        self, run_id: str, step_id: str, *, token: str, worker: str, parked: str = ""
    ) -> Started | str:
        """Begin an attempt; else the state (of the run or the step) that forbids it."""
        answer = self._script("start")(
            keys=[_run(run_id), _run(run_id, "steps"), _step_key(run_id, step_id)],
            args=[step_id, token, worker, parked],
        )
        if answer[0] != "go":
            return str(answer[0])
        return Started(crashes=int(answer[1]), checkpoint=json.loads(answer[2]))

    def transition(
        self,
        run_id: str,
        step_id: str,
        *,
        token: str,
        state: StepState,
        fields: Mapping[str, str] | None = None,
        dates: Mapping[tuple[str, date], DateState] | None = None,
        with_steps: Mapping[str, StepState] | None = None,
    ) -> bool:
        """End an attempt; False when the step is not ours any more.

        `token` is empty for a step that ends without having started.
        """
        answer = self._script("transition")(
            keys=[_run(run_id, "steps"), _run(run_id, "dates"), _step_key(run_id, step_id)],
            args=[
                step_id,
                token,
                state,
                json.dumps(dict(fields or {})),
                json.dumps({_field(*pair): to for pair, to in (dates or {}).items()}),
                json.dumps(dict(with_steps or {})),
            ],
        )
        return bool(answer)

    def note_checkpoint(
        self, run_id: str, step_id: str, checkpoint: Mapping[str, Any], *, token: str
    ) -> bool:
        """Write down what a running step has to know; False when it is not ours any more."""
        fields = {"checkpoint": json.dumps(checkpoint)}
        return self.transition(run_id, step_id, token=token, state=StepState.RUNNING, fields=fields)

    def note_wait(self, run_id: str, step_id: str, what: str) -> int:
        """Count that a step waits once more, and for what; how often in a row by now."""
        key = _step_key(run_id, step_id)
        pipe = self.client.pipeline(transaction=False)
        pipe.hincrby(key, "waits", 1)
        pipe.hset(key, "waiting", what)
        return int(pipe.execute()[0])

    def note_config_mismatch(self, run_id: str, step_id: str) -> int:
        """Count that a worker with another pipeline file came by; how often in a row by now."""
        return int(self.client.hincrby(_step_key(run_id, step_id), "misfits", 1))

    def note_config_match(self, run_id: str, step_id: str) -> None:
        """A worker with the plan's pipeline file came by: there is one."""
        self.client.hdel(_step_key(run_id, step_id), "misfits")

    def note_end_waits(self, run_id: str, what: str, *, misfit: bool = False) -> int:
        """Write down what a run's end waits for; how many misfits in a row came to end it."""
        pipe = self.client.pipeline(transaction=False)
        pipe.hset(_run(run_id), "note", what)
        if misfit:
            pipe.hincrby(_run(run_id), "misfits", 1)
        else:
            pipe.hset(_run(run_id), "misfits", 0)
        answers = pipe.execute()
        return int(answers[1]) if misfit else 0

    def note_published(self, run_id: str, day: date) -> None:
        """Write down that a date was published."""
        self.client.sadd(_run(run_id, "published"), day.isoformat())

    def published(self, run_id: str) -> set[date]:
        """The dates that a run has published so far."""
        found = cast("set[str]", self.client.smembers(_run(run_id, "published")))
        return {date.fromisoformat(day) for day in found}

    # -- the report --------------------------------------------------------------------------

    def report(self, run_id: str) -> str | None:
        """A run's report, JSON; None before the run has ended."""
        found = self.client.get(_run(run_id, "report"))
        return None if found is None else str(found)

    def _hash(self, key: str) -> dict[str, str]:
        return cast("dict[str, str]", self.client.hgetall(key))  # decode_responses

    def _script(self, name: str) -> Callable[..., Any]:
        return script(self.client, name)


def _run(run_id: str, part: str = "") -> str:
    return f"{PREFIX}:run:{run_id}:{part}" if part else f"{PREFIX}:run:{run_id}"


def _step_key(run_id: str, step_id: str) -> str:
    return f"{PREFIX}:run:{run_id}:step:{step_id}"


def _held(pipeline: str) -> str:
    return f"{PREFIX}:held:{pipeline}"


def _field(phase: str, day: date) -> str:
    return f"{phase}|{day}"


def _parse_field(text: str) -> tuple[str, date]:
    phase, _, day = text.partition("|")
    return phase, date.fromisoformat(day)


def _text(number: int | None) -> str:
    return "" if number is None else str(number)
