"""The pipeline file: seasons, phases, tables and runners, in TOML.

A file is hostile until parsed: unknown keys are refused with the nearest known one, names of
tables and columns are checked here once, and nothing in it is ever pasted into SQL or a shell.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator
from datetime import date, timedelta
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from planner.errors import BadPipeline
from planner.model import Line, Model, Name, nearest
from planner.runners import Resume, Runner, ScriptRunner
from sql.statements import is_column, is_table
from sql.warehouse import Scalar, Table

SHIPPED = Path(__file__).parent / "pipelines"

DAY = timedelta(days=1)


def _table_name(value: str) -> str:
    if not is_table(value):
        raise ValueError(f"{value!r} is not a table's name: write dataset.table")
    return value


def _column_name(value: str) -> str:
    if not is_column(value):
        raise ValueError(f"{value!r} is not a column's name")
    return value


SeasonName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")]
TableName = Annotated[str, AfterValidator(_table_name)]
ColumnName = Annotated[str, AfterValidator(_column_name)]


class Window(Model):
    """Days of a calendar, both ends included."""

    start: date
    end: date

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.end < self.start:
            raise ValueError(f"ends on {self.end}, before it starts on {self.start}")
        return self

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.start <= day <= self.end

    def days(self) -> Iterator[date]:
        """Every day, in order."""
        for n in range((self.end - self.start).days + 1):
            yield self.start + n * DAY


class Season(Window):
    """One season of the pipeline's calendar."""

    name: SeasonName
    """What people call it, such as `2021-22`."""
    year: int = Field(ge=1900, le=9999)
    """The year it starts in, as a `season_year` column holds it."""
    windows: dict[Name, Window] = {}
    """Named parts of it, such as `play_in` and `playoffs`."""


class Excluded(Window):
    """Days on which nothing is expected, and why."""

    reason: Line


class TableSpec(Model):
    """A table of a phase."""

    name: TableName
    date: ColumnName
    """The DATE column that partitions it."""
    entities: dict[Name, ColumnName] = {}
    """What is counted per date: the entity's name → its column. The first is the one shown."""
    where: dict[ColumnName, Scalar] = {}
    """Rows that count: column → the value it must hold."""
    min_coverage: float = Field(default=1.0, ge=0.0, le=1.0)
    """Share of the upstream entities that makes a date complete."""

    @cached_property
    def table(self) -> Table:
        """What a warehouse is asked to count."""
        return Table(name=self.name, date=self.date, entities=self.entities, where=self.where)


class Phase(Model):
    """One or more tables, and what fills them."""

    name: Name
    after: tuple[Name, ...] = ()
    """The phases it reads. None: it is a source, and is never repaired."""
    tables: tuple[TableSpec, ...] = Field(min_length=1)
    lookback_days: int = Field(default=0, ge=0, le=3660)
    """Calendar days before a date that its rows are computed from."""
    skips_bootstrap: bool = False
    """Whether the first `bootstrap_days` of a season legitimately hold nothing."""
    runners: tuple[Runner, ...] = ()
    queue: Name | None = None
    concurrency: int = Field(default=16, ge=1, le=10_000)
    """Steps of this phase that may run at once, over the whole fleet."""
    timeout_seconds: float = Field(default=6 * 3600, gt=0)
    retries: int = Field(default=3, ge=0, le=100)
    """Runs of a step after the first one, when it failed or rows are missing."""
    retry_seconds: float = Field(default=5, gt=0)
    """Pause before the first retry; doubles, with jitter."""

    @property
    def is_source(self) -> bool:
        return not self.after

    @property
    def queue_name(self) -> str:
        return self.queue or self.name

    @model_validator(mode="after")
    def _runnable(self) -> Self:
        if self.after and not self.runners:
            raise ValueError(f"phase {self.name!r} comes after others, so it needs a runner")
        if self.runners and not self.after:
            raise ValueError(f"phase {self.name!r} has a runner, so it must say what it is `after`")
        for runner in self.runners:
            if isinstance(runner, ScriptRunner) and runner.resume:
                self._check_resume(runner.resume)
        return self

    def _check_resume(self, resume: Resume) -> None:
        named = [name for tables in resume.tables for name in tables]
        known = [spec.name for spec in self.tables]
        for name in named:
            if name not in known:
                raise ValueError(f"resume: {name!r} is no table here; {nearest(name, known)}")
        if sorted(named) != sorted(known):
            raise ValueError("resume: name every table of the phase once, by processor")


