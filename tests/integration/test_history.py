"""The run history on both warehouses: gaps keep their time, and nothing is written twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from planner.pipeline.windows import Window
from planner.plan.cost import cost_of
from planner.report.costs import write_costs
from planner.report.history import (
    FoundGap,
    create_statements,
    write_gaps,
    write_run,
)
from sql import TableNotFound, Warehouse, open_warehouse
from tests.bigquery_server.rest import BigQueryServer
from tests.reports import make_report

DAY = [date(2025, 3, n) for n in range(1, 32)]
MARCH = Window(start=DAY[0], end=DAY[30])
NOON = datetime(2025, 4, 1, 12, tzinfo=UTC)
LATER = timedelta(hours=1)


@pytest.fixture(params=["local", "bigquery"])
def warehouse(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Warehouse]:
    """One with the history's tables in `ops`."""
    local = open_warehouse(f"local:{tmp_path}")
    for statement in create_statements("ops"):
        local.run(statement, {})
    if request.param == "local":
        yield local
        return
    with BigQueryServer(tmp_path) as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        yield open_warehouse("bigquery:shop")


def record(
    warehouse: Warehouse, *found: FoundGap, at: datetime, pipeline: str = "shop", **options: Any
) -> None:
    counted = options.pop("counted", MARCH)
    write_gaps(warehouse, "ops", pipeline, found, counted=counted, detected=at, now=at.timestamp())


def gap(day: date, reason: str = "missing", **options: str) -> FoundGap:
    return FoundGap(phase="trend", date=day, reason=reason, **options)


def known(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    """What is written down: date, reason, status, detected, healed, by which run."""
    rows = warehouse.rows(
        "SELECT date, reason, status, detected, healed_at, run_id FROM ops.data_gaps "
        "ORDER BY pipeline, date",
        {},
    )
    return [tuple(row.values()) for row in rows]


def test_a_gap_is_detected_once_and_healed_once(warehouse: Warehouse) -> None:
    # Given a gap that is found, and found again
    record(warehouse, gap(DAY[4]), at=NOON)
    record(warehouse, gap(DAY[4], "partial"), at=NOON + LATER)
    assert known(warehouse) == [(DAY[4], "partial", "open", NOON, None, "")]

    # When a run heals it, and is finalized twice
    healed = gap(DAY[4], status="healed", run="run-1")
    for hours in (2, 3):
        record(warehouse, healed, at=NOON + hours * LATER)

    # Then it was detected at first, and healed by the first count that did not find it
    expected = (DAY[4], "missing", "healed", NOON, NOON + 2 * LATER, "run-1")
    assert known(warehouse) == [expected]

    # And when it is there again, it is a new one
    record(warehouse, gap(DAY[4]), at=NOON + 9 * LATER)
    assert known(warehouse) == [(DAY[4], "missing", "open", NOON + 9 * LATER, None, "run-1")]


def test_an_accepted_loss_keeps_its_time_and_is_open_again_when_it_ends(
    warehouse: Warehouse,
) -> None:
    record(warehouse, gap(DAY[4]), at=NOON)
    for hours in (1, 2):
        record(warehouse, gap(DAY[4], status="accepted"), at=NOON + hours * LATER)
    accepted = (DAY[4], "missing", "accepted", NOON, NOON + LATER, "")
    assert known(warehouse) == [accepted]

    record(warehouse, gap(DAY[4]), at=NOON + 3 * LATER)

    assert known(warehouse) == [(DAY[4], "missing", "open", NOON, None, "")]


def test_what_others_filled_is_healed_but_not_what_no_count_shows(warehouse: Warehouse) -> None:
    record(warehouse, gap(DAY[1]), gap(DAY[2], "cascade"), at=NOON)

    record(warehouse, at=NOON + LATER)  # a count that finds nothing

    assert [row[:5] for row in known(warehouse)] == [
        (DAY[1], "missing", "healed", NOON, NOON + LATER),
        (DAY[2], "cascade", "open", NOON, None),
    ]


def test_a_count_from_before_a_gap_was_healed_does_not_open_it_again(warehouse: Warehouse) -> None:
    # Given a gap that a run heals while somebody counts
    record(warehouse, gap(DAY[4]), at=NOON)
    record(warehouse, gap(DAY[4], status="healed", run="run-1"), at=NOON + 2 * LATER)
    healed = known(warehouse)

    # When they write down what they found, which is from before that
    record(warehouse, gap(DAY[4], "partial"), gap(DAY[5]), at=NOON + LATER)

    # Then that gap is left alone, and no other
    assert known(warehouse) == [
        *healed,
        (DAY[5], "missing", "open", NOON + LATER, None, ""),
    ]


def test_a_count_from_before_a_gap_was_found_does_not_heal_it(warehouse: Warehouse) -> None:
    # Given a gap that somebody found while another was still counting
    record(warehouse, gap(DAY[3]), at=NOON + LATER)

    # When the other's count, which knows of none, is written down
    record(warehouse, at=NOON)

    assert [row[2] for row in known(warehouse)] == ["open"]


def test_what_was_not_counted_stays_as_it_was(warehouse: Warehouse) -> None:
    record(warehouse, gap(DAY[1]), gap(DAY[20]), at=NOON)
    record(warehouse, gap(DAY[1]), at=NOON, pipeline="another")
    before = known(warehouse)

    record(warehouse, gap(DAY[20]), at=NOON + LATER, counted=Window(start=DAY[10], end=DAY[30]))

    assert known(warehouse) == before


def test_a_run_has_one_row_however_often_it_is_written(warehouse: Warehouse) -> None:
    report = make_report(seasons=1)
    other = report.model_copy(update={"run_id": "run-2"})
    for each in (report, other, report):
        write_run(warehouse, "ops", each)

    rows: Sequence[Any] = warehouse.rows("SELECT * FROM ops.backfill_runs ORDER BY run_id", {})

    assert [row["run_id"] for row in rows] == ["run-2", report.run_id]
    assert rows[1]["state"] == report.state
    assert rows[1]["steps"] == rows[1]["steps_succeeded"] == len(report.steps)
    assert rows[1]["dates_short"] == len(report.validation.short)
    assert rows[1]["ended"].timestamp() == pytest.approx(report.ended, abs=0.001)


def test_a_ledger_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(TableNotFound, match="ops.backfill_runs"):
        write_run(open_warehouse(f"local:{tmp_path}"), "ops", make_report(seasons=1))


def test_what_a_run_was_billed_is_written_once_by_phase_and_step(warehouse: Warehouse) -> None:
    report = make_report(seasons=1)
    (first, *_) = report.steps
    billed = report.model_copy(
        update={
            "steps": (first.model_copy(update={"billed": 30 << 20, "labelled": 20 << 20}),),
            "billed": cost_of(50 << 20, 6.25),
            "unbilled": {first.phase: "no job"},
        }
    )

    write_costs(warehouse, "ops", report)  # which was billed nothing
    for _ in range(2):
        write_costs(warehouse, "ops", billed)

    rows = warehouse.rows(
        "SELECT phase, bytes_billed FROM ops.backfill_costs ORDER BY phase DESC", {}
    )
    assert [tuple(row.values()) for row in rows] == [(first.phase, 30 << 20), ("", 20 << 20)]
    asked = "SELECT phase, step, bytes_billed, bytes_labelled, unknown FROM ops.backfill_step_costs"
    assert [tuple(row.values()) for row in warehouse.rows(asked, {})] == [
        (first.phase, first.id, 30 << 20, 20 << 20, "no job")
    ]
