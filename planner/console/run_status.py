"""The exit code of a run that has ended, and its causes of failure for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.errors import Exit
from planner.plan.states import Priority, RunState
from planner.report.causes import Cause, cause_lines
from planner.text import counted

if TYPE_CHECKING:
    from worker.ledger.record import RunRecord


def run_exit(record: RunRecord) -> Exit:
    """The exit code of an ended run."""
    if record.state is RunState.COMPLETE:
        remaining = (record.validation or {}).get("remaining", 0)
        unpublished = (record.publication or {}).get("failed")
        return Exit.GAPS if remaining or unpublished else Exit.DONE
    return Exit.FAILED


def sharing_of(found: dict[str, Any]) -> str:
    """How a run shares the fleet, of a status' JSON; empty for the defaults."""
    told = [
        "" if found["priority"] == Priority.NORMAL else f"{found['priority']} priority",
        "" if found["max_slots"] is None else f"{counted(found['max_slots'], 'slot')} at most",
        "" if found["hours"] is None else f"steps begin from {found['hours']}",
    ]
    return ", ".join(filter(None, told))


def cause_lines_of(found: dict[str, Any]) -> list[str]:
    """What failed by cause, for a terminal, of a status' JSON."""
    return [line for each in found["causes"] for line in cause_lines(Cause(**each))]


def log_lines_of(found: dict[str, Any]) -> list[str]:
    """Which logs are on which host, for a terminal, of a status' JSON."""
    from worker.status.waits import Logs

    return [Logs(**each).line(found["run_id"]) for each in found["logs"]]
