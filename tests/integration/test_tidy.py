"""What runs leave on a disk has a life, and nothing that is still needed goes with it."""

from __future__ import annotations

import os
import time
from datetime import date
from pathlib import Path

import pytest
from deltalake import DeltaTable

from planner.commands import doctor
from planner.plan.cost import readable
from planner.plan.states import RunState
from sql import Table
from tests.integration.shop import RUN, Shop, day
from worker.run import tidy as module
from worker.run.tidy import tidy, tidy_daily, vacuum_daily

DAYS = 14
OLD = (DAYS + 1) * 86_400.0
SESSIONS = "shop_analytics.sessions"


@pytest.fixture
def home(shop: Shop) -> Path:
    """The home, with folders of a run that has long ended."""
    home = shop.context.settings.home_dir
    for name in ("logs/run-old/c.p.log", "reports/run-old/report.md", "logs/worker-9.log"):
        written(home / name)
        age(home / name)
    return home


def written(path: Path, text: str = "…") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def age(path: Path) -> None:
    then = time.time() - OLD
    for each in (path, path.parent):
        os.utime(each, (then, then))


def files(home: Path) -> set[str]:
    return {str(each.relative_to(home)) for each in home.rglob("*") if each.is_file()}


def test_what_is_older_than_it_is_kept_goes(shop: Shop, home: Path) -> None:
    young = written(home / "logs/run-new/c.p.log")
    owed = written(home / "owed/run-old.json")
    made = written(home / "made/run-old.json")
    for each in (owed, made):
        age(each)

    tidy(shop.context)

    assert files(home) == {str(each.relative_to(home)) for each in (young, owed, made)}


def test_the_doctor_says_what_is_there_and_how_long_it_stays(
    shop: Shop, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(home / "logs/run-new/c.p.log")
    settings = shop.context.settings.model_copy(update={"keep_days": 14})

    check = doctor._disk(settings)
    assert "of logs and reports, each kept for 14 days (BACKFILL_KEEP_DAYS)" in check.detail

    # A worker that tidies at the same moment is no error
    def gone(path: str) -> None:
        raise FileNotFoundError(path)

    monkeypatch.setattr(doctor.os, "lstat", gone)
    assert doctor._disk(settings).detail.startswith(f"{readable(0)} of logs")


def test_a_run_that_goes_on_keeps_its_logs_however_old(shop: Shop, home: Path) -> None:
    shop.lose_sessions(day(4))
    shop.register(shop.plan(), "run-old")
    shop.ledger.move("run-old", RunState.PAUSED, [RunState.RUNNING])

    tidy(shop.context)

    assert {"logs/run-old/c.p.log", "reports/run-old/report.md"} <= files(home)


def test_a_log_that_is_too_long_is_emptied_while_its_worker_writes_on(
    shop: Shop, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOG_BYTES_MAX", 100)
    path = written(home / "logs/worker-1.log", "x" * 101)
    with path.open("a") as worker:
        tidy(shop.context)
        worker.write("still here")

    assert path.read_text() == "still here"
    assert path.with_suffix(".log.1").read_text() == "x" * 101


def test_it_is_done_once_a_day_and_no_run_fails_of_it(
    shop: Shop, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tidy_daily(shop.context)
    assert not tidy_daily(shop.context)

    def fail(context: object) -> None:
        raise ValueError("it is broken")

    monkeypatch.setattr(module, "tidy", fail)
    age(home / "tidied")
    assert tidy_daily(shop.context)


def test_replaced_files_go_when_nothing_could_be_put_back_from_them(shop: Shop) -> None:
    # Given a table whose rows were replaced, and which is told to hold files back for a day
    warehouse, folder = shop.context.warehouse, Path(shop.context.settings.warehouse[6:])
    place = folder / SESSIONS.replace(".", "/")
    table = Table(name=SESSIONS, date="order_date", entities={})
    keeper = warehouse.keeper(days=DAYS)
    keeper.prepare([table])
    (kept,) = keeper.keep(table, [day(4)], RUN).values()
    before = sum(1 for _ in place.rglob("*.parquet"))
    shop.lose_sessions(day(4))

    # Then what a restore needs stays
    assert vacuum_daily(shop.context)
    assert not vacuum_daily(shop.context)
    assert sum(1 for _ in place.rglob("*.parquet")) == before
    assert keeper.sources(table, {day(4): kept}, RUN)

    # And goes when its time is over
    properties = {"delta.deletedFileRetentionDuration": "interval 0 days"}
    DeltaTable(place).alter.set_table_properties(properties)
    rows = held(shop)
    shop.context.redis.delete(f"backfill:vacuumed:{warehouse.name}")
    assert vacuum_daily(shop.context)
    assert sum(1 for _ in place.rglob("*.parquet")) < before
    assert held(shop) == rows


def held(shop: Shop) -> list[date]:
    rows = shop.context.warehouse.rows(f"SELECT order_date FROM {SESSIONS} ORDER BY 1", {})
    return [row["order_date"] for row in rows]
