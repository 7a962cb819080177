"""The last lines of a step's log, where it is on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from planner.text import printable
from worker.context import Context

TAIL_BYTES = 8192
LINES = 5
LINE_CHARS = 300


def log_file(context: Context, run_id: str, step_id: str) -> Path:
    """Where a step's log is on its worker's machine. Makes no folder, as `log_path` does."""
    name = f"{step_id.replace('/', '.')}.log"
    return context.settings.home_dir / "logs" / run_id / name


def last_lines(path: Path) -> list[str]:
    """The last lines of a file; none where it is not, or cannot be read."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return []
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            text = file.read(TAIL_BYTES).decode(errors="replace")
    except OSError:
        return []
    return [printable(line)[:LINE_CHARS] for line in text.splitlines()[-LINES:]]
