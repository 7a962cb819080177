"""The pipeline file: seasons, phases, tables and runners, in TOML.

A file is hostile until parsed: unknown keys are refused with the nearest known one, names of
tables and columns are checked here once, and nothing in it is ever pasted into SQL or a shell.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError, field_validator, model_validator

from planner.errors import BadPipeline
from planner.files import MB, read_capped
from planner.pipeline.criteria import CompleteCriterion, Criterion, EntitiesCriterion
from planner.pipeline.model import ColumnName, Line, Model, Name, SeasonName, TableName, nearest
from planner.pipeline.publish import Publish
from planner.pipeline.runners import Resume, Runner, ScriptRunner
from sql.warehouse import GradeColumns, Scalar, Table

SHIPPED = Path(__file__).parent / "shipped"

DAY = timedelta(days=1)
FILE_BYTES = MB  # the largest that ships is 8 kB
LINE_CHARS = 4_000  # reading a key with many dots takes time by the square of them


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
    windows: dict[Name, Window] = Field(default_factory=dict)
    """Named parts of it, such as `play_in` and `playoffs`."""


class Excluded(Window):
    """Days on which nothing is expected, and why."""

    reason: Line


class Band(Model):
    """How many there normally are, both ends included."""

    low: float = Field(ge=0)
    high: float = Field(gt=0)

    @model_validator(mode="after")
    def _upward(self) -> Self:
        if self.high < self.low:
            raise ValueError(f"high ({self.high}) is below low ({self.low})")
        return self


class GradesSpec(Model):
    """Columns that say how right something was."""

    system: ColumnName
    """Who is graded."""
    error: ColumnName
    """A number: how far off it was."""
    correct: ColumnName
    """BOOL: whether it was right."""


class TableSpec(Model):
    """A table of a phase."""

    name: TableName
    date: ColumnName
    """The DATE column that partitions it."""
    entities: dict[Name, ColumnName] = Field(default_factory=dict)
    """What is counted per date: the entity's name → its column. The first is the one shown."""
    where: dict[ColumnName, Scalar] = Field(default_factory=dict)
    """Rows that count: column → the value it must hold."""
    min_coverage: float = Field(default=1.0, ge=0.0, le=1.0)
    """Share of the upstream entities that makes a date complete."""
    rows_per_entity: Band | None = None
    """Rows that there normally are for each of the pipeline's own entity."""
    grades: GradesSpec | None = None
    writers: int | None = Field(default=None, ge=1, le=10_000)
    """Steps that may write it at once, over the whole fleet and all phases. None: any number."""
    daily_writes: int | None = Field(default=None, ge=1, le=10_000_000)
    """Load and DML statements in any 24 hours, at most. None: any number."""
    writes_per_date: int = Field(default=1, ge=1, le=10_000)
    """How many of them one date costs, each time it is run."""

    @model_validator(mode="after")
    def _affordable(self) -> Self:
        if self.daily_writes is not None and self.writes_per_date > self.daily_writes:
            raise ValueError(
                f"one date of {self.name!r} costs {self.writes_per_date} writes, and a day allows "
                f"{self.daily_writes}: no date could ever be run"
            )
        return self

    @cached_property
    def table(self) -> Table:
        """What a warehouse is asked to count."""
        return Table(name=self.name, date=self.date, entities=self.entities, where=self.where)

    @cached_property
    def table_with_grades(self) -> Table:
        """As `table`, and sums of its grades where it has any."""
        if self.grades is None:
            return self.table
        return replace(self.table, grades=GradeColumns(**self.grades.model_dump()))


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
    seconds_per_date: float | None = Field(default=None, gt=0)
    """Work that one date is known to take: what a report calls planned."""
    retry_seconds: float = Field(default=15, gt=0)
    """Pause before the first retry; doubles, with jitter."""

    @property
    def is_source(self) -> bool:
        return not self.after

    @property
    def queue_name(self) -> str:
        return self.queue or self.name

    @property
    def dates_at_once(self) -> int | None:
        """Dates that one run may take, so that its writes fit a day's budget; None: any number."""
        limits = [t.daily_writes // t.writes_per_date for t in self.tables if t.daily_writes]
        return min(limits, default=None)

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
    publish: Publish | None = None
    """What is run for repaired dates when their run has ended, and writes no table."""
    criteria: tuple[Criterion, ...] = ()
    """When the pipeline counts as complete; `success_criteria` says what applies without any."""

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
        counted: dict[str, Table] = {}
        for spec in (spec for phase in phases for spec in phase.tables):
            if counted.setdefault(spec.name, spec.table) != spec.table:
                raise ValueError(
                    f"table {spec.name!r} is counted in two ways: give it one date, one where "
                    "and the same entities wherever it stands, or count a view of it"
                )
        limits: dict[str, tuple[int | None, int | None]] = {}
        for spec in (spec for phase in phases for spec in phase.tables):
            own = (spec.writers, spec.daily_writes)
            if limits.setdefault(spec.name, own) != own:
                raise ValueError(
                    f"table {spec.name!r} is limited in two ways: give it the same writers and "
                    "daily_writes wherever it stands"
                )
        return phases

    @model_validator(mode="after")
    def _publishes_what_is_repaired(self) -> Self:
        if self.publish is not None:
            runnable = [phase.name for phase in self.phases if not phase.is_source]
            if self.publish.after not in runnable:
                raise ValueError(
                    f"publish: {self.publish.after!r} is no phase that is repaired; "
                    f"{nearest(self.publish.after, runnable)}"
                )
        return self

    @model_validator(mode="after")
    def _criteria_known(self) -> Self:
        seen: set[str] = set()
        for criterion in self.criteria:
            if criterion.name in seen:
                raise ValueError(f"two criteria are named {criterion.name!r}")
            seen.add(criterion.name)
            self._check(criterion)
        return self

    def _check(self, criterion: Criterion) -> None:
        """Raises `ValueError` when a criterion speaks of what the file does not have."""
        known = {season.name: season for season in self.seasons}
        for phase in criterion.about:
            if phase not in self.by_name:
                raise ValueError(f"criterion {criterion.name!r}: there is no phase {phase!r}")
        for season in criterion.seasons:
            if season not in known:
                raise ValueError(f"criterion {criterion.name!r}: there is no season {season!r}")
            if criterion.part and criterion.part not in known[season].windows:
                raise ValueError(
                    f"criterion {criterion.name!r}: season {season} has no window "
                    f"{criterion.part!r}"
                )
        if criterion.part and not any(criterion.part in s.windows for s in self.seasons):
            raise ValueError(f"criterion {criterion.name!r}: no season has {criterion.part!r}")
        if isinstance(criterion, EntitiesCriterion):
            entity = criterion.entity or self.entity
            for phase in criterion.about:
                if not any(entity in spec.entities for spec in self.by_name[phase].tables):
                    raise ValueError(
                        f"criterion {criterion.name!r}: no table of {phase!r} counts {entity!r}"
                    )

    @property
    def success_criteria(self) -> tuple[Criterion, ...]:
        """The criteria; without any, every date complete in every phase."""
        return self.criteria or (CompleteCriterion(kind="complete", name="complete"),)

    @property
    def entity(self) -> str:
        """What its tables are known by: the first entity of the first table, such as `game`."""
        return next(iter(self.phases[0].tables[0].entities), "row")

    @cached_property
    def tables(self) -> tuple[TableSpec, ...]:
        """Every table once, in order; one that stands in two phases is counted alike in both."""
        found: dict[str, TableSpec] = {}
        for spec in (spec for phase in self.phases for spec in phase.tables):
            found.setdefault(spec.name, spec)
        return tuple(found.values())

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
        text = read_capped(path, FILE_BYTES).decode("utf-8")
        if any(len(line) > LINE_CHARS for line in text.splitlines()):
            raise ValueError(f"a line is longer than {LINE_CHARS:,} characters")
        content = tomllib.loads(text)
    except OSError as error:
        raise BadPipeline(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:  # a number may be too long for Python, too
        raise BadPipeline(f"{path} is not TOML: {error}.") from None
    try:
        return Pipeline.model_validate(content)
    except ValidationError as error:
        raise BadPipeline("\n".join(f"{path.name}: {line}" for line in _lines(error))) from None


def pipeline_path(setting: str) -> Path:
    """Where the pipeline file is. Raises `BadPipeline` when there is none."""
    shipped = sorted(file.stem for file in SHIPPED.glob("*.toml"))
    if setting in shipped:
        return SHIPPED / f"{setting}.toml"
    try:
        path = Path(setting).expanduser()
        is_there = path.is_file()
    except (OSError, RuntimeError):  # a name that is too long, a home that nobody has
        is_there = False
    if not is_there:
        raise BadPipeline(
            f"There is no pipeline file {setting!r}: set BACKFILL_PIPELINE to a TOML file, "
            f"or to one that ships: {', '.join(shipped)}."
        )
    return path


def _lines(error: ValidationError) -> Iterator[str]:
    mistakes = error.errors(include_url=False)
    places = [mistake["loc"] for mistake in mistakes]
    for mistake in mistakes:
        above = len(mistake["loc"])
        if mistake["type"] == "too_short" and any(
            len(place) > above and place[:above] == mistake["loc"] for place in places
        ):
            continue  # only because its items are refused
        place = "".join(
            f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in mistake["loc"]
        ).lstrip(".")
        message = mistake["msg"].removeprefix("Value error, ")
        yield f"{place}: {message}" if place else message
