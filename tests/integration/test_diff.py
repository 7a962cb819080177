"""How the rows that a run wrote anew differ from those before it, by key."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from planner.report.markdown import render_markdown
from planner.report.report import Report
from tests.bigquery_server.rest import BigQueryServer
from tests.integration.mart import DAILY, DAYS, REPLACE, RUN, MakeMart, Mart
from tests.integration.test_restore import redo, run
from worker.finalization.diff import chosen, diff
from worker.run.restore import restore

# Twice what was paid in store 2; store 1's player is another one; store 4's rows are there twice.
OTHER = f"""
SELECT day, store, IF(store = 's1', 'new', player) AS player,
  IF(store = 's2', 2 * paid, paid) AS paid
FROM ({DAILY})
"""
WRONG = REPLACE.format(table="daily", select=OTHER)
KEYED = 'key = ["store", "player"]'


@pytest.fixture
def mart(make_mart: MakeMart) -> Mart:
    return make_mart(daily=KEYED)


@pytest.fixture(params=["local", pytest.param("bigquery", marks=pytest.mark.slow)])
def done(
    mart: Mart, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Mart]:
    """A run that wrote two dates anew, wrongly."""
    server = BigQueryServer(mart.place / "warehouse", locations={"safe": "US"})
    with server:
        if request.param == "bigquery":
            monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
            mart.move_to_bigquery()
        mart.says("daily", WRONG)
        run(mart, redo(mart, "daily", chunk_dates=4))
        yield mart
        if request.param == "bigquery":
            mart.context.warehouse.close()


def test_rows_are_compared_by_key_and_the_columns_that_changed_most_come_first(done: Mart) -> None:
    record = done.ledger.require(RUN)
    kept = chosen(done.context, record, "daily", None)

    (table,) = diff(done.context, record, kept, rows_shown=3)

    assert (table.phase, table.table, table.key) == ("daily", "m.daily", ("store", "player"))
    assert [(each.date, each.added, each.removed, each.changed) for each in table.dates] == [
        (day, 1, 1, 1) for day in DAYS
    ]
    assert table.columns == {"paid": 4}
    first, second, third = table.rows
    assert (first.key, first.old) == ({"store": "s1", "player": "new"}, None)
    assert (second.key, second.new) == ({"store": "s1", "player": "p1"}, None)
    assert (third.key, third.old, third.new) == (
        {"store": "s2", "player": "p2"},
        {"paid": 2},
        {"paid": 4},
    )
    assert {row.date for row in table.rows} == {DAYS[0]}


def test_the_report_has_one_line_per_phase(done: Mart) -> None:
    report = Report.model_validate_json(done.ledger.report(RUN) or "")

    told = render_markdown(report)
    line = "written anew, daily: rows 4 added, 4 removed, 4 changed on 4 dates; columns: paid in 4"
    assert line in told.replace("\\_", "_")


@pytest.mark.slow
def test_what_was_put_back_differs_in_nothing(done: Mart) -> None:
    restore(done.context, RUN)
    record = done.ledger.require(RUN)

    assert not any(table.dates for table in diff(done.context, record, done.ledger.kept(RUN)))


def test_rows_that_are_all_gone_or_all_new_are_counted(mart: Mart) -> None:
    mart.lose("daily", DAYS[0])
    mart.says("daily", "DELETE FROM m.daily WHERE day BETWEEN @start_date AND @end_date")
    run(mart, redo(mart, "daily", gaps=True))
    mart.sql(WRONG, start_date=DAYS[0], end_date=DAYS[0])

    (table, *_) = diff(mart.context, mart.ledger.require(RUN), mart.ledger.kept(RUN))

    assert [(each.date, each.added, each.removed, each.changed) for each in table.dates] == [
        (day, 4 * (day == DAYS[0]), 4 * (day != DAYS[0]), 0) for day in DAYS
    ]


def test_a_comparison_that_fails_is_a_note_of_the_report(
    mart: Mart, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object, **named: object) -> None:
        raise ValueError("a mistake")

    monkeypatch.setattr("worker.finalization.diff.diff", fails)

    report = run(mart, redo(mart, "daily"))

    assert report.state == "complete"
    assert report.notes == (
        "rows written anew are not compared with those before: ValueError: a mistake",
    )


def test_a_person_reads_it(mart: Mart) -> None:
    mart.says("daily", WRONG)
    run(mart, redo(mart, "daily"))
    shown = mart.command("diff", RUN, "--phase", "daily", "--dates", str(DAYS[1]), "--limit", "9")

    assert shown.code == 0, shown.err
    assert shown.out.splitlines() == [
        "daily, m.daily (by store, player); columns: paid in 1",
        f"  {DAYS[1]}: +1 -1 ~1",
        f'    + {DAYS[1]} store="s1", player="new"',
        f'    - {DAYS[1]} store="s1", player="p1"',
        f'    ~ {DAYS[1]} store="s2", player="p2": paid 2 → 4',
    ]
    assert mart.command("diff", RUN, "--phase", "sales").code == 2
