"""Scripts that go wrong, as real processes: each outcome, with the rows that are there after it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import psutil
import pytest

from planner.gaps.gaps import RECOMPUTE, GapReason
from tests.integration.bench import DAYS, TABLES, WAIT_SECONDS, Bench
from tests.waiting import until
from worker.runners import LEASE_LOST, Stopped
from worker.step.ended import Ended

TIMEOUT_SECONDS = 2.0  # of scripts that hang: what does not writes in a fifth of one


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("WAREHOUSE_PLACE", str(tmp_path / "warehouse"))
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    yield Bench(place=tmp_path)
    assert left_alive(tmp_path) == []


def left_alive(place: Path) -> list[psutil.Process]:
    """Processes of the bench's scripts, however far they have gone."""
    found = []
    for process in psutil.process_iter():
        try:
            of = process.environ()
            if of.get("WAREHOUSE_PLACE") == str(place / "warehouse") and "BACKFILL_SCRIPT" in of:
                found.append(process)
        except psutil.Error:
            continue
    return found


def spans(bench: Bench) -> list[str]:
    """`01..08` for each run of the job."""
    return [f"{call.split()[0][-2:]}..{call.split()[1][-2:]}" for call in bench.calls]


def ended(outcome: object) -> Ended:
    assert isinstance(outcome, Ended), outcome
    return outcome


def test_a_script_that_works_is_run_once(bench: Bench) -> None:
    outcome = ended(bench.attempt(bench.script()))

    assert outcome.done == DAYS
    assert bench.days_of() == list(DAYS)
    assert spans(bench) == ["01..08"]
    assert "working on 8 dates" in bench.log


def test_exit_0_without_rows_is_to_be_tried_again(bench: Bench) -> None:
    outcome = ended(bench.attempt(bench.script("nothing")))

    assert outcome.done == ()
    assert set(outcome.short) == set(DAYS)
    assert "rows missing: lake.first holds 0 of 3" in outcome.short[DAYS[0]]
    assert bench.days_of() == []


def test_exit_0_after_some_dates_leaves_the_others_to_be_tried_alone(bench: Bench) -> None:
    bad = DAYS[3]
    first = ended(bench.attempt(bench.script(f"skips:{bad}")))
    assert set(first.done) == set(DAYS) - {bad}
    assert list(first.short) == [bad]

    second = ended(bench.attempt(bench.script(), [bad], number=2, checkpoint=first.checkpoint))

    assert second.done == (bad,)
    assert spans(bench) == ["01..08", "04..04"]
    assert bench.days_of() == list(DAYS)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("413:2", ["01..08", "01..04", "01..02", "03..04", "05..08", "05..06", "07..08"]),
        ("html:4", ["01..08", "01..04", "05..08"]),
    ],
)
def test_what_is_too_large_is_halved_until_it_fits(
    bench: Bench, fault: str, expected: list[str]
) -> None:
    outcome = ended(bench.attempt(bench.script(fault)))

    assert outcome.done == DAYS
    assert spans(bench) == expected
    assert bench.days_of() == list(DAYS)


def test_a_date_that_is_too_large_alone_is_quarantined_and_the_rest_goes_on(bench: Bench) -> None:
    bad = DAYS[5]
    outcome = ended(bench.attempt(bench.script(f"413on:{bad}")))

    assert set(outcome.done) == set(DAYS) - {bad}
    assert outcome.short == {}
    assert list(outcome.permanent) == [bad]
    assert "413" in outcome.permanent[bad]
    assert bench.days_of() == [day for day in DAYS if day != bad]
    assert spans(bench) == ["01..08", "01..04", "05..08", "05..06", "05..05", "06..06", "07..08"]


def test_dates_that_are_there_are_left_out_of_the_halves(bench: Bench) -> None:
    bench.fill(TABLES[0], DAYS[1:3])

    outcome = ended(bench.attempt(bench.script("413:4")))

    assert outcome.done == DAYS
    assert spans(bench) == ["01..08", "01..01", "04..04", "05..08"]


def test_a_script_that_hangs_is_killed_and_its_range_halved(bench: Bench) -> None:
    bench.timeout, bad = TIMEOUT_SECONDS, DAYS[0]
    dates = DAYS[:2]

    outcome = ended(bench.attempt(bench.script(f"hang:{bad}"), dates))

    assert outcome.done == (DAYS[1],)
    assert "timed out after 2 s" in outcome.short[bad]
    assert spans(bench) == ["01..02", "01..01", "02..02"]
    assert left_alive(bench.place) == []


