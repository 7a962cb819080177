"""Waiting for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable

WAIT_SECONDS = 60.0
LOOK_SECONDS = 0.05  # between two looks


def until(condition: Callable[[], object], *, seconds: float = WAIT_SECONDS) -> None:
    """Look at a condition until it holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(LOOK_SECONDS)