class Pipeline(Model):
    """A pipeline file."""

    name: Name
    description: str = ""
    bootstrap_days: int = Field(default=0, ge=0, le=366)
    """Days at a season's start that phases with `skips_bootstrap` leave empty."""
    chunk_dates: int = Field(default=1, ge=1, le=366)
    """Partition dates per chunk, at most."""
    seasons: tuple[Season, ...] = Field(min_length=1)
    exclude: tuple[Excluded, ...] = ()
    phases: tuple[Phase, ...] = Field(min_length=2)

    @field_validator("seasons")
    @classmethod
    def _seasons_in_order(cls, seasons: tuple[Season, ...]) -> tuple[Season, ...]:
        for before, after in pairwise(seasons):
            if after.start <= before.end:
                raise ValueError(f"season {after.name!r} starts before {before.name!r} ends")
        if len({season.name for season in seasons}) < len(seasons):
            raise ValueError("two seasons have one name")
        return seasons

    @field_validator("phases")
    @classmethod
    def _phases_in_order(cls, phases: tuple[Phase, ...]) -> tuple[Phase, ...]:
        seen: list[str] = []
        for phase in phases:
            if phase.name in seen:
                raise ValueError(f"two phases are named {phase.name!r}")
            for upstream in phase.after:
                if upstream not in seen:
                    raise ValueError(
                        f"phase {phase.name!r} is after {upstream!r}, which does not stand before "
                        "it: list phases in order, without cycles"
                    )
            seen.append(phase.name)
        if not any(phase.after for phase in phases):
            raise ValueError("no phase is after another, so there is nothing to repair")
        return phases

    @property
    def entity(self) -> str:
        """What its tables are known by: the first entity of the first table, such as `game`."""
        return next(iter(self.phases[0].tables[0].entities), "row")

    @cached_property
    def by_name(self) -> dict[str, Phase]:
        """Phases by name, in order."""
        return {phase.name: phase for phase in self.phases}

    @cached_property
    def ancestors(self) -> dict[str, frozenset[str]]:
        """Phase → every phase upstream of it."""
        above: dict[str, frozenset[str]] = {}
        for phase in self.phases:
            above[phase.name] = frozenset(phase.after).union(*(above[u] for u in phase.after))
        return above

    @cached_property
    def lookback_total(self) -> timedelta:
        """The longest way back from a date to an upstream date that matters to it."""
        reach: dict[str, int] = {}
        for phase in self.phases:
            reach[phase.name] = phase.lookback_days + max(
                (reach[u] for u in phase.after), default=0
            )
        return max(reach.values()) * DAY

    @cached_property
    def checksum(self) -> str:
        """Changes with anything in the file that the fleet acts on."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


def load_pipeline(setting: str) -> Pipeline:
    """Read a shipped pipeline by name (`nba`), or a file by path.

    Raises `BadPipeline` with one line per mistake.
    """
    path = pipeline_path(setting)
    try:
        return Pipeline.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise BadPipeline(f"{path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadPipeline(f"{path} is not TOML: {error}.") from None
    except ValidationError as error:
        raise BadPipeline("\n".join(f"{path.name}: {line}" for line in _lines(error))) from None


def pipeline_path(setting: str) -> Path:
    """Where the pipeline file is. Raises `BadPipeline` when there is none."""
    shipped = sorted(file.stem for file in SHIPPED.glob("*.toml"))
    if setting in shipped:
        return SHIPPED / f"{setting}.toml"
    path = Path(setting).expanduser()
    if not path.is_file():
        raise BadPipeline(
            f"There is no pipeline file {setting!r}: set BACKFILL_PIPELINE to a TOML file, "
            f"or to one that ships: {', '.join(shipped)}."
        )
    return path


def _lines(error: ValidationError) -> Iterator[str]:
    for mistake in error.errors(include_url=False):
        place = "".join(
            f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in mistake["loc"]
        ).lstrip(".")
        message = mistake["msg"].removeprefix("Value error, ")
        yield f"{place}: {message}" if place else message
