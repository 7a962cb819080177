"""The shipped `nba-live` files on a fleet: the owner's tables, and scripts that behave as his."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import httpx
import pytest

from planner.pipeline.load import SHIPPED, load_pipeline
from planner.pipeline.runners import ScriptRunner
from planner.sandbox.workers import environment_of
from planner.settings import Settings
from sql import open_warehouse
from tests.commands import Done, planner
from tests.live.coordinator import PAGE, SECRET, LiveCoordinator, live_coordinator
from tests.live.tables import PREDICTIONS, TABLES, fill, fill_raw
from worker.processes.embedded_redis import embedded_broker
from worker.processes.workers import run_workers

LIVE = Path(__file__).parents[1] / "live"
SCHEMA = Path(__file__).parents[1] / "live_schema"
FIRST, LAST = date(2021, 10, 19), date(2021, 12, 10)
BOOTSTRAP_END = date(2021, 11, 2)
"""The first date with predictions."""
LOST = date(2021, 11, 24)
TWELVE = [date(2021, 11, n) for n in range(24, 31)] + [date(2021, 12, n) for n in (1, 2, 3, 5, 6)]
LOCK_SECONDS = 4
CACHE = "nba_precompute.player_daily_cache"
OFFENSE = "nba_analytics.team_offense_game_summary"
FACTORS = "nba_precompute.player_composite_factors"
STORE = "nba_predictions.ml_feature_store_v2"
GRADED = "nba_predictions.prediction_accuracy"
SPECS = [spec for phase in load_pipeline("nba-live").phases for spec in phase.tables]
PRECOMPUTE = (
    "team_defense_zone_analysis",
    "player_shot_zone_analysis",
    "player_composite_factors",
    "player_daily_cache",
    "ml_feature_store",
)
"""Folders of the five processors, in the order of the script that orchestrates them."""
FIVE = ["team-zones", "player-zones", "composite", "daily-cache", "feature-store"]
"""The phases of them."""

WRAPPER = """import sys
from job import main
sys.exit(main({job!r}))
"""
PYTHON3 = """#!/bin/sh
exec {python} "$@"
"""
PHASE_4 = """#!/bin/sh
# A bare python3: whichever the PATH names first.
echo "precompute $*" >> calls
from=1 arguments= number=0
while [ $# -gt 0 ]; do
    case $1 in
        --start-from) from=$2; shift 2 ;;
        *) arguments="$arguments $1"; shift ;;
    esac
done
python3 -c "import sql" || exit 1
for name in {names}; do
    number=$((number + 1))
    [ $number -lt $from ] && continue
    python3 backfill_jobs/precompute/$name/${{name}}_precompute_backfill.py $arguments || exit 1
