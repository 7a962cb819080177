"""docs/demo.svg: what `planner demo` prints on a terminal of 80 columns; `make pictures`.

Only rows are left out: those of tables between the first and the last, and progress in between.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parents[1] / "docs" / "demo.svg"
COLUMNS = 80
PROGRESS_SHOWN = 3  # first lines of it; the last one is shown too
FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # of another site: none is asked
STYLES = {
    r"[\d/]+ ✓": "green",
    r"[\d/]+ ✗": "red",
    r"^\$ .*": "bold",
    r"^run-.*complete.*": "green",
}


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, "-m", "planner", "demo"],
            env={**os.environ, "BACKFILL_HOME": home, "COLUMNS": str(COLUMNS), "NO_COLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        )
        printed = done.stdout.replace(home, "/home/you/.backfill")
    terminal = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    for line in ["$ make demo", *shown(printed.splitlines())]:
        text = Text(line.rstrip())
        for pattern, style in STYLES.items():
            text.highlight_regex(pattern, style)
        terminal.print(text, soft_wrap=False)
    picture = terminal.export_svg(title="make demo")
    PICTURE.write_text(FONTS.sub("", picture), encoding="utf-8")


def shown(lines: Iterable[str]) -> Iterator[str]:
    """Lines as they were printed, without most rows of the tables and of the progress."""
    progress = 0
    season = ""
    for line in lines:
        found = re.match(r"│ (\d{4}-\d{2}) ", line)
        season = found[1] if found else season if line.startswith("│   ") else ""
        progress += " running: " in line
        is_cut = season in ("2022-23", "2023-24") or line.startswith("│   play-in")
        if not is_cut and not (" running: " in line and progress > PROGRESS_SHOWN):
            yield line


if __name__ == "__main__":
    main()
