"""Sends the first steps of a registered run, in a process of its own: `send RUN STEPS`."""

from __future__ import annotations

import sys
from itertools import islice

from planner.settings import load_settings
from worker.context import Context
from worker.run.enqueue import send_steps


def main(run_id: str, steps: int) -> None:
    """Send them, and begin the run."""
    context = Context(load_settings(), patient=False)
    plan = context.plan(run_id)
    assert plan is not None
    send_steps(context, run_id, plan, {step for step, _ in islice(plan.steps(), steps)})


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
