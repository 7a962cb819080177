"""A weekly and a monthly phase on a real run: holes in every grain, and repair equals rebuild."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import redis

from planner import clock
from planner.gaps.gaps import SkipReason
from planner.settings import Settings
from tests.integration.test_accepted import CLEAN, CLEANED, Till
from worker.context import Context

PIPELINE = (
    CLEANED
    + """
[[phases]]
name = "trend"
after = ["clean"]
every = "week"
dated = "last"
retries = 0
tables = [{ name = "s.trend", date = "day", entities = { store = "store" } }]
runners = [{ kind = "sql", statements = ["trend"] }]
[[phases]]
name = "monthly"
after = ["clean", "trend"]
every = "month"
retries = 0
tables = [{ name = "s.monthly", date = "day", entities = { store = "store" } }]
runners = [{ kind = "sql", statements = ["monthly"] }]
"""
)
# Sundays, and the first of a month: each row says how many days of it the store was open.
ROLLUP = """MERGE s.{table} USING (
  SELECT {dated} AS day, store, COUNT(*) AS days
  FROM s.clean
  WHERE {dated} BETWEEN @start_date AND @end_date
  GROUP BY 1, 2
) ON FALSE
WHEN NOT MATCHED BY SOURCE AND day BETWEEN @start_date AND @end_date THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
"""
SUNDAY, HOLE, MONTH = date(2025, 3, 16), date(2025, 3, 12), date(2025, 3, 1)
SUNDAYS = {date(2025, 3, n) for n in (2, 9, 16, 23, 30)}


@pytest.fixture
def built(
    tmp_path: Path, client: redis.Redis, redis_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> tuple[Till, Context]:
    """A till whose day, week and month tables a run has filled."""
    monkeypatch.setattr(clock, "now", lambda: datetime(2025, 4, 2, tzinfo=UTC))
    till = Till(tmp_path, redis_settings.redis_url)
    # One store opens on one day of a month: no week and no month may lack it.
    week = "DATE_ADD(DATE_TRUNC(day, ISOWEEK), INTERVAL 6 DAY)"
    (tmp_path / "clean.sql").write_text(CLEAN.replace("store = 's02'", "store = 's99'"))
    (tmp_path / "trend.sql").write_text(ROLLUP.format(table="trend", dated=week))
    month = "DATE_TRUNC(day, MONTH)"
    (tmp_path / "monthly.sql").write_text(ROLLUP.format(table="monthly", dated=month))
    context = till.context(pipeline=PIPELINE)
    columns = "day DATE, store STRING, days INT64"
    context.warehouse.run(f"CREATE TABLE s.monthly ({columns}) PARTITION BY day", {})
    context.warehouse.run(
        "INSERT INTO s.raw (day, store) VALUES (@on, 's04')", {"on": date(2025, 3, 11)}
    )
    # And all are shut on a date of the weeks.
    context.warehouse.run("DELETE FROM s.raw WHERE day = @on", {"on": SUNDAY})
    return till, context


def rows_of(context: Context) -> list[tuple[str, date, str, int]]:
    return [
        (table, row["day"], row["store"], row["days"])
        for table in ("trend", "monthly")
        for row in context.warehouse.rows(
            f"SELECT day, store, days FROM s.{table} ORDER BY day, store", {}
        )
    ]


def test_holes_in_every_grain_are_repaired_as_if_built_anew(built: tuple[Till, Context]) -> None:
    till, context = built
    plan, report = till.run(context, "run-built", phases=["clean", "trend", "monthly"])
    assert (report.state, report.validation.passed) == ("complete", True)
    taken = {name: set[date]() for name in ("clean", "trend", "monthly")}
    for _, step in plan.steps():
        taken[step.phase] |= set(step.dates)
    assert taken["trend"] == SUNDAYS
    assert taken["monthly"] == {MONTH}
    rebuilt = rows_of(context)
    assert ("trend", SUNDAY, "s04", 1) in rebuilt
    assert ("monthly", MONTH, "s01", 30) in rebuilt
    for table, on in (("clean", HOLE), ("monthly", MONTH), ("trend", date(2025, 3, 30))):
        context.warehouse.run(f"DELETE FROM s.{table} WHERE day = @on", {"on": on})
    context.warehouse.run("DELETE FROM s.trend WHERE day = @on AND store = 's04'", {"on": SUNDAY})

    gaps = till.assess(context).gaps

    assert {name: set(found) for name, found in gaps.items()} == {
        "raw": set(),
        "clean": {HOLE},
        "trend": {SUNDAY, date(2025, 3, 30)},
        "monthly": {MONTH},
    }
    assert gaps["trend"][SUNDAY].detail == "s.trend holds 3 of 4 stores: lacks s04"
    assert gaps["monthly"][MONTH].findings[0].expected == 4
    plan, report = till.run(context, "run-repair", phases=["clean", "trend", "monthly"])
    assert {(step.phase, on) for _, step in plan.steps() for on in step.dates} == {
        ("clean", HOLE),
        ("trend", SUNDAY),
        ("trend", date(2025, 3, 30)),
        ("monthly", MONTH),
    }
    assert (report.state, report.validation.passed) == ("complete", True)
    assert rows_of(context) == rebuilt
    assert not any(till.assess(context).gaps.values())


@pytest.mark.slow
def test_a_month_that_is_not_over_is_open(
    built: tuple[Till, Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    till, context = built
    monkeypatch.setattr(clock, "now", lambda: datetime(2025, 3, 31, tzinfo=UTC))

    plan, report = till.run(context, "run-open", phases=["clean", "trend", "monthly"])

    assert not [step for _, step in plan.steps() if step.phase == "monthly"]
    assert report.validation.passed
    assert till.assess(context).empty["monthly"][MONTH].reason is SkipReason.OPEN
