"""`planner heal`: what it takes, what it leaves, and that it gives up, on a real Redis."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from planner.errors import BadRecord
from planner.gaps.gaps import FLAWS, SHORT, Finding, Gap, GapReason
from planner.gaps.survey import survey
from planner.sandbox.workers import environment_of
from tests.commands import planner
from tests.integration.shop import SCOPE, Shop, day, drain, lose_what_is_written
from worker.finalization.finalize import finalize
from worker.ledger.healing import Healing
from worker.ledger.lease import Lease, Resource
from worker.run.heal import Healed, Limits, heal

SESSIONS = "shop_analytics.sessions"
TODAY = SCOPE.end
NEAR = Limits(days=(TODAY - day(15)).days, dates_a_day=100, attempts=2)


def look(shop: Shop, limits: Limits = NEAR, *, dry_run: bool = False) -> Healed:
    assessment = survey(shop.context.warehouse, shop.context.pipeline, SCOPE)
    return heal(shop.context, assessment, TODAY, limits, dry_run=dry_run)


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are registered, and visited by the test instead of being sent."""
    from planner.plan.states import RunState
    from worker.run import enqueue

    def begin(context: object, run_id: str, plan: object) -> None:
        context.ledger.move(run_id, RunState.RUNNING, [RunState.INCOMPLETE])  # type: ignore[attr-defined]

    monkeypatch.setattr(enqueue, "send_run", begin)


def work(shop: Shop, found: Healed) -> str:
    """Do the run that a look enqueued."""
    assert found.run_id is not None
    drain(shop, [step for step, _ in found.plan.steps()], found.run_id)
    return finalize(shop.context, found.run_id)


def test_young_gaps_are_repaired_and_older_ones_are_reported(shop: Shop) -> None:
    shop.lose_sessions(day(4), day(20))

    found = look(shop)

    assert found.older == (("sessionise", day(4)),)
    assert found.leaves_gaps
    assert work(shop, found) == "complete"
    assert shop.ledger.require(found.run_id or "").reason == "healing"
    after = look(shop)
    assert (after.run_id, after.plan.is_empty) == (None, True)
    assert Healing(shop.context.redis, shop.context.realm).attempts() == {}


@pytest.mark.parametrize("reason", [GapReason.PARTIAL, *FLAWS, GapReason.ORPHAN])
def test_only_dates_that_lack_rows_are_taken(shop: Shop, reason: GapReason) -> None:
    """A repair of the others may make them worse, as where a script appends its rows once more:
    what `enqueue` takes only when it is asked to, healing leaves."""
    finding = Finding(reason=reason, table=SESSIONS, expected=4, found=3)
    gap = Gap(
        phase="sessionise",
        date=day(20),
        reason=reason,
        expected=4,
        found=3,
        tables=(SESSIONS,),
        findings=(finding,),
    )
    assessment = survey(shop.context.warehouse, shop.context.pipeline, SCOPE)
    gaps = {**assessment.gaps, "sessionise": {day(20): gap}}

    found = heal(shop.context, replace(assessment, gaps=gaps), TODAY, NEAR)

    is_taken = reason is GapReason.PARTIAL
    assert (found.run_id is not None) == is_taken
    assert (day(20) in found.plan.dates) == is_taken
    assert bool(shop.ledger.held("sales", shop.context.warehouse.identity)) == is_taken
    tried = Healing(shop.context.redis, shop.context.realm).attempts()
    assert tried == ({("sessionise", day(20)): 1} if is_taken else {})
    assert (found.older, found.quarantined) == ((), ())


