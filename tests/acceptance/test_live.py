"""The shipped `nba-live` on a fleet: the owner's tables, and scripts that behave as his do."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from planner.pipeline.load import SHIPPED, load_pipeline
from planner.pipeline.runners import ScriptRunner
from planner.sandbox.workers import environment_of
from planner.settings import Settings
from sql import open_warehouse
from tests.commands import Done, planner
from tests.live.tables import TABLES, fill, fill_raw
from worker.processes.embedded_redis import embedded_broker
from worker.processes.workers import run_workers

LIVE = Path(__file__).parents[1] / "live"
SCHEMA = Path(__file__).parents[1] / "live_schema"
FIRST, LAST = date(2021, 10, 19), date(2021, 11, 6)
BOOTSTRAP_END = date(2021, 11, 2)
"""The first date with predictions."""
LOST = date(2021, 11, 3)
LOCK_SECONDS = 4
CACHE = "nba_precompute.player_daily_cache"
OFFENSE = "nba_analytics.team_offense_game_summary"
SPECS = [spec for phase in load_pipeline("nba-live").phases for spec in phase.tables]

WRAPPER = """import sys
from job import main
sys.exit(main({phase!r}))
"""
PHASE_4 = """#!/bin/sh
exec "$PIPELINE_PYTHON" phase4.py "$@"
"""


@dataclass(frozen=True, kw_only=True)
class Live:
    """The owner's pipeline, broken, with everything that repairs it at work."""

    place: Path
    whole: Path
    settings: Settings
    environment: dict[str, str]

    def planner(self, *arguments: str) -> Done:
        environment = {**os.environ, **self.environment}
        return planner(*arguments, environment=environment, cwd=self.place)

    @property
    def calls(self) -> list[str]:
        path = self.place / "root" / "calls"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def different(self) -> list[str]:
        """Tables that are not, row for row, as if they had been built in one piece."""
        one, other = rows_of(self.whole), rows_of(self.place / "warehouse")
        return [table for table in one if one[table] != other[table]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three weeks with every phase complete, table after table."""
    folder = tmp_path_factory.mktemp("live") / "warehouse"
    warehouse = open_warehouse(f"local:{folder}")
    for path in sorted(SCHEMA.glob("*.sql")):
        warehouse.run(path.read_text(), {})
    fill_raw(warehouse, FIRST, LAST)
    for table in TABLES:
        is_late = table.startswith(("nba_precompute", "nba_predictions"))
        fill(warehouse, table, BOOTSTRAP_END if is_late else FIRST, LAST)
    warehouse.close()
    return folder


@pytest.fixture
def live(whole: Path, tmp_path: Path) -> Iterator[Live]:
    shutil.copytree(whole, tmp_path / "warehouse")
    make_root(tmp_path / "root")
    text = (SHIPPED / "nba-live.toml").read_text()
    (tmp_path / "nba-live.toml").write_text(text.replace("seconds = 270", "seconds = 1.5"))
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        warehouse=f"local:{tmp_path / 'warehouse'}",
        pipeline=str(tmp_path / "nba-live.toml"),
        home=tmp_path / "home",
        grace_seconds=5,
        poll_max_seconds=0.5,
    )
    environment = {
        **environment_of(settings),
        "PIPELINE_ROOT": str(tmp_path / "root"),
        "PIPELINE_PYTHON": sys.executable,
        "LOCK_SECONDS": str(LOCK_SECONDS),
    }
    with ExitStack() as stack:
        stack.enter_context(embedded_broker(settings))
        stack.enter_context(run_workers(settings, workers=2, environment=environment))
        yield Live(place=tmp_path, whole=whole, settings=settings, environment=environment)


def rows_of(folder: Path) -> dict[str, list[str]]:
    warehouse = open_warehouse(f"local:{folder}")
    names = [spec.name for spec in SPECS]
    rows = {name: warehouse.rows(f"SELECT * FROM {name}", {}) for name in names}
    warehouse.close()
    return {name: sorted(map(str, found)) for name, found in rows.items()}


def make_root(root: Path) -> None:
    """Every script that `nba-live` names, where it names it."""
    shutil.copytree(LIVE, root)
    pipeline = load_pipeline("nba-live")
    assert pipeline.publish is not None
    runners = {phase.name: runner for phase in pipeline.phases for runner in phase.runners}
    for name, runner in {**runners, "publish": pipeline.publish.runner}.items():
        assert isinstance(runner, ScriptRunner)
        (script,) = [part for part in runner.command if part.endswith((".py", ".sh"))]
        path = root / script
        path.parent.mkdir(parents=True, exist_ok=True)
        wrapper = WRAPPER.format(phase=name)
        if path.suffix == ".sh":
            (root / "phase4.py").write_text(wrapper)
            path.write_text(PHASE_4)
            path.chmod(0o755)
        else:
            path.write_text(wrapper)


@pytest.mark.slow
def test_a_repair_is_as_a_rebuild_and_ends_with_publishing(live: Live) -> None:
    # Given two dates without team rows, with all that is computed from them, and another of which
    # predictions alone are gone; and a lock that a killed job left; and
    # a processor that will be killed
    warehouse = open_warehouse(live.settings.warehouse)
    for spec in SPECS:
        if spec.name == OFFENSE or spec.name.startswith(("nba_precompute", "nba_predictions")):
            for day in (LOST, date(2021, 11, 5)):
                warehouse.run(f"DELETE FROM {spec.name} WHERE {spec.date} = @day", {"day": day})
    warehouse.close()
    assert OFFENSE in live.different

    # When the doctor has looked, and the gaps are repaired
    doctor = live.planner("doctor")
    assert doctor.code == 0, doctor.out
    assert "✓ publish: script" in doctor.out
    (live.place / "root" / f"{OFFENSE}-{LOST}.lock").write_text("until it was met for a while")
    (live.place / "root" / f"{CACHE}.dies").touch()
    done = live.planner("enqueue", "--gaps", "--wait", "--json", "--end", str(LAST))

    # Then every table is as if it had been built in one piece
    assert done.code == 0, done.out + done.err
    assert live.different == []
    locked = [call for call in live.calls if call.startswith("team-offense") and str(LOST) in call]
    assert len(locked) > 1  # its first success was empty

    # And phase 4, which died in its fourth processor, went on from there
    phase_4 = [call for call in live.calls if call.startswith("precompute")]
    assert "--start-from" not in phase_4[0]
    assert phase_4[1].endswith("--start-from 4")

    # And what was repaired was published date by date, nothing but the newest left as the latest
    graded = [
        date.fromisoformat(task["date"])
        for chunk in done.json["chunks"]
        for step in chunk["steps"]
        for task in step["tasks"]
        if step["phase"] == "grading"
    ]
    assert LOST in graded
    assert done.json["publishes"] == [str(day) for day in sorted(graded)]
    exports = [call for call in live.calls if call.startswith("publish")]
    assert exports == [
        f"publish --start-date {day} --end-date {day}" for day in sorted({*graded, LAST})
    ]
    assert (live.place / "root" / "latest.json").read_text() == str(LAST)
    publication = done.json["status"]["publication"]
    assert publication["verified"] is False
    assert publication["failed"] == {}
    report = live.settings.home_dir / "reports" / done.json["run_id"] / "report.md"
    assert "Not verified: no table shows what was published" in report.read_text()


def test_every_script_that_holds_locks_is_tried_again_after_their_lifetime() -> None:
    """Ten minutes, by the smallest pauses that jitter gives."""
    for phase in load_pipeline("nba-live").phases:
        if not phase.is_source:
            pauses = [min(phase.retry_seconds * 2**n, 600) * 0.75 for n in range(phase.retries)]
            assert sum(pauses[:2]) >= 600, phase.name


def test_the_pipeline_file_names_no_argument_that_the_scripts_lack() -> None:
    text = (SHIPPED / "nba-live.toml").read_text()
    assert set(re.findall(r'"(--[a-z-]+)"', text)) == {
        "--start-date",
        "--end-date",
        "--no-resume",
        "--start-from",
    }
