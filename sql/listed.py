"""Builds the statement that asks a table for the days it lists: `listed.sql`."""

from __future__ import annotations

from datetime import date

from sql.days import days_of
from sql.filters import filters_of
from sql.statements import load, quote_table
from sql.warehouse import Parameters, Table


def listed_query(
    first: Table, last: Table | None, start: date, end: date
) -> tuple[str, Parameters]:
    """The statement, and its bound parameters.

    `first` is the table by the first day of each row, and `last` the same by the last one, where a
    NULL is no last day yet; None: each row is one day. Their kinds are known. Columns of the
    answer: `first_day` and `last_day`, of ranges that touch `start` to `end`.
    """
    filters, values = filters_of(first.where, "filter_")
    day, within = days_of(first)
    until = f"COALESCE({days_of(last).day}, @end_date)" if last else day
    if last:
        within = f"{day} <= @end_date AND {until} >= @start_date"
    statement = load("listed").format(
        day=day, until=until, table=quote_table(first.name), within=within, filters=filters
    )
    return statement, {**values, "start_date": start, "end_date": end}
