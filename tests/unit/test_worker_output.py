"""What a worker prints, where nothing can be written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="needs the device of Linux that is always full")
@pytest.mark.parametrize(("command", "goes_on"), [("worker", True), ("inspect", False)])
def test_a_worker_alone_goes_on_where_nothing_can_be_written(command: str, goes_on: bool) -> None:
    """Its help stands for its banner, which `make chaos` tries; other commands have to answer."""
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "worker", command, "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    assert (done.returncode == 0, not done.stderr) == (goes_on, goes_on)
