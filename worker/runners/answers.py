"""What a batch service's answers mean. They are not trusted: only short text of them is kept."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeGuard

import httpx

from worker.processes.secrets import redacted

MESSAGE_CHARS = 500  # of a service's answer, shown in an error
KEPT_CHARS = 4000  # of what a batch has come to, kept to see whether it moves
BATCH_ID_CHARS = 200
ENDED_WELL = frozenset({"complete", "completed", "success", "succeeded", "done"})
ENDED_BADLY = frozenset({"failed", "error", "stalled", "cancelled", "aborted"})
UNKNOWN = frozenset({"no_active_batch", "not_found"})


class Batch(Enum):
    """Where a batch is."""

    RUNNING = auto()
    COMPLETE = auto()
    BROKEN = auto()
    GONE = auto()
    """The service does not know it, or cannot look: only a recount tells what it did."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """A service's answer to how a batch is."""

    batch: Batch
    batch_id: str | None
    moved: str
    """Changes whenever the batch makes progress."""
    is_stalled: bool
    text: str


def status_of(response: httpx.Response) -> Status:
    """Read either shape: with `progress`, or with the counts at the top.

    A 404 is a batch that is gone. Raises `httpx.HTTPStatusError` for other refusals.
    """
    if response.status_code == httpx.codes.NOT_FOUND:
        return Status(batch=Batch.GONE, batch_id=None, moved="", is_stalled=False, text="not found")
    answer = content(response)
    if not response.is_success or not isinstance(answer, dict):
        raise httpx.HTTPStatusError(
            f"answers {response.status_code}: {text_of(answer)}",
            request=response.request,
            response=response,
        )
    progress = answer.get("progress")
    state = told_by(answer.get("status", "")).lower()
    stalled = answer.get("is_stalled") is True or state == "stalled"
    found = answer.get("batch_id")
    counts = progress if isinstance(progress, dict) else answer
    moved = [counts.get(key) for key in ("completed", "failed", "completed_players")]
    return Status(
        batch=_batch_of(state, progress, stalled=stalled),
        batch_id=found if is_batch_id(found) else None,
        moved=told_by([found, state, *moved]),
        is_stalled=stalled,
        text=text_of(answer),
    )


def _batch_of(state: str, progress: Any, *, stalled: bool) -> Batch:
    """Where a batch is: `progress` counts for more than the state's name, if it is there."""
    has_progress = isinstance(progress, dict)
    if has_progress and progress.get("is_complete") is True:
        return Batch.COMPLETE
    if state in ENDED_BADLY or stalled:
        return Batch.BROKEN
    if state in ENDED_WELL and not has_progress:
        return Batch.COMPLETE
    return Batch.GONE if state in UNKNOWN else Batch.RUNNING


def content(response: httpx.Response) -> Any:
    """The answer's JSON, else its text."""
    try:
        return response.json()
    except (ValueError, RecursionError):
        return response.content.decode("utf-8", "replace")


def text_of(answer: Any) -> str:
    """What an answer says, for an error or a note."""
    if isinstance(answer, dict):
        told = [answer.get(key) for key in ("message", "error", "status", "reason", "summary")]
        answer = "; ".join(told_by(part) for part in told if part) or answer
    return told_by(answer)[:MESSAGE_CHARS]


def told_by(answer: Any) -> str:
    """Any part of an answer as text, cut to size, without secrets and control characters."""
    try:
        return redacted(str(answer))[:KEPT_CHARS]  # before it is cut: half a secret is not known
    except RecursionError:
        return "(nested too deeply)"


def is_batch_id(value: Any) -> TypeGuard[str]:
    """Whether a service's name for a batch can be kept, shown, and sent in an address."""
    return isinstance(value, str) and 0 < len(value) <= BATCH_ID_CHARS and value.isprintable()
