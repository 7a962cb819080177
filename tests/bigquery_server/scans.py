"""Which tables a statement reads, how much of them, and what that costs.

A rough estimate: rows in the partitions asked for, times columns named, times 8 bytes. BigQuery
counts each type's own size: 8 for INT64, FLOAT64 and DATE, 2 + length for STRING
[https://cloud.google.com/bigquery/pricing#data]. Partitions are told apart by the conditions in
the WHERE and ON of the same SELECT which compare the partition column with constants. BigQuery
also pushes conditions from around a subquery into it; this does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlglot import exp

from tests.bigquery_server.served import Layout

BYTES_PER_VALUE = 8
MINIMUM_BYTES_BILLED = 10 * 1024 * 1024  # per table referenced [BigQuery's price list]
_ROUNDED_TO_BYTES = 1024 * 1024  # billed bytes are whole megabytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """One table that a statement reads."""

    table: str
    layout: Layout
    columns: int
    """How many columns of it the statement names."""
    condition: exp.Expr | None
    """What is asked of the partition column alone; None reads every partition."""


def scans(tree: exp.Expr, layout_of: Callable[[str], Layout]) -> list[Scan]:
    """The tables that `tree` reads. Raises what `layout_of` raises for a missing table."""
    found = []
    for reference in tree.find_all(exp.Table):
        around = reference.find_ancestor(exp.Select, exp.Merge, exp.Delete, exp.Insert, exp.Create)
        if not reference.db or isinstance(around, exp.Create):
            continue
        name = ".".join(part.name for part in reference.parts)
        layout = layout_of(name)
        if isinstance(around, exp.Insert):
            continue  # appended to, not read; but it has to be there
        alias = reference.alias_or_name
        touched = (
            _touched(around, alias, layout)
            if isinstance(around, exp.Select)
            else len(layout.columns)  # what a MERGE or DELETE keeps is rewritten whole
        )
        found.append(
            Scan(
                table=name,
                layout=layout,
                columns=touched,
                condition=_on_partition(around, alias, layout),
            )
        )
    return found


def bytes_billed(processed: list[int]) -> int:
    """What reading so many bytes of each table is billed as."""
    return sum(
        max(MINIMUM_BYTES_BILLED, -(-read // _ROUNDED_TO_BYTES) * _ROUNDED_TO_BYTES)
        for read in processed
    )


def _touched(select: exp.Select, alias: str, layout: Layout) -> int:
    names = {
        column.name
        for column in select.find_all(exp.Column)
        if column.name in layout.columns and column.table in ("", alias)
    }
    for star in select.find_all(exp.Star):
        column = star.parent
        whose = column.table if isinstance(column, exp.Column) else ""
        if (
            not isinstance(column, exp.Count)
            and star.find_ancestor(exp.Select) is select
            and whose in ("", alias)
        ):
            left_out = {item.name for item in star.args.get("except_") or ()}
            names |= set(layout.columns) - left_out
    return len(names)


def _on_partition(around: exp.Expr | None, alias: str, layout: Layout) -> exp.Expr | None:
    if layout.partition is None:
        return None
    kept = [
        condition
        for condition in _conditions(around)
        if _compares_only(condition, alias, layout.partition)
    ]
    return exp.and_(*kept) if kept else None


def _compares_only(condition: exp.Expr, alias: str, column: str) -> bool:
    """Whether the condition compares this column, and nothing that a row could change."""
    names = list(condition.find_all(exp.Column))
    return (
        bool(names)
        and all(name.name == column and name.table in ("", alias) for name in names)
        and condition.find(exp.Query) is None
    )


def _conditions(around: exp.Expr | None) -> Iterator[exp.Expr]:
    """What must hold for every row, taken apart at its ANDs."""
    match around:
        case exp.Select():
            wholes = [join.args.get("on") for join in around.args.get("joins") or ()]
            if where := around.args.get("where"):
                wholes.append(where.this)
        case exp.Delete():
            wholes = [around.args["where"].this] if around.args.get("where") else []
        case exp.Merge():
            wholes = [when.args.get("condition") for when in around.args["whens"].expressions]
        case _:
            wholes = []
    for whole in wholes:
        if whole is not None:
            whole = whole.unnest()
            yield from whole.flatten() if isinstance(whole, exp.And) else [whole]
