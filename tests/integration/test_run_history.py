"""The run history in the warehouse: written at a run's end, once, and never in its way."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from planner.cli import app
from planner.commands import gaps
from planner.report.html.render import render_page
from planner.report.markdown import render_markdown
from planner.report.report import Report
from sql import TableNotFound
from tests.integration.shop import RUN, SCOPE, Shop, day, drain
from worker.finalization.finalize import finalize
from worker.ledger.ledger import Ledger


def keep_history(shop: Shop) -> None:
    settings = shop.context.settings.model_copy(update={"history_dataset": "ops"})
    shop.context.settings = settings


def history_rows(shop: Shop, what: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in shop.context.warehouse.rows(what, {})]


def test_a_run_is_in_the_history_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given gaps that were written down by a command, and one that the run does not take
    for name in ("warehouse", "pipeline", "home"):
        monkeypatch.setenv(f"BACKFILL_{name.upper()}", str(getattr(shop.context.settings, name)))
    monkeypatch.setenv("BACKFILL_HISTORY_DATASET", "ops")
    planner = CliRunner()
    assert "✗ run history" in planner.invoke(app, ["doctor"]).output
    assert planner.invoke(app, ["history", "--create"]).exit_code == 0
    assert planner.invoke(app, ["doctor"]).output.count("✓ run history: ops.") == 6
    keep_history(shop)
    shop.lose_sessions(day(11))
    span = ["--start", str(SCOPE.start), "--end", str(SCOPE.end)]
    assert planner.invoke(app, ["gaps", "--record", *span]).exit_code == 1
    missing = "SELECT phase, date, status, run_id FROM ops.data_gaps WHERE reason = 'missing'"
    assert history_rows(shop, missing) == [("sessionise", day(11), "open", "")]
    (detected,) = history_rows(shop, "SELECT detected FROM ops.data_gaps")

    # When a run takes them, and is finalized by two workers, of which one died before the end
    drain(shop, shop.register(shop.plan()))
    shop.lose("shop_reports.store_daily", "report_date", day(20))
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "conclude", lambda *a, **k: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            finalize(shop.context, RUN)
    before = history_rows(shop, "SELECT * FROM ops.data_gaps ORDER BY phase, date")
    assert finalize(shop.context, RUN) == "complete"

    # Then it has one row, its gaps are healed, and the other is open
    assert history_rows(shop, "SELECT run_id, state FROM ops.backfill_runs") == [(RUN, "complete")]
    assert history_rows(shop, "SELECT * FROM ops.data_gaps ORDER BY phase, date") == before
    assert sorted(history_rows(shop, missing)) == [
        ("aggregate", day(20), "open", ""),
        ("sessionise", day(11), "healed", RUN),
    ]
    first = "SELECT detected FROM ops.data_gaps WHERE phase = 'sessionise'"
    assert history_rows(shop, first) == [detected]
    healed = "SELECT COUNT(*) FROM ops.data_gaps WHERE reason = 'cascade' AND status = 'healed'"
    assert history_rows(shop, healed) == [(6,)]
    assert "note:" not in render_markdown(report_of(shop))


def test_gaps_that_a_run_heals_while_they_are_counted_stay_healed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a command that counts, and a run that begins and ends before it has written that down;
    # command and setting by the names that they had before
    for name in ("warehouse", "pipeline", "home"):
        monkeypatch.setenv(f"BACKFILL_{name.upper()}", str(getattr(shop.context.settings, name)))
    monkeypatch.setenv("BACKFILL_LEDGER_DATASET", "ops")
    planner = CliRunner()
    assert planner.invoke(app, ["ledger", "--create"]).exit_code == 0
    keep_history(shop)
    shop.lose_sessions(day(11))
    count = gaps.read_assessment

    def count_slowly(*args: Any, **options: Any) -> Any:
        counted = count(*args, **options)
        drain(shop, shop.register(shop.plan()))
        assert finalize(shop.context, RUN) == "complete"
        return counted

    monkeypatch.setattr(gaps, "read_assessment", count_slowly)

    # When it writes down what it found
    span = ["--start", str(SCOPE.start), "--end", str(SCOPE.end)]
    assert planner.invoke(app, ["gaps", "--record", *span]).exit_code == 1

    # Then the run's word holds
    found = "SELECT status, run_id FROM ops.data_gaps WHERE reason = 'missing'"
    assert history_rows(shop, found) == [("healed", RUN)]


def test_a_history_that_cannot_be_written_is_a_note_and_no_failure(shop: Shop) -> None:
    # Given a dataset without the tables
    keep_history(shop)
    shop.lose_sessions(day(11))
    drain(shop, shop.register(shop.plan()))

    # When the run ends
    assert finalize(shop.context, RUN) == "complete"

    # Then the report says what is missing, and the warehouse has nothing of it
    (note,) = report_of(shop).notes
    assert "no table ops.backfill_runs" in note
    assert note in render_page(report_of(shop))
    assert f"note: {note[:20]}" in render_markdown(report_of(shop))


def report_of(shop: Shop) -> Report:
    return Report.model_validate_json(shop.ledger.report(RUN) or "")


def test_a_table_of_the_pipelines_own_that_has_the_name_is_left_alone(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a dataset that has a table of that name, with other columns
    for name in ("warehouse", "pipeline", "home"):
        monkeypatch.setenv(f"BACKFILL_{name.upper()}", str(getattr(shop.context.settings, name)))
    monkeypatch.setenv("BACKFILL_HISTORY_DATASET", "ops")
    shop.context.warehouse.run(
        "CREATE TABLE ops.data_gaps (gap_id STRING, game_date DATE, severity STRING)", {}
    )

    created = CliRunner().invoke(app, ["history", "--create"])

    told = (
        "ops.data_gaps is another table than that of the run history: it has no column 'detected'"
    )
    assert told in str(created.exception)
    doctor = CliRunner().invoke(app, ["doctor"]).output
    assert f"✗ run history: {told}" in doctor
    assert "✓ run history" not in doctor
    with pytest.raises(TableNotFound):
        shop.context.warehouse.columns("ops.backfill_runs")
