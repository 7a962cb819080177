"""The tables of docs/stress.md, each between its own marks, so that one is written anew alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "stress.md"


def table(
    name: str,
    remark: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    is_whole: bool,
) -> None:
    """Print a table with a remark above it, and write it unless it is of a part of the work."""
    lines = [remark, "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    text = "\n".join(lines)
    print(text)
    if not is_whole:
        return
    page = PAGE.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    assert begin in page, f"{PAGE} has no place for {name}"
    page = re.sub(f"{begin}.*?{end}", lambda _: f"{begin}\n{text}\n{end}", page, flags=re.DOTALL)
    PAGE.write_text(page, encoding="utf-8")
