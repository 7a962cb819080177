"""What is expected of a source, which nothing in the pipeline stands before."""

from __future__ import annotations

from datetime import date
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from planner.pipeline.conditions import ConditionSpec, conditions
from planner.pipeline.duration import Duration
from planner.pipeline.model import ColumnName, Model, Name, TableName
from planner.pipeline.timezone import InZone
from planner.pipeline.weekdays import WEEKDAYS, Weekday
from sql.warehouse import Table


class Listing(InZone):
    """A table that lists days, such as a schedule."""

    table: TableName
    """`dataset.table` or `project.dataset.table`."""
    date: ColumnName
    """The DATE column that says of which day a row is."""
    where: dict[ColumnName, ConditionSpec] = Field(default_factory=dict)
    """Rows that count, as [below](#where)."""
    entities: dict[Name, ColumnName] = Field(default_factory=dict)
    """Entity → column: the ids that `against` compares."""

    @cached_property
    def counted(self) -> Table:
        """What a warehouse is asked to count."""
        return Table(
            name=self.table,
            date=self.date,
            zone=self._zone,
            entities=self.entities,
            where=conditions(self.where),
        )

    @cached_property
    def key(self) -> str:
        """What tells it from any other listing, of the same table too."""
        return f"{self._zone} {self.model_dump_json()}"


def _kind(value: Any) -> str | None:
    """Which way of naming days a value is; None where it is none."""
    match value:
        case str():
            return "word"
        case list() | tuple():
            return "weekdays"
        case dict() | Listing():
            return "table"
    return None


Days = Annotated[
    Annotated[Literal["any", "daily"], Tag("word")]
    | Annotated[tuple[Weekday, ...], Tag("weekdays")]
    | Annotated[Listing, Tag("table")],
    Discriminator(
        _kind,
        custom_error_type="no_days",
        custom_error_message='write "any", "daily", weekdays such as ["mon"], or a table',
    ),
]
"""Days as the file names them. An error is reported for the spelling that was meant."""


class Expects(Model):
    """On which days a source has to hold rows, and of what."""

    days: Days = "any"
    """On which days rows are due: `"any"` (those on which a table of the phase holds some),
    `"daily"`, a list of weekdays (`"monday"`, or `"mon"`), or [a table that lists
    them](#a-table-that-lists-days). Only days that the calendar covers; where the file has seasons
    and no `start`, days of a season."""
    entities: dict[Name, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """Entity → how many a date holds, at least, such as `{ store = 12 }`."""
    against: Listing | None = None
    """A table that lists, by id, what a date holds. Where `days` is `"any"`, it lists the days
    too."""
    late_after: Duration | None = None
    """How long after the end of a day what is lacking may still come: until then the day is `open`.
    With `days = "any"`, the newest rows are `late` when they are older."""

    @model_validator(mode="after")
    def _says_which_ids(self) -> Self:
        if self.against is not None and not self.against.entities:
            raise ValueError("against names no entities, so there are no ids to compare")
        if self.days == ():
            raise ValueError("days is empty: name weekdays, such as mon, or leave it out")
        return self

    def in_zone(self, zone: str) -> Self:
        """The same, with the time zone by which what it lists is of a day."""
        days = self.days.in_zone(zone) if isinstance(self.days, Listing) else self.days
        against = self.against and self.against.in_zone(zone)
        return self.model_copy(update={"days": days, "against": against})

    @property
    def lists_days(self) -> Listing | None:
        """The table that says on which days rows are due; None where no table does."""
        if isinstance(self.days, Listing):
            return self.days
        return self.against if self.days == "any" else None

    @property
    def listings(self) -> tuple[Listing, ...]:
        """Every table that has to be counted for it, once."""
        found = {each.key: each for each in (self.lists_days, self.against) if each is not None}
        return tuple(found.values())

    def is_usual(self, day: date) -> bool:
        """Whether the calendar alone makes a day one on which rows are due."""
        if isinstance(self.days, tuple):
            return WEEKDAYS[day.weekday()] in self.days
        return self.days == "daily"
