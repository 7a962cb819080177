"""The tables of docs/performance.md: a run writes the rows that it measured, and no others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tests.bench.rows import Row

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
COLUMNS = ["row", "question", "here", "limit or peer, same run", "mark", "", "load"]


def write(table: str, name: str, rows: Sequence[Row], *, load: float, order: Sequence[str]) -> None:
    """Put the rows of a benchmark into a table, in place of those that it had.

    `order` names the benchmarks; a line of another one is dropped.
    """
    page = PAGE.read_text(encoding="utf-8")
    begin, end = f"<!-- {table} -->", f"<!-- end of {table} -->"
    found = re.search(f"{re.escape(begin)}\n(.*?){re.escape(end)}", page, flags=re.DOTALL)
    assert found is not None, f"{PAGE} has no place for {table}"
    kept = [line for line in found[1].splitlines() if line.startswith("| `")]
    lines = [line for line in kept if _name(line) != name and _name(line) in order]
    lines += [_line([f"`{name}`", *row.cells, f"{load:.0f}"]) for row in rows]
    lines.sort(key=lambda line: order.index(_name(line)))
    text = "\n".join([_line(COLUMNS), "|---" * len(COLUMNS) + "|", *lines])
    PAGE.write_text(page.replace(found[0], f"{begin}\n{text}\n{end}"), encoding="utf-8")


def _name(line: str) -> str:
    return line.split("`")[1]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
