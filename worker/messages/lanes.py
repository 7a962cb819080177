"""Which run a free slot serves next: every run has a lane, and lanes take turns.

A lane is a list per queue (kombu's priority steps, which are no ranks here). Each worker goes
round the lanes, so that a run of one step does not stand behind one of thousands, and within a lane
it looks at queues by priority, as ever. Where more runs go on than there are lanes, those of the
fewest steps share one. A run's priority decides how many turns its lane has; none is passed over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextvars import ContextVar
from itertools import cycle
from time import monotonic
from typing import Any

import kombu.transport.redis as kombu_redis

from planner.plan.states import Priority

LANES: Mapping[Priority, tuple[int, ...]] = {
    Priority.NORMAL: (0, 1, 2, 3, 4),  # 0 is where messages are that name no lane
    Priority.HIGH: (5, 6, 7),
    Priority.LOW: (8, 9),
}
TURNS = (
    *(Priority.HIGH, Priority.NORMAL, Priority.HIGH, Priority.LOW),
    *(Priority.HIGH, Priority.NORMAL, Priority.HIGH),
)
"""Whose turn it is to be looked at first: four of seven, two and one."""
ALL = tuple(sorted(lane for lanes in LANES.values() for lane in lanes))


_of_task: ContextVar[int | None] = ContextVar("lane_of_task", default=None)


def follow(lane: int | None) -> None:
    """Send what the task of this process sends, until it has ended, to its run's lane as it is now:
    its own message may be older than the priority that the run was given since."""
    _of_task.set(lane)


def followed() -> int | None:
    """The lane of the run whose task runs in this process; None without one."""
    return _of_task.get()


def list_of(queue: str, lane: int) -> str:
    """The list of a queue's messages in a lane, as kombu names it."""
    return f"{queue}{kombu_redis.Channel.sep}{lane}" if lane else queue


def lists_of(queues: Iterable[str]) -> list[str]:
    """Every list of some queues."""
    return [list_of(queue, lane) for queue in queues for lane in ALL]


def lane_for(priority: Priority, steps: Mapping[int, int]) -> int:
    """The lane of a new run: the one in which runs that go on have the fewest steps."""
    return min(LANES[priority], key=lambda lane: (steps.get(lane, 0), lane))


class Turns:
    """One worker's round robin over the lanes."""

    def __init__(self, leading: Collection[str] = ()) -> None:
        self._leading = frozenset(leading)
        self._turns = cycle(TURNS)
        self._first = next(self._turns)
        self._lanes = {priority: list(lanes) for priority, lanes in LANES.items()}

    def lead(self, queues: Collection[str]) -> None:
        """From now on messages of these queues are short visits: a pipeline file may come later."""
        self._leading = frozenset(queues)

    def lists(self, queues: Sequence[str]) -> list[str]:
        """The lists of some queues, in the order in which a free slot looks at them now.

        Queues whose messages are short visits come first, of whichever run.
        """
        order = (self._first, *(each for each in Priority if each is not self._first))
        lanes = [lane for priority in order for lane in self._lanes[priority]]
        leading = [queue for queue in queues if queue in self._leading]
        others = [queue for queue in queues if queue not in self._leading]
        return [
            *(list_of(queue, lane) for queue in leading for lane in lanes),
            *(list_of(queue, lane) for lane in lanes for queue in others),
        ]

    def took(self, queue: str, lane: Any) -> None:
        """A message was taken: its lane comes last of its kind, and the turn goes on."""
        if queue in self._leading:
            return
        self._first = next(self._turns)
        for lanes in self._lanes.values():
            if lane in lanes:
                at = lanes.index(lane) + 1
                lanes[:] = [*lanes[at:], *lanes[:at]]


turns = Turns()
"""Of this process."""


def install(leading: Collection[str]) -> None:
    """Let the workers of this process serve the lanes in turn (round robin)."""
    global turns
    turns = Turns(leading)
    kombu_redis.Channel._brpop_start = _start  # type: ignore[method-assign]


def _start(channel: Any, timeout: float | None = None) -> None:
    """Wait for the next message: kombu's own does it in the same order for ever."""
    queues = channel._queue_cycle.consume(len(channel.active_queues))
    if not queues:
        return
    seconds = channel.brpop_timeout if timeout is None else timeout
    command = ["BRPOP", *turns.lists(queues), seconds or 0]
    if channel.global_keyprefix:
        command = channel.client._prefix_args(command)
    channel._in_poll = channel.client.connection
    channel._brpop_sent_at = monotonic()
    channel.client.connection.send_command(*command)
