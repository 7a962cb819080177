"""What a visit raises when its chain does not simply go on.

Exception
├── Requeue                        the message is delivered anew after a delay
└── planner.errors.FleetError
    └── StepFailed                 the chain ends here
"""

from __future__ import annotations

from collections.abc import Sequence

from planner.errors import FleetError


class Requeue(Exception):
    """The message is to be delivered anew after a delay; no worker holds it meanwhile."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"requeue in {seconds:.1f} s")
        self.seconds = seconds


class StepFailed(FleetError):
    """A step failed, was blocked or was cancelled, so that its chain ends here.

    `rest` are the later steps of its chunk, where any of them can still do something: they are to
    be sent as a chain of their own. So Celery shows the step as failed, and they run all the same.
    """

    def __init__(self, message: str, *, rest: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.rest = tuple(rest)
