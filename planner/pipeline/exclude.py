"""Days on which nothing is expected, in all phases or in some, and why."""

from __future__ import annotations

from datetime import date
from functools import cached_property
from typing import Self

from pydantic import ConfigDict, Field, model_validator

from planner.pipeline.conditions import ConditionSpec, conditions
from planner.pipeline.model import ColumnName, Line, Model, Name, TableName
from planner.pipeline.timezone import InZone
from planner.pipeline.windows import Window
from sql.warehouse import Table


class ListedIn(InZone):
    """A table of the warehouse that lists days: a holiday calendar, a halt state."""

    table: TableName
    """`dataset.table` or `project.dataset.table`."""
    date: ColumnName
    """The [date column](#date-columns): a row's day, or the first of its days."""
    until: ColumnName | None = None
    """The date column of a row's last day; NULL means that it lasts."""
    where: dict[ColumnName, ConditionSpec] = Field(default_factory=dict)
    """Rows that count, as in [`where`](#where)."""

    @property
    def first(self) -> Table:
        """The table by the first day of each row."""
        return self._dated_by(self.date)

    @property
    def last(self) -> Table | None:
        """The table by the last day of each row; None where each row is one day."""
        return self._dated_by(self.until) if self.until is not None else None

    def _dated_by(self, column: str) -> Table:
        where = conditions(self.where)
        return Table(name=self.table, date=column, zone=self._zone, where=where)


class Excluded(Model):
    """Days on which nothing is expected, and why."""

    model_config = ConfigDict(serialize_by_alias=True)  # `from` is a word of Python

    start: date | None = None
    """First day."""
    end: date | None = None
    """Last day. Both are required without `from`; with it, they bound what the table lists."""
    from_: ListedIn | None = Field(default=None, alias="from")
    """A table that lists the days."""
    phases: tuple[Name, ...] = ()
    """Only in these phases, and in those that are computed from them."""
    tables: tuple[TableName, ...] = ()
    """Only in these tables: the others of their phases are due."""
    reason: Line
    """Why nothing is expected, in one line."""

    @model_validator(mode="after")
    def _some_days(self) -> Self:
        if self.from_ is None and (self.start is None or self.end is None):
            raise ValueError("say which days: start and end, or from = { table, date }")
        if self.start is not None and self.end is not None and self.end < self.start:
            raise ValueError(f"ends on {self.end}, before it starts on {self.start}")
        return self

    def in_zone(self, zone: str) -> Self:
        """The same, with the time zone by which what a table lists is of a day."""
        return self.model_copy(update={"from_": self.from_ and self.from_.in_zone(zone)})

    @cached_property
    def window(self) -> Window:
        """The days that may be excluded: from the first to the last, or every day there is."""
        return Window(start=self.start or date.min, end=self.end or date.max)

    def is_about(self, phase: str, table: str) -> bool:
        """Whether it says anything of a table of a phase."""
        everywhere = not self.phases and not self.tables
        return everywhere or phase in self.phases or table in self.tables
