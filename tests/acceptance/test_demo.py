"""`planner demo`: the first thing that anybody runs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from pyarrow import compute, parquet

from planner.errors import Exit
from planner.pipeline.load import load_pipeline
from planner.sandbox.boxscores import generate_boxscores
from tests.conftest import BUILT_UNTIL
from tests.waiting import until

BOXSCORES = Path(__file__).parents[3] / "shared/data/nba/player_boxscores.parquet"
PLAYOFF_GAMES = {"2021-22/playoffs": 87, "2022-23/playoffs": 84, "2023-24/playoffs": 82}
"""As played [the league's schedule]."""
WAIT_SECONDS = 120.0


def start(place: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "planner", "demo", *arguments],
        cwd=place,
        env={**os.environ, "BACKFILL_HOME": str(place / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes_of(place: Path) -> list[psutil.Process]:
    """Whatever runs with a home in this place."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            home = process.environ().get("BACKFILL_HOME", "")
            is_ours = home.startswith(str(place)) or str(place) in " ".join(process.cmdline())
            if is_ours and process.pid != os.getpid() and process.status() != "zombie":
                found.append(process)
    return found


@pytest.fixture(scope="module")
def six_weeks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Box scores of the beginning of a season: a demo of them builds in a second."""
    season = load_pipeline("nba").seasons[0]
    games = generate_boxscores([season], seed=7)
    path = tmp_path_factory.mktemp("demo") / "boxscores.parquet"
    parquet.write_table(games.filter(compute.field("game_date") <= BUILT_UNTIL), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_at_work_it_leaves_nothing_running(
    tmp_path: Path, six_weeks: Path, number: signal.Signals
) -> None:
    # Given a demo whose workers have begun
    demo = start(tmp_path, "--boxscores", str(six_weeks), "--seasons", "2021")
    until(
        lambda: any(tmp_path.glob("home/demo/logs/run-*/*.log")) or demo.poll() is not None,
        seconds=WAIT_SECONDS,
    )
    assert demo.poll() is None, demo.communicate()[1]

    # When it is interrupted
    demo.send_signal(number)
    _, err = demo.communicate(timeout=WAIT_SECONDS)

    # Then nothing goes on
    assert demo.returncode == Exit.INTERRUPTED
    assert "Traceback" not in err
    assert processes_of(tmp_path) == []


def test_interrupted_while_it_builds_it_leaves_nothing_running(tmp_path: Path) -> None:
    demo = start(tmp_path, "--seasons", "2021,2022")
    until(
        lambda: any(tmp_path.glob("home/demo/warehouse/*/*")) or demo.poll() is not None,
        seconds=WAIT_SECONDS,
    )

    demo.send_signal(signal.SIGINT)
    _, err = demo.communicate(timeout=WAIT_SECONDS)

    assert demo.returncode == Exit.INTERRUPTED, err
    assert "Traceback" not in err
    assert processes_of(tmp_path) == []


@pytest.fixture
def boxscores() -> Path:
    if not BOXSCORES.is_file():
        pytest.skip("real box scores are not here; they are not part of the repository")
    return BOXSCORES


@pytest.mark.slow
def test_on_real_box_scores_it_repairs_every_playoff_game(tmp_path: Path, boxscores: Path) -> None:
    demo = start(tmp_path, "--boxscores", str(boxscores), "--verify", "--json")
    out, err = demo.communicate(timeout=600)

    assert demo.returncode == 0, err
    after = json.loads(out)["after"]
    for season, games in PLAYOFF_GAMES.items():
        assert {phase: n["entities"] for phase, n in after[season].items()} == dict.fromkeys(
            ("raw", "analytics", "precompute", "predictions", "grading"), games
        )
    report = next(tmp_path.glob("home/demo/reports/*/report.md")).read_text()
    for season, games in PLAYOFF_GAMES.items():
        assert f"| {season} |" in report
        assert f"({games}) ✓" in report


def test_a_demo_removes_nothing_that_no_demo_left(tmp_path: Path) -> None:
    own = tmp_path / "home" / "demo" / "thesis.txt"
    own.parent.mkdir(parents=True)
    own.write_text("years of work")

    demo = start(tmp_path, "--seasons", "2021")
    _, err = demo.communicate(timeout=WAIT_SECONDS)

    assert demo.returncode == 2
    assert "BACKFILL_HOME" in err
    assert own.read_text() == "years of work"
