"""The shipped shop, which sells all year: days, weeks and months of moments and opening hours."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

import pytest
import redis

from planner import clock
from planner.pipeline.load import load_pipeline
from planner.pipeline.windows import Window
from planner.sandbox.compare import differences
from planner.sandbox.shop import build_shop, punch_shop
from planner.sandbox.workers import environment_of
from planner.settings import Settings
from sql import open_warehouse
from tests.commands import Done, here
from tests.integration.allyear import at, visit_all

PIPELINE = load_pipeline("shop")
TABLES = [spec.table for spec in PIPELINE.tables]
FIRST, LAST = date(2026, 1, 1), date(2026, 4, 30)
"""With a holiday, and the night on which Berlin's clocks are put forward."""
NOW = datetime(2026, 5, 1, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse that was filled in one piece. Not to be written to."""
    folder = tmp_path_factory.mktemp("shop") / "whole"
    build_shop(folder, PIPELINE, since=FIRST, until=LAST)
    return folder


class Shop:
    """A copy of the whole warehouse, and commands on it."""

    def __init__(self, place: Path, whole: Path, broker_url: str) -> None:
        self.place, self.whole = place, whole
        shutil.copytree(whole, place / "warehouse")
        self.settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            warehouse=f"local:{place / 'warehouse'}",
            pipeline="shop",
            broker_url=broker_url,
            home=place / "home",
            poll_max_seconds=0.05,
        )
        self.warehouse = open_warehouse(self.settings.warehouse)

    def say(self, *arguments: str, now: datetime = NOW) -> Done:
        environment = environment_of(self.settings)
        return here(*arguments, environment=environment, cwd=self.place, before=partial(at, now))

    def differences(self) -> list[object]:
        return [*differences(open_warehouse(f"local:{self.whole}"), self.warehouse, TABLES)]


@pytest.fixture
def shop(
    tmp_path: Path,
    whole: Path,
    client: redis.Redis,
    redis_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> Shop:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    return Shop(tmp_path, whole, redis_settings.redis_url)


@pytest.mark.slow
def test_a_shop_that_is_built_in_one_piece_has_no_gaps(shop: Shop) -> None:
    found = shop.say("gaps", "--json")

    assert (found.code, found.json["gaps"], found.json["notices"]) == (0, [], [])
    complete = {each["phase"]: each["complete"] for each in found.json["phases"]}
    open_days = sum(day.isoweekday() <= 6 for day in Window(start=FIRST, end=LAST).days()) - 1
    assert (complete["receipts"], complete["daily"]) == (open_days, open_days)  # less New Year
    assert (complete["weekly"], complete["monthly"]) == (17, 4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_repair_equals_rebuild_in_every_grain(shop: Shop, seed: int) -> None:
    # Given holes in days, weeks and months: whole ones, and single stores
    holes = punch_shop(shop.warehouse, PIPELINE, seed=seed, holes=9)
    assert {hole.phase for hole in holes} == {"daily", "weekly", "monthly"}
    assert all(hole.rows for hole in holes)
    assert {hole.entity is None for hole in holes} == {True, False}

    # When they are repaired
    sent = shop.say("enqueue", "--gaps", "--json")
    assert sent.code == 0, sent.err
    report = visit_all(shop.settings, sent.json["run_id"])

    # Then every row is what it was, and nothing is left to do
    assert (report.state, report.validation.passed) == ("complete", True)
    assert shop.differences() == []
    again = shop.say("enqueue", "--gaps")
    assert (again.code, again.out.strip()) == (0, "Nothing to do.")
    assert shop.say("gaps").code == 0


@pytest.mark.slow
def test_stores_that_are_open_owe_receipts(shop: Shop) -> None:
    """By the opening hours: open until the tills are late, and then a finding of each store."""
    day_after = datetime(2026, 5, 2, 3, 59, tzinfo=UTC)  # 05:59 in Berlin
    assert shop.say("gaps", now=day_after).code == 0
    late = shop.say("gaps", "--json", now=day_after.replace(hour=4, minute=0)).json["gaps"]
    assert {(gap["phase"], gap["date"], gap["reason"]) for gap in late} >= {
        ("receipts", "2026-05-01", "late")
    }
    shop.warehouse.run(
        "DELETE FROM shop_raw.receipts WHERE store_id = 4 "
        "AND DATE(sold_at, 'Europe/Berlin') = @day",
        {"day": date(2026, 4, 28)},
    )

    found = shop.say("gaps")

    assert found.code == 1
    assert "receipts 2026-04-28: shop_raw.receipts holds 3 of 4 stores: lacks 4" in found.out