def test_death_by_a_signal_is_to_be_tried_again(bench: Bench) -> None:
    outcome = ended(bench.attempt(bench.script("signal")))

    assert outcome.done == ()
    assert "killed by SIGSEGV" in outcome.short[DAYS[0]]


def test_the_last_lines_of_output_are_in_the_error(bench: Bench) -> None:
    outcome = ended(bench.attempt(bench.script("exits:9"), DAYS[:1]))
    assert outcome.done == DAYS[:1]  # the rows are there, whatever it says

    outcome = ended(bench.attempt(bench.script("signal"), DAYS[1:2]))
    assert "working on 1 dates" in outcome.short[DAYS[1]]


def test_children_are_killed_before_a_step_ends(bench: Bench) -> None:
    outcome = ended(bench.attempt(bench.script("leaves"), DAYS[:1]))

    assert outcome.done == DAYS[:1]
    assert left_alive(bench.place) == []


def test_a_step_that_is_stopped_leaves_nothing_alive(bench: Bench) -> None:
    # Given a script that ignores SIGTERM, with a child, and one in a session of its own
    ready = bench.place / "warehouse" / "ready"
    bench.grace_seconds = 0.2

    # When it is told to stop
    outcome = bench.attempt(
        bench.script("stubborn"), stop=lambda: "cancelled" if ready.exists() else None
    )

    # Then all of it is dead when the step ends
    assert isinstance(outcome, Stopped)
    assert outcome.why == "cancelled"
    assert left_alive(bench.place) == []


def test_a_step_that_lost_its_lease_gets_no_grace(bench: Bench) -> None:
    """Somebody else may be at its dates."""
    ready = bench.place / "warehouse" / "ready"
    bench.grace_seconds = 600

    began = time.monotonic()
    outcome = bench.attempt(
        bench.script("stubborn"), stop=lambda: LEASE_LOST if ready.exists() else None
    )

    assert isinstance(outcome, Stopped)
    assert outcome.why == LEASE_LOST
    assert time.monotonic() - began < 60
    assert left_alive(bench.place) == []


def test_what_befalls_the_machine_is_told_and_tried_again(bench: Bench) -> None:
    # Given a log that cannot be written, as on a full disk
    (bench.place / "home" / "logs" / "run-1" / "c.facts.log").mkdir(parents=True)

    outcome = ended(bench.attempt(bench.script()))

    assert outcome.done == ()
    assert "the worker's machine: [Errno 21] Is a directory" in outcome.short[DAYS[0]]


def test_what_a_killed_worker_leaves_is_killed_before_the_next_step(bench: Bench) -> None:
    # Given a worker that runs a script with children
    ready = bench.place / "warehouse" / "ready"
    code = (
        "import sys; from pathlib import Path; from tests.integration.bench import *;"
        "b = object.__new__(Bench); b.__dict__.update(place=Path(sys.argv[1]), tables=TABLES[:1],"
        "timeout=60, ledger=NoLedger(), grace_seconds=2.0, force=False, now=time.time());"
        "b.attempt(b.script('stubborn'))"
    )
    worker = subprocess.Popen([sys.executable, "-c", code, str(bench.place)])
    until(ready.exists, seconds=WAIT_SECONDS)
    assert len(left_alive(bench.place)) == 3

    # When it is killed
    worker.kill()
    worker.wait()

    # Then the kernel kills the script, and the next step the others, before it starts. That step
    # may be another test's: orphans are killed by whichever step of this host starts first.
    until(lambda: len(left_alive(bench.place)) <= 2, seconds=WAIT_SECONDS)
    outcome = ended(bench.attempt(bench.script()))
    assert outcome.done == DAYS
    assert left_alive(bench.place) == []


def test_a_running_neighbours_script_is_left_alone(bench: Bench) -> None:
    # Given a script of a worker that lives
    ready = bench.place / "warehouse" / "ready"
    code = (
        "import os, subprocess, sys; from worker.runners import orphans;"
        "p = subprocess.Popen(['sleep', '600'],"
        " env={**os.environ, orphans.VARIABLE: orphans.new_mark()});"
        "open(sys.argv[1], 'w').close(); p.wait()"
    )
    neighbour = subprocess.Popen([sys.executable, "-c", code, str(ready)], start_new_session=True)
    until(ready.exists, seconds=WAIT_SECONDS)

    # When another step runs beside it, then it goes on
    ended(bench.attempt(bench.script()))
    assert neighbour.poll() is None
    assert len(left_alive(bench.place)) == 1
    os.killpg(neighbour.pid, signal.SIGKILL)
    neighbour.wait()


