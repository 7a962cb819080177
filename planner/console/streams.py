"""Standard output and error, which say in words and by exit codes why they cannot be written."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

from planner.errors import Exit, UsageError
from planner.text import through

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Stream(io.FileIO):
    """Takes what is left of the output when its reader has gone, or its disk is full."""

    def write(self, data: ReadableBuffer) -> int | None:  # type: ignore[override]
        try:
            return super().write(data)
        except BrokenPipeError:  # such as `| head`: what was asked for is known
            self._drop()
            raise SystemExit(Exit.CLOSED) from None
        except OSError as error:
            self._drop()
            raise UsageError(
                f"The output cannot be written: {error.strerror or error}. Make room for it."
            ) from None

    def _drop(self) -> None:
        """Write to nowhere from now on: Python flushes once more when it ends."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def install() -> None:
    """Write the process's output so. A terminal that knows few characters gets marks."""
    for number in range(3):  # one that is closed would be the number of the next file
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = _of(sys.stdout or _nowhere())
    sys.stderr = _of(sys.stderr or _nowhere())


def _nowhere() -> TextIO:
    return os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")


def _of(stream: TextIO) -> TextIO:
    if stream not in (sys.__stdout__, sys.__stderr__) or not isinstance(stream, io.TextIOWrapper):
        return stream  # none at all, or a test's
    raw = _Stream(stream.fileno(), "w", closefd=False)
    return through(raw, stream, errors="backslashreplace")
