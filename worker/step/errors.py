"""What a visit raises when its chain does not simply go on.

Exception
├── Requeue                        the message is delivered anew after a delay
│   ├── Waiting                    what it needs is not there yet, or held by others
│   ├── Working                    a service works for the step, and is looked at again
│   ├── AttemptFailed              an attempt failed, and is repeated
│   └── OtherWorker                this worker's pipeline file or warehouse is not the run's
└── planner.errors.FleetError
    └── StepFailed                 the step's task fails, and its chain ends here
"""

from __future__ import annotations

from planner.errors import FleetError
from worker.ledger.awaited import Awaited


class Requeue(Exception):
    """The message is to be delivered anew after a delay; no worker holds it meanwhile.

    Flower shows its name and text as the reason of the RETRY.
    """

    def __init__(self, seconds: float, why: str = "", awaited: Awaited | None = None) -> None:
        super().__init__(
            round(seconds, 1), why
        )  # from these arguments, the result backend can rebuild it
        self.seconds = seconds
        self.why = why
        self.awaited = awaited
        """What wakes it before."""

    def __str__(self) -> str:
        return f"{self.why or 'requeued'}; again in {self.seconds:.1f} s"


class Waiting(Requeue):
    """Upstream is still to come, or others hold what the step needs."""


class Working(Requeue):
    """A service works for the step. Its next look goes before steps that wait: it may free them."""


class AttemptFailed(Requeue):
    """An attempt failed, and another one is made."""


class OtherWorker(Requeue):
    """This worker's pipeline file or warehouse is not the run's: another worker may have it."""


class StepFailed(FleetError):
    """A step failed, was blocked or was cancelled: its task is a FAILURE, as Flower shows it.

    Celery runs nothing of its chain after that. With `goes_on`, a later step of the chunk can still
    be done, and the task has to send the rest of the chunk anew.
    """

    def __init__(self, message: str, *, goes_on: bool = False) -> None:
        super().__init__(message)
        self.goes_on = goes_on
