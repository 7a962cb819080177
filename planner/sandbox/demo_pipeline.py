"""The shipped file for the demo: a service that takes a range of dates, and jobs as quick as these.

A batch a date costs a second or two each, which are nothing beside the real one's minutes, and most
of what a demo of three playoffs would take. The real jobs' seconds would foresee a working day.
"""

from __future__ import annotations

import re
from pathlib import Path

from planner.pipeline.load import pipeline_path

_OPTION = re.compile(
    r"^# (?P<range>body = .*start_date.*\n)per_date = true\nbody = .*game_date.*\n", re.MULTILINE
)
_SECONDS = re.compile(r"^seconds_per_date = .*$", re.MULTILINE)
SECONDS_PER_DATE = 0.15
"""Of the sandbox's jobs: 873 dates in 89 steps took 66 s in two slots."""


def demo_pipeline(folder: Path) -> Path:
    """Write `nba` with the other body, which the file names, into a folder; where it is."""
    text, found = _OPTION.subn(r"\g<range>", pipeline_path("nba").read_text(encoding="utf-8"))
    if found != 1:
        raise ValueError("nba.toml does not name a body with a range right above its own")
    path = folder / "nba.toml"
    path.write_text(_SECONDS.sub(f"seconds_per_date = {SECONDS_PER_DATE}", text), encoding="utf-8")
    return path
