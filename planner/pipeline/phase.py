"""A phase: its tables, and what fills them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Self

from pydantic import Field, model_validator

from planner.pipeline.duration import Duration
from planner.pipeline.expects import Expects
from planner.pipeline.grain import Dated, Every, Grain
from planner.pipeline.model import Line, Model, Name
from planner.pipeline.reads import Reads
from planner.pipeline.runners import Runner, RunnerSpec
from planner.pipeline.tables import TableSpec
from planner.pipeline.timezone import TimeZone
from planner.pipeline.weekdays import Weekday
from planner.text import nearest
from sql.days import is_sharded


class Phase(Model):
    """One or more tables, and what fills them."""

    also = {"skips_warmup": "skips_bootstrap", "warmup_days": "bootstrap_days"}

    name: Name
    """What commands call it."""
    after: tuple[Name, ...] = ()
    """The phases it reads. They stand above it in the file, so there are no cycles."""
    tables: tuple[TableSpec, ...] = Field(min_length=1)
    """One or more. The phase is complete on a date when all of them are."""
    against: tuple[Line, ...] = ()
    """Phases or tables upstream that its tables are measured by. Without it: for each entity, the
    tables upstream where it begins."""
    lookback_days: int = Field(default=0, ge=0, le=3660)
    """Calendar days before a date that its rows are computed from. The gate waits for them, and a
    repair of one of them does the date again. Short for `reads = { from = -N }`."""
    reads: Reads | None = None
    """The days around a date that its rows are computed from, where they reach forward as well."""
    every: Every = "day"
    """How often it is due: [`day`, `week` or `month`](#weeks-and-months)."""
    on: Weekday | None = None
    """Of a week: the weekday of its date. Without it: Monday, or Sunday where `dated` is `last`."""
    dated: Dated = "first"
    """Of a week or month: whether its date is the `first` or the `last` day of it."""
    skips_bootstrap: bool = False
    """Whether its warm-up, the first `bootstrap_days` of a season or period, holds nothing,
    rightly."""
    bootstrap_days: int | None = Field(default=None, ge=0, le=366)
    """How many days the warm-up is in this phase; it then need not say `skips_bootstrap`. A source
    has none. A phase with days of its own is judged by them, where something of what it reads is
    due."""
    runners: tuple[Runner, ...] = ()
    """What fills the phase. The first that exists is used: a script whose file is there, a service
    whose endpoint does not answer 404."""
    version: Line | None = None
    """Of the phase's logic, such as `"3"`. `--changed` takes the dates of another one, and compares
    nothing else of the phase."""
    expects: Expects | None = None
    """What is expected of a source: [below](#phasesexpects)."""
    timezone: TimeZone | None = None
    """Whose days its dates are. Without it: the pipeline's."""
    closes_after: Duration | None = None
    """How long after its end its days are open, as above. No phase closes before what it reads."""
    queue: Name | None = None
    """Celery queue. Without it: the phase's name."""
    concurrency: int = Field(default=16, ge=1, le=10_000)
    """Steps of this phase that run at once, over the whole fleet."""
    timeout_seconds: float = Field(default=6 * 3600, gt=0)
    """A script is stopped after this, and a statement in BigQuery cancelled, which BigQuery itself
    ends after 10 min. What cannot be stopped, such as a statement in the local warehouse, is ended
    with its process after twice this, 6 h at least."""
    retries: int = Field(default=3, ge=0, le=100)
    """Attempts after the first. From the second attempt on, every date runs alone."""
    seconds_per_date: float | None = Field(default=None, gt=0)
    """Work that one date is known to take, in seconds: what an estimate is made from until the
    phase has run once."""
    retry_seconds: float = Field(default=15, gt=0)
    """Pause before the first retry. It doubles, with jitter, up to ten minutes."""

    def in_zone(self, zone: str) -> Self:
        """The phase, its tables' days by its own time zone, or by the pipeline's."""
        own = self.timezone or zone
        return self.model_copy(
            update={
                "tables": tuple(spec.in_zone(own) for spec in self.tables),
                "expects": self.expects and self.expects.in_zone(own),
            }
        )

    @property
    def is_source(self) -> bool:
        return not self.after

    @property
    def is_watched(self) -> bool:
        """Whether nothing here fills it: what it lacks is reported, and waited for."""
        return not self.runners

    @property
    def at_once(self) -> int:
        """How many of its steps can run at once, whatever the slots."""
        return min([self.concurrency, *(spec.writers for spec in self.tables if spec.writers)])

    def expected(self, spec: TableSpec) -> Expects | None:
        """What is expected of one of its tables."""
        return spec.expects or self.expects

    def lists_ids(self, spec: TableSpec) -> bool:
        """Whether one of its tables is compared by ids with a table that lists them."""
        expects = self.expected(spec)
        return bool(expects and expects.against and expects.against.entities.keys() & spec.entities)

    @property
    def queue_name(self) -> str:
        return self.queue or self.name

    @property
    def has_early_days(self) -> bool:
        """Whether the file says how many days of a season it leaves empty: then those of what it
        is computed from do not matter to it, while anything of that is there."""
        own = [self.bootstrap_days, *(spec.bootstrap_days for spec in self.tables)]
        return self.skips_bootstrap or any(days is not None for days in own)

    def early_days(self, spec: TableSpec, usual: int) -> int:
        """How many days of a season a table leaves empty; `usual` is what the file says of all."""
        own = self.bootstrap_days if spec.bootstrap_days is None else spec.bootstrap_days
        if own is None:
            return usual if self.skips_bootstrap and self.after else 0
        return own

    @cached_property
    def grain(self) -> Grain:
        """How often it is due, and on which days its rows stand."""
        usual: Weekday = "monday" if self.dated == "first" else "sunday"
        return Grain(every=self.every, on=self.on or usual, dated=self.dated)

    @property
    def reads_its_period(self) -> bool:
        """Whether its rows are computed from the days of its week or month, and no others."""
        return not (self.grain.is_daily or self.reads or self.lookback_days)

    @property
    def days_before(self) -> int:
        """Calendar days before a date that its rows are computed from, at most."""
        if self.reads_its_period:
            return self.grain.longest - 1 if self.dated == "last" else 0
        return -self.reads.from_ if self.reads else self.lookback_days

    @property
    def days_after(self) -> int:
        """Calendar days after a date that its rows are computed from, at most."""
        if self.reads_its_period:
            return self.grain.longest - 1 if self.dated == "first" else 0
        return self.reads.to if self.reads else 0

    @property
    def has_flaws(self) -> bool:
        """Whether any of its tables can have a flaw that a step could make."""
        return any(spec.has_flaws for spec in self.tables)

    @property
    def dates_at_once(self) -> int | None:
        """Dates that one run may take, so that its writes fit a day's budget; None: any number."""
        limits = [t.daily_writes // t.writes_per_date for t in self.tables if t.daily_writes]
        return min(limits, default=None)

    def runner(self, number: int) -> RunnerSpec | None:
        """One of its runners, counted from 0; None for a number that it has no runner of."""
        return self.runners[number] if 0 <= number < len(self.runners) else None

    @model_validator(mode="after")
    def _runnable(self) -> Self:
        # In this order: the first that is wrong is the one that is told.
        self._check_expects()
        if self.runners and not self.after:
            raise ValueError(f"phase {self.name!r} has a runner, so it must say what it is `after`")
        self._check_days()
        self._check_writers()
        return self

    def _check_expects(self) -> None:
        if self.after and any(self.expected(spec) for spec in self.tables):
            raise ValueError(
                f"phase {self.name!r} has `expects`, and comes after others: those say what it "
                "has to hold. Leave out one of the two"
            )
        for spec in self.tables:
            self._check_expected(spec)

    def _check_days(self) -> None:
        if self.reads and self.lookback_days:
            raise ValueError(
                f"phase {self.name!r} has lookback_days and reads, which say the same: write reads "
                f"= {{ from = -{self.lookback_days}, to = {self.reads.to} }}, or leave reads out"
            )
        if self.on is not None and self.every != "week":
            raise ValueError(f'phase {self.name!r}: `on` is for phases with every = "week"')
        if self.is_source and self.every != "day":
            raise ValueError(
                f"phase {self.name!r} is a source, which is due when it holds rows: leave `every` "
                "out"
            )
        own = [self.bootstrap_days, *(spec.bootstrap_days for spec in self.tables)]
        if self.is_source and any(days is not None for days in own):
            raise ValueError(
                f"phase {self.name!r} is a source, whose rows tell what is due: bootstrap_days is "
                "for phases that are computed; leave days of a source out with [[exclude]]"
            )

    def _check_writers(self) -> None:
        for spec in self.tables:
            if self.runners and is_sharded(spec.name):
                raise ValueError(
                    f"phase {self.name!r} writes {spec.name!r}: a table in shards can only be read"
                )
        for runner in self.runners:
            if runner.resumes_by:
                self._check_resume(runner.resumes_by)

    def _check_expected(self, spec: TableSpec) -> None:
        expects = self.expected(spec)
        if expects is None:
            return
        listed = expects.against.entities if expects.against else {}
        for entity in (*expects.entities, *listed):
            if not any(entity in each.entities for each in self.tables):
                known = sorted({name for each in self.tables for name in each.entities})
                raise ValueError(
                    f"expects: no table of {self.name!r} counts {entity!r}; "
                    f"{nearest(entity, known, what='entities')}"
                )

    def _check_resume(self, named: Sequence[str]) -> None:
        known = [spec.name for spec in self.tables]
        for name in named:
            if name not in known:
                raise ValueError(f"resume: {name!r} is no table here; {nearest(name, known)}")
        if sorted(named) != sorted(known):
            raise ValueError("resume: name every table of the phase once, by processor")
