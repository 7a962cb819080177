"""A runner of one's own: the one of the documentation, installed as a package is."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from planner.errors import BadPipeline
from planner.pipeline.load import load_pipeline
from tests.integration.bench import DAYS, Bench
from tests.integration.json_server import json_server
from worker.runners import Stopped
from worker.runners.choose import absence, running
from worker.runners.plugin import _entries
from worker.step.attempt import Ended

PAGE = Path(__file__).parents[2] / "docs" / "own-runner.md"
RUNNER = """
[[phases.runners]]
kind = "plugin"
use = "{use}"
options = {{ url = "{url}", token = "${{JOBS_TOKEN}}", poll_seconds = 0.01 }}
"""
BAD = """
class Raises:
    def __init__(self, **options): pass
    def run(self, job): raise RuntimeError("no " + "hunter2hunter2")

class Odd(Raises):
    def run(self, job): return "fine"
"""
FILL = (
    "INSERT INTO lake.first SELECT day, game FROM lake.raw "
    "WHERE day BETWEEN @start_date AND @end_date"
)


def ended(outcome: object) -> Ended:
    assert isinstance(outcome, Ended)
    return outcome


class Jobs:
    """A cloud's jobs: one runs until it has been asked for twice, and then its rows are there."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.asked: list[tuple[str, str, Any]] = []
        self.lasts = False
        self.refuses = False

    def answer(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        self.asked.append((method, path, body))
        if method == "POST":
            return (400, {"error": "no such job"}) if self.refuses else (200, {"name": "j-1"})
        if self.lasts or len(self.asked) < 3:
            return 200, {"state": "running"}
        warehouse = self.bench.warehouse()
        warehouse.run(FILL, {"start_date": DAYS[0], "end_date": DAYS[-1]})
        warehouse.close()
        return 200, {"state": "done"}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(place=tmp_path)


@pytest.fixture
def jobs(bench: Bench) -> Iterator[Jobs]:
    world = Jobs(bench)

    def answer(method: str, path: str, body: Any, headers: Message) -> tuple[int, Any]:
        world.token = headers["Authorization"]
        return world.answer(method, path, body)

    with json_server(answer) as url:
        world.url = url
        yield world


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package of the documentation, and one that behaves badly."""
    site = tmp_path / "site"
    (site / "cloud_jobs-1.0.dist-info").mkdir(parents=True)
    (site / "cloud_jobs-1.0.dist-info" / "METADATA").write_text("Name: cloud-jobs\nVersion: 1.0\n")
    (site / "cloud_jobs-1.0.dist-info" / "entry_points.txt").write_text(
        "[backfill_fleet.runners]\ncloud_job = cloud_jobs:CloudJob\n"
        "raises = bad_jobs:Raises\nodd = bad_jobs:Odd\nabsent = bad_jobs:Absent\n"
    )
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(code.splitlines()) < 60
    (site / "cloud_jobs.py").write_text(code)
    (site / "bad_jobs.py").write_text(BAD)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("JOBS_TOKEN", "hunter2hunter2")
    _entries.cache_clear()
    yield
    _entries.cache_clear()
    for name in ("cloud_jobs", "bad_jobs"):
        sys.modules.pop(name, None)


def test_a_job_is_started_and_its_rows_are_counted(bench: Bench, jobs: Jobs) -> None:
    outcome = ended(bench.attempt(RUNNER.format(use="cloud_job", url=jobs.url)))

    assert outcome.done == DAYS
    assert jobs.asked[0] == ("POST", "/jobs", {"start": str(DAYS[0]), "end": str(DAYS[-1])})
    assert jobs.token == "Bearer hunter2hunter2"


def test_a_job_is_ended_when_the_step_is_stopped(bench: Bench, jobs: Jobs) -> None:
    jobs.lasts = True

    outcome = bench.attempt(
        RUNNER.format(use="cloud_job", url=jobs.url),
        stop=lambda: "cancelled" if len(jobs.asked) > 2 else None,
    )

    assert isinstance(outcome, Stopped)
    assert jobs.asked[-1][:2] == ("DELETE", "/jobs/j-1")


def test_what_is_refused_is_not_tried_again(bench: Bench, jobs: Jobs) -> None:
    jobs.refuses = True

    outcome = ended(bench.attempt(RUNNER.format(use="cloud_job", url=jobs.url)))

    assert outcome.short == {}
    assert "refused" in outcome.permanent[DAYS[0]]


@pytest.mark.parametrize(
    ("use", "told", "is_permanent"),
    [
        ("raises", "raises: RuntimeError: no ", False),
        ("odd", "odd answered str, which is no outcome", True),
        ("absent", "absent: AttributeError", False),
        ("none", "no installed package names none in backfill_fleet.runners", False),
    ],
)
def test_a_bad_runner_fails_its_step_alone(
    bench: Bench, jobs: Jobs, use: str, told: str, is_permanent: bool
) -> None:
    outcome = ended(bench.attempt(RUNNER.format(use=use, url=jobs.url)))

    found = outcome.permanent if is_permanent else outcome.short
    assert told in found[DAYS[0]]
    assert "hunter2hunter2" not in found[DAYS[0]]
    for log in (bench.place / "home" / "logs").rglob("*.log"):
        assert "hunter2hunter2" not in log.read_text()


def test_doctor_says_which_package_is_absent(bench: Bench, jobs: Jobs) -> None:
    def spec(use: str) -> Any:
        context = bench.context(RUNNER.format(use=use, url=jobs.url))
        return context.pipeline.by_name["facts"].runners[0]

    assert absence(spec("cloud_job"), bench.place) is None
    assert running(spec("cloud_job")).readiness().ok
    found = running(spec("cloud_jb")).readiness()
    assert (found.ok, found.advice) == (
        False, "install its package where workers start; did you mean 'cloud_job'?"
    )  # fmt: skip


def test_a_secret_stands_in_no_file(bench: Bench, jobs: Jobs) -> None:
    text = RUNNER.format(use="cloud_job", url=jobs.url).replace("${JOBS_TOKEN}", "hunter2")
    with pytest.raises(BadPipeline, match="token looks like a secret"):
        bench.context(text).pipeline  # noqa: B018
    assert load_pipeline("sales")
