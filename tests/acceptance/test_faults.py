"""Runners that go wrong, on a real fleet, as a user sees it."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest

from planner.sandbox.workers import ROOT
from tests.conftest import Sandbox

DAYS = [date(2021, 11, day) for day in (17, 18, 19, 20)]
LAST = DAYS[-1]
ANALYTICS = "nba_analytics.player_game_summary"

TOO_LARGE = """#!/bin/sh
# More than one date is too large; the second date always is.
if [ "$2" != "$4" ] || [ "$2" = "2021-11-18" ]; then
  echo '{"error": "413 Request Entity Too Large", "token": "'$SERVICE_TOKEN'"}' >&2
  exit 1
fi
exec "$PIPELINE_PYTHON" \
  backfill_jobs/analytics/player_game_summary/player_game_summary_analytics_backfill.py "$@"
"""


DIES = """#!/bin/sh
# Deletes the rows that it is to write anew, and dies.
"$PIPELINE_PYTHON" - "$2" "$4" <<'END'
import os, sys
from datetime import date
from sql import open_warehouse
gone = "DELETE FROM nba_analytics.player_game_summary WHERE game_date BETWEEN @first AND @last"
first, last = map(date.fromisoformat, sys.argv[1:])
open_warehouse(os.environ["BACKFILL_WAREHOUSE"]).run(gone, {"first": first, "last": last})
END
kill -9 $$
"""


def use_script(sandbox: Sandbox, text: str) -> None:
    """Put a script in the place of analytics' own."""
    path = sandbox.place / "job.sh"
    path.write_text(text)
    path.chmod(0o755)
    old = (
        '    "${PIPELINE_PYTHON:-.venv/bin/python}",\n    "backfill_jobs/analytics/'
        'player_game_summary/player_game_summary_analytics_backfill.py",\n'
    )
    sandbox.edit_pipeline((old, f'    "{path}",\n'))


def punch(sandbox: Sandbox, *tables: str) -> None:
    for table in tables:
        for day in DAYS:
            sandbox.run_sql(f"DELETE FROM {table} WHERE game_date = @day", day=day)


@pytest.mark.slow
def test_what_is_too_large_is_halved_and_one_date_is_quarantined(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a chunk of dates that is too large, one of them also alone
    monkeypatch.setenv("SERVICE_TOKEN", "no-harm-done")
    punch(sandbox, ANALYTICS)
    use_script(sandbox, TOO_LARGE)
    sandbox.start_fleet(workers=2)

    # When it is repaired
    done = sandbox.planner("enqueue", "--gaps", "--wait", "--yes", "--no-cascade", "--json")

    # Then the other dates are there, and the one is named with what was said
    assert done.code == 4, done.err
    (failure,) = [f for f in done.json["status"]["failures"] if f["phase"] == "analytics"]
    assert failure["dates"] == ["2021-11-18"]
    assert "413 Request Entity Too Large" in failure["reason"]
    assert "***" in failure["reason"]
    (difference,) = [d for d in sandbox.differences() if d.table == ANALYTICS]
    assert list(difference.dates) == [date(2021, 11, 18)]


@pytest.mark.slow
def test_a_plan_without_anything_to_run_it_is_refused(fleet: Sandbox, tmp_path: Path) -> None:
    # Given a phase whose script is not there
    script = "player_game_summary_analytics_backfill.py"
    root = tmp_path / "root"
    shutil.copytree(ROOT, root)
    (gone,) = root.rglob(script)
    gone.unlink()
    fleet.run_sql(f"DELETE FROM {ANALYTICS} WHERE game_date = @day", day=LAST)

    # When its repair is asked for
    done = fleet.planner("enqueue", "--gaps", "--yes", PIPELINE_ROOT=str(root))

    # Then nothing runs, and both say what was looked for
    assert done.code == 2
    assert script in done.err
    assert [run.id for run in fleet.ledger.runs() if not run.is_ended] == []
    doctor = fleet.planner("doctor", "--json", PIPELINE_ROOT=str(root))
    assert doctor.code == 3
    (wrong,) = [check for check in doctor.json["checks"] if not check["ok"]]
    assert wrong["what"] == "analytics: script 1"
    assert script in wrong["detail"]

    # And it is repaired where the script is
    assert fleet.planner("enqueue", "--gaps", "--yes", "--wait", "--no-cascade").code == 0
    assert fleet.differences() == []


@pytest.mark.slow
def test_the_doctor_finds_a_whole_sandbox_well(fleet: Sandbox) -> None:
    done = fleet.planner("doctor")

    assert done.code == 0, done.out
    assert "✗" not in done.out
    assert "✓ broker" in done.out
    assert "✓ predictions: http_batch 1" in done.out


def test_the_doctor_says_what_is_wrong_and_what_to_do(sandbox: Sandbox) -> None:
    sandbox.edit_pipeline(('date = "game_date"', 'date = "gamedate"'))

    done = sandbox.planner("doctor")

    assert done.code == 3
    assert "did you mean 'game_date'?" in done.out
    assert "planner up" in done.out


@pytest.mark.slow
def test_rows_that_a_script_deletes_before_it_dies_are_put_back_by_the_command_it_names(
    sandbox: Sandbox,
) -> None:
    # Given a script that deletes what it is to write anew, and dies
    use_script(sandbox, DIES)
    sandbox.start_fleet(workers=2)
    days = f"{DAYS[0]}..{LAST}"
    asked = ("enqueue", "--redo", "--phases", "analytics", "--dates", days, "--no-cascade")

    # When dates that are complete are written anew by it
    done = sandbox.planner(*asked, "--wait", "--yes", "--json")

    # Then each error says that the rows can be put back, and the report how
    assert done.code == 4, done.err
    run = done.json["run_id"]
    assert [each.table for each in sandbox.differences()] == [ANALYTICS]
    failures = done.json["status"]["failures"]
    assert len(failures) == len(DAYS)
    assert all("killed by SIGKILL" in each["reason"] for each in failures)
    assert all(f"put them back with `planner restore {run}" in f["reason"] for f in failures)
    command = f"planner restore {run} --phase analytics --dates {days}"
    assert command in sandbox.planner("report", run).out
    restored = sandbox.planner(*command.split()[1:], "--yes")
    assert restored.code == 0, restored.err
    assert sandbox.differences() == []
