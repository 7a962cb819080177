"""Fallback runners: a script, a service's endpoint, a processor; the first that exists is used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from planner.errors import BadPipeline
from planner.gaps.survey import survey
from planner.pipeline.windows import Window
from tests.integration.bench import DAYS, Bench
from tests.integration.service import Service, served
from worker.run.plan import Wanted, plan_gaps, with_runners
from worker.runners.choose import choose
from worker.status.doctor import check_runners

MISSING = """
[[phases.runners]]
kind = "script"
command = ["python3", "jobs/grade.py", "{start}"]
cwd = "${PIPELINE_ROOT}"
"""

GRADE = """
[[phases.runners]]
kind = "http_batch"
url = "URL"
start_path = "/grade"
"""


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("WAREHOUSE_PLACE", str(tmp_path / "warehouse"))
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    monkeypatch.setenv("PIPELINE_ROOT", str(tmp_path))
    return Bench(place=tmp_path)


@pytest.fixture
def service() -> Iterator[Service]:
    """Has no /grade."""
    with served(Service(start=lambda call: (202, {}), status=lambda call: (200, {}))) as service:
        yield service


def test_the_first_that_exists_is_used(bench: Bench, service: Service) -> None:
    # Given no grading script, a service that answers 404, and a processor
    runners = MISSING + GRADE.replace("URL", service.url) + bench.script()

    outcome = bench.to_the_end(runners)

    # Then the processor makes the rows, and it can be told why
    assert outcome.done == DAYS
    assert bench.days_of() == list(DAYS)
    context = bench.context(runners)
    choice = choose(context.pipeline.by_name["facts"], context.pipeline_dir)
    assert choice.number == 2
    assert f"no jobs/grade.py in {bench.place}" in choice.absent[0]
    assert "/grade answers 404" in choice.absent[1]
    assert all(check.ok for check in check_runners(context))


def test_without_any_the_date_is_quarantined_and_the_doctor_names_all(
    bench: Bench, service: Service
) -> None:
    runners = MISSING + GRADE.replace("URL", service.url)

    outcome = bench.to_the_end(runners)

    assert "no runner of facts exists" in outcome.permanent[DAYS[0]]
    checks = list(check_runners(bench.context(runners)))
    assert [check.ok for check in checks] == [False, False]
    assert "jobs/grade.py" in checks[0].detail
    assert "/grade answers 404" in checks[1].detail


def test_what_only_workers_know_is_left_to_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIPELINE_ROOT")
    context = bench.context(MISSING)

    assert choose(context.pipeline.by_name["facts"], context.pipeline_dir).number == 0
    (check,) = check_runners(context)
    assert "set PIPELINE_ROOT" in check.advice


def test_a_script_that_may_not_be_executed_is_told(bench: Bench) -> None:
    (bench.place / "job.sh").write_text("#!/bin/sh\n")
    script = MISSING.replace('"python3", "jobs/grade.py"', '"./job.sh"')

    (check,) = check_runners(bench.context(script))

    assert "not executable: chmod +x" in check.detail


def test_a_secret_in_the_pipeline_file_is_refused(bench: Bench) -> None:
    script = bench.script() + 'env = { SERVICE_TOKEN = "abc-123" }\n'

    with pytest.raises(BadPipeline, match="looks like a secret"):
        _ = bench.context(script).pipeline


def test_a_password_in_an_address_of_the_pipeline_file_is_refused(bench: Bench) -> None:
    url = "https://me:hunter2@service.example"

    with pytest.raises(BadPipeline, match="it holds a password") as raised:
        _ = bench.context(GRADE.replace("URL", url)).pipeline

    assert "hunter2" not in str(raised.value)
    by_name = GRADE.replace("URL", "https://me:${PASSWORD}@service.example")
    assert bench.context(by_name).pipeline


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ('[[phases.runners.outcomes]]\nthen = "split"', "say when"),
        ('[[phases.runners.outcomes]]\npattern = "("\nthen = "split"', "not a regular expression"),
        ('[[phases.runners.outcomes]]\nexit_cod = 1\nthen = "split"', "did you mean 'exit_code'"),
        ('resume = { argument = "-n", tables = [["lake.frist"]] }', "did you mean 'lake.first'"),
    ],
)
def test_what_cannot_be_meant_is_refused(bench: Bench, wrong: str, told: str) -> None:
    with pytest.raises(BadPipeline, match=told):
        _ = bench.context(bench.script() + wrong).pipeline


def test_two_statements_in_a_file_are_refused_at_planning(bench: Bench) -> None:
    (bench.place / "fill.sql").write_text("DELETE FROM lake.first WHERE TRUE; SELECT 1")
    runners = '[[phases.runners]]\nkind = "sql"\nstatements = ["fill"]\n'

    context = bench.context(runners)
    scope = Window(start=DAYS[0], end=DAYS[-1])
    wanted = Wanted(scope=scope, phases=["facts"])

    health = survey(context.warehouse, context.pipeline, scope)
    plan = plan_gaps(context, health, wanted, ledger=None)

    told = r"Nothing can run facts: statement fill .* 2 statements.* a file of its own"
    with pytest.raises(BadPipeline, match=told):
        with_runners(context, plan)

    (check,) = [each for each in check_runners(context) if "sql 1" in each.what]
    assert not check.ok
    assert "2 statements" in check.detail
