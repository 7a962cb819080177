"""Output of a worker, which does not need it: on a full disk lines are lost, and the work goes on.

Python's logging goes on where a line cannot be written. What prints does not: a worker that was
started while the disk of its log was full died of Celery's banner, over and over.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

from planner.text import through

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Lossy(io.FileIO):
    """Drops what cannot be written: its disk is full, or its reader has gone."""

    def write(self, data: ReadableBuffer) -> int | None:  # type: ignore[override]
        try:
            return super().write(data)
        except OSError:
            return len(memoryview(data))


def install() -> None:
    """Write this process's output and errors so."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):  # else it is closed
            raw = _Lossy(stream.fileno(), "w", closefd=False)
            lossy = through(raw, stream, errors=stream.errors)
            lossy.reconfigure(line_buffering=True)
            setattr(sys, name, lossy)
            setattr(sys, f"__{name}__", lossy)  # where Celery prints its banner
