"""Accepted losses and exclusions on a run: real statements, a real ledger, visits by hand."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import redis

from planner import clock
from planner.console.accepted import accept_blocks
from planner.doctor.exclusions import check_exclusions
from planner.errors import BadPipeline
from planner.gaps.gaps import Assessment, GapReason, SkipReason
from planner.gaps.survey import survey
from planner.pipeline.closing import Closing
from planner.pipeline.windows import Window
from planner.plan.plan import Plan
from planner.plan.states import RunState, StepState
from planner.report.markdown import render_markdown
from planner.report.report import Report
from planner.settings import Settings
from sql import open_warehouse
from sql.errors import WarehouseRefused
from worker.context import Context
from worker.finalization.finalize import finalize
from worker.run.plan import Wanted, plan_gaps
from worker.step import visit
from worker.step.errors import Requeue, StepFailed

FIRST = date(2025, 3, 1)
LAST = FIRST + timedelta(days=30)
SCOPE = Window(start=FIRST, end=LAST)
LOST, HALTED = FIRST + timedelta(days=4), FIRST + timedelta(days=20)
CLEANED = """
name = "till"
[[seasons]]
name = "2025"
year = 2025
start = 2025-03-01
end = 2025-12-31
[[phases]]
name = "raw"
tables = [{ name = "s.raw", date = "day", entities = { store = "store" } }]
[[phases]]
name = "clean"
after = ["raw"]
retries = 0
tables = [{ name = "s.clean", date = "day", entities = { store = "store" } }]
runners = [{ kind = "sql", statements = ["clean"] }]
"""
"""A source and a phase below it, day by day."""

PIPELINE = (
    CLEANED
    + """
[[phases]]
name = "trend"
after = ["clean"]
lookback_days = 30
retries = 0
tables = [{ name = "s.trend", date = "day", entities = { store = "store" } }]
runners = [{ kind = "sql", statements = ["trend"] }]
"""
)
HALTS = """
[[exclude]]
from = { table = "s.halts", date = "day", until = "last", where = { what = "clean" } }
phases = ["clean"]
reason = "the till was halted"
"""
# One store's file of the lost date cannot be parsed, whoever tries.
CLEAN = """MERGE s.clean USING (
  SELECT day, store FROM s.raw
  WHERE day BETWEEN @start_date AND @end_date
    AND NOT (day = DATE '2025-03-05' AND store = 's02')
) ON FALSE
WHEN NOT MATCHED BY SOURCE AND day BETWEEN @start_date AND @end_date THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
"""
TREND = """MERGE s.trend USING (
  SELECT dated.day, dated.store, COUNT(*) AS days
  FROM s.clean AS dated
  JOIN s.clean AS past
    ON past.store = dated.store
    AND past.day BETWEEN DATE_SUB(dated.day, INTERVAL 30 DAY) AND dated.day
  WHERE dated.day BETWEEN @start_date AND @end_date
  GROUP BY dated.day, dated.store
) ON FALSE
WHEN NOT MATCHED BY SOURCE AND day BETWEEN @start_date AND @end_date THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
"""


class Till:
    """A pipeline file of its own, its warehouse, and visits to the steps of its runs."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.folder, self.redis_url = folder, redis_url
        warehouse = open_warehouse(f"local:{folder / 'warehouse'}")
        for table, more in (("raw", ""), ("clean", ""), ("trend", ", days INT64")):
            columns = f"day DATE, store STRING{more}"
            warehouse.run(f"CREATE TABLE s.{table} ({columns}) PARTITION BY day", {})
        warehouse.run("CREATE TABLE s.halts (day DATE, last DATE, what STRING)", {})
        warehouse.run(
            "INSERT INTO s.raw SELECT day, store FROM UNNEST(GENERATE_DATE_ARRAY(@a, @b)) AS day "
            "CROSS JOIN UNNEST(['s01', 's02', 's03']) AS store",
            {"a": FIRST, "b": LAST},
        )
        warehouse.close()
        (folder / "clean.sql").write_text(CLEAN)
        (folder / "trend.sql").write_text(TREND)

    def context(self, more: str = "", *, pipeline: str = PIPELINE) -> Context:
        (self.folder / "till.toml").write_text(pipeline + more)
        settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            warehouse=f"local:{self.folder / 'warehouse'}",
            pipeline=str(self.folder / "till.toml"),
            broker_url=self.redis_url,
            home=self.folder / "home",
        )
        context = Context(settings, patient=False)
        context.warehouse.identify()
        return context

    def run(
        self, context: Context, run_id: str, phases: Sequence[str] = ("clean", "trend")
    ) -> tuple[Plan, Report]:
        """Plan every gap, visit every step until it settles, and finalize."""
        wanted = Wanted(scope=SCOPE, phases=phases, chunk_dates=31)
        plan = plan_gaps(context, self.assess(context), wanted, ledger=context.ledger)
        context.ledger.register(run_id, plan)
        context.ledger.move(run_id, RunState.RUNNING, [RunState.INCOMPLETE])
        steps = [step_id for step_id, _ in plan.steps()]
        for _ in range(50):
            for step in steps:
                try:
                    visit.visit(context, run_id, step, worker="me")
                except (Requeue, StepFailed):
                    continue
            if not {StepState.PENDING, StepState.RUNNING} & set(
                context.ledger.steps(run_id).values()
            ):
                break
        finalize(context, run_id)
        return plan, Report.model_validate_json(context.ledger.report(run_id) or "")

    def assess(self, context: Context) -> Assessment:
        closing = Closing(pipeline=context.pipeline, now=clock.now())
        return survey(context.warehouse, context.pipeline, SCOPE, closing=closing)


