"""Compares the rows of some dates with what was kept of them: `changed.sql`, `changed_rows.sql`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sql.days import days_of
from sql.keeping import Source, stored_columns, within
from sql.statements import load, quote_column, quote_table, without_comments
from sql.warehouse import Parameters, Scalar, Table, Warehouse

_Values = dict[str, Scalar | Sequence[Scalar]]


@dataclass(frozen=True, kw_only=True)
class Change:
    """How the rows of one date differ from those that were kept."""

    added: int
    removed: int
    changed: int
    columns: Mapping[str, int]
    """Column → rows in which it differs, of rows that are on both sides."""


@dataclass(frozen=True, kw_only=True)
class ChangedRow:
    """A row on one side alone, or with something else on each."""

    date: date
    old: Mapping[str, Any] | None
    """Column → value as JSON has it. None: it is new."""
    new: Mapping[str, Any] | None
    """None: it is gone."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A table, what was kept of it, and the dates to compare."""

    table: Table
    key: tuple[str, ...]
    """Columns that tell its rows apart; none: a row is what it holds, and no row is changed."""
    sources: tuple[Source, ...]
    days: frozenset[date]

    def changes(self, warehouse: Warehouse) -> Mapping[date, Change]:
        """Date → how it differs; dates without a row on either side are absent."""
        columns = self._columns(warehouse)
        others = [name for name in columns if name not in self.key]
        statement, values = self._statement("changed", columns, others if self.key else [])
        found = {}
        for row in warehouse.rows(statement, values):
            counts = Counter(
                {name: row[f"column_{n}"] for n, name in enumerate(others if self.key else ())}
            )
            found[row["date"]] = Change(
                added=row["added"],
                removed=row["removed"],
                changed=row["changed"],
                columns={name: count for name, count in counts.most_common() if count},
            )
        return found

    def rows(self, warehouse: Warehouse, *, shown: int) -> list[ChangedRow]:
        """Some of the rows that differ, by date and key."""
        statement, values = self._statement("changed_rows", self._columns(warehouse), [])
        return [
            ChangedRow(date=row["date"], old=_row(row["old_held"]), new=_row(row["new_held"]))
            for row in warehouse.rows(statement, {**values, "rows_shown": shown})
        ]

    def _columns(self, warehouse: Warehouse) -> list[str]:
        """Columns that both sides have: one that is new since is no change of a row."""
        shared = stored_columns(warehouse, self.table)
        for source in self.sources:
            known = stored_columns(warehouse, source.table)
            shared = {name: kind for name, kind in shared.items() if name in known}
        return list(shared)

    def _statement(
        self, name: str, columns: Sequence[str], counted: Sequence[str]
    ) -> tuple[str, Parameters]:
        values: _Values = {}
        kept = [
            self._held(source.table, source.days, columns, counted, values)
            for source in self.sources
        ]
        if not kept:  # the dates held nothing
            kept = [self._held(self.table, (), columns, counted, values)]
        now = [self._held(self.table, self.days, columns, counted, values)]
        apart = [
            f",\n  COUNTIF(IFNULL(kept.column_{n} != found.column_{n}, FALSE)) AS column_{n}"
            for n, _ in enumerate(counted)
        ]
        statement = load(name).format(
            columns="".join(apart), kept=_numbered(kept, counted), now=_numbered(now, counted)
        )
        return statement, values

    def _held(
        self,
        table: Table,
        days: Collection[date],
        columns: Sequence[str],
        counted: Sequence[str],
        values: _Values,
    ) -> str:
        texts = [
            f",\n  IFNULL(TO_JSON_STRING({quote_column(column)}), 'null') AS column_{n}"
            for n, column in enumerate(counted)
        ]
        return without_comments(load("row_held")).format(
            day=days_of(table).day,
            key=", ".join(map(quote_column, self.key or columns)),
            held=", ".join(map(quote_column, columns)),
            columns="".join(texts),
            table=quote_table(table.name),
            within=within(table, days, values),
        )


def _numbered(parts: Sequence[str], counted: Sequence[str]) -> str:
    columns = "".join(f",\n  column_{n}" for n, _ in enumerate(counted))
    rows = "\nUNION ALL\n".join(parts)
    return without_comments(load("rows_held")).format(columns=columns, rows=rows)


def _row(text: str | None) -> Mapping[str, Any] | None:
    return None if text is None else json.loads(text)
