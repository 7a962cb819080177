"""Flaws that the rows of a table show by themselves: duplicates, absent values, audits. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from planner.gaps.gaps import Finding, GapReason
from planner.pipeline.model import exact
from planner.pipeline.tables import TableSpec
from sql.warehouse import Cell


def flaws_of_rows(spec: TableSpec, cell: Cell, failed: Iterable[str]) -> Iterator[Finding]:
    """What is wrong with the rows of one date; `failed` are the audits that found it wrong."""
    if cell.duplicates:
        yield Finding(
            table=spec.name,
            reason=GapReason.DUPLICATE,
            expected=cell.rows - cell.duplicates,
            found=cell.rows,
            about=", ".join(spec.key),
        )
    for column, share in spec.filled.items():
        needed, found = least(cell.rows, share), cell.filled.get(column, 0)
        if found < needed:
            yield Finding(
                table=spec.name,
                reason=GapReason.UNFILLED,
                expected=needed,
                found=found,
                about=column,
            )
    for audit in failed:
        yield Finding(table=spec.name, reason=GapReason.AUDIT, expected=0, found=1, about=audit)


def least(of: int, share: float) -> int:
    """The least whole number that is a share of another."""
    return math.ceil(of * exact(share))
