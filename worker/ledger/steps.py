"""The ledger of steps and their dates: started, parked, requeued and settled."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from planner.plan.states import DateState, StepState
from worker.ledger.awaited import wake_for_dates
from worker.ledger.connection import Connected, script
from worker.ledger.keys import date_field, parse_date_field, run_key, step_key
from worker.ledger.lease import OWNERS, Lease
from worker.ledger.record import MISMATCHES, StepRecord, reading, step_record
from worker.ledger.together import Together


@dataclass(frozen=True, kw_only=True)
class Started:
    """An attempt at a step may begin."""

    crashes: int
    """Attempts so far that were taken over: their worker died, or their lease expired."""
    failures: int
    """Attempts so far that failed."""
    checkpoint: dict[str, Any]
    """What the attempt before wrote down."""
    dates: dict[date, DateState]
    """The step's dates that were asked for, as they stand: no other attempt can move them now."""
    problems: dict[date, str]
    """Its dates that are not done, each with what is wrong, by earlier attempts."""
    remarks: dict[date, str]
    """What earlier attempts said of its dates that are done."""
    counts: dict[date, tuple[int, int]]
    """Entities that were due, and that were there, at the last recount of its dates."""


class StepLedger(Connected):
    """Reads and writes steps and dates."""

    def step_state(self, run_id: str, step_id: str) -> StepState | None:
        """The state of a step; None when Redis does not hold it."""
        with reading(run_id):
            state = self.client.hget(run_key(run_id, "steps"), step_id)
            return None if state is None else StepState(str(state))

    def step(self, run_id: str, step_id: str) -> StepRecord:
        """All that is known of a step."""
        state = self.step_state(run_id, step_id) or StepState.PENDING
        with reading(f"{step_id} of {run_id}"):
            return step_record(step_id, state, self._hash(step_key(run_id, step_id)))

    def states(self, run_id: str, step_ids: Sequence[str]) -> dict[str, StepState]:
        """Step id → state, for some steps; those that are not in the run are absent."""
        if not step_ids:
            return {}
        found = self.client.hmget(run_key(run_id, "steps"), step_ids)
        return {
            step_id: StepState(str(state))
            for step_id, state in zip(step_ids, found, strict=True)
            if state is not None
        }

    def steps(self, run_id: str) -> dict[str, StepState]:
        """Step id → state, for the whole run."""
        with reading(run_id):
            found = self._hash(run_key(run_id, "steps"))
            return {step_id: StepState(state) for step_id, state in found.items()}

    def step_records(self, run_id: str, step_ids: Iterable[str] | None = None) -> list[StepRecord]:
        """All that is known of some steps, or of every step of the run, in two round trips."""
        states = self.steps(run_id)
        wanted = states if step_ids is None else [each for each in step_ids if each in states]
        return self.records_of(run_id, {each: states[each] for each in wanted})

    def records_of(self, run_id: str, states: Mapping[str, StepState]) -> list[StepRecord]:
        """All that is known of steps whose states were read, in one round trip."""
        pipe = self.client.pipeline(transaction=False)
        for step_id in states:
            pipe.hgetall(step_key(run_id, step_id))
        with reading(f"the steps of {run_id}"):
            return [
                step_record(step_id, state, found)
                for (step_id, state), found in zip(states.items(), pipe.execute(), strict=True)
            ]

    def told(self, run_id: str, step_ids: Sequence[str], name: str) -> dict[str, dict[date, Any]]:
        """Step id → what its field `problems`, `remarks` or `counts` says of its dates, of some
        steps in one round trip."""
        pipe = self.client.pipeline(transaction=False)
        for step_id in step_ids:
            pipe.hget(step_key(run_id, step_id), name)
        with reading(f"the steps of {run_id}"):
            found = zip(step_ids, pipe.execute(), strict=True)
            return {step_id: _dated(text) for step_id, text in found}

    def problems(self, run_id: str, step_id: str) -> dict[date, str]:
        """The dates of a settled step that are not done, each with what is wrong."""
        return self.told(run_id, [step_id], "problems")[step_id]

    def flaws(self, run_id: str, step_id: str) -> dict[str, dict[str, int]]:
        """Date (ISO) → the flaws that it had before the run wrote it for the first time."""
        text = self.client.hget(step_key(run_id, step_id), "flaws")
        return json.loads(text) if text else {}

    def keep_flaws(
        self, run_id: str, step_id: str, flaws: Mapping[str, Mapping[str, int]]
    ) -> dict[str, dict[str, int]]:
        """Keep the flaws of dates of which none are kept; those that are, with these. A retry
        of the run leaves them."""
        kept = {day: dict(found) for day, found in flaws.items()} | self.flaws(run_id, step_id)
        self.client.hset(step_key(run_id, step_id), "flaws", json.dumps(kept))
        return kept

    def dates(
        self, run_id: str, wanted: Iterable[tuple[str, date]]
    ) -> dict[tuple[str, date], DateState]:
        """The states of some phases and dates; those that are not in the run are absent."""
        pairs = list(wanted)
        if not pairs:
            return {}
        fields = [date_field(*pair) for pair in pairs]
        with reading(run_id):
            found = self.client.hmget(run_key(run_id, "dates"), fields)
            return {
                pair: DateState(str(state))
                for pair, state in zip(pairs, found, strict=True)
                if state is not None
            }

    def all_dates(self, run_id: str) -> dict[tuple[str, date], DateState]:
        """Phase and date → state, for the whole run."""
        with reading(run_id):
            found = self._hash(run_key(run_id, "dates"))
            return {parse_date_field(key): DateState(state) for key, state in found.items()}

    def start(
        self,
        run_id: str,
        step_id: str,
        *,
        token: str,
        worker: str,
        parked: str = "",
        dates: Sequence[tuple[str, date]] = (),
        lease: Lease | None = None,
    ) -> Started | str | None:
        """Begin an attempt; else the state (of the run or the step) that forbids it.

        `lease` is acquired in the same round trip; None when it cannot be had. Without one, the
        caller holds it.
        """
        keys = [run_key(run_id), run_key(run_id, "steps"), step_key(run_id, step_id)]
        keys += [run_key(run_id, "dates"), *([OWNERS] if lease else [])]
        args = [step_id, token, worker, parked, *(date_field(*pair) for pair in dates)]

        def add(together: Together) -> None:
            together.script("start", keys=keys, args=args)

        if lease is None:
            answers: list[Any] | None = [script(self.client, "start")(keys=keys, args=args)]
        else:
            answers = lease.acquire_then(add, instead_of=[parked] if parked else [])
        if answers is None:
            return None
        (answer,) = answers
        with reading(f"{step_id} of {run_id}"):
            return str(answer[0]) if answer[0] != "go" else _started(dates, answer[1:])

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
        release: Lease | None = None,
    ) -> bool:
        """Settle a step, requeue it, or save its checkpoint; False when it was taken over.

        `token` is the fencing token, empty for a step that is settled without having started.
        `with_steps` are settled with it, where they are pending; `release` is given back with it.
        """
        together = Together(self.client)
        together.script(
            "transition",
            keys=[
                run_key(run_id, "steps"),
                run_key(run_id, "dates"),
                step_key(run_id, step_id),
            ],
            args=[
                step_id,
                token,
                state,
                json.dumps(dict(fields or {})),
                json.dumps({date_field(*pair): to for pair, to in (dates or {}).items()}),
                json.dumps(dict(with_steps or {})),
            ],
        )
        wake_for_dates(together, run_id, (dates or {}).items())
        answers = together.send() if release is None else release.release_with(together)
        return bool(answers[0])

    def note_checkpoint(
        self, run_id: str, step_id: str, checkpoint: Mapping[str, Any], *, token: str
    ) -> bool:
        """Save a running step's checkpoint; False when the step was taken over."""
        fields = {"checkpoint": json.dumps(checkpoint)}
        return self.transition(run_id, step_id, token=token, state=StepState.RUNNING, fields=fields)

    def note_wait(self, run_id: str, step_id: str, what: str) -> int:
        """Count one more wait of a step, and write down for what; waits in a row by now."""
        return int(script(self.client, "wait")(keys=[step_key(run_id, step_id)], args=[what]))

    def note_hang(self, run_id: str, step_id: str, told: str) -> None:
        """Write down that the process hangs that runs a step, or ends a run (no step); '' when it
        goes on. The next attempt at the step wipes it."""
        if step_id:
            self.client.hset(step_key(run_id, step_id), "hangs", told)
        else:
            self.client.hset(run_key(run_id), "note", told)

    def note_config_mismatch(self, run_id: str, step_id: str) -> int:
        """Count a delivery to a worker with another pipeline file; how many in a row by now."""
        return int(self.client.hincrby(step_key(run_id, step_id), MISMATCHES, 1))

    def note_config_match(self, run_id: str, step_id: str) -> None:
        """Start that count anew: a worker with the plan's pipeline file received the step."""
        self.client.hdel(step_key(run_id, step_id), MISMATCHES)


def _started(dates: Sequence[tuple[str, date]], answer: Sequence[str]) -> Started:
    """What `start.lua` tells: the states of some dates, then every field of the step."""
    states, rest = answer[: len(dates)], answer[len(dates) :]
    fields = dict(zip(rest[::2], rest[1::2], strict=True))
    # Bridge: steps that were parked before 0.2 have their checkpoint under `memory`.
    checkpoint = fields.get("checkpoint") or fields.get("memory") or "{}"
    return Started(
        crashes=int(fields.get("crashes") or 0),
        failures=int(fields.get("failures") or 0),
        checkpoint=json.loads(checkpoint),
        dates={day: DateState(at) for (_, day), at in zip(dates, states, strict=True) if at},
        problems=_dated(fields.get("problems")),
        remarks=_dated(fields.get("remarks")),
        counts=_counts(_dated(fields.get("counts"))),
    )


def _dated(text: str | None) -> dict[date, Any]:
    """What a field of a step says of each of some dates."""
    found = json.loads(text) if text else {}
    return {date.fromisoformat(day): value for day, value in found.items()}


def _counts(found: Mapping[date, Sequence[int]]) -> dict[date, tuple[int, int]]:
    return {day: (due, there) for day, (due, there) in found.items()}
