"""What `planner watch` says on a plain terminal."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from planner.commands import watch
from planner.pipeline.load import load_pipeline
from planner.plan.states import RunState, StepState
from worker.ledger.record import RunRecord, StepRecord
from worker.status.forecast import Forecast
from worker.step.resources import services_of

RUN = RunRecord(
    id="run-20260102-k7xq3w",
    plan_id="plan-20260102-9hm4dz",
    pipeline="nba",
    pipeline_checksum="",
    warehouse="local:/srv/nba",
    state=RunState.RUNNING,
    reason="",
    created=time.time() - 700,
    started=time.time() - 600,
    ended=None,
    validation=None,
    steps_total=3,
)
STEPS = [
    StepRecord(id="2025-01-01/a", state=StepState.SUCCEEDED, started=1.0, worked=30.0),
    StepRecord(id="2025-01-02/a", state=StepState.PENDING, waiting="a slot of a (1 at once)"),
    StepRecord(id="2025-01-03/a", state=StepState.PENDING, waiting="a slot of a (1 at once)"),
]


def lines(monkeypatch: pytest.MonkeyPatch, *forecasts: Forecast) -> list[str]:
    """What is printed when the run looks like this, look by look, five seconds apart."""
    written = io.StringIO()
    monkeypatch.setattr(watch, "err", Console(file=written, width=200, highlight=False))
    monkeypatch.setattr(watch, "LINE_SECONDS", 0)
    view = watch._Lines()
    for ahead in forecasts:
        view.show(RUN, STEPS, ahead)
    return written.getvalue().splitlines()


def test_it_warns_once_when_a_run_drifts_past_twice_its_estimate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planned = Forecast(planned=660, spent=600, left=60)
    slower = Forecast(planned=660, spent=600, left=700)
    drifting = Forecast(planned=660, spent=600, left=1200)

    said = lines(monkeypatch, planned, slower, drifting, drifting)

    (warning,) = [line for line in said if "drifts" in line]
    assert said.index(warning) == 2
    assert "about 30 min 00 s in all, and its plan foresaw 11 min 00 s" in warning
    assert len(said) == 5
    assert said[0].endswith("2 waiting for a slot of a (1 at once); about 1 min 00 s left")


def test_what_nobody_foresaw_does_not_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    said = lines(monkeypatch, Forecast(planned=None, spent=600, left=9000))

    assert len(said) == 1
    assert said[0].endswith("about 2 h 30 min left")


def test_a_failed_step_is_no_progress_and_what_holds_a_run_up_is_said() -> None:
    steps = [STEPS[0], STEPS[1].model_copy(update={"state": StepState.FAILED}), STEPS[2]]

    said = watch._line(
        RUN, steps, Forecast(planned=None, spent=1, left=None), ["no worker is there"]
    )

    assert f"{RUN.id} running: 1/3 steps (1 failed, 1 pending, 1 succeeded)" in said
    assert "; it stands still: no worker is there;" in said


def test_a_service_is_named_by_its_phase_where_its_address_is_a_variable() -> None:
    nba = load_pipeline("nba")
    phase = next(p for p in nba.phases for r in p.runners if r.service_url)
    (which, *_) = [n for n, r in enumerate(phase.runners) if r.service_url]

    (service,) = services_of(phase, parked=False, which=which)

    assert "${" in service.name
    assert service.full == f"the service of {phase.name}"