done
"""


@dataclass(frozen=True, kw_only=True)
class Live:
    """The owner's pipeline, broken, with everything that repairs it at work."""

    place: Path
    whole: Path
    settings: Settings
    environment: dict[str, str]
    coordinator: LiveCoordinator

    def planner(self, *arguments: str) -> Done:
        environment = {**os.environ, **self.environment}
        return planner(*arguments, environment=environment, cwd=self.place)

    def lose(self, days: list[date], tables: Callable[[str], bool]) -> None:
        """Delete the rows of some tables on some dates."""
        warehouse = open_warehouse(self.settings.warehouse)
        for spec in SPECS:
            if tables(spec.name):
                for day in days:
                    warehouse.run(f"DELETE FROM {spec.name} WHERE {spec.date} = @day", {"day": day})
        warehouse.close()

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
    """Seven weeks with every phase complete, table after table."""
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
def start(whole: Path, tmp_path: Path) -> Iterator[Callable[..., Live]]:
    """Starts a fleet with a shipped file; `edit` changes its text."""
    with ExitStack() as stack:

        def started(
            name: str, edit: Callable[[str], str] = str, *, has_page: bool = True, workers: int = 2
        ) -> Live:
            shutil.copytree(whole, tmp_path / "warehouse")
            make_root(tmp_path / "root")
            text = edit((SHIPPED / f"{name}.toml").read_text())
            (tmp_path / f"{name}.toml").write_text(text.replace("seconds = 270", "seconds = 1.5"))
            settings = Settings(
                _env_file=None,  # type: ignore[call-arg]
                warehouse=f"local:{tmp_path / 'warehouse'}",
                pipeline=str(tmp_path / f"{name}.toml"),
                home=tmp_path / "home",
                grace_seconds=5,
                poll_max_seconds=0.5,
            )
            coordinator = stack.enter_context(
                live_coordinator(LiveCoordinator(warehouse=settings.warehouse, has_page=has_page))
            )
            environment = {
                **environment_of(settings),
                "PIPELINE_ROOT": str(tmp_path / "root"),
                "PIPELINE_PYTHON": sys.executable,
                "COORDINATOR_URL": coordinator.url,
                "COORDINATOR_TOKEN": SECRET,
                "LOCK_SECONDS": str(LOCK_SECONDS),
            }
            if workers:
                stack.enter_context(embedded_broker(settings))
                stack.enter_context(run_workers(settings, workers=workers, environment=environment))
            return Live(
                place=tmp_path,
                whole=whole,
                settings=settings,
                environment=environment,
                coordinator=coordinator,
            )

        yield started


def rows_of(folder: Path) -> dict[str, list[str]]:
    """Every row that counts: what was superseded does not."""
    warehouse = open_warehouse(f"local:{folder}")
    counts = {PREDICTIONS: " WHERE is_active"}
    rows = {
        spec.name: warehouse.rows(f"SELECT * FROM {spec.name}{counts.get(spec.name, '')}", {})
        for spec in SPECS
    }
    warehouse.close()
    return {name: sorted(map(str, found)) for name, found in rows.items()}


def make_root(root: Path) -> None:
    """Every script that the shipped files name, where they name it, and a Python of its own."""
    shutil.copytree(LIVE, root)
    wrappers = {"backfill_jobs/publishing/daily_export.py": "publish"}
    for phase in load_pipeline("nba-live-phases").phases:
        for runner in phase.runners:
            if isinstance(runner, ScriptRunner):
                wrappers[runner.command[1]] = phase.name
    for script, job in wrappers.items():
        path = root / script
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(WRAPPER.format(job=job))
    (root / ".gitignore").write_text("__pycache__\n*.json\n*.lock\n*.dies\ncalls\n")
    phase_4 = root / "bin/backfill/run_phase4_backfill.sh"
    own = root / ".venv/bin/python3"
    for path, text in (
        (phase_4, PHASE_4.format(names=" ".join(PRECOMPUTE))),
        (own, PYTHON3.format(python=sys.executable)),
    ):
        path.parent.mkdir(parents=True)
        path.write_text(text)
        path.chmod(0o755)
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "as it runs")


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def published(text: str) -> str:
    """A file with the publishing that it has in comments, of two exporters."""
    head, mark, rest = text.partition("# [publish]\n")
    assert mark
    block, _, tail = rest.partition("\n\n")
    lines = [line.removeprefix("#").removeprefix(" ") for line in block.splitlines()]
    own = "\n".join(lines).replace("NAME,NAME", "results,performance")
    return f"{head}[publish]\n{own}\n\n{tail}"


PUT_OFF, TO = date(2021, 11, 26), date(2021, 12, 8)
GAME = f"G{TO}-1"


def accepting(text: str) -> str:
    """A file that accepts that the game was not played on its old date."""
    block = """
[[accept]]
phase = "{phase}"
dates = "{day}"
ids = ["{game}"]
reason = "put off, and played later"
"""
    phases = ("team-offense", "team-defense")
    return text + "".join(block.format(phase=p, day=PUT_OFF, game=GAME) for p in phases)


