"""Publishing: what a run has repaired, date by date, after a recount; told, and never verified."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import redis

from planner.console.run_status import run_exit
from planner.errors import BadPipeline
from planner.plan.states import DateState, RunState
from planner.report.report import Report
from planner.settings import Settings
from tests.integration.bench import DAYS, TABLES, Bench
from tests.integration.visits import RUN, Visits
from tests.waiting import until
from worker.finalization.finalize import finalize
from worker.run.plan import with_runners
from worker.status.doctor import check_runners

SCRIPT = """
import sys
import time
from pathlib import Path
calls = Path("published")
calls.write_text((calls.read_text() if calls.exists() else "") + " ".join(sys.argv[1:]) + chr(10))
if Path("waits").exists() and sys.argv[1] == Path("waits").read_text():
    time.sleep(600)
if Path("refuses").exists() and sys.argv[1] == Path("refuses").read_text():
    sys.exit("the bucket refuses")
"""
PUBLISH = f"""
[publish]
after = "facts"
[publish.runner]
kind = "script"
command = ["{sys.executable}", "publish.py", "{{start}}", "{{end}}"]
cwd = "${{PIPELINE_ROOT}}"
"""

Broken = Callable[..., Visits]


@pytest.fixture
def bench(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    client: redis.Redis,
    redis_settings: Settings,
) -> Bench:
    monkeypatch.setenv("WAREHOUSE_PLACE", str(tmp_path / "warehouse"))
    monkeypatch.setenv("PIPELINE_ROOT", str(tmp_path))
    (tmp_path / "publish.py").write_text(SCRIPT)
    return Bench(place=tmp_path, broker_url=redis_settings.redis_url)


def broken(bench: Bench, fault: str = "none") -> Visits:
    """Dates 2 to 4 are to be repaired; all others are there."""
    bench.fill(TABLES[0], [*DAYS[:2], *DAYS[5:]])
    return Visits(bench=bench, runners=bench.script(fault) + PUBLISH)


def published(bench: Bench) -> list[str]:
    path = bench.place / "published"
    return path.read_text().splitlines() if path.exists() else []


def report_of(visits: Visits) -> Any:
    return json.loads(visits.context.ledger.report(RUN) or "{}")["publication"]


def test_repaired_dates_are_published_one_at_a_time_and_the_newest_last(bench: Bench) -> None:
    visits = broken(bench)

    assert visits.to_the_end() == "complete"

    days = [*DAYS[2:5], DAYS[-1]]
    assert published(bench) == [f"{day} {day}" for day in days]
    told = report_of(visits)
    assert told["verified"] is False
    assert told["ran"] == [str(day) for day in days]
    assert with_runners(visits.context, visits.plan).publishes == DAYS[2:5]
    # And once is enough
    finalize(visits.context, RUN)
    assert len(published(bench)) == 4


def test_what_the_recount_does_not_show_is_not_published(bench: Bench) -> None:
    visits = broken(bench, fault=f"skips:{DAYS[3]}")

    assert visits.to_the_end() == "failed"

    assert f"{DAYS[3]} {DAYS[3]}" not in published(bench)
    assert f"{DAYS[2]} {DAYS[2]}" in published(bench)


def test_a_date_that_cannot_be_published_is_told_with_its_command(bench: Bench) -> None:
    # Given a script that refuses one of the dates
    (bench.place / "refuses").write_text(str(DAYS[3]))
    visits = broken(bench)

    # When the run has ended, then it is complete, because the rows are there, and says what is not
    assert visits.to_the_end() == "complete"
    told = report_of(visits)
    assert list(told["failed"]) == [str(DAYS[3])]
    assert "the bucket refuses" in told["failed"][str(DAYS[3])]
    assert told["again"] == [f"{sys.executable} publish.py {DAYS[3]} {DAYS[3]}"]
    assert str(DAYS[4]) in told["ran"]
    assert run_exit(visits.context.ledger.require(RUN)) == 1
    report = bench.place / "home" / "reports" / RUN / "report.md"
    assert "could not be published" in report.read_text()


def test_a_retry_publishes_what_it_repairs_and_the_newest_again(bench: Bench) -> None:
    # Given a run that could not repair one date
    visits = broken(bench, fault=f"skips:{DAYS[3]}")
    assert visits.to_the_end() == "failed"
    before = len(published(bench))

    # When that date is tried again
    visits.context.ledger.reopen(RUN, [("facts", DAYS[3])], [visits.step_id()])
    bench.fill(TABLES[0], [DAYS[3]])
    visits.context.ledger.move(RUN, RunState.RUNNING, [RunState.INCOMPLETE])

    # Then it is published, and the newest after it, and nothing else
    assert visits.to_the_end() == "complete"
    assert published(bench)[before:] == [f"{day} {day}" for day in (DAYS[3], DAYS[-1])]


def test_a_cancelled_run_publishes_nothing(bench: Bench) -> None:
    visits = broken(bench)
    visits.context.ledger.move(RUN, RunState.CANCELLING, [RunState.RUNNING])

    assert visits.to_the_end() == "cancelled"

    assert published(bench) == []
    assert DateState.DONE not in visits.context.ledger.all_dates(RUN).values()


@pytest.mark.parametrize("waits", [DAYS[2], DAYS[-1]])
@pytest.mark.quick(0)
def test_a_run_that_is_cancelled_stops_publishing(bench: Bench, waits: date) -> None:
    # Given a run that is publishing, and a script that takes its time over one date
    (bench.place / "waits").write_text(str(waits))
    visits = broken(bench)
    with ThreadPoolExecutor(1) as pool:
        ending = pool.submit(visits.to_the_end)
        until(lambda: f"{waits} {waits}" in published(bench) or ending.done())

        # When it is cancelled, then it stops within a moment, and says what is published
        visits.context.ledger.move(RUN, RunState.CANCELLING, [RunState.RUNNING])
        assert ending.result() == "cancelled"
    days = [*DAYS[2:5], DAYS[-1]]
    begun = days.index(waits) + 1
    assert published(bench) == [f"{day} {day}" for day in days[:begun]]
    told = report_of(visits)
    assert told["ran"] == [str(day) for day in days[: begun - 1]]
    assert told["failed"] == {str(day): "the run was cancelled" for day in days[begun - 1 :]}


def test_a_full_disk_fails_dates_and_does_not_keep_the_run_from_ending(bench: Bench) -> None:
    (bench.place / "home" / "logs" / RUN / "publish.log").mkdir(parents=True)  # as good as full

    visits = broken(bench)

    assert visits.to_the_end() == "complete"
    told = report_of(visits)
    assert "the worker's machine" in told["failed"][str(DAYS[3])]
    assert told["ran"] == []


def test_a_script_that_is_not_there_is_told_before_anything_runs(bench: Bench) -> None:
    visits = broken(bench)
    (bench.place / "publish.py").unlink()

    with pytest.raises(BadPipeline, match="Nothing can publish: there is no publish.py"):
        with_runners(visits.context, visits.plan)
    (wrong,) = [check for check in check_runners(visits.context) if not check.ok]
    assert wrong.what == "publish: script"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('after = "facts"\n[publish.', 'after = "fact"\n[publish.', "did you mean 'facts'"),
        ('after = "facts"\n[publish.', 'after = "raw"\n[publish.', "no phase that is repaired"),
        (
            'kind = "script"\ncommand = ["' + sys.executable + '", "publish',
            'resume = { argument = "-n", tables = [["lake.first"]] }\nkind = "script"\n'
            'command = ["x", "publish',
            "no tables to resume by",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(bench: Bench, old: str, new: str, told: str) -> None:
    text = bench.script() + PUBLISH
    assert old in text

    with pytest.raises(BadPipeline, match=told):
        _ = bench.context(text.replace(old, new)).pipeline


@pytest.mark.slow
def test_the_report_is_read_again(bench: Bench) -> None:
    visits = broken(bench)
    visits.to_the_end()

    text = visits.context.ledger.report(RUN)

    assert text is not None
    assert Report.model_validate_json(text).publication is not None
