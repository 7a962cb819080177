"""Whose run a free slot serves next: lanes take turns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from planner.plan.states import Priority
from worker.messages.lanes import LANES, Turns, lane_for, list_of

QUEUES = ["final", "late", "early"]
NORMAL, HIGH, LOW = (LANES[each][0] for each in (Priority.NORMAL, Priority.HIGH, Priority.LOW))
SECOND = LANES[Priority.NORMAL][1]


def served(turns: Turns, ready: Mapping[tuple[str, int], int]) -> Iterator[tuple[str, int]]:
    """What a slot takes, one after the other: (queue, lane) → how many messages are there."""
    left = Counter({list_of(*place): count for place, count in ready.items()})
    places = {list_of(*place): place for place in ready}
    while any(left.values()):
        first = next(name for name in turns.lists(QUEUES) if left[name])
        left[first] -= 1
        queue, lane = places[first]
        turns.took(queue, lane)
        yield places[first]


def test_a_run_of_one_step_is_next() -> None:
    turns = Turns({"final"})
    steps = served(turns, {("late", NORMAL): 200, ("early", SECOND): 1})

    assert [lane for _, lane in (next(steps), next(steps))] == [NORMAL, SECOND]


def test_a_run_alone_is_served_by_the_priority_of_its_phases() -> None:
    ready = {("early", NORMAL): 2, ("late", NORMAL): 2}

    assert [queue for queue, _ in served(Turns(), ready)] == ["late", "late", "early", "early"]


def test_priorities_have_their_turns_and_none_starves() -> None:
    ready = {("late", HIGH): 400, ("early", NORMAL): 400, ("early", LOW): 400}
    taken = Counter(lane for (_, lane), _ in zip(served(Turns(), ready), range(70), strict=False))

    assert taken == {HIGH: 40, NORMAL: 20, LOW: 10}


def test_short_visits_come_first_and_cost_no_turn() -> None:
    turns = Turns({"final"})
    ready = {("late", NORMAL): 1, ("late", SECOND): 1, ("final", LOW): 1, ("final", SECOND): 1}

    assert list(served(turns, ready))[:2] == [("final", SECOND), ("final", LOW)]


def test_runs_share_a_lane_when_there_are_more_of_them() -> None:
    steps: Counter[int] = Counter()
    lanes = []
    for run in (1000, 10, 500, 20, 30, 1, 1):
        lane = lane_for(Priority.NORMAL, steps)
        steps[lane] += run
        lanes.append(lane)

    assert sorted(lanes[:5]) == sorted(LANES[Priority.NORMAL])
    assert {lanes[5], lanes[6]} == {lanes[1]}
    assert lane_for(Priority.HIGH, steps) == HIGH