def test_a_date_that_is_tried_in_vain_is_given_up_and_told_of_once(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a date whose rows are lost as often as they are written
    told = noting(shop, tmp_path)
    shop.lose_sessions(day(20), day(22))
    lose_what_is_written(monkeypatch, day(20))

    ends = [work(shop, look(shop)) for _ in range(NEAR.attempts)]
    assert ends == ["failed", "failed"]

    # Then it is left from now on, and the others are healed
    shop.lose_sessions(day(24))
    found = look(shop)
    assert found.quarantined == (("sessionise", day(20)),)
    assert day(20) not in found.plan.dates
    assert day(24) in found.plan.dates
    work(shop, found)
    look(shop)
    (given_up,) = [each for each in events(told) if each["event"] == "gave_up"]
    assert given_up["title"] == "sales: healing gave up sessionise 2025-03-20"

    # And it is taken again when somebody lets it go
    Healing(shop.context.redis, shop.context.realm).forget([("sessionise", day(20))])
    assert day(20) in look(shop).plan.dates


def test_a_day_takes_so_many_dates_and_no_more(shop: Shop) -> None:
    shop.lose_sessions(day(20), day(22), day(24))
    limits = Limits(days=NEAR.days, dates_a_day=1, attempts=3)

    first = look(shop, limits)
    assert work(shop, first) == "complete"
    second = look(shop, limits)

    assert second.run_id is None
    assert second.is_spent
    short = survey(shop.context.warehouse, shop.context.pipeline, SCOPE).gaps["sessionise"]
    assert sum(gap.reason in SHORT for gap in short.values()) == 2


def test_a_look_tells_of_all_that_it_gives_up_in_one_message(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = noting(shop, tmp_path)
    shop.lose_sessions(day(20), day(24))
    for each in (day(20), day(24)):
        lose_what_is_written(monkeypatch, each)
    once = replace(NEAR, attempts=1)
    work(shop, look(shop, once))

    look(shop, once)
    look(shop, once)

    (given_up,) = [each for each in events(told) if each["event"] == "gave_up"]
    assert given_up["title"].startswith("sales: healing gave up sessionise 2025-03-20")
    assert "2025-03-24" in given_up["text"]


def test_a_day_is_billed_so_much_and_no_more(shop: Shop) -> None:
    shop.lose_sessions(day(20))
    limits = Limits(days=NEAR.days, dates_a_day=100, attempts=3, dollars_a_day=1.0)

    # A run of healing may spend what is left of the day's dollars, and is paused then
    first = look(shop, limits)
    assert shop.ledger.require(first.run_id or "").max_dollars == 1.0
    key = f"backfill:run:{first.run_id}"
    price = shop.context.settings.dollars_per_tib
    shop.context.redis.hset(key, "billed", str(round(0.75 / price * 2**40)))
    assert work(shop, first) == "complete"
    shop.lose_sessions(day(22))
    second = look(shop, limits)
    assert shop.ledger.require(second.run_id or "").max_dollars == pytest.approx(0.25)

    # And with nothing left, none begins today
    shop.context.redis.hset(key, "billed", str(round(1.1 / price * 2**40)))
    shop.lose_sessions(day(24))
    third = look(shop, limits)
    assert (third.run_id, third.is_spent) == (None, True)


def test_a_source_that_is_late_is_told_of_once(shop: Shop, tmp_path: Path) -> None:
    told = noting(shop, tmp_path)
    assessment = survey(shop.context.warehouse, shop.context.pipeline, SCOPE)
    (source, *_) = [phase.name for phase in shop.context.pipeline.phases]

    def late(*days: date) -> Healed:
        gaps = {
            each: Gap(
                phase=source,
                date=each,
                reason=GapReason.LATE,
                expected=1,
                found=0,
                tables=("shop_raw.orders",),
            )
            for each in days
        }
        found = replace(assessment, gaps={**assessment.gaps, source: gaps})
        return heal(shop.context, found, TODAY, NEAR)

    # Each look judges it, and each time that it begins to be late is told of once
    found = late(day(30))
    assert found.late == {source: (day(30),)}
    assert found.leaves_gaps
    late(day(30), day(31))
    late(day(31))
    titles = [each["title"] for each in events(told)]
    assert titles == [f"sales: {source} is late"] * 2


def noting(shop: Shop, folder: Path) -> Path:
    """The file in which messages are from now on."""
    told = folder / "told"
    command = f'sh -c \'cat >> "$0"; echo >> "$0"\' {told}'
    shop.context.__dict__["settings"] = shop.context.settings.model_copy(update={"notify": command})
    return told


def events(told: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in told.read_text().splitlines() if line]


def test_what_another_run_is_at_is_left_to_it(shop: Shop) -> None:
    shop.lose_sessions(day(20))
    shop.register(shop.plan())

    found = look(shop)

    assert (found.run_id, found.leaves_gaps) == (None, False)


def test_a_look_without_doing_anything(shop: Shop) -> None:
    shop.lose_sessions(day(20))

    found = look(shop, dry_run=True)

    assert found.run_id is None
    assert day(20) in found.plan.dates
    assert shop.ledger.runs() == []


def test_one_process_looks_at_a_time(shop: Shop) -> None:
    shop.lose_sessions(day(20))
    shop.context.settings.home.mkdir(exist_ok=True)
    lease = Lease(shop.context.redis, [Resource(name=f"heal:{shop.context.realm}")], seconds=60)
    assert lease.acquire()

    done = planner(
        "heal",
        "--json",
        environment=environment_of(shop.context.settings),
        cwd=shop.context.settings.home,
    )

    assert (done.code, done.json) == (0, {"looked": False})
    lease.release()


@pytest.mark.parametrize("today", [date(2031, 1, 1), SCOPE.start - timedelta(days=400)])
def test_a_calendar_that_is_past_or_to_come_leaves_nothing_to_heal(shop: Shop, today: date) -> None:
    shop.lose_sessions(day(20))
    assessment = survey(shop.context.warehouse, shop.context.pipeline, SCOPE)

    found = heal(shop.context, assessment, today, NEAR)

    assert (found.run_id, found.plan.is_empty) == (None, True)


def test_a_memory_that_is_damaged_is_told_in_words(shop: Shop) -> None:
    shop.lose_sessions(day(20))
    assessment = survey(shop.context.warehouse, shop.context.pipeline, SCOPE)
    client, key = shop.context.redis, f"backfill:healing:{shop.context.realm}"
    for junk in ("x", "nan", "9.5", ""):
        for value in ({"sessionise|2025-03-20": junk}, {junk: "1"}):
            client.hset(key, mapping=value)
            with pytest.raises(BadRecord, match="what healing remembers"):
                heal(shop.context, assessment, TODAY, NEAR)
            client.delete(key)
        client.set(f"{key}:{TODAY}", junk or "x")
        with pytest.raises(BadRecord, match="what healing remembers"):
            heal(shop.context, assessment, TODAY, NEAR)
        client.delete(f"{key}:{TODAY}")
