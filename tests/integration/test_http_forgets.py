"""A service that forgets a batch which was started: gone is not ended, its workers may write on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import redis

from planner.gaps.gaps import GapReason
from planner.plan.states import StepState
from planner.settings import Settings
from sql import WarehouseUnreachable
from tests.integration.bench import DAYS, TABLES, Bench
from tests.integration.service import Answer, Call, Service, served
from tests.integration.test_http_runner import (
    COMPLETE,
    NO_BATCH,
    RUNNING,
    STARTED,
    fills,
    in_turn,
    of_batch,
    runner,
    say,
)
from tests.integration.visits import RUN, Visits
from worker.runners import Park
from worker.step.ended import Ended

STALL_SECONDS = 100.0
SOME = DAYS[:4]
FORGOTTEN: Answer = (404, {"status": "not_found"})
ANSWERS = [FORGOTTEN, (200, {"status": "not_found"}), NO_BATCH]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(place=tmp_path, timeout=10_000)


@pytest.fixture
def service() -> Iterator[Service]:
    """It starts every batch that it is asked for, writes nothing, and knows of none."""
    with served(Service(start=say(STARTED), status=of_batch(FORGOTTEN))) as service:
        yield service


class Looks:
    """An attempt whose every visit is made by another worker, at the time that the test says."""

    def __init__(self, bench: Bench, service: Service, **options: Any) -> None:
        self.bench, self.service, self.options = bench, service, options
        self.checkpoint: dict[str, Any] = {}

    def look(self, seconds: float = 0) -> Ended | Park:
        """Visit after so many seconds."""
        self.bench.now += seconds
        runners = runner(self.service.url, f"stall_seconds = {STALL_SECONDS}")
        outcome = self.bench.attempt(runners, **{**self.options, "checkpoint": self.checkpoint})
        assert isinstance(outcome, Ended | Park), outcome
        if isinstance(outcome, Park):
            self.checkpoint = json.loads(json.dumps(outcome.checkpoint))
        return outcome

    def goes_on(self, seconds: float = 0) -> None:
        assert isinstance(self.look(seconds), Park)

    def ends(self) -> Ended:
        """Visit at the times that the attempt asks for, until it has ended."""
        outcome = self.look()
        while isinstance(outcome, Park):
            outcome = self.look(outcome.seconds)
        return outcome

    @property
    def starts(self) -> int:
        return len(self.service.asked("/start"))


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.quick(0)
def test_a_batch_whose_workers_write_on_is_waited_for(
    bench: Bench, service: Service, answer: Answer
) -> None:
    # Given a service that restarted and forgot its batch, while its workers write on
    service.status = of_batch(answer)
    looks = Looks(bench, service, dates=SOME)
    looks.goes_on()

    # When every date takes nearly as long as the silence that is waited for
    for day in SOME[:-1]:
        bench.fill(TABLES[0], [day])
        looks.goes_on(0.9 * STALL_SECONDS)
        assert looks.starts == 1

    # Then the attempt ends with the last one
    bench.fill(TABLES[0], SOME[-1:])
    ended = looks.look(0.9 * STALL_SECONDS)
    assert isinstance(ended, Ended)
    assert (ended.done, ended.short, looks.starts) == (SOME, {}, 1)
    assert dict(ended.remarks) == {}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.quick(0)
def test_a_batch_that_is_silent_is_started_once_more_and_the_report_says_so(
    bench: Bench, service: Service, answer: Answer
) -> None:
    service.status = of_batch(answer)
    looks = Looks(bench, service)
    looks.goes_on()
    bench.fill(TABLES[0], DAYS[:2])
    looks.goes_on(1)  # forgotten
    looks.goes_on(0.9 * STALL_SECONDS)
    assert looks.starts == 1

    # When it was silent, and its tables stood still, for so long
    service.start = writes_what_lacks(bench)
    looks.goes_on(0.2 * STALL_SECONDS)
    service.status = of_batch(COMPLETE)
    ended = looks.ends()

    assert (ended.done, ended.short, looks.starts) == (DAYS, {}, 2)
    assert set(ended.remarks) == set(DAYS)
    assert set(ended.remarks.values()) == {
        "the service forgot batch b1: two batches may have written these dates"
    }


def writes_what_lacks(bench: Bench, answer: Answer = STARTED) -> Callable[[Call], Answer]:
    def start(call: Call) -> Answer:
        bench.fill(TABLES[0], [day for day in DAYS if day not in bench.days_of()])
        return answer

    return start


def test_rows_that_are_written_anew_are_a_movement_too(bench: Bench, service: Service) -> None:
    # Given dates that are complete, and have to be computed again
    bench.fill(TABLES[0], SOME)
    looks = Looks(bench, service, dates=SOME, reason=GapReason.CASCADE)
    looks.goes_on()

    # When the numbers stay the same, and the rows do not
    for day in SOME[:-1]:
        write_anew(bench, day)
        looks.goes_on(0.9 * STALL_SECONDS)
    write_anew(bench, SOME[-1])

    ended = looks.look(0.9 * STALL_SECONDS)
    assert isinstance(ended, Ended)
    assert (ended.done, looks.starts) == (SOME, 1)


def write_anew(bench: Bench, day: date) -> None:
    warehouse = bench.warehouse()
    warehouse.run(f"DELETE FROM {TABLES[0]} WHERE day = @day", {"day": day})
    warehouse.close()
    bench.fill(TABLES[0], [day])


def test_a_batch_that_is_known_again_goes_on_as_usual(bench: Bench, service: Service) -> None:
    # Given a service that knows a batch, forgets it, knows it again as it was, and forgets it
    looks = Looks(bench, service)
    looks.goes_on()
    service.status = of_batch(RUNNING)
    looks.goes_on(1)
    service.status = of_batch(FORGOTTEN)
    looks.goes_on(1)
    looks.goes_on(0.9 * STALL_SECONDS)
    service.status = of_batch(RUNNING)
    looks.goes_on(0.9 * STALL_SECONDS)
    service.status = of_batch(FORGOTTEN)
    looks.goes_on(0.9 * STALL_SECONDS)
    looks.goes_on(0.9 * STALL_SECONDS)
    assert looks.starts == 1

    # When it ends
    bench.fill(TABLES[0], DAYS)
    service.status = of_batch(COMPLETE)

    ended = looks.ends()
    assert (ended.done, dict(ended.remarks), looks.starts) == (DAYS, {}, 1)


def test_looks_that_are_lost_are_silence_too(bench: Bench, service: Service) -> None:
    """A service that restarts once more spends no retry."""
    looks = Looks(bench, service)
    looks.goes_on()
    looks.goes_on(1)
    service.status = say((0, ""))
    for _ in range(9):
        looks.goes_on(0.1 * STALL_SECONDS)
    assert looks.starts == 1

    bench.fill(TABLES[0], DAYS)

    ended = looks.ends()
    assert (ended.done, looks.starts) == (DAYS, 1)


def test_a_warehouse_that_does_not_answer_starts_no_second_batch(
    bench: Bench, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Looks(bench, service)
    looks.goes_on()
    looks.goes_on(1)

    # When no look tells how the tables stand
    with monkeypatch.context() as patch:
        patch.setattr("worker.step.progress.standing", unreachable)
        for _ in range(3):
            looks.goes_on(0.9 * STALL_SECONDS)

    # Then the silence begins with the first look that does
    looks.goes_on(0.9 * STALL_SECONDS)
    looks.goes_on(0.9 * STALL_SECONDS)
    assert looks.starts == 1


def unreachable(*ignored: Any, **options: Any) -> str:
    raise WarehouseUnreachable("it does not answer")


def test_the_visit_that_ends_the_silence_makes_the_second_start(
    bench: Bench, service: Service
) -> None:
    """A visit after it may come late, when the rows have moved or the batch is known again."""
    looks = Looks(bench, service)
    looks.goes_on()
    looks.goes_on(1)
    asked = len(service.calls)

    looks.goes_on(1.1 * STALL_SECONDS)

    made = [(call.path, bool(call.query)) for call in service.calls[asked:]]
    assert made == [("/status", True), ("/status", False), ("/start", False)]


def test_no_second_start_is_left_for_a_later_visit(bench: Bench, service: Service) -> None:
    # Given a silence that is over, and another batch that holds the service by then
    looks = Looks(bench, service)
    looks.goes_on()
    service.status = lambda call: FORGOTTEN if call.query else RUNNING
    looks.goes_on(1)
    looks.goes_on(1.1 * STALL_SECONDS)
    assert looks.starts == 1

    # When the forgotten batch writes on meanwhile
    bench.fill(TABLES[0], DAYS[:1])
    service.status = of_batch(FORGOTTEN)
    looks.goes_on(1)

    # Then its silence begins anew
    looks.goes_on(0.9 * STALL_SECONDS)
    assert looks.starts == 1


def test_another_batch_that_runs_after_the_silence_is_waited_for(
    bench: Bench, service: Service
) -> None:
    looks = Looks(bench, service)
    looks.goes_on()
    looks.goes_on(1)
    service.status = lambda call: FORGOTTEN if call.query else RUNNING
    looks.goes_on(1.1 * STALL_SECONDS)
    looks.goes_on(1)

    bench.fill(TABLES[0], DAYS)
    service.status = say(NO_BATCH)

    ended = looks.ends()
    assert (ended.done, dict(ended.remarks), looks.starts) == (DAYS, {}, 1)


@pytest.mark.slow
def test_a_second_batch_that_is_forgotten_ends_the_attempt_when_it_is_silent(
    bench: Bench, service: Service
) -> None:
    # Given a service that forgets every batch, and one date that a batch made
    service.start = in_turn_of_starts(bench)
    looks = Looks(bench, service)
    ended = looks.ends()

    # Then the attempt starts two batches, one silence apart, and waits for a second silence
    assert looks.starts == 2
    assert ended.done == DAYS[:1]
    assert set(ended.short) == set(DAYS[1:])
    assert "the service lost batch b1" in ended.short[DAYS[1]]

    # When the next attempt succeeds, then it still says what happened in this one
    service.start, service.status = fills(bench), of_batch(COMPLETE)
    again = Looks(bench, service, dates=DAYS[1:], number=2)
    again.checkpoint = json.loads(json.dumps(ended.checkpoint))
    last = again.ends()
    assert last.done == DAYS[1:]
    assert set(last.remarks) == set(DAYS[1:])
    assert "batches may have written these dates" in last.remarks[DAYS[1]]


def in_turn_of_starts(bench: Bench) -> Callable[[Call], Answer]:
    """The first writes nothing; the second, one date."""
    starts = iter([False, True])

    def start(call: Call) -> Answer:
        if next(starts):
            bench.fill(TABLES[0], DAYS[:1])
        return STARTED

    return start


def test_a_second_start_without_an_answer_is_told_too(bench: Bench, service: Service) -> None:
    service.start = in_turn(STARTED)
    looks = Looks(bench, service)
    looks.goes_on()
    looks.goes_on(1)
    looks.goes_on(0.9 * STALL_SECONDS)
    service.start = writes_what_lacks(bench, (0, ""))

    bench.now += 0.2 * STALL_SECONDS
    ended = looks.ends()

    assert (ended.done, looks.starts) == (DAYS, 2)
    assert "the service forgot batch b1" in ended.remarks[DAYS[0]]


def test_tables_that_move_for_ever_are_not_written_to_by_a_second_batch(
    bench: Bench, service: Service
) -> None:
    # Given another job that writes the dates all the time
    bench.timeout = 5 * STALL_SECONDS
    looks = Looks(bench, service)
    looks.goes_on()
    looks.goes_on(1)

    for _ in range(5):
        bench.append(TABLES[0], DAYS[0])
        looks.goes_on(0.9 * STALL_SECONDS)
    bench.append(TABLES[0], DAYS[0])
    ended = looks.look(0.9 * STALL_SECONDS)

    # Then the attempt ends with its time, and a person decides
    assert isinstance(ended, Ended)
    assert looks.starts == 1
    assert "still written to" in ended.permanent[DAYS[-1]]


# -- with a real ledger ----------------------------------------------------------------------


@pytest.fixture
def fleet(tmp_path: Path, client: redis.Redis, redis_settings: Settings) -> Bench:
    return Bench(place=tmp_path, broker_url=redis_settings.redis_url)


def test_no_retry_is_spent_while_the_workers_of_a_forgotten_batch_write_on(
    fleet: Bench, service: Service
) -> None:
    left = list(DAYS)

    def status(call: Call) -> Answer:
        if not call.query:
            return NO_BATCH
        fleet.fill(TABLES[0], [left.pop(0)])
        return FORGOTTEN

    service.status = status
    visits = Visits(bench=fleet, runners=runner(service.url, "stall_seconds = 60"))
    visits.settle()

    assert (visits.step().state, visits.step().failures) == (StepState.SUCCEEDED, 0)
    assert len(service.asked("/start")) == 1
    assert left == []


def test_no_retry_is_spent_on_a_second_start(fleet: Bench, service: Service) -> None:
    starts = iter([say(STARTED), fills(fleet)])

    def status(call: Call) -> Answer:
        is_second = len(service.asked("/start")) > 1
        return of_batch(COMPLETE if is_second else FORGOTTEN)(call)

    service.start, service.status = lambda call: next(starts)(call), status
    visits = Visits(bench=fleet, runners=runner(service.url, "stall_seconds = 0.5"))
    assert visits.to_the_end() == "complete"

    assert (visits.step().state, visits.step().failures) == (StepState.SUCCEEDED, 0)
    assert len(service.asked("/start")) == 2
    assert fleet.days_of() == list(DAYS)
    report = fleet.place / "home" / "reports" / RUN / "report.md"
    assert "the service forgot batch b1: two batches may have written" in report.read_text()
