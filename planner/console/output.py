"""What commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.table import Table

from planner.text import printable

if TYPE_CHECKING:
    from planner.gaps.matrix import Count, Matrix

WIDE_COLUMNS = 104  # a matrix of five phases with its counts of entities fits


class SafeConsole(Console):
    """Writes no control character but its own, so that text of others cannot steer the terminal."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)


# rich honours NO_COLOR, and writes no colours to what is not a terminal.
out = SafeConsole(highlight=False, emoji=False)
err = SafeConsole(stderr=True, highlight=False, emoji=False)


def print_json(content: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(content, indent=2, default=str) + "\n")


def note(text: str) -> None:
    """Print a remark beside the result, on standard error."""
    err.print(escape(text), style="dim", soft_wrap=True)


def matrix_table(counts: Matrix, title: str, entity: str) -> Table:
    """Season × phase: complete dates of those expected, and how many entities they hold."""
    table = Table(title=escape(title), title_justify="left")
    phases = list(next(iter(counts.values()), {}))
    is_wide = out.width >= WIDE_COLUMNS
    table.add_column("season")
    for phase in phases:
        table.add_column(phase, justify="right")
    for name, row in counts.items():
        if any(count.expected for count in row.values()):
            label = name.partition("/")
            shown = f"  {label[2].replace('_', '-')}" if label[1] else label[0]
            table.add_row(escape(shown), *(_cell(row[phase], is_wide=is_wide) for phase in phases))
    table.caption = "complete dates / expected dates" + (f" ({entity}s)" if is_wide else "")
    table.caption_justify = "left"
    return table


def _cell(count: Count, *, is_wide: bool) -> str:
    text = f"{count.complete}/{count.expected}"
    if count.entities is not None and is_wide:
        text += f" ({count.entities})"
    if count.accepted:
        text += f", {count.accepted} accepted"
    return f"[green]{text} ✓[/]" if count.is_complete else f"[red]{text} ✗[/]"


def count_table(
    title: str, columns: list[str], rows: Iterable[Iterable[Any]], *, whole: int = 1
) -> Table:
    """A plain table; numbers stand right. The first `whole` columns are never cut: people copy
    them."""
    table = Table(title=escape(title), title_justify="left")
    for n, column in enumerate(columns):
        is_whole = n < whole
        justify: JustifyMethod = "left" if is_whole else "right"
        table.add_column(column, justify=justify, no_wrap=is_whole, overflow="fold")
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    return table


def summary(counts: Mapping[str, int]) -> str:
    """`3 missing, 1 partial`; counts of 0 are left out."""
    return ", ".join(f"{n} {name}" for name, n in counts.items() if n) or "none"
