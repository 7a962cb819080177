"""Starts of batches whose worker goes away meanwhile: none is made twice."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from planner.gaps.gaps import GapReason
from planner.plan.states import StepState
from planner.settings import Settings
from tests.integration.bench import DAYS, TABLES, WAIT_SECONDS, Bench
from tests.integration.service import Answer, Call, Service, served
from tests.integration.test_http_runner import (
    COMPLETE,
    NO_BATCH,
    RUNNING,
    fills,
    of_batch,
    runner,
    say,
)
from tests.integration.visits import RUN, Visits
from worker.processes import shutdown
from worker.runners import Stopped
from worker.step import visit as step_visit
from worker.step.ended import Ended


@pytest.fixture
def bench(tmp_path: Path, client: redis.Redis, redis_settings: Settings) -> Bench:
    return Bench(place=tmp_path, broker_url=redis_settings.redis_url)


@pytest.fixture
def service() -> Iterator[Service]:
    with served(Service(start=say(NO_BATCH), status=of_batch(COMPLETE))) as service:
        yield service


def visit(bench: Bench, runners: str, step_id: str) -> None:
    """One delivery of a step's message, in a process of its own."""
    step_visit.visit(bench.context(runners), RUN, step_id, worker="killed")


def test_a_worker_that_is_killed_in_a_start_is_not_followed_by_a_second_start(
    bench: Bench, service: Service
) -> None:
    # Given a worker that is killed when the service has made the rows, before it answers
    visits = Visits(bench=bench, runners=runner(service.url))
    worker = multiprocessing.get_context("spawn").Process(
        target=visit, args=(bench, visits.runners, visits.step_id())
    )
    makes = fills(bench)

    def start(call: Call) -> Answer:
        makes(call)
        worker.kill()
        worker.join()
        return 0, ""

    service.start = start
    worker.start()
    worker.join()
    assert visits.step().state is StepState.RUNNING

    # When the step comes to another, then it finds the rows, and starts nothing
    assert visits.to_the_end() == "complete"
    assert len(service.asked("/start")) == 1
    assert bench.days_of() == list(DAYS)


def test_a_step_that_is_handed_back_goes_on_where_it_was(
    bench: Bench, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a range that is too large, and a worker that is shut down in a batch of its first half
    makes = fills(bench)

    def start(call: Call) -> Answer:
        is_whole = (call.body["start_date"], call.body["end_date"]) == (str(DAYS[0]), str(DAYS[-1]))
        return (413, "too large") if is_whole else makes(call)

    service.start = start
    visits = Visits(bench=bench, runners=runner(service.url))
    visits.visit()
    with monkeypatch.context() as patch:
        patch.setattr(shutdown, "is_due", lambda: True)
        visits.visit()
    assert visits.step().state is StepState.PENDING

    # When another goes on, then nothing is started again
    assert visits.to_the_end() == "complete"
    assert [call.body["start_date"] for call in service.asked("/start")] == [
        str(day) for day in (DAYS[0], DAYS[0], DAYS[4])
    ]
    assert bench.days_of() == list(DAYS)


@pytest.mark.parametrize("reason", [GapReason.MISSING, GapReason.CASCADE])
def test_a_start_that_has_no_answer_can_be_stopped_and_is_not_made_again(
    tmp_path: Path, service: Service, reason: GapReason
) -> None:
    # Given a service that works before it answers
    bench = Bench(place=tmp_path)
    if reason is GapReason.CASCADE:
        bench.fill(TABLES[0], DAYS)
    asked, released, made = threading.Event(), threading.Event(), threading.Event()
    makes = fills(bench)

    def start(call: Call) -> Answer:
        asked.set()
        assert released.wait(WAIT_SECONDS)
        answer = makes(call)
        made.set()
        return answer

    def stop() -> str | None:
        return "the worker is shutting down" if asked.is_set() else None

    service.start = start

    # When the worker has to stop, then it does before there is an answer
    stopped = bench.attempt(runner(service.url), reason=reason, stop=stop)
    assert isinstance(stopped, Stopped)
    assert not made.is_set()

    # And whoever goes on finds the rows that were made meanwhile
    released.set()
    assert made.wait(WAIT_SECONDS)
    ended = bench.attempt(runner(service.url), reason=reason, checkpoint=stopped.checkpoint)
    assert isinstance(ended, Ended)
    assert ended.done == DAYS
    assert len(service.asked("/start")) == 1


def test_a_worker_whose_clock_is_wrong_takes_no_batch_for_stalled(
    bench: Bench, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a batch that was started and seen at work by other workers
    looks = [RUNNING, RUNNING, RUNNING]

    def status(call: Call) -> Answer:
        if len(looks) == 1:
            bench.fill(TABLES[0], DAYS)
        return looks.pop() if looks and call.query else NO_BATCH

    service.start, service.status = say((202, {"batch_id": "b1"})), status
    visits = Visits(bench=bench, runners=runner(service.url))
    visits.visit()
    visits.visit()

    # When one comes by whose clock is a day ahead, then it goes on waiting
    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() + 86_400)
    assert visits.to_the_end() == "complete"
    assert visits.step().failures == 0
