"""What `planner watch` says on a plain terminal."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from planner.commands import watch
from planner.plan.states import RunState, StepState
from worker.ledger.record import RunRecord, StepRecord
from worker.run.forecast import Forecast

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
