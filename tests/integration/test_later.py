"""What is to come back later waits in Redis, for whoever is free then."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.integration.tiny import Tiny
from tests.waiting import until
from worker.processes.children import supervised
from worker.processes.workers import worker_process
from worker.run import control


def test_a_step_that_waits_is_taken_by_whoever_is_free(tmp_path: Path) -> None:
    """A message with a countdown stays with its receiver, behind what that one does meanwhile."""
    tiny = Tiny(tmp_path)
    first, second = (
        worker_process(tiny.settings, n, environment=tiny.environment) for n in (11, 12)
    )
    with tiny.up(worker=False), ExitStack() as stack:
        # Given a worker with one slot, which has looked at a step that cannot begin yet
        waits, works = tiny.days(2)
        waiting = tiny.register([waits], ["b"])
        tiny.say("send", waiting)
        control.pause(tiny.context, waiting)
        stack.enter_context(supervised([first]))
        until(lambda: tiny.ledger.step(waiting, f"{waits}/b").waits > 2)

        # When a long step keeps that worker busy, another comes, and the first step may begin
        tiny.hold(works)
        long = tiny.enqueue([works], ["a"])
        until(lambda: tiny.scripts(works))
        stack.enter_context(supervised([second]))
        control.resume(tiny.context, waiting)

        # Then the other worker does it, while the long one goes on
        assert str(tiny.ended(waiting, seconds=20).state) == "complete"
        assert not tiny.ledger.require(long).is_ended
        tiny.let_go(works)
        assert str(tiny.ended(long).state) == "complete"