@pytest.fixture
def till(tmp_path: Path, client: redis.Redis, redis_settings: Settings) -> Till:
    """A till whose clean and trend tables are still empty."""
    return Till(tmp_path, redis_settings.redis_url)


def test_one_permanent_loss_does_not_hold_up_thirty_days(till: Till) -> None:
    context = till.context()
    _, report = till.run(context, "run-first")
    assert report.state == "failed"
    gaps = till.assess(context).gaps
    assert set(gaps["clean"]) == {LOST}
    assert len(gaps["trend"]) == 27, "every date that looks back on the lost one waits for it"

    block = accept_blocks(context.pipeline, [gap for of in gaps.values() for gap in of.values()])

    assert block.startswith('[[accept]]\nphase = "clean"\ndates = "2025-03-05"\nids = ["s02"]\n')
    assert tomllib.loads(block)
    context = till.context(f"\n{block}")
    plan, report = till.run(context, "run-second")

    assert {step.phase for _, step in plan.steps()} == {"trend"}, "what is accepted is never run"
    assert (report.state, report.validation.passed) == ("complete", True)
    assert report.accepted == 1
    assert "1 of its phase-dates lack rows, which is accepted" in render_markdown(report)
    after = till.assess(context)
    assert not any(after.gaps.values())
    assert set(after.accepted) == {"clean"}
    assert after.expected["trend"][LOST] == {"store": 2}
    held = context.warehouse.rows("SELECT COUNT(*) AS n FROM s.trend", {})
    assert held[0]["n"] == 31 * 3 - 1


def test_a_loss_that_is_accepted_until_a_day_is_a_gap_from_the_next_one(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = till.context(
        '[[accept]]\nphase = "clean"\ndates = "2025-03-01..2025-03-31"\nreason = "late files"\n'
        "until = 2025-06-30\n"
    )
    monkeypatch.setattr(clock, "now", lambda: datetime(2025, 6, 30, tzinfo=UTC))
    assert not till.assess(context).gaps["clean"]
    assert set(till.assess(context).empty["trend"]) >= {FIRST, LAST}

    monkeypatch.setattr(clock, "now", lambda: datetime(2025, 7, 1, tzinfo=UTC))

    gaps = till.assess(context).gaps["clean"]
    assert len(gaps) == 31
    assert {gap.reason for gap in gaps.values()} == {GapReason.MISSING}


def test_days_that_a_table_lists_are_left_out_of_a_run(till: Till) -> None:
    context = till.context(HALTS)
    context.warehouse.run(
        "INSERT INTO s.halts (day, last, what) VALUES "
        "(DATE '2025-03-05', DATE '2025-03-05', 'clean'), "
        "(DATE '2025-03-21', NULL, 'clean'), (DATE '2025-03-10', NULL, 'trend')",
        {},
    )

    plan, report = till.run(context, "run-halts")

    taken = {day for _, step in plan.steps() for day in step.dates}
    assert taken == {day for day in SCOPE.days() if day not in (LOST,) and day < HALTED}
    assert (report.state, report.validation.passed) == ("complete", True)
    assert {left.reason for left in till.assess(context).empty["trend"].values()} >= {
        SkipReason.EXCLUDED
    }
    (check,) = check_exclusions(context.warehouse, context.pipeline)
    assert check.ok


def test_a_window_that_reaches_forward_is_waited_for_and_done_again(till: Till) -> None:
    """Repair equals rebuild: each trend is computed once what it reads after it is there."""
    forward = PIPELINE.replace("lookback_days = 30", "reads = { from = -2, to = 3 }")
    trend = TREND.replace("INTERVAL 30 DAY) AND dated.day", "INTERVAL 2 DAY)\n    AND {to}")
    trend = trend.format(to="DATE_ADD(dated.day, INTERVAL 3 DAY)")
    (till.folder / "trend.sql").write_text(trend)
    (till.folder / "clean.sql").write_text(CLEAN.replace("store = 's02'", "store = 's99'"))
    context = till.context(pipeline=forward)
    _, report = till.run(context, "run-built")
    assert report.validation.passed
    rebuilt = rows_of(context)
    for on, table in ((LOST, "clean"), (HALTED, "clean"), (HALTED, "trend")):
        context.warehouse.run(f"DELETE FROM s.{table} WHERE day = @on", {"on": on})

    plan, report = till.run(context, "run-repair")

    redone = {day for _, step in plan.steps() if step.phase == "trend" for day in step.dates}
    assert redone == {on + timedelta(days=n) for on in (LOST, HALTED) for n in range(-3, 3)}
    assert (report.state, report.validation.passed) == ("complete", True)
    assert rows_of(context) == rebuilt


def rows_of(context: Context) -> list[tuple[date, str, int]]:
    statement = "SELECT day, store, days FROM s.trend ORDER BY day, store"
    return [
        (row["day"], row["store"], row["days"]) for row in context.warehouse.rows(statement, {})
    ]


@pytest.mark.parametrize(
    ("halts", "says"),
    [
        (HALTS.replace("s.halts", "s.halt"), "no such table"),
        (HALTS.replace('"last"', '"end"'), "no column 'end'"),
        (HALTS.replace('"day"', '"what"'), "STRING"),
    ],
)
def test_a_list_that_cannot_be_read_excludes_nothing_and_says_why(
    till: Till, halts: str, says: str
) -> None:
    context = till.context(halts)

    with pytest.raises((BadPipeline, WarehouseRefused), match=says):
        till.assess(context)
    (check,) = check_exclusions(context.warehouse, context.pipeline)
    assert not check.ok
    assert says in check.detail
