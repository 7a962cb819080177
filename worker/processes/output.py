"""Output of a worker, which does not need it: on a full disk lines are lost, and the work goes on.

Python's logging goes on where a line cannot be written. What prints does not: a worker that was
started while the disk of its log was full died of Celery's banner, over and over.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, TextIO

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
            lossy = _of(stream)
            setattr(sys, name, lossy)
            setattr(sys, f"__{name}__", lossy)  # where Celery prints its banner


def _of(stream: io.TextIOWrapper) -> TextIO:
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Lossy(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=True,
    )
