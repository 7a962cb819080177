"""Complete means complete: each test is a way in which wrong tables were once called well."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis
from deltalake import DeltaTable

from planner.gaps.gaps import GapReason
from planner.gaps.matrix import matrix
from planner.pipeline.windows import Window
from planner.report.markdown import render_markdown
from planner.report.report import Report, next_steps
from planner.settings import Settings
from planner.validation.baseline import Baseline, baseline_of
from planner.validation.counts import count_tables
from tests.integration.mart import DAILY, DAYS, REPLACE, RUN, SCOPE, STATEMENTS, TREND, Mart
from worker.run.finalize import finalize
from worker.step.context import Context
from worker.step.errors import Requeue, StepFailed
from worker.step.visit import visit

MakeMart = Callable[..., Mart]


@pytest.fixture
def make(tmp_path: Path, client: redis.Redis, redis_settings: Settings) -> MakeMart:
    return lambda **options: Mart(tmp_path, redis_settings.redis_url, **options)


@pytest.fixture
def mart(make: MakeMart) -> Mart:
    return make()


def commands(report: Report) -> list[str]:
    return [step.command for step in next_steps(report)]


def test_expected_is_what_is_upstream_at_the_recount(mart: Mart) -> None:
    # Given a plan that expects no players, since the phase where they begin is missing too
    mart.lose("daily", DAYS[1])
    mart.lose("trend", DAYS[1])
    plan = mart.plan()
    mart.says(
        "trend", REPLACE.format(table="trend", select=f"{TREND} HAVING MIN(own.player) < 'p4'")
    )

    report = mart.run(plan)

    # Then a step that wrote some of them has failed, and nothing is said to have been removed
    assert "m.trend holds 3 of 4 on 2024-01-02, and lacks" in mart.problem(DAYS[1], "trend")
    assert report.state == "failed"
    assert [short.cause for short in report.validation.short] == ["incomplete", "incomplete"]
    assert f"planner retry {RUN}" in commands(report)


def test_a_source_that_shrank_asks_for_less(mart: Mart) -> None:
    mart.lose("daily", DAYS[3])
    mart.lose("trend", DAYS[3])
    plan = mart.plan()
    mart.lose("sales", DAYS[3], "s4")

    report = mart.run(plan)

    assert report.state == "complete"
    (remark,) = {remark.text for remark in report.remarks if remark.phase == "daily"}
    assert remark == "upstream holds 3 stores now, and 4 when the plan was made"


def test_a_store_under_another_id_is_lacking_and_too_many(make: MakeMart) -> None:
    mart = make(
        more="criteria = ["
        '{ name = "stores", kind = "entities", phase = "daily", against = "sales" }]'
    )
    mart.lose("daily", DAYS[1], "s2")
    mart.sql(
        "INSERT INTO m.daily SELECT @day AS day, 'x' AS store, 'p2' AS player, 2 AS paid",
        day=DAYS[1],
    )

    gap = mart.assess().gaps["daily"][DAYS[1]]

    assert gap.reason is GapReason.PARTIAL
    assert gap.detail == (
        "m.daily holds 3 of 4 stores: lacks s2; m.daily holds 1 store too many: x"
    )
    (row,) = [row for row in validated(mart).results.criteria if row.criterion == "stores"]
    assert (row.status, row.expected, row.found) == ("fails", 16, 15)


def validated(mart: Mart) -> Baseline:
    counts = count_tables(mart.context.warehouse, mart.context.pipeline, SCOPE)
    return baseline_of(counts, warehouse="here", now=datetime.now(UTC))


def test_a_script_that_appends_makes_duplicates_and_has_failed(make: MakeMart) -> None:
    mart = make(daily='key = ["store", "player"]')
    mart.lose("sales", DAYS[1], "s4")
    mart.lose("daily", DAYS[1], "s3")
    mart.lose("daily", DAYS[1], "s4")
    mart.says("daily", f"INSERT INTO m.daily {DAILY}")

    report = mart.run(mart.plan())

    assert mart.problem(DAYS[1], "daily") == (
        "new duplicate on 2024-01-02: m.daily holds 5 rows for 3 keys (store, player): 2 too many"
    )
    assert report.state == "failed"
    # And it is found by itself, and repaired when asked to
    assert mart.assess().gaps["daily"][DAYS[1]].reason is GapReason.DUPLICATE
    assert mart.plan().leaves_gaps
    mart.says("daily", STATEMENTS["daily"])
    asked = mart.plan([GapReason.DUPLICATE])
    assert [step.phase for _, step in asked.steps() if step.start == DAYS[1]] == ["daily", "trend"]


def test_a_column_without_values_is_unfilled(make: MakeMart) -> None:
    mart = make(daily="filled = { paid = 0.9 }")
    mart.lose("daily", DAYS[1])
    mart.sql(
        "INSERT INTO m.daily SELECT day, store, player, IF(store = 's1', paid, NULL) AS paid "
        "FROM m.sales WHERE day = @day",
        day=DAYS[1],
    )

    gap = mart.assess().gaps["daily"][DAYS[1]]

    assert gap.reason is GapReason.UNFILLED
    assert gap.detail == "m.daily has a value of paid in 1 rows, and 4 at least should"


def test_a_row_too_many_between_is_not_expected_below(mart: Mart) -> None:
    mart.sql(
        "INSERT INTO m.daily SELECT @day AS day, 'off' AS store, 'p1' AS player, 0 AS paid",
        day=DAYS[1],
    )

    found = mart.assess()

    assert found.gaps["daily"][DAYS[1]].reason is GapReason.SURPLUS
    assert DAYS[1] in found.complete["trend"]


@pytest.mark.parametrize("complete", [True, False])
def test_a_criterion_does_not_switch_every_date_off(make: MakeMart, complete: bool) -> None:
    rows = '{ name = "rows", kind = "rows", phase = "daily", minimum = 1 }'
    mart = make(more=f"criteria = [{rows}]\n" + ("" if complete else "complete = false"))
    mart.lose("trend", DAYS[1])

    found = validated(mart)

    judged = [row.criterion for row in found.results.criteria]
    assert judged == (["rows", "complete"] if complete else ["rows"])
    assert not complete or not found.holds


def test_a_worker_of_another_warehouse_waits_and_counts_nothing(mart: Mart, tmp_path: Path) -> None:
    mart.lose("daily", DAYS[1])
    mart.begin(mart.plan())
    (tmp_path / "other").mkdir()
    other = mart.settings.model_copy(update={"warehouse": f"local:{tmp_path / 'other'}"})
    (tmp_path / "link").symlink_to(tmp_path / "warehouse")
    same = mart.settings.model_copy(update={"warehouse": f"local:{tmp_path / 'link'}"})

    step = f"{DAYS[1]}/daily"
    with pytest.raises(Requeue):
        visit(Context(other, patient=False), RUN, step, worker="other")

    assert mart.ledger.step(RUN, step).waiting == "a worker with the run's warehouse"
    assert visit(Context(same, patient=False), RUN, step, worker="same") == "succeeded"
    mart.go_on()
    with pytest.raises(Requeue):
        finalize(Context(other, patient=False), RUN)
    assert finalize(mart.context, RUN) == "complete"


def test_a_compaction_is_no_recomputation_and_an_append_is_not_ours(
    mart: Mart, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given dates to recompute, one of them in two files
    mart.lose("daily", DAYS[1], "s1")
    mart.sql("INSERT INTO m.trend SELECT * FROM m.trend WHERE day = @day", day=DAYS[2])
    mart.begin(mart.plan())
    mart.go_on(["daily"])

    def others(statement: str, parameters: object) -> int:
        """What happens while our statement does nothing."""
        DeltaTable(mart.place / "warehouse/m/trend").optimize.compact()
        mart.sql(
            "INSERT INTO m.trend SELECT * FROM m.trend WHERE day = @day AND store = 's1'",
            day=DAYS[1],
        )
        return 0

    monkeypatch.setattr(mart.context.warehouse, "run", others)
    mart.go_on()

    for day in DAYS[1:3]:
        assert mart.problem(day, "trend") == f"not recomputed: m.trend on {day} is unchanged"


def test_rows_that_a_step_loses_are_the_first_line_of_the_report(mart: Mart) -> None:
    mart.lose("daily", DAYS[1], "s1")
    mart.says("trend", "DELETE FROM m.trend WHERE day BETWEEN @start_date AND @end_date")

    report = mart.run(mart.plan())

    assert mart.problem(DAYS[2], "trend").startswith("rows lost: m.trend holds 0 of 4")
    lines = render_markdown(report).splitlines()
    assert lines[2] == (
        "**Lost: trend 2024-01-02 held all rows when the plan was made. "
        "m.trend holds 0 of 4 stores.**"
    )
    assert commands(report)[0].startswith("planner enqueue --gaps")


def test_what_was_computed_from_rows_that_are_gone_does_not_pass(mart: Mart) -> None:
    # Given a date whose upstream loses rows after its recount, and is read all the same
    mart.lose("daily", DAYS[1], "s1")
    mart.begin(mart.plan())
    mart.go_on()
    mart.lose("daily", DAYS[1], "s2")

    report = mart.end()

    found = {(each.phase, each.date): each.cause for each in report.validation.short}
    assert found[("daily", DAYS[1])] == "removed"
    assert found[("trend", DAYS[2])] == "gone"
    assert report.state == "failed"
    assert f"planner retry {RUN}" not in commands(report)
    assert any(command.startswith("planner enqueue --gaps") for command in commands(report))


def test_what_is_older_than_its_upstream_does_not_pass(mart: Mart) -> None:
    mart.lose("daily", DAYS[1], "s1")
    mart.begin(mart.plan())
    mart.go_on()
    mart.sql(STATEMENTS["daily"], start_date=DAYS[1], end_date=DAYS[1])

    report = mart.end()

    causes = {(each.phase, each.date): each.cause for each in report.validation.short}
    assert causes == {("trend", DAYS[1]): "changed", ("trend", DAYS[2]): "changed"}
    assert any(command.endswith("--stale") for command in commands(report))


def test_a_step_does_not_run_over_rows_that_went_away(mart: Mart) -> None:
    mart.lose("daily", DAYS[2], "s1")
    mart.begin(mart.plan())
    mart.go_on(["daily"])
    mart.lose("daily", DAYS[1], "s2")

    with pytest.raises(StepFailed, match="daily 2024-01-02 is short now: m.daily holds 3 of 4"):
        mart.visit(DAYS[2], "trend")


def test_a_table_counts_the_scope_that_it_names(mart: Mart) -> None:
    mart.lose("trend", DAYS[0])
    scope = Window(start=DAYS[1], end=DAYS[3])

    counted = matrix(mart.context.pipeline, mart.assess(scope), scope)["2024"]["trend"]

    assert (counted.complete, counted.expected) == (3, 3)


def test_orphans_stand_where_people_look(mart: Mart) -> None:
    mart.lose("sales", DAYS[1])

    found = mart.assess()

    assert {phase: list(days) for phase, days in found.orphans.items()} == {
        "daily": [DAYS[1]],
        "trend": [DAYS[1]],
    }
    assert mart.plan().leaves_gaps
    assert not validated(mart).holds
