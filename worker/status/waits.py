"""What the pending steps of a run wait for: an upstream date, a resource, another attempt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from planner.data import Data
from planner.plan.states import StepState
from planner.report.causes import signature
from planner.text import counted, duration
from worker.ledger.record import RunRecord, StepRecord


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Steps that wait for one thing."""

    what: str
    steps: int
    since: float | None
    """When the first of them began to; None where it is not known."""

    def line(self, now: float) -> str:
        """`3 waiting for a slot of a (1 at once), for 2 min 05 s`."""
        so_far = "" if self.since is None else f", for {duration(max(0.0, now - self.since))}"
        return f"{self.steps} waiting for {self.what}{so_far}"


@dataclass(frozen=True, kw_only=True)
class Retrying:
    """Steps whose last attempt failed for one reason, and that are tried again."""

    reason: str
    """`attempt 2 of 4 failed: …`, of the one that comes first."""
    steps: tuple[str, ...]
    again: float
    """When the first of them is tried again."""

    def line(self, now: float) -> str:
        """`attempt 2 of 4 failed: exit code 1; again in 27 s`."""
        seconds = self.again - now
        when = f"again in {duration(seconds)}" if seconds >= 1 else "again when a worker is free"
        many = f"{len(self.steps)} steps: " if len(self.steps) > 1 else f"{self.steps[0]}: "
        return f"{many}{self.reason}; {when}"


class Logs(Data):
    """Where logs of steps are that failed, or whose last attempt did."""

    host: str
    steps: tuple[str, ...]

    def line(self, run_id: str) -> str:
        """`log of 2022-04-18/b: on host h, by `planner logs RUN 2022-04-18/b` there`."""
        one = len(self.steps) == 1
        what = f"log of {self.steps[0]}" if one else f"logs of {counted(len(self.steps), 'step')}"
        named = f" {self.steps[0]}" if one else ""
        return f"{what}: on {self.host}, where `planner logs {run_id}{named}` shows it"


def logs_of(steps: Iterable[StepRecord]) -> list[Logs]:
    """Host → steps that failed there last, or are tried again."""
    by_host: dict[str, list[str]] = {}
    for step in steps:
        if step.worker and (step.state is StepState.FAILED or step.retry_text):
            by_host.setdefault(step.worker.partition("@")[2] or step.worker, []).append(step.id)
    return [Logs(host=host, steps=tuple(ids)) for host, ids in sorted(by_host.items())]


def waits(record: RunRecord, steps: Iterable[StepRecord]) -> list[Wait]:
    """What steps wait for that no worker runs now, most steps first; nothing of an ended run."""
    groups: dict[str, list[StepRecord]] = {}
    for step in () if record.is_ended else steps:
        if (step.state is StepState.PENDING or step.parked) and step.waiting:
            groups.setdefault(step.waiting, []).append(step)
    found = [
        Wait(
            what=what,
            steps=len(members),
            since=min((m.since for m in members if m.since is not None), default=None),
        )
        for what, members in groups.items()
    ]
    return sorted(found, key=lambda wait: -wait.steps)


def retrying(record: RunRecord, steps: Iterable[StepRecord]) -> list[Retrying]:
    """Attempts that failed and are repeated, by cause, next first; nothing of an ended run."""
    groups: dict[str, list[StepRecord]] = {}
    for step in () if record.is_ended else steps:
        if step.state is StepState.PENDING and step.retry_text and step.again is not None:
            groups.setdefault(signature(step.retry_text), []).append(step)
    found = []
    for members in groups.values():
        ordered = sorted(members, key=lambda step: step.again or 0.0)
        found.append(
            Retrying(
                reason=ordered[0].retry_text,
                steps=tuple(step.id for step in ordered),
                again=ordered[0].again or 0.0,
            )
        )
    return sorted(found, key=lambda each: each.again)
