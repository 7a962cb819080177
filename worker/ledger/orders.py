"""What the user orders for one run, beside its plan."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Orders:
    """How a run may be run; a retry gets orders of its own."""

    force_service: bool = False
    """Services may end what they do for others."""
    deadline_seconds: int | None = None
    """A run that still goes on so long after it was enqueued is cancelled. None: never."""


PLAIN = Orders()
