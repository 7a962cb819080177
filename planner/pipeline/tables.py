"""A table of a phase: what is counted in it, and what is expected of it."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Annotated, Self

from pydantic import Field, model_validator

from planner.pipeline.conditions import ConditionSpec, conditions
from planner.pipeline.expects import Expects
from planner.pipeline.model import ColumnName, Line, Model, Name, TableName
from planner.pipeline.timezone import InZone
from planner.text import nearest
from sql.days import SUFFIX, is_sharded
from sql.warehouse import Entity, GradeColumns, Table


class Band(Model):
    """How many there normally are, both ends included."""

    low: float = Field(ge=0)
    """Normal from here,"""
    high: float = Field(gt=0)
    """to here."""

    @model_validator(mode="after")
    def _upward(self) -> Self:
        if self.high < self.low:
            raise ValueError(f"high ({self.high}) is below low ({self.low})")
        return self


class GradesSpec(Model):
    """Columns that say how right something was."""

    system: ColumnName
    """Column: who is graded."""
    error: ColumnName
    """Column, a number: how far off it was."""
    correct: ColumnName
    """Column, BOOL: whether it was right."""


Share = Annotated[float, Field(ge=0.0, le=1.0)]


class EntitySpec(Model):
    """What is counted, where one column does not say it."""

    columns: tuple[ColumnName, ...] = Field(min_length=1)
    """The columns that tell it apart together. A row with NULL in one of them is none."""
    where: dict[ColumnName, ConditionSpec] = Field(default_factory=dict)
    """Rows that are one, of those that the table counts: column → [what it holds](#where)."""

    @property
    def entity(self) -> Entity:
        """As a warehouse is asked for it."""
        where = conditions(self.where)
        return Entity(columns=self.columns, where=where)


class TableSpec(InZone):
    """A table of a phase."""

    also = {"warmup_days": "bootstrap_days"}

    name: TableName
    """`dataset.table` or `project.dataset.table`."""
    date: ColumnName
    """The column that tells the day of a row, best the one that partitions the table: see [date
    columns](#date-columns)."""
    entities: dict[Name, ColumnName | EntitySpec] = Field(default_factory=dict)
    """What is counted per date: name → column, distinct values, or [more than a
    column](#an-entity). The first entity of the first table is the pipeline's own, the one shown in
    the matrix."""
    where: dict[ColumnName, ConditionSpec] = Field(default_factory=dict)
    """Rows that count: column → [what it holds](#where). Of several columns each has to."""
    expects: Expects | None = None
    """What is expected of this table of a source, in place of what its phase says."""
    bootstrap_days: int | None = Field(default=None, ge=0, le=366)
    """The warm-up of this table: how many first days of a season or period it leaves empty. Without
    it: as its phase does."""
    min_coverage: Share | dict[Name, Share] = 1.0
    """Share of the upstream entities that makes a date complete; or entity → share, as in `{ player
    = 0.9 }`, and of the others every one."""
    against: tuple[Line, ...] = ()
    """Phases or tables upstream that this table is measured by, in place of its phase's."""
    key: tuple[ColumnName, ...] = ()
    """Columns that tell rows apart. Rows that share a key make the date a `duplicate`."""
    filled: dict[ColumnName, Annotated[float, Field(gt=0.0, le=1.0)]] = Field(default_factory=dict)
    """Column → share of a date's rows that hold a value, at least. Below it the date is
    `unfilled`."""
    allow_surplus: bool = False
    """Whether it may hold ids that what it is measured by does not hold. Without it such a date is
    a `surplus`."""
    audits: tuple[Line, ...] = ()
    """Queries that answer with the dates whose rows are wrong: `.sql` files beside this one."""
    written_at: ColumnName | None = None
    """A column that says when a row was written: a recomputation is proved by it, not by
    versions."""
    rows_per_entity: Band | None = None
    """How many rows there normally are for each of the pipeline's own entity. Outside of it
    `planner validate` says so; it makes no gap."""
    grades: GradesSpec | None = None
    """Columns that say how right the rows are. Summed by `planner validate`; they make no gap."""
    writers: int | None = Field(default=None, ge=1, le=10_000)
    """Steps that write it at once, at most, over the whole fleet: of every phase, run and pipeline
    that names the table. 1 for a table without partitions."""
    daily_writes: int | None = Field(default=None, ge=1, le=10_000_000)
    """Load and DML statements that may write it in any 24 hours, counted likewise. A step that
    would exceed it waits."""
    writes_per_date: int = Field(default=1, ge=1, le=10_000)
    """How many of them one date costs, each time it is run."""

    @model_validator(mode="after")
    def _sharded(self) -> Self:
        if is_sharded(self.name) != (self.date == SUFFIX):
            raise ValueError(
                f"{self.name!r}: a table in shards, such as shop.events_*, has the date "
                f"{SUFFIX}, and no other table has it"
            )
        if is_sharded(self.name) and self.name[-2].isdigit():
            raise ValueError(
                f"{self.name!r}: write the `*` where the date of a shard begins, before its year"
            )
        return self

    @model_validator(mode="after")
    def _affordable(self) -> Self:
        if self.daily_writes is not None and self.writes_per_date > self.daily_writes:
            raise ValueError(
                f"one date of {self.name!r} costs {self.writes_per_date} writes, and a day allows "
                f"{self.daily_writes}: no date could ever be run"
            )
        return self

    @model_validator(mode="after")
    def _shares_of_what_is_counted(self) -> Self:
        for entity in self.min_coverage if isinstance(self.min_coverage, dict) else ():
            if entity not in self.entities:
                hint = nearest(entity, self.entities, what="entities")
                raise ValueError(f"min_coverage: {self.name!r} counts no {entity!r}; {hint}")
        return self

    def share(self, entity: str) -> float:
        """The share of an entity that is enough."""
        if isinstance(self.min_coverage, dict):
            return self.min_coverage.get(entity, 1.0)
        return self.min_coverage

    def in_zone(self, zone: str) -> Self:
        """The table, with the time zone by which its moments are of a day."""
        expects = self.expects and self.expects.in_zone(zone)
        return super().in_zone(zone).model_copy(update={"expects": expects})

    @property
    def has_flaws(self) -> bool:
        """Whether the file says what a flaw of its rows is, that a step could make."""
        return bool(self.key or self.filled or self.audits)

    @property
    def judged_columns(self) -> dict[str, tuple[str, ...]]:
        """Key of the file → the columns that it names, beside those that are counted."""
        written = (self.written_at,) if self.written_at else ()
        return {"key": self.key, "filled": tuple(self.filled), "written_at": written}

    @cached_property
    def table(self) -> Table:
        """What a warehouse is asked to count."""
        return Table(
            name=self.name,
            date=self.date,
            zone=self._zone,
            entities={
                name: each if isinstance(each, str) else each.entity
                for name, each in self.entities.items()
            },
            where=conditions(self.where),
            key=self.key,
            filled=tuple(self.filled),
            written_at=self.written_at,
        )

    @cached_property
    def table_with_grades(self) -> Table:
        """As `table`, and sums of its grades where it has any."""
        if self.grades is None:
            return self.table
        return replace(self.table, grades=GradeColumns(**self.grades.model_dump()))
