"""Complete means complete: each test is a way in which wrong tables were once called well."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from planner.cli import main
from planner.doctor.ids import check_ids
from planner.gaps.gaps import FLAWS, GapReason
from planner.gaps.matrix import matrix
from planner.pipeline.windows import Window
from planner.report.advice import APPENDS, next_steps
from planner.report.markdown import render_markdown
from planner.report.report import Report
from planner.validation.baseline import Baseline, baseline_of
from planner.validation.counts import count_tables
from sql.warehouse import Parameters
from tests.integration.mart import (
    DAILY,
    DAYS,
    NEGATIVE,
    REPLACE,
    RUN,
    SCOPE,
    STATEMENTS,
    STORES,
    TREND,
    MakeMart,
    Mart,
)
from worker.context import Context
from worker.finalization.finalize import finalize
from worker.step.errors import Requeue, StepFailed
from worker.step.visit import visit


def commands(report: Report) -> list[str]:
    return [step.command for step in next_steps(report)]


def test_expected_is_what_is_upstream_at_the_recount(mart: Mart) -> None:
    # Given a plan that expects no players, since the phase where they begin is missing too
    mart.lose("daily", DAYS[1])
    mart.lose("trend", DAYS[1])
    plan = mart.plan()
    less = "SELECT day, store, IF(player = 'p4', NULL, player) AS player, paid"
    mart.says("trend", REPLACE.format(table="trend", select=f"{less} FROM ({TREND})"))

    report = mart.run(plan)

    # Then a step that wrote some of them has failed, and nothing is said to have been removed
    assert "m.trend holds 3 of 4 on 2024-01-02, and lacks p4" in mart.problem(DAYS[1], "trend")
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


def test_a_store_under_another_id_is_lacking_and_too_many(make_mart: MakeMart) -> None:
    mart = make_mart(
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


def test_a_script_that_appends_makes_duplicates_and_has_failed(make_mart: MakeMart) -> None:
    mart = make_mart(daily='key = ["store", "player"]')
    mart.retries(2)
    mart.lose("sales", DAYS[1], "s4")
    mart.lose("daily", DAYS[1], "s3")
    mart.lose("daily", DAYS[1], "s4")
    mart.says("daily", f"INSERT INTO m.daily {DAILY}")

    report = mart.run(mart.plan())

    assert mart.problem(DAYS[1], "daily") == (
        "new duplicate on 2024-01-02: m.daily holds 5 rows for 3 keys (store, player): 2 too "
        f"many. {APPENDS}"
    )
    assert report.state == "failed"
    # And no retry is spent or advised, which would append once more
    assert mart.ledger.step(RUN, f"{DAYS[1]}/daily").attempt == 1
    commands = [step.command for step in next_steps(report)]
    assert (
        f"planner enqueue --gaps --start {DAYS[0]} --end {DAYS[-1]} --reasons duplicate" in commands
    )
    assert not any("retry" in command for command in commands)
    # And it is found by itself, and repaired when asked to
    assert mart.assess().gaps["daily"][DAYS[1]].reason is GapReason.DUPLICATE
    assert mart.plan().leaves_gaps
    mart.says("daily", STATEMENTS["daily"])
    asked = mart.plan([GapReason.DUPLICATE])
    assert [step.phase for _, step in asked.steps() if step.start == DAYS[1]] == ["daily", "trend"]


def test_a_column_without_values_is_unfilled(make_mart: MakeMart) -> None:
    mart = make_mart(daily="filled = { paid = 0.9 }")
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
def test_a_criterion_does_not_switch_every_date_off(make_mart: MakeMart, complete: bool) -> None:
    rows = '{ name = "rows", kind = "rows", phase = "daily", minimum = 1 }'
    mart = make_mart(more=f"criteria = [{rows}]\n" + ("" if complete else "complete = false"))
    mart.lose("trend", DAYS[1])

    found = validated(mart)

    judged = [row.criterion for row in found.results.criteria]
    assert judged == (["rows", "complete"] if complete else ["rows"])
    assert not complete or not found.holds


@pytest.mark.slow
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
    lacks = {(each.phase, each.date): each.lacks for each in report.validation.short}
    assert lacks["daily", DAYS[1]] == ("s2",)
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


FLAWED = """
key = ["store", "player"]
filled = { paid = 1.0 }
audits = ["negative"]
"""
ADDED = {
    "twice": "INSERT INTO m.daily SELECT * FROM m.daily WHERE day = @day",
    "foreign": "INSERT INTO m.daily SELECT @day AS day, 'f' AS store, 'f' AS player, 9 AS paid",
}

KINDS = ["id", "twice", "empty", "foreign", "negative", "gone"]


def spoil(mart: Mart, kind: str, day: date, store: str) -> None:
    """One hole of a kind in `daily`."""
    changed = {"id": "'x' AS store, player, paid", "empty": "store, player, NULL AS paid"}
    changed["negative"] = "store, player, -paid AS paid"
    if kind == "gone":
        mart.lose("daily", day)
    elif kind in changed:
        mart.lose("daily", day, store)
        mart.sql(
            f"INSERT INTO m.daily SELECT day, {changed[kind]} FROM m.sales "
            "WHERE day = @day AND store = @store",
            day=day,
            store=store,
        )
    else:
        mart.sql(ADDED[kind], day=day)


def rows(mart: Mart) -> list[list[tuple[object, ...]]]:
    """Every row of both tables that are made."""
    found = [
        mart.warehouse.rows(f"SELECT day, store, player, paid FROM m.{table}", {})
        for table in ("daily", "trend")
    ]
    return [sorted(tuple(row.values()) for row in each) for each in found]


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))]
)
def test_a_repair_of_flaws_equals_a_rebuild(make_mart: MakeMart, seed: int) -> None:
    # Given a mart, and holes of every kind, none of which a number of distinct ids would show
    mart = make_mart(daily=FLAWED, audit=NEGATIVE)
    whole, chance = rows(mart), random.Random(seed)
    kinds = chance.sample(KINDS, k=len(DAYS))
    for day, kind in zip(DAYS, kinds, strict=True):
        spoil(mart, kind, day, f"s{chance.randint(1, STORES)}")

    # When they are found by name, and repaired where that is asked for
    found = mart.assess().gaps["daily"]
    named = {
        "id": GapReason.PARTIAL,
        "twice": GapReason.DUPLICATE,
        "empty": GapReason.UNFILLED,
        "foreign": GapReason.SURPLUS,
        "negative": GapReason.AUDIT,
        "gone": GapReason.MISSING,
    }
    assert {day: gap.reason for day, gap in found.items()} == {
        day: named[kind] for day, kind in zip(DAYS, kinds, strict=True)
    }
    size = 1 if seed else len(DAYS)
    report = mart.run(mart.plan(FLAWS, chunk_dates=size))

    # Then every table is as it was built, row for row, and nothing is left to say
    assert report.state == "complete", report.failures
    assert rows(mart) == whole
    assert mart.plan(FLAWS).is_empty
    assert not mart.plan().leaves_gaps


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"daily": 'key = ["stor"]'}, "m.daily has no column 'stor', which `key` names"),
        ({"daily": "filled = { paide = 0.5 }"}, "did you mean 'paid'?"),
        ({"daily": 'audits = ["none"]'}, "there is no audit 'none'"),
        ({"daily": 'audits = ["negative"]', "audit": "DELETE FROM m.daily WHERE TRUE"}, "refused"),
        ({"daily": 'audits = ["negative"]', "audit": "SELECT store FROM m.daily"}, "named DATE"),
        ({"daily": 'audits = ["negative"]', "audit": "no query"}, "refused"),
        ({"daily": 'against = ["trend"]'}, "against names 'trend', which does not stand upstream"),
        ({"more": 'compare = { shop = "count" }'}, "compare: no table counts 'shop'"),
    ],
)
@pytest.mark.quick(0, 2, 3, 7)
def test_what_cannot_be_judged_by_is_refused_in_a_line(
    make_mart: MakeMart,
    options: dict[str, str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, and no table is touched."""
    mart = make_mart(**options)
    before = rows(mart)
    monkeypatch.setenv("BACKFILL_WAREHOUSE", mart.settings.warehouse)
    monkeypatch.setenv("BACKFILL_PIPELINE", mart.settings.pipeline)
    monkeypatch.setenv("BACKFILL_BROKER_URL", mart.settings.broker_url)
    monkeypatch.setenv("BACKFILL_HOME", str(mart.settings.home))

    for command in (["gaps"], ["plan"], ["enqueue", "--gaps"]):
        monkeypatch.setattr("sys.argv", ["planner", *command])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        assert (ended.value.code, told.out) == (2, ""), told
        assert said in told.err
        assert len(told.err.strip().splitlines()) == 1, told.err
    assert rows(mart) == before
    assert mart.ledger.runs() == []