def put_off(live: Live) -> None:
    warehouse = open_warehouse(live.settings.warehouse)
    warehouse.run(
        """INSERT INTO nba_raw.nbac_schedule
        SELECT * REPLACE (@day AS game_date) FROM nba_raw.nbac_schedule
        WHERE game_date = @to AND game_id = @game""",
        {"day": PUT_OFF, "to": TO, "game": GAME},
    )
    warehouse.close()


def is_computed(table: str) -> bool:
    return not table.startswith("nba_raw")


def is_late_or_offense(table: str) -> bool:
    return table == OFFENSE or table.startswith(("nba_precompute", "nba_predictions"))


@pytest.mark.slow
def test_twelve_dates_from_analytics_to_grading_and_what_rests_on_them(
    start: Callable[..., Live],
) -> None:
    # Given twelve dates without anything that is computed, and a game that was put off, which the
    # schedule calls final on its old date, too
    live = start("nba-live-phases", accepting, workers=3)
    live.lose(TWELVE, is_computed)
    put_off(live)

    # When the gaps are repaired
    done = live.planner("enqueue", "--gaps", "--wait", "--json", "--end", str(LAST))

    # Then every table is as if it had been built in one piece, and the run owes nothing
    assert done.code == 0, done.out + done.err
    assert live.different == ["nba_raw.nbac_schedule"]
    assert done.json["status"]["state"] == "complete"
    phases = [phase.name for phase in load_pipeline("nba-live-phases").phases if phase.after]
    tasks = {
        (step["phase"], task["reason"], date.fromisoformat(task["date"]))
        for chunk in done.json["chunks"]
        for step in chunk["steps"]
        for task in step["tasks"]
    }
    assert {(phase, day) for phase, why, day in tasks if why != "cascade"} == {
        (phase, day) for phase in phases for day in TWELVE
    }
    cascade = {day for phase, why, day in tasks if why == "cascade" and phase == "grading"}
    assert cascade == {date(2021, 12, n) for n in range(7, 11)}
    owed = [path.read_text() for path in (live.settings.home_dir / "owed").glob("*.json")]
    assert not any("2021-1" in text for text in owed)

    # And each date's predictions were made anew, once
    assert sorted(live.coordinator.asked) == sorted({*TWELVE, *cascade})

    # And there is nothing left to do
    again = live.planner("enqueue", "--gaps", "--wait", "--end", str(LAST))
    assert (again.code, again.out.strip()) == (0, "Nothing to do."), again.out + again.err
    assert live.planner("gaps", "--end", str(LAST)).code == 0


@pytest.mark.slow
def test_a_repair_is_as_a_rebuild_and_ends_with_publishing(start: Callable[..., Live]) -> None:
    # Given two dates without team rows, with all that is computed from them; a lock that a killed
    # job left; a processor that will be killed; and publishing, which is asked for
    live = start("nba-live", published)
    live.lose([LOST, date(2021, 11, 26)], is_late_or_offense)
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
    assert phase_4[0].endswith("--no-resume")
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
        f"publish --date {day} --only results,performance" for day in sorted({*graded, LAST})
    ]
    assert (live.place / "root" / "latest.json").read_text() == str(LAST)
    commit = git(live.place / "root", "rev-parse", "HEAD")[:12]
    assert [seen["code"] for seen in done.json["status"]["code"]] == [f"{commit}, clean"]
    publication = done.json["status"]["publication"]
    assert publication["verified"] is False
    assert publication["failed"] == {}
    report = live.settings.home_dir / "reports" / done.json["run_id"] / "report.md"
    assert "Not verified: no table shows what was published" in report.read_text()


