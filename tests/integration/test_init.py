"""`planner init`: from tables that are there to a file that finds what they lack."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest

from planner.doctor.tables import check_tables
from planner.pipeline.load import load_pipeline
from planner.sandbox.lay import HOLES, lay_shop
from sql.local import LocalWarehouse
from tests.bigquery_server.rest import BigQueryServer
from tests.commands import Done, planner
from tests.integration.shop import DELETE, SCOPE, day


@pytest.fixture
def warehouse(built_shop: Path, tmp_path: Path) -> Path:
    """A shop with a hole, and a table that says nothing of its days."""
    folder = tmp_path / "warehouse"
    shutil.copytree(built_shop, folder)
    local = LocalWarehouse(folder)
    lose = DELETE.format(table="shop_analytics.sessions", column="order_date")
    local.run(lose, {"day": day(20)})
    local.run("CREATE TABLE shop_raw.stores (store_id STRING, name STRING)", {})
    local.close()
    return folder


def command(place: Path, *arguments: str, **environment: str) -> Done:
    return planner(
        *arguments,
        environment={
            "BACKFILL_HOME": str(place / "home"),
            "BACKFILL_WAREHOUSE": f"local:{place / 'warehouse'}",
            "BACKFILL_PIPELINE": str(place / "shop.toml"),
            **environment,
        },
        cwd=place,
    )


def test_from_tables_to_their_gaps_in_two_commands(warehouse: Path, tmp_path: Path) -> None:
    made = command(tmp_path, "init", "shop.toml", "--name", "shop")

    assert made.code == 0, made.err
    assert "left out: shop_raw.stores: no column tells the day of a row" in made.err
    of = load_pipeline(str(tmp_path / "shop.toml"))
    assert (of.phases[0].name, of.start) == ("shop_raw", SCOPE.start)

    # Its doctor finds nothing wrong with the tables, and its gaps are the hole
    local = LocalWarehouse(warehouse)
    assert [check for check in check_tables(local, of, today=day(28)) if not check.ok] == []
    local.close()
    found = command(tmp_path, "gaps", "--json", "--end", str(SCOPE.end))
    gaps = {(gap["phase"], gap["date"], gap["reason"]) for gap in found.json["gaps"]}
    assert (found.code, gaps) == (1, {("shop_analytics", str(day(20)), "missing")})

    # Nothing is written anew by a file that names nothing that writes
    plan = command(tmp_path, "plan")
    assert plan.code == 2
    assert "No phase of shop has a runner" in plan.err
    # And what is there is not overwritten
    again = command(tmp_path, "init", "shop.toml")
    assert (again.code, "exists, and is left as it is" in again.err) == (2, True)


def test_tables_in_an_order_of_ones_own(warehouse: Path, tmp_path: Path) -> None:
    tables = "shop_raw.orders,shop_analytics.sessions"
    made = command(tmp_path, "init", "shop.toml", "--tables", tables, "--json")

    assert made.code == 0, made.err
    assert [(each["phase"], each["after"]) for each in made.json["phases"]] == [
        ("orders", []), ("sessions", ["orders"])
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--datasets", "nothing"], "datasets there: shop_analytics"),
        (["--tables", "shop_raw.orders,shop_raw.none"], "2 phases at least, and 1 tables"),
        (["--tables", "a.b,c.d", "--datasets", "a"], "Give --tables"),
        (["--manifest", "none.json"], "none.json cannot be read"),
    ],
)
def test_what_cannot_be_drafted_is_said(
    warehouse: Path, tmp_path: Path, arguments: list[str], told: str
) -> None:
    done = command(tmp_path, "init", "shop.toml", *arguments)

    assert done.code == 2
    assert told in done.err
    assert not (tmp_path / "shop.toml").exists()


def test_tables_in_bigquery(warehouse: Path, tmp_path: Path) -> None:
    with BigQueryServer(warehouse) as server:
        made = command(
            tmp_path,
            "init",
            "shop.toml",
            BACKFILL_WAREHOUSE="bigquery:owner",
            BIGQUERY_EMULATOR_HOST=server.url,
        )

    assert made.code == 0, made.err
    of = load_pipeline(str(tmp_path / "shop.toml"))
    assert "shop_raw.orders" in [spec.name for spec in of.tables]


def test_a_shop_to_try_is_laid_down_with_holes_and_what_fills_them(tmp_path: Path) -> None:
    given = {"BACKFILL_PIPELINE": "shop.toml"}
    made = command(tmp_path, "init", "--example", "shop", "--json")

    # Its holes are gaps, and nothing else is wrong
    assert made.code == 0, made.err
    holes = {(hole["phase"], hole["date"]) for hole in made.json["holes"]}
    found = command(tmp_path, "gaps", "--json", **given)
    gaps = {(gap["phase"], gap["date"]) for gap in found.json["gaps"] if gap["reason"] != "cascade"}
    assert (found.code, gaps) == (1, holes)

    # Its own files fill them, the script's as well
    runners = [
        r for phase in load_pipeline(str(tmp_path / "shop.toml")).phases for r in phase.runners
    ]
    assert [runner.kind for runner in runners] == ["sql", "script", "script", "http_batch"]
    (tmp_path / "sql" / "store_daily.sql").write_text("SELECT 1; SELECT 2")
    plan = command(tmp_path, "plan", **given)
    assert (plan.code, "statement sql/store_daily" in plan.err) == (2, True)

    # And nothing is laid over what is there
    again = command(tmp_path, "init", "--example", "shop")
    assert (again.code, "exists in" in again.err) == (2, True)
    tables = command(tmp_path, "init", "--example", "shop", "--tables", "a.b,c.d")
    assert (tables.code, "name neither" in tables.err) == (2, True)


@pytest.mark.parametrize("until", ["2026-11-27", "2027-02-28", "2027-03-01", "2027-05-30"])
def test_a_shop_to_try_has_the_same_kinds_of_holes_on_any_day(tmp_path: Path, until: str) -> None:
    holes = lay_shop(tmp_path, until=date.fromisoformat(until))

    assert [(hole.phase, hole.entity is None) for hole in holes] == [
        (phase, is_whole) for phase, _, is_whole in HOLES
    ]
    assert len({(hole.phase, hole.start) for hole in holes}) == len(HOLES)
    weeks = [hole.start for hole in holes if hole.phase == "weekly"]
    days = [hole.start for hole in holes if hole.phase == "daily"]
    assert all(not 0 <= (week - day).days < 7 for week in weeks for day in days)


def test_an_example_that_there_is_not_is_refused(tmp_path: Path) -> None:
    done = command(tmp_path, "init", "--example", "shp")
    assert (done.code, "'shop'" in done.err) == (2, True)
    assert [*tmp_path.iterdir()] == []
