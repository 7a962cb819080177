"""What a step asks of Redis: counted, not timed, so that no load of the machine changes it."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from planner.settings import Settings
from tests.bench.worlds import PHASES, RUN, Sized, idle_attempts, round_trips
from tests.integration.mart import DAYS, Mart
from tests.integration.shop import RUN as SHOP_RUN
from tests.integration.shop import Shop, day
from worker.ledger.followed import PENDING_AT_ONCE, Followed
from worker.ledger.lease import Lease, Resource
from worker.ledger.plans import PlanLedger
from worker.ledger.slots import sign_on
from worker.status.status import status_json
from worker.step.errors import Requeue
from worker.step.visit import visit

VISIT = 4  # look, states of its dates and upstream, lease and start, end and release
SMALL, LARGE = 2, 200


def sized(place: Path, settings: Settings, chunks: int) -> Sized:
    place.mkdir()
    made = Sized(place=place, broker_url=settings.redis_url, chunks=chunks)
    made.register()
    return made


def visited(made: Sized) -> list[list[int]]:
    """The bytes of each thing that is sent to Redis, for each step of a chunk."""
    steps = [step for step, _ in made.plan.steps()][: len(PHASES)]
    found = []
    for step in steps:
        with round_trips() as sent:
            assert visit(made.context, RUN, step, worker="me") == "succeeded"
        found.append(sent)
    return found


def test_a_visit_takes_four_round_trips_whatever_the_size_of_the_plan(
    tmp_path: Path, client: redis.Redis, redis_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given processes that know the scripts, and no way to read a whole plan
    with idle_attempts():
        visited(sized(tmp_path / "first", redis_settings, 1))
        monkeypatch.delattr(PlanLedger, "plan")
        counts, texts = [], []
        for chunks in (SMALL, LARGE):
            client.flushdb()
            made = sized(tmp_path / str(chunks), redis_settings, chunks)
            out = client.info("stats")["total_net_output_bytes"]
            sent = visited(made)
            texts.append(client.info("stats")["total_net_output_bytes"] - out)
            counts.append([len(each) for each in sent])

    # Then a step of a large plan asks as often as one of a small, and is told as much
    assert counts == [[VISIT] * len(PHASES)] * 2
    assert abs(texts[1] - texts[0]) < 200


def test_a_redis_that_forgot_the_scripts_is_told_them_again(
    tmp_path: Path, client: redis.Redis, redis_settings: Settings
) -> None:
    made = sized(tmp_path / "world", redis_settings, 1)
    with idle_attempts():
        for step, _ in made.plan.steps():
            client.script_flush()
            assert visit(made.context, RUN, step, worker="me") == "succeeded"
            assert made.context.ledger.step(RUN, step).attempt == 1
    assert not client.exists("backfill:lease:owners")


def test_a_run_that_was_registered_without_its_chunks_goes_on(
    tmp_path: Path, client: redis.Redis, redis_settings: Settings
) -> None:
    # Given a run as earlier versions wrote it down: the whole plan in one text
    made = sized(tmp_path / "world", redis_settings, 2)
    client.delete(f"backfill:run:{RUN}:chunks")
    client.set(f"backfill:run:{RUN}:plan", made.plan.model_dump_json())

    # Then its steps are visited, and its plan is the same
    assert made.context.ledger.plan(RUN) == made.plan
    with idle_attempts():
        for step, _ in made.plan.steps():
            assert visit(made.context, RUN, step, worker="me") == "succeeded"


def test_a_step_begins_only_with_its_lease_and_gives_it_back_with_its_end(shop: Shop) -> None:
    """Lease and start go together; the start asks whether the lease was had."""
    shop.lose_sessions(day(11))
    step = f"{day(11)}/sessionise"
    shop.register(shop.plan())
    owners = "backfill:lease:owners"
    other = Lease(
        shop.ledger.client,
        [Resource(name=f"{shop.context.realm}:sessionise:{day(11)}")],
        seconds=30,
    )
    assert other.acquire()

    with pytest.raises(Requeue):
        shop.visit(step)
    assert shop.ledger.step(SHOP_RUN, step).attempt == 0
    assert shop.ledger.step(SHOP_RUN, step).waiting == "another step of its dates"
    assert [*shop.ledger.client.hgetall(owners)] == [other.token]

    other.release()
    assert shop.visit(step) == "succeeded"
    assert shop.ledger.step(SHOP_RUN, step).attempt == 1
    assert shop.ledger.client.hgetall(owners) == {}


def test_status_and_runs_take_as_many_round_trips_for_many_steps_as_for_few(
    tmp_path: Path, client: redis.Redis, redis_settings: Settings
) -> None:
    sized(tmp_path / "first", redis_settings, 1).context.ledger.require(RUN)  # knows the scripts
    counts = []
    for chunks in (SMALL, LARGE):
        client.flushdb()
        made = sized(tmp_path / str(chunks), redis_settings, chunks)
        for n in range(chunks):
            sign_on(client, f"worker{n}", 4, seconds=60)
        with round_trips() as sent:
            found = status_json(made.context, made.context.ledger.require(RUN))
            assert found["steps"]["pending"] == chunks * len(PHASES)
            assert [run.id for run in made.context.ledger.runs()] == [RUN]
        counts.append(len(sent))

    # The run, states, steps, plan, dates, problems, workers, code; the names of runs, and all
    assert counts == [10, 10]


def test_a_thousand_runs_are_listed_in_a_few_round_trips(mart: Mart, client: redis.Redis) -> None:
    mart.lose("trend", DAYS[2])
    mart.begin(mart.plan())
    fields, created = client.hgetall(f"backfill:run:{mart.run_id}"), mart.ledger.now()
    pipe = client.pipeline(transaction=False)
    for n in range(1000):
        pipe.hset(f"backfill:run:run-{n}", mapping=fields)
        pipe.zadd("backfill:runs", {f"run-{n}": created})
    pipe.execute()
    mart.ledger.runs()  # knows the script

    with round_trips() as sent:
        listed = [*mart.ledger.runs(), *mart.ledger.restores()]

    assert len(listed) == 1001
    assert len(sent) <= 4
    assert len(mart.command("runs", "--json").json["runs"]) == 1001


def test_a_run_that_is_watched_is_read_whole_once_and_then_what_moved(
    tmp_path: Path, client: redis.Redis, redis_settings: Settings
) -> None:
    made = sized(tmp_path / "world", redis_settings, LARGE)
    ledger, ids = made.context.ledger, [step for step, _ in made.plan.steps()]
    followed = Followed(ledger, RUN)
    assert followed.look() == ledger.step_records(RUN)
    waits = ids[-1]
    with idle_attempts():
        for step in ids[:3]:
            assert visit(made.context, RUN, step, worker="me") == "succeeded"
    ledger.note_wait(RUN, waits, "a slot")

    # Then a look asks for the steps that moved, and some of those that may only wait for another
    before = client.info("stats")["total_commands_processed"]
    seen = {step.id: step for step in followed.look()}
    asked = client.info("stats")["total_commands_processed"] - before
    assert asked <= PENDING_AT_ONCE + 3 + 2  # the states, and this question
    assert [seen[each].state for each in ids[:4]] == [*["succeeded"] * 3, "pending"]

    # And comes by each of those in turn
    for _ in range(len(ids) // PENDING_AT_ONCE):
        seen = {step.id: step for step in followed.look()}
    assert seen[waits].waiting == "a slot"
    assert list(seen.values()) == ledger.step_records(RUN)
