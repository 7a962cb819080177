"""What a waiting step waits for, as Redis can see it, and how its end wakes the step.

A step that waits registers at one key: the state of a phase and date upstream, or the holders of a
resource. Registering looks once more, in the same script that delays the step's message, so that
nothing that ends in between is missed. What ends wakes its waiters: their messages enter their
queues at once. The delay is the fallback for a holder that died, and so wakes no step.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING

from planner.data import Data
from planner.plan.states import DateState, RunState
from worker.ledger.keys import PREFIX, date_field, run_key

if TYPE_CHECKING:
    from worker.ledger.together import Together

EVERY = 1_000_000  # of the waiters


class Awaited(Data):
    """A key of Redis, and what keeps a step waiting for it."""

    key: str
    field: str = ""
    """Of a hash: waited for as long as it is `value`."""
    value: str = DateState.PENDING
    capacity: int = 0
    """Of a sorted set of holders: waited for as long as there are so many."""
    waits: str
    """The step that waits: the key of its run's delayed messages, and its id."""

    @property
    def waiters(self) -> str:
        """The sorted set of the steps that wait for it → since when."""
        return _waiters(self.key, self.field)


def awaited_date(run_id: str, step_id: str, upstream: tuple[str, date]) -> Awaited:
    """A step waits until a phase and date upstream has settled."""
    key = run_key(run_id, "dates")
    return Awaited(key=key, field=date_field(*upstream), waits=_waits(run_id, step_id))


def awaited_run(run_id: str, step_id: str) -> Awaited:
    """A step waits until its run is resumed."""
    return Awaited(
        key=run_key(run_id), field="state", value=RunState.PAUSED, waits=_waits(run_id, step_id)
    )


def awaited_resource(run_id: str, step_id: str, key: str, capacity: int) -> Awaited:
    """A step of a run waits until a resource has fewer holders than it may have."""
    return Awaited(key=key, capacity=capacity, waits=_waits(run_id, step_id))


def wake_for_dates(
    together: Together, run_id: str, dates: Iterable[tuple[tuple[str, date], DateState]]
) -> None:
    """Wake every step that waits for a phase and date that has settled."""
    key = run_key(run_id, "dates")
    ended = [_waiters(key, date_field(*at)) for at, to in dates if to is not DateState.PENDING]
    if ended:
        together.script("wake", keys=ended, args=[EVERY])


def wake_for_run(together: Together, run_id: str) -> None:
    """Wake every step that waits until its run is resumed."""
    together.script("wake", keys=[_waiters(run_key(run_id), "state")], args=[EVERY])


def wake_for_resources(together: Together, keys: Iterable[str]) -> None:
    """Wake the step that has waited longest for each of some resources that are given back."""
    together.script("wake", keys=[_waiters(key) for key in keys], args=[1])


def _waiters(key: str, field: str = "") -> str:
    return f"{PREFIX}:waiters:{key.removeprefix(f'{PREFIX}:')}:{field}"


def _waits(run_id: str, step_id: str) -> str:
    return f"{run_key(run_id, 'delayed')}\n{step_id}"
