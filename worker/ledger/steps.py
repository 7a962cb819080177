"""The ledger of steps and their dates: started, parked, requeued and settled."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from planner.plan.states import DateState, StepState
from worker.ledger.connection import Connected, script
from worker.ledger.keys import date_field, parse_date_field, run_key, step_key
from worker.ledger.record import MISMATCHES, StepRecord, step_record


@dataclass(frozen=True, kw_only=True)
class Started:
    """An attempt at a step may begin."""

    crashes: int
    """Attempts so far that were taken over: their worker died, or their lease expired."""
    checkpoint: dict[str, Any]
    """What the attempt before wrote down."""


class StepLedger(Connected):
    """Reads and writes steps and dates."""

    def step_state(self, run_id: str, step_id: str) -> StepState | None:
        """The state of a step; None when Redis does not hold it."""
        state = self.client.hget(run_key(run_id, "steps"), step_id)
        return None if state is None else StepState(str(state))

    def step(self, run_id: str, step_id: str) -> StepRecord:
        """All that is known of a step."""
        state = self.step_state(run_id, step_id) or StepState.PENDING
        return step_record(step_id, state, self._hash(step_key(run_id, step_id)))

    def steps(self, run_id: str) -> dict[str, StepState]:
        """Step id → state, for the whole run."""
        found = self._hash(run_key(run_id, "steps"))
        return {step_id: StepState(state) for step_id, state in found.items()}

    def step_records(self, run_id: str, step_ids: Iterable[str]) -> list[StepRecord]:
        """All that is known of some steps, in one round trip."""
        states = self.steps(run_id)
        wanted = [step_id for step_id in step_ids if step_id in states]
        pipe = self.client.pipeline(transaction=False)
        for step_id in wanted:
            pipe.hgetall(step_key(run_id, step_id))
        return [
            step_record(step_id, states[step_id], found)
            for step_id, found in zip(wanted, pipe.execute(), strict=True)
        ]

    def problems(self, run_id: str, step_id: str) -> dict[date, str]:
        """The dates of a settled step that are not done, each with what is wrong."""
        return self._by_date(run_id, step_id, "problems")

    def remarks(self, run_id: str, step_id: str) -> dict[date, str]:
        """What to know of dates of a step that are done."""
        return self._by_date(run_id, step_id, "remarks")

    def counts(self, run_id: str, step_id: str) -> dict[date, tuple[int, int]]:
        """Entities that were due, and that were there, at the last recount of a step's dates."""
        found = self._by_date(run_id, step_id, "counts")
        return {day: (due, there) for day, (due, there) in found.items()}

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
        found = self.client.hmget(run_key(run_id, "dates"), [date_field(*pair) for pair in pairs])
        return {
            pair: DateState(str(state))
            for pair, state in zip(pairs, found, strict=True)
            if state is not None
        }

    def all_dates(self, run_id: str) -> dict[tuple[str, date], DateState]:
        """Phase and date → state, for the whole run."""
        found = self._hash(run_key(run_id, "dates"))
        return {parse_date_field(key): DateState(state) for key, state in found.items()}

    def start(
        self, run_id: str, step_id: str, *, token: str, worker: str, parked: str = ""
    ) -> Started | str:
        """Begin an attempt; else the state (of the run or the step) that forbids it."""
        answer = script(self.client, "start")(
            keys=[run_key(run_id), run_key(run_id, "steps"), step_key(run_id, step_id)],
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
        """Settle a step, requeue it, or save its checkpoint; False when it was taken over.

        `token` is the fencing token, empty for a step that is settled without having started.
        `with_steps` are settled with it, where they are pending.
        """
        answer = script(self.client, "transition")(
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
        return bool(answer)

    def note_checkpoint(
        self, run_id: str, step_id: str, checkpoint: Mapping[str, Any], *, token: str
    ) -> bool:
        """Save a running step's checkpoint; False when the step was taken over."""
        fields = {"checkpoint": json.dumps(checkpoint)}
        return self.transition(run_id, step_id, token=token, state=StepState.RUNNING, fields=fields)

    def note_wait(self, run_id: str, step_id: str, what: str) -> int:
        """Count one more wait of a step, and write down for what; waits in a row by now."""
        return int(script(self.client, "wait")(keys=[step_key(run_id, step_id)], args=[what]))

    def note_config_mismatch(self, run_id: str, step_id: str) -> int:
        """Count a delivery to a worker with another pipeline file; how many in a row by now."""
        return int(self.client.hincrby(step_key(run_id, step_id), MISMATCHES, 1))

    def note_config_match(self, run_id: str, step_id: str) -> None:
        """Start that count anew: a worker with the plan's pipeline file received the step."""
        self.client.hdel(step_key(run_id, step_id), MISMATCHES)

    def _by_date(self, run_id: str, step_id: str, name: str) -> dict[date, Any]:
        """A field of a step that says something of each of some dates."""
        text = self.client.hget(step_key(run_id, step_id), name)
        found = json.loads(text) if text else {}
        return {date.fromisoformat(day): value for day, value in found.items()}
