"""The labels that a script is handed, and what jobs that carry them tell."""

from __future__ import annotations

from typing import Any

import pytest

from sql.errors import WarehouseRefused
from sql.labels import billed_per_date, billed_per_step, labels_text, per_date


def test_a_script_is_handed_labels_that_bigquery_takes() -> None:
    given = {"run": "run-1", "step": "2024-01-01/daily", "phase": "a=b,c=d", "dates": "3"}

    told = labels_text(given)

    assert dict(pair.split("=") for pair in told.split(",")) == {
        "app": "backfill-fleet",
        "run": "run-1",
        "step": "2024-01-01-daily",
        "phase": "a-b-c-d",
        "dates": "3",
    }


def test_each_runner_of_a_phase_has_its_own_price_per_date() -> None:
    def row(phase: str, runner: int, billed: int | None, dates: int | None) -> dict[str, Any]:
        return {"phase": phase, "runner": runner, "bytes_billed": billed, "dates": dates}

    rows = [row("daily", 1, 30, 4), row("daily", 2, 90, 3), row("trend", 1, None, 2)]

    assert per_date(rows) == {("daily", 1): 7.5, ("daily", 2): 30.0, ("trend", 1): 0.0}
    assert per_date([row("daily", 1, 30, None)]) == {}
    assert per_date([]) == {}


@pytest.mark.parametrize("location", ["", "EU`; DROP", "us.x", "-us", "é"])
def test_what_is_no_location_gets_into_no_statement(location: str) -> None:
    nothing: Any = None
    with pytest.raises(WarehouseRefused, match="is not a location"):
        billed_per_date(nothing, location, "mart", ["daily"])
    with pytest.raises(WarehouseRefused, match="is not a location"):
        billed_per_step(nothing, location, "run-1", 0.0)
