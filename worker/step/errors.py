"""What a visit raises when its chain does not simply go on.

Exception
├── Requeue                        the message is delivered anew after a delay
└── planner.errors.FleetError
    └── StepFailed                 the step's task fails, and its chain ends here
"""

from __future__ import annotations

from planner.errors import FleetError


class Requeue(Exception):
    """The message is to be delivered anew after a delay; no worker holds it meanwhile."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"requeue in {seconds:.1f} s")
        self.seconds = seconds


class StepFailed(FleetError):
    """A step failed, was blocked or was cancelled: its task is a FAILURE, as Flower shows it.

    Celery runs nothing of its chain after that. With `goes_on`, a later step of the chunk can still
    be done, and the task has to send the rest of the chunk anew.
    """

    def __init__(self, message: str, *, goes_on: bool = False) -> None:
        super().__init__(message)
        self.goes_on = goes_on