def run_job(live: Live, script: str, *arguments: str, path: str | None = None) -> tuple[int, str]:
    """A script as the file runs it; its exit code, and what it said."""
    root = live.place / "root"
    environment = {**os.environ, **live.environment, "PYTHONPATH": "."}
    done = subprocess.run(
        [str(root / ".venv/bin/python3"), script, *arguments]
        if script.endswith(".py")
        else [str(root / script), *arguments],
        env={**environment, "PATH": path or environment["PATH"]},
        cwd=root,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr


def job(phase: str) -> str:
    """The script of a phase."""
    runner = load_pipeline("nba-live-phases").by_name[phase].runners[-1]
    assert isinstance(runner, ScriptRunner)
    return runner.command[1]


def held(live: Live, table: str, day: date, where: str = "TRUE") -> int:
    warehouse = open_warehouse(live.settings.warehouse)
    column = next(spec.date for spec in SPECS if spec.name == table)
    (row,) = warehouse.rows(
        f"SELECT COUNT(*) AS n FROM {table} WHERE {column} = @day AND {where}", {"day": day}
    )
    warehouse.close()
    return int(row["n"])


def days(first: date, last: date) -> tuple[str, ...]:
    return ("--start-date", str(first), "--end-date", str(last))


@pytest.mark.slow
def test_the_stand_ins_behave_as_the_scripts_were_seen_to(start: Callable[..., Live]) -> None:
    live = start("nba-live", workers=0)
    first, second, third = date(2021, 11, 25), date(2021, 11, 26), date(2021, 11, 27)
    root = live.place / "root"

    # Composite factors leave a range undone, successfully, where rosters are below 90 % of those
    # who played on one date
    live.lose([second], lambda name: name.endswith("upcoming_player_game_context"))
    live.lose([first, second], lambda name: name == FACTORS)
    code, said = run_job(live, job("composite"), *days(first, second), "--no-resume")
    assert (code, held(live, FACTORS, first)) == (0, 0)
    assert "below 90 %" in said

    # So do predictions, where the feature store is, or the zones hold too few teams
    live.lose([third], lambda name: name in (STORE, PREDICTIONS))
    code, said = run_job(live, job("predictions"), *days(third, third), "--no-resume")
    assert (code, held(live, PREDICTIONS, third)) == (0, 0)
    assert "below 90 %" in said

    # Predictions are made once: a date that has some is left alone
    other = date(2021, 11, 28)
    code, said = run_job(live, job("predictions"), *days(other, other), "--no-resume")
    assert code == 0
    assert "already have predictions (use --force)" in said

    # And what the script writes cannot be graded: a placeholder for a line, and no source
    live.lose([other], lambda name: name == PREDICTIONS)
    run_job(live, job("predictions"), *days(other, other), "--no-resume")
    assert held(live, PREDICTIONS, other) > 0
    assert held(live, PREDICTIONS, other, "line_source IS NULL AND current_points_line = 20") == (
        held(live, PREDICTIONS, other)
    )

    # After dates of which the first failed, a range that is resumed never does the first
    defense = "nba_analytics.team_defense_game_summary"
    live.lose([first, second], lambda name: name == defense)
    (root / f"{defense}-{first}.fails").touch()
    for _ in range(2):
        assert run_job(live, job("team-defense"), *days(first, second))[0] == 0
    assert (held(live, defense, first), held(live, defense, second) > 0) == (0, True)
    assert run_job(live, job("team-defense"), *days(first, second), "--no-resume")[0] == 0
    assert held(live, defense, first) > 0

    # The orchestrating script calls a bare python3: another one has not what the jobs need
    fake = live.place / "fake"
    fake.mkdir()
    (fake / "python3").write_text("#!/bin/sh\nexit 1\n")
    (fake / "python3").chmod(0o755)
    script, span = "bin/backfill/run_phase4_backfill.sh", days(other, other)
    assert run_job(live, script, *span, path=f"{fake}:{os.environ['PATH']}")[0] == 1
    own = f"{root / '.venv/bin'}:{os.environ['PATH']}"
    assert run_job(live, script, *span, "--no-resume", path=own)[0] == 0

    # Grading fails on a date without predictions
    live.lose([other], lambda name: name == PREDICTIONS)
    assert run_job(live, job("grading"), *span, "--no-resume")[0] == 1

    # Publishing a range exits 0 whatever failed; a date does not
    (root / f"publish-{other}.fails").touch()
    export = "backfill_jobs/publishing/daily_export.py"
    assert run_job(live, export, *span)[0] == 0
    assert run_job(live, export, "--date", str(other))[0] == 1


@pytest.mark.slow
@pytest.mark.parametrize("headers", [{"X-API-Key": SECRET}, {"Authorization": f"Bearer {SECRET}"}])
def test_the_stand_in_of_the_service_takes_either_header(
    headers: dict[str, str], start: Callable[..., Live]
) -> None:
    live = start("nba-live", workers=0)
    body = {"game_date": str(LOST), "reason": "a test"}
    before = held(live, PREDICTIONS, LOST)

    assert httpx.post(f"{live.coordinator.url}{PAGE}", json=body).status_code == 401
    answer = httpx.post(f"{live.coordinator.url}{PAGE}", json=body, headers=headers)

    assert answer.status_code == 202
    assert answer.json()["batch_id"]
    assert held(live, PREDICTIONS, LOST, "is_active") == before
    assert held(live, PREDICTIONS, LOST, "NOT is_active") == before


@pytest.mark.slow
def test_where_the_page_is_not_there_the_script_is_used_and_doctor_says_what_that_means(
    start: Callable[..., Live],
) -> None:
    # Given a service without the page, and a date without predictions, and what rests on them
    live = start("nba-live", has_page=False)
    live.lose([LAST], lambda name: name in (PREDICTIONS, GRADED))

    doctor = live.planner("doctor")
    assert doctor.code == 0, doctor.out
    (line,) = [line for line in doctor.out.splitlines() if "predictions: script 2" in line]
    assert "what it writes cannot be graded" in line

    # When the gaps are repaired
    done = live.planner("enqueue", "--gaps", "--wait", "--end", str(LAST))

    # Then predictions are there, and nothing of them is due in grading
    assert held(live, PREDICTIONS, LAST) > 0
    assert held(live, GRADED, LAST) == 0
    assert "what it writes cannot be graded" in done.err
    assert live.planner("gaps", "--end", str(LAST)).code == 0


def test_every_script_that_holds_locks_is_tried_again_after_their_lifetime() -> None:
    """Ten minutes, by the smallest pauses that jitter gives."""
    phases = [p for name in ("nba-live", "nba-live-phases") for p in load_pipeline(name).phases]
    for phase in phases:
        if not phase.is_source:
            pauses = [min(phase.retry_seconds * 2**n, 600) * 0.75 for n in range(phase.retries)]
            assert sum(pauses[:2]) >= 600, phase.name


@pytest.mark.parametrize("name", ["nba-live", "nba-live-phases"])
def test_the_pipeline_file_names_no_argument_that_the_scripts_lack(name: str) -> None:
    text = (SHIPPED / f"{name}.toml").read_text()
    assert set(re.findall(r'"(--[a-z-]+)"', text)) - {"--start-from"} == {
        "--start-date",
        "--end-date",
        "--no-resume",
        "--date",
        "--only",
    }


def test_the_two_files_differ_in_precompute_alone() -> None:
    one, five = (load_pipeline(name) for name in ("nba-live", "nba-live-phases"))
    assert one.seasons == five.seasons
    early = [phase for phase in one.phases if phase.name in five.by_name][:6]
    assert list(five.phases[:6]) == early
    tables = {spec.name: spec for spec in five.tables}
    for spec in one.tables:
        assert tables[spec.name] == spec
    writers = {phase.name: phase.concurrency for phase in five.phases if phase.name in FIVE}
    assert [name for name in FIVE if writers[name] == 15] == FIVE[:4]
