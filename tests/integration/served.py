"""`planner serve` in a process of its own, as a user starts it."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

STOP_SECONDS = 20.0


@contextmanager
def served(
    environment: Mapping[str, str], place: Path, *options: str, files: int | None = None
) -> Iterator[str]:
    """Serve, for as long as the block lasts; its address, without the last slash.

    `files`: so many may the process have open, and no more.
    """
    place.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "planner", "serve", "--port", "0", *options],
        env={**os.environ, **environment},
        cwd=place,
        stderr=subprocess.PIPE,
        text=True,
    )
    if files is not None:  # before it has come to look how many
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (files, files))
    assert process.stderr is not None
    said = []
    try:
        for line in process.stderr:
            said.append(line)
            if line.startswith("http://"):
                break
        assert said, "it ended at once"
        assert said[-1].startswith("http://"), said
        yield said[-1].strip().rstrip("/")
    finally:
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=STOP_SECONDS)
    assert process.returncode == 0, rest
    assert "Traceback" not in rest, rest
