"""Which workers can serve a run: those with its pipeline file, its warehouse and its queues."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from planner.commands.runs import _print_status
from planner.pipeline.load import SHIPPED
from planner.plan.plan import Plan
from planner.plan.states import RunState, StepState
from tests.integration.bad import Run
from tests.integration.mart import DAYS, Mart
from tests.integration.shop import RUN, Shop, day
from tests.integration.tiny import Tiny
from tests.waiting import until
from worker.context import Context
from worker.finalization.finalize import finalize
from worker.janitor import Janitor
from worker.ledger.slots import KEY, Member, members_now, sign_on
from worker.messages import lanes
from worker.messages.later import Delivery
from worker.processes.children import supervised
from worker.reconciler import reconcile
from worker.run.control import resume
from worker.status.no_progress import held_up_by, lacking
from worker.status.status import status_json
from worker.step.errors import Requeue
from worker.step.visit import visit

SALES = (SHIPPED / "sales.toml").read_text(encoding="utf-8")
POLLED = """
name = "polled"
[[seasons]]
name = "2025"
year = 2025
start = 2025-01-01
end = 2025-12-31
[[phases]]
name = "raw"
tables = [{name = "shop_raw.orders", date = "order_date", entities = {store = "store_id"}}]
[[phases]]
name = "orders"
after = ["raw"]
tables = [{name = "shop_raw.orders2", date = "order_date", entities = {store = "store_id"}}]
[[phases.runners]]
kind = "http_batch"
url = "http://127.0.0.1:1"
"""
"""A pipeline whose phase is done by a service."""
STEP = f"{day(11)}/sessionise"


def changed(text: str) -> str:
    """The file with another value, and the same phases."""
    return text.replace("chunk_dates = 28", "chunk_dates = 27")


@pytest.fixture
def plan(shop: Shop) -> Plan:
    """What a run of the shop is to do."""
    shop.lose_sessions(day(11))
    return shop.plan()


@pytest.fixture
def begun(shop: Shop, plan: Plan) -> Plan:
    shop.register(plan)
    return plan


@pytest.fixture
def member(shop: Shop) -> Member:
    """A worker that has all that the run needs."""
    run = shop.context
    return Member(
        host="elsewhere",
        files=("/srv/sales.toml",),
        made=((run.pipeline.name, run.pipeline.checksum),),
        warehouse=run.warehouse.name,
        warehouse_id=run.warehouse.identity,
        queues=("final", "sessionise", "aggregate"),
    )


def there(shop: Shop, *members: Member | None) -> None:
    """From now on those workers are there, and no others."""
    shop.ledger.client.delete(KEY)
    for number, member in enumerate(members):
        sign_on(shop.ledger.client, f"worker-{number}@h", 1, seconds=60, has=member)


# -- what workers lack -----------------------------------------------------------------------


def test_each_lack_has_words_of_its_own(shop: Shop, plan: Plan, member: Member) -> None:
    shop.register(plan)
    run, steps = shop.ledger.require(RUN), shop.ledger.step_records(RUN)

    def told(*members: Member | None) -> str:
        there(shop, *members)
        return " | ".join(held_up_by(shop.context, run, steps))

    other_file = member.model_copy(update={"made": (("sales", "of before"),)})
    other_place = member.model_copy(update={"warehouse": "local:/a", "warehouse_id": "local:b"})
    few_queues = member.model_copy(update={"queues": ("final", "aggregate")})
    assert told() == "no worker is there: start some with `planner up`"
    assert told(member) == ""
    assert "the worker there (elsewhere) has another pipeline file than sales" in told(other_file)
    assert "the 2 workers there (elsewhere) have another pipeline" in told(other_file, other_file)
    assert "the 2 workers there (elsewhere) have another warehouse" in told(*[other_place] * 2)
    assert "restart `planner up` there" in told(other_file)
    assert "has another warehouse than local:" in told(other_place)
    assert told(few_queues) == (
        "no worker takes queue sessionise: start one with `planner up -Q sessionise`"
    )
    # One that fits is enough; one that does not say what it has may fit.
    assert told(other_file, member) == told(few_queues, None) == ""


def test_a_worker_of_this_machine_takes_the_same_file_up(
    shop: Shop, plan: Plan, member: Member
) -> None:
    own = str(SHIPPED / "sales.toml")
    before = {"made": (("sales", "of before"),), "files": (own,)}
    there(shop, member.model_copy(update=before))
    assert lacking(shop.context, plan)

    there(shop, member.model_copy(update={**before, "host": socket.gethostname()}))
    assert lacking(shop.context, plan) == []


def test_status_says_what_a_run_stands_still_for(
    shop: Shop, begun: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    def status() -> str:
        _print_status(status_json(shop.context, shop.ledger.require(RUN)))
        return capsys.readouterr().out

    assert "it stands still: no worker is there: start some with `planner up`" in status()
    shop.ledger.move(RUN, RunState.PAUSED, [RunState.RUNNING])
    assert f"it stands still: paused for 0 s: `planner resume {RUN}` goes on with it" in status()


def test_what_is_sent_is_said_to_wait_before_it_is_sent(run: Run) -> None:
    told = run("enqueue", "--gaps", "--yes")

    assert "Nothing will run yet: no worker is there: start some with `planner up`." in told.err
    assert "! workers: none is there → no worker is there" in run("doctor").out


def test_resume_and_retry_say_that_no_worker_has_the_file_before_anything_is_sent(
    mart: Mart, client: redis.Redis
) -> None:
    mart.lose("trend", DAYS[2])
    run_id = mart.command("enqueue", "--gaps", "--yes", "--json").json["run_id"]
    warehouse = mart.settings.warehouse
    other = Member(
        host="elsewhere",
        files=("/srv/mart.toml",),
        made=(("mart", "of before"),),
        warehouse=warehouse,
        warehouse_id="",
        queues=(),
    )
    sign_on(client, "worker-1@elsewhere", 1, seconds=600, has=other)
    lacks = "Nothing will run yet: the worker there (elsewhere) has another pipeline file than mart"

    assert mart.command("pause", run_id).code == 0
    assert lacks in mart.command("resume", run_id).err

    assert "cancelled" in mart.command("cancel", run_id).out
    assert lacks in mart.command("retry", run_id).err


def test_log_and_logs_of_a_run_need_no_pipeline_file(mart: Mart) -> None:
    mart.lose("trend", DAYS[2])
    run_id = mart.command("enqueue", "--gaps", "--yes", "--json").json["run_id"]
    elsewhere = {"BACKFILL_PIPELINE": str(mart.place / "of-another-pipeline.toml")}

    assert "planner enqueue --gaps" in mart.command("log", run_id, **elsewhere).out
    told = mart.command("logs", run_id, f"{DAYS[2]}/trend", **elsewhere)
    assert f"No log of {DAYS[2]}/trend is here" in told.err


def test_doctor_names_a_worker_with_another_file(run: Run, shop: Shop, member: Member) -> None:
    there(shop, member)

    told = run("doctor")

    assert "✗ workers: the worker there (elsewhere) has another pipeline file than" in told.out


# -- a file that changed, and several --------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder of pipeline files."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "sales.toml").write_text(SALES)
    return folder


Worker = Callable[..., Context]


@pytest.fixture
def worker(shop: Shop, files: Path, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """A worker with some settings, which looks at its files whenever it is asked."""
    monkeypatch.setattr("worker.context.REREAD_SECONDS", 0.0)

    def made(**settings: object) -> Context:
        return Context(shop.context.settings.model_copy(update=settings), patient=False)

    return made


def test_a_changed_file_is_taken_up_between_steps(
    shop: Shop, plan: Plan, files: Path, worker: Worker
) -> None:
    own = worker(pipeline=str(files / "sales.toml"))
    assert own.pipeline.checksum == plan.pipeline_checksum

    # When the file changes, and a run is planned with it, then the worker that has read it before
    (files / "sales.toml").write_text(changed(SALES))
    planner = worker(pipeline=str(files / "sales.toml"))
    assert planner.pipeline.checksum != plan.pipeline_checksum
    later = plan.model_copy(update={"pipeline_checksum": planner.pipeline.checksum}).sealed()
    shop.register(later)
    assert visit(own, RUN, STEP, worker="me") == "succeeded"

    # serves it, and what was planned before, too
    shop.ledger.client.hset(f"backfill:run:{RUN}", "pipeline_checksum", plan.pipeline_checksum)
    assert own.serving(shop.ledger.require(RUN)) is own


def test_a_file_that_is_broken_is_left_out_and_the_others_serve(
    shop: Shop, begun: Plan, files: Path, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    (files / "broken.toml").write_text("name = ")
    (files / "other.toml").write_text(SALES.replace('name = "sales"', 'name = "other"', 1))

    own = worker(pipeline=str(files / "other.toml"), pipelines=files)

    assert [each.name for each in own.every_pipeline()] == ["other", "sales"]
    assert visit(own, RUN, STEP, worker="me") == "succeeded"
    assert "broken.toml is not TOML" in caplog.text


def test_visits_to_a_service_of_a_file_that_comes_later_come_first_too(
    shop: Shop, files: Path, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "turns", lanes.Turns({"final"}))
    own = worker(pipeline=str(files / "sales.toml"), pipelines=files)
    delivery = Delivery(own.redis, [])
    janitor = Janitor(own, "worker-1@h", 1, delivery)
    janitor._takes_all = False  # no worker is there to be told of more queues
    janitor._sign_on(60)
    assert lanes.turns.lists(["sessionise", "orders"])[0].startswith("sessionise")

    (files / "polled.toml").write_text(POLLED)
    janitor._sign_on(60)

    assert lanes.turns.lists(["sessionise", "orders"])[0].startswith("orders")


def test_a_run_of_another_pipeline_is_controlled_by_its_own_file(
    shop: Shop, begun: Plan, files: Path, worker: Worker
) -> None:
    (files / "other.toml").write_text(SALES.replace('name = "sales"', 'name = "other"', 1))
    shop.ledger.move(RUN, RunState.PAUSED, [RunState.RUNNING])
    here = worker(pipeline=str(files / "other.toml"), pipelines=files)

    resume(here.serving(shop.ledger.require(RUN)), RUN)

    assert shop.ledger.require(RUN).state is RunState.RUNNING


def test_the_deadline_of_a_run_holds_where_no_worker_has_its_file(
    shop: Shop, begun: Plan, files: Path, worker: Worker, member: Member
) -> None:
    (files / "other.toml").write_text(SALES.replace('name = "sales"', 'name = "other"', 1))
    here = worker(pipeline=str(files / "other.toml"))
    there(shop, member.model_copy(update={"made": (("other", "x"),)}))
    shop.ledger.client.hset(f"backfill:run:{RUN}", "deadline", "1")

    reconcile(here)

    assert set(shop.states().values()) == {StepState.CANCELLED}
    assert str(shop.ledger.require(RUN).state) == "cancelled"
    assert shop.ledger.require(RUN).stopped_by == "deadline"


def test_the_end_of_a_cancelled_run_waits_for_a_worker_that_is_there(
    shop: Shop, begun: Plan, files: Path, worker: Worker, member: Member
) -> None:
    (files / "other.toml").write_text(SALES.replace('name = "sales"', 'name = "other"', 1))
    there(shop, member)
    for step in shop.states():
        shop.ledger.client.hset(f"backfill:run:{RUN}:steps", step, str(StepState.CANCELLED))
    shop.ledger.move(RUN, RunState.CANCELLING, [RunState.RUNNING])

    with pytest.raises(Requeue):
        finalize(worker(pipeline=str(files / "other.toml")), RUN)


@pytest.mark.slow
def test_a_fleet_serves_every_file_of_its_folder_and_phases_that_came_later(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    tiny = Tiny(tmp_path_factory.mktemp("several"))
    folder = tiny.place / "files"
    folder.mkdir()
    text = (tiny.place / "tiny.toml").read_text()
    worker = tiny.worker_process(1)
    worker.environment = {**worker.environment, "BACKFILL_PIPELINES": str(folder)}
    with tiny.up(worker=False), supervised([worker]):
        until(lambda: tiny.client.zcard(KEY) == 1)

        # Given a pipeline that comes while the worker runs, with a queue of its own
        for name in tiny.place.glob("*.sql"):
            (folder / name.name).write_text(name.read_text())
        other = text.replace('name = "tiny"', 'name = "second"').replace(
            'name = "b"\nafter', 'name = "b"\nqueue = "beside"\nafter'
        )
        (folder / "second.toml").write_text(other)
        settings = tiny.settings.model_copy(update={"pipeline": str(folder / "second.toml")})
        tiny.context = Context(settings, patient=False)

        # When runs of both are sent, then both are done
        (one, two) = tiny.days(2)
        second = tiny.register([one])
        tiny.context = Context(tiny.settings, patient=False)
        first = tiny.register([two])
        for run_id in (first, second):
            tiny.say("send", run_id)
        assert [str(tiny.ended(run_id).state) for run_id in (first, second)] == ["complete"] * 2
        (has,) = members_now(tiny.client).values()
        assert has is not None
        assert has.queues[-1] == "beside"
