"""Runners that go wrong, on a real fleet, as a user sees it."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date

import psutil
import pytest

from tests.conftest import Sandbox
from tests.waiting import until

DAYS = [date(2021, 11, day) for day in (17, 18, 19, 20)]
FIRST, LAST = DAYS[0], DAYS[-1]
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

LEAVES = """#!/bin/sh
# Starts a child in a session of its own, which has a child of its own, and hangs with them.
setsid sh -c 'sleep 600 & wait' &
sleep 600 &
touch READY
wait
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


def test_a_killed_workers_children_are_gone_before_the_step_runs_again(
    make_sandbox: Callable[..., Sandbox],
) -> None:
    # Given a worker whose script has children, one in a session of its own
    sandbox = make_sandbox(reconcile_seconds=2, visibility_seconds=4)
    punch(sandbox, ANALYTICS)
    ready = sandbox.place / "ready"
    use_script(sandbox, LEAVES.replace("READY", str(ready)))
    sandbox.start_fleet(workers=1)
    assert sandbox.planner("enqueue", "--gaps", "--no-cascade", "--json").code == 0
    until(ready.exists)
    before = set(marked(sandbox))
    assert len(before) >= 4
    groups = {os.getpgid(pid) for pid in before}
    assert len(groups) == 2

    # When the worker is killed
    (worker,) = workers_of(sandbox)
    use_quick_script(sandbox)
    worker.kill()

    # Then the next attempt finds the dates alone, and repairs them
    until(lambda: not before & set(marked(sandbox)))
    assert not groups & groups_alive()
    until(lambda: not sandbox.differences())


def use_quick_script(sandbox: Sandbox) -> None:
    """From now on the script does its work."""
    (sandbox.place / "job.sh").write_text(
        '#!/bin/sh\nexec "$PIPELINE_PYTHON" backfill_jobs/analytics/player_game_summary/'
        'player_game_summary_analytics_backfill.py "$@"\n'
    )


def workers_of(sandbox: Sandbox) -> list[psutil.Process]:
    assert sandbox.running is not None
    pids = [child.process.pid for child in sandbox.running.workers if child.process]
    return [psutil.Process(pid) for pid in pids]


def marked(sandbox: Sandbox) -> list[int]:
    """Processes of scripts that this sandbox's workers started."""
    found = []
    for process in psutil.process_iter():
        try:
            of = process.environ()
        except psutil.Error:
            continue
        is_ours = of.get("BACKFILL_WAREHOUSE") == sandbox.settings.warehouse
        if is_ours and "BACKFILL_SCRIPT" in of:
            found.append(process.pid)
    return found


def groups_alive() -> set[int]:
    """Process groups of which somebody can still write: the dead may wait for their parent."""
    found = set()
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                found.add(os.getpgid(process.pid))
        except (psutil.Error, ProcessLookupError):
            continue
    return found


def test_a_plan_without_anything_to_run_it_is_refused(sandbox: Sandbox) -> None:
    # Given a phase whose script is not there
    punch(sandbox, ANALYTICS)
    sandbox.edit_pipeline(("player_game_summary_analytics_backfill.py", "gone.py"))
    sandbox.start_fleet(workers=1)

    # When its repair is asked for
    done = sandbox.planner("enqueue", "--gaps", "--yes")

    # Then nothing runs, and both say what was looked for
    assert done.code == 2
    assert "gone.py" in done.err
    doctor = sandbox.planner("doctor", "--json")
    assert doctor.code == 3
    (wrong,) = [check for check in doctor.json["checks"] if not check["ok"]]
    assert wrong["what"] == "analytics: script 1"
    assert "gone.py" in wrong["detail"]


def test_the_doctor_finds_a_whole_sandbox_well(sandbox: Sandbox) -> None:
    sandbox.start_fleet(workers=1)

    done = sandbox.planner("doctor")

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
