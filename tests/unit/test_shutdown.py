"""A worker that is told to stop: its running step has the grace, and no longer."""

from __future__ import annotations

from multiprocessing.sharedctypes import RawValue
from types import SimpleNamespace

import pytest
from celery.utils.dispatch import Signal

from worker.processes import shutdown


def test_a_running_step_has_to_stop_when_the_grace_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a worker that was not told to stop
    told, now = Signal(name="told"), [1000.0]
    monkeypatch.setattr(shutdown, "_deadline", RawValue("d", 0.0))
    monkeypatch.setattr(shutdown, "signals", SimpleNamespace(worker_shutting_down=told))
    monkeypatch.setattr(shutdown, "time", SimpleNamespace(monotonic=lambda: now[0]))
    shutdown.install(grace_seconds=30)
    assert not shutdown.is_due()

    # When it is, then the step goes on for as long as the grace
    told.send(sender=None)
    now[0] += 29
    assert not shutdown.is_due()
    now[0] += 1
    assert shutdown.is_due()
