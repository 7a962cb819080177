"""The largest size of this process. Linux alone."""

from __future__ import annotations

from pathlib import Path


def forget_largest() -> None:
    """Begin anew with the size of now."""
    Path("/proc/self/clear_refs").write_text("5")


def largest() -> float:
    """Megabytes. `getrusage` also tells how large the process was that became this program."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1e3