def test_a_script_that_says_so_had_nothing_to_change(make_mart: MakeMart) -> None:
    mart = make_mart()
    unchanged = (
        'kind = "script"\ncommand = ["echo", "all is as it was"]\n'
        'outcomes = [{ output = "as it was", then = "unchanged" }]'
    )
    text = (mart.place / "mart.toml").read_text()
    (mart.place / "mart.toml").write_text(
        text.replace(
            'runners = [{ kind = "sql", statements = ["trend"] }]',
            f"[[phases.runners]]\n{unchanged}",
        )
    )
    mart.lose("daily", DAYS[1], "s1")

    report = mart.run(mart.plan())

    assert report.state == "complete"
    (remark,) = [remark for remark in report.remarks if remark.phase == "trend"]
    assert remark.text == "unchanged, by its own word"
    assert remark.dates == (DAYS[1], DAYS[2])


def test_ids_that_never_meet_are_told_with_what_to_say(mart: Mart) -> None:
    mart.sql(
        REPLACE.format(
            table="daily",
            select="SELECT day, CONCAT('shop-', store) AS store, player, paid FROM m.sales "
            "WHERE day BETWEEN @start_date AND @end_date",
        ),
        start_date=DAYS[0],
        end_date=DAYS[-1],
    )

    checks = list(check_ids(mart.context.warehouse, mart.context.pipeline, today=DAYS[-1]))

    (check,) = [check for check in checks if check.what == "daily: m.daily"]
    assert not check.ok
    assert "none of its stores" in check.detail
    assert 'compare = { store = "count" }' in check.advice


def test_one_id_in_common_is_enough(mart: Mart) -> None:
    mart.lose("daily", DAYS[0], "s1")

    assert not list(check_ids(mart.context.warehouse, mart.context.pipeline, today=DAYS[-1]))


def test_only_a_table_that_differs_is_asked_once_more(
    mart: Mart, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    warehouse = mart.context.warehouse
    real = warehouse.rows

    def rows_of(statement: str, parameters: Parameters) -> Sequence[Mapping[str, Any]]:
        asked.append(statement)
        return real(statement, parameters)

    monkeypatch.setattr(warehouse, "rows", rows_of)
    mart.assess()
    assert len(asked) == len(mart.context.pipeline.tables)
    asked.clear()

    mart.lose("trend", DAYS[0], "s1")
    mart.lose("trend", DAYS[2], "s2")
    mart.assess()

    assert len(asked) == len(mart.context.pipeline.tables) + 1
