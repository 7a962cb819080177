"""`planner heal --every`: looks that it misses do not pile up."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from planner.commands import heal as command
from planner.errors import Unreachable

HOUR = 3600


@pytest.mark.parametrize("took", [1, HOUR, 50 * HOUR])
def test_looks_that_are_missed_while_one_takes_long_do_not_pile_up(
    monkeypatch: pytest.MonkeyPatch, took: int
) -> None:
    """As when the warehouse is slow, or the machine slept: each pass has a whole pause after it."""
    clock, begun, ended = [0.0], [], []

    def look(*args: object, **options: object) -> None:
        begun.append(clock[0])
        if len(begun) == 4:
            raise KeyboardInterrupt
        clock[0] += took
        ended.append(clock[0])
        if len(begun) == 2:
            raise Unreachable("the broker is away")

    def wait(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr(command, "open_context", lambda: SimpleNamespace())
    monkeypatch.setattr(command, "required_ledger", lambda context: None)
    monkeypatch.setattr(command, "stop_on_sigterm", lambda: None)
    monkeypatch.setattr(command, "_look", look)
    monkeypatch.setattr(command, "_tell", lambda found, json: None)
    event = SimpleNamespace(wait=wait)
    monkeypatch.setattr(command, "threading", SimpleNamespace(Event=lambda: event))

    command.heal(every=HOUR)

    pauses = [after - before for before, after in zip(ended, begun[1:], strict=True)]
    assert pauses == [HOUR, HOUR, HOUR]
