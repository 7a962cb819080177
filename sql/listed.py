"""Builds the statement that asks a table for the days it lists: `listed.sql`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from sql.filters import filters_of
from sql.statements import load, quote_column, quote_table
from sql.warehouse import Condition, Parameters


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A table whose rows are days, or ranges of days."""

    table: str
    """`dataset.table`, or `project.dataset.table`."""
    date: str
    """The DATE column of a row's day, or of its first one."""
    until: str | None = None
    """The DATE column of a row's last day; where it holds NULL there is no last day yet."""
    where: Mapping[str, Condition] = field(default_factory=dict)
    """Rows that count: column → what it has to hold."""


def listed_query(listed: Listed, start: date, end: date) -> tuple[str, Parameters]:
    """The statement, and its bound parameters.

    Columns of the answer: `first_day` and `last_day`, of ranges that touch `start` to `end`.
    """
    filters, values = filters_of(listed.where, "filter_")
    day = quote_column(listed.date)
    until = f"COALESCE({quote_column(listed.until)}, @end_date)" if listed.until else day
    statement = load("listed").format(
        date=day, until=until, table=quote_table(listed.table), filters=filters
    )
    return statement, {**values, "start_date": start, "end_date": end}