def test_an_exit_code_means_what_the_pipeline_file_says(bench: Bench) -> None:
    script = bench.script("dies:1")
    rule = '[[phases.runners.outcomes]]\nexit_code = 70\nthen = "fail"\n'

    outcome = ended(bench.attempt(script + rule))

    assert outcome.short == {}
    assert set(outcome.permanent) == set(DAYS)


def test_output_means_what_the_pipeline_file_says_whatever_the_exit_code(bench: Bench) -> None:
    rule = '[[phases.runners.outcomes]]\npattern = "dates? on 8|on 8 dates"\nthen = "split"\n'

    outcome = ended(bench.attempt(bench.script("nothing", rule)))

    assert spans(bench) == ["01..08", "01..04", "05..08"]
    assert set(outcome.short) == set(DAYS)


# -- several processors --------------------------------------------------------------------------

TWO = DAYS[:2]

RESUME = """
[phases.runners.resume]
argument = "--start-from"
tables = [["lake.first"], ["lake.second"], ["lake.third"]]
"""


@pytest.fixture
def chain(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A phase of three tables, each a processor of its script."""
    monkeypatch.setenv("ALL_TABLES", "1")
    bench.tables = TABLES
    return bench


def test_a_script_that_dies_goes_on_where_it_got(chain: Bench) -> None:
    # Given a script that dies in its third processor
    first = ended(chain.attempt(chain.script("dies:3", RESUME), TWO))

    # Then it was run again from there at once, got no further, and waits for its next attempt
    assert [call[22:] for call in chain.calls] == ["", "--start-from 3"]
    assert set(first.short) == set(TWO)

    # When it is tried again, then only that processor runs
    second = ended(
        chain.attempt(chain.script("none", RESUME), TWO, number=2, checkpoint=first.checkpoint)
    )
    assert second.done == TWO
    assert {call[22:] for call in chain.calls[2:]} == {"--start-from 3"}
    assert all(chain.days_of(table) == list(TWO) for table in TABLES)


def test_the_first_attempt_starts_at_the_first_table_that_is_short(chain: Bench) -> None:
    chain.fill(TABLES[0], DAYS)

    outcome = ended(chain.attempt(chain.script("none", RESUME), TWO, reason=GapReason.PARTIAL))

    assert outcome.done == TWO
    assert [call[22:] for call in chain.calls] == ["--start-from 2"]


def rows_that_are_there(chain: Bench) -> None:
    for table in TABLES:
        chain.fill(table, DAYS)


@pytest.mark.parametrize("reason", sorted(RECOMPUTE))
@pytest.mark.quick("audit", "redo", "stale")
def test_rows_that_are_there_are_computed_again_from_the_first_processor_on(
    chain: Bench, reason: GapReason
) -> None:
    rows_that_are_there(chain)

    outcome = ended(chain.attempt(chain.script("none", RESUME), TWO, reason=reason))

    assert outcome.done == TWO
    assert [call[22:] for call in chain.calls] == [""]


@pytest.mark.parametrize("reason", sorted(RECOMPUTE))
@pytest.mark.quick("cascade", "duplicate")
def test_what_is_computed_again_goes_on_after_the_tables_that_are_rewritten(
    chain: Bench, reason: GapReason
) -> None:
    rows_that_are_there(chain)

    first = ended(chain.attempt(chain.script("dies:2", RESUME), TWO, reason=reason))
    assert "not recomputed: lake.second" in first.short[DAYS[0]]
    second = ended(
        chain.attempt(
            chain.script("none", RESUME), TWO, number=2, reason=reason, checkpoint=first.checkpoint
        )
    )

    assert second.done == TWO
    assert {call[22:] for call in chain.calls[1:]} == {"--start-from 2"}


def test_rows_whose_upstream_this_run_repairs_are_not_trusted(chain: Bench) -> None:
    """Given partial dates, of which one was computed before its upstream was whole."""
    chain.fill(TABLES[0], DAYS)
    chain.ledger.changed = {("raw", date(2024, 1, 2))}

    outcome = ended(chain.attempt(chain.script("none", RESUME), TWO, reason=GapReason.PARTIAL))

    assert outcome.done == TWO
    assert [call[22:] for call in chain.calls] == [""]
