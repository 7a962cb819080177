"""The pipeline file: seasons, phases, tables and runners, in TOML.

A file is not trusted: unknown keys are refused with the nearest known one, names of tables and
columns are checked here once, and no text of it is ever pasted into SQL or a shell.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import date, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Literal, Self

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from planner.pipeline.accept import Accept
from planner.pipeline.criteria import CompleteCriterion, Criterion, EntitiesCriterion
from planner.pipeline.duration import Duration
from planner.pipeline.exclude import Excluded
from planner.pipeline.measures import Measures, Place, measures
from planner.pipeline.model import Model, Name
from planner.pipeline.phase import Phase
from planner.pipeline.publish import Publish
from planner.pipeline.tables import TableSpec
from planner.pipeline.timezone import TimeZone
from planner.pipeline.windows import DAY, Season
from planner.text import nearest
from sql.warehouse import Table


class Pipeline(Model):
    """A pipeline file."""

    also = {"periods": "seasons", "warmup_days": "bootstrap_days"}

    name: Name
    """What the pipeline is called. Leases and notes of what is owed are kept under it."""
    description: str = ""
    """For people."""
    timezone: TimeZone = "UTC"
    """The zone of the partition dates, by which [moments](#date-columns) are of a day: an IANA
    name, such as `"America/New_York"`."""
    bootstrap_days: int = Field(default=0, ge=0, le=366)
    """The warm-up: days at the start of a season, or of the calendar where there are none, that
    phases with `skips_bootstrap` leave empty. A phase, or a table, may name a number of its own."""
    chunk_dates: int = Field(default=1, ge=1, le=366)
    """Partition dates per chunk, at most. `--chunk-dates` overrides it."""
    closes_after: Duration | None = None
    """How long after its end a day is *open*: its rows may still come, and it is skipped. Text:
    `"6h"`, `"1d12h"`, `"90m"`. Without it: until the midnight that ends it."""
    start: date | None = None
    """The first day that the pipeline covers. Without it: that of the first season."""
    end: date | None = None
    """The last day. Without it: none where there is a `start`, else that of the last season."""
    seasons: tuple[Season, ...] = ()
    """Named parts of the calendar, *periods*, in order, not overlapping. Required where there is no
    `start`."""
    exclude: tuple[Excluded, ...] = ()
    """Days on which nothing is expected, in all phases or in some."""
    accept: tuple[Accept, ...] = ()
    """Losses that are accepted: they keep nothing else waiting."""
    phases: tuple[Phase, ...] = Field(min_length=2)
    """Two or more, in order: a phase stands below every phase it is `after`."""
    compare: dict[Name, Literal["ids", "count"]] = Field(default_factory=dict)
    """Entity → `ids` or `count`: how tables are compared by it. By `ids` unless the file says
    `count`, which is for two sources that name the same thing differently."""
    publish: Publish | None = None
    """A script that writes no table, for what a run has repaired."""
    criteria: tuple[Criterion, ...] = ()
    """What has to hold beside every date being complete."""
    complete: bool = True
    """Whether every date has to be complete in every phase. `false`: `planner validate` lists gaps
    and judges only the criteria, orphans and bands, and says so."""

    _audits: dict[str, str] = PrivateAttr(default_factory=dict)

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
    def _days_in_zone(cls, phases: tuple[Phase, ...], info: ValidationInfo) -> tuple[Phase, ...]:
        zone = info.data.get("timezone", "UTC")  # absent where it is refused
        return tuple(phase.in_zone(zone) for phase in phases)

    @field_validator("exclude")
    @classmethod
    def _listed_in_zone(
        cls, exclude: tuple[Excluded, ...], info: ValidationInfo
    ) -> tuple[Excluded, ...]:
        zone = info.data.get("timezone", "UTC")
        return tuple(part.in_zone(zone) for part in exclude)

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
    def _covers_its_seasons(self) -> Self:
        if self.start is None and not self.seasons:
            raise ValueError(
                "it covers no days: give it a start, such as start = 2024-01-01, or [[seasons]]"
            )
        first = self.start or self.seasons[0].start
        if self.seasons and self.seasons[0].start < first:
            raise ValueError(f"season {self.seasons[0].name!r} begins before start, {first}")
        last = self.seasons[-1].end if self.seasons else first
        if self.end is not None and self.end < last:
            raise ValueError(f"end is {self.end}, and the days that it names go on until {last}")
        return self

    @model_validator(mode="after")
    def _publishes_what_is_repaired(self) -> Self:
        if self.publish is not None:
            runnable = [phase.name for phase in self.phases if not phase.is_watched]
            if self.publish.after not in runnable:
                raise ValueError(
                    f"publish: {self.publish.after!r} is no phase that is repaired; "
                    f"{nearest(self.publish.after, runnable)}"
                )
        return self

    @model_validator(mode="after")
    def _measured_by_what_is_upstream(self) -> Self:
        _ = self.measures
        counted = {entity for spec in self.tables for entity in spec.entities}
        for entity in self.compare:
            if entity not in counted:
                raise ValueError(
                    f"compare: no table counts {entity!r}; {nearest(entity, sorted(counted))}"
                )
        return self

    @model_validator(mode="after")
    def _periods_are_compared_by_ids(self) -> Self:
        for phase in self.phases:
            for spec in phase.tables if not phase.grain.is_daily else ():
                for entity in spec.entities:
                    if not self.by_ids(entity):
                        raise ValueError(
                            f"table {spec.name!r} is due by {phase.every}, where {entity!r} can "
                            "only be compared by ids: what each day holds does not add up"
                        )
        return self

    @model_validator(mode="after")
    def _excludes_and_accepts_what_is_there(self) -> Self:
        tables = [spec.name for spec in self.tables]
        for n, part in enumerate(self.exclude, start=1):
            for names, known, what in (
                (part.phases, list(self.by_name), "phases"),
                (part.tables, tables, "tables"),
            ):
                for name in names:
                    if name not in known:
                        hint = nearest(name, known, what=what)
                        raise ValueError(f"exclude[{n}]: there is no {what[:-1]} {name!r}; {hint}")
        for n, loss in enumerate(self.accept, start=1):
            if loss.phase not in self.by_name:
                hint = nearest(loss.phase, list(self.by_name), what="phases")
                raise ValueError(f"accept[{n}]: there is no phase {loss.phase!r}; {hint}")
            phase = self.by_name[loss.phase]
            by_ids = (
                self.compared_by_ids((phase.name, spec.name)) or phase.lists_ids(spec)
                for spec in phase.tables
            )
            if loss.ids and not any(by_ids):
                raise ValueError(
                    f"accept[{n}]: no table of {loss.phase!r} is compared by ids: leave `ids` out"
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
        """Raises `ValueError` when a criterion names a phase, season or entity that is absent."""
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
        """The criteria, and unless the file says otherwise, every date complete in every phase."""
        if not self.complete:
            return self.criteria
        name = "every-date" if any(c.name == "complete" for c in self.criteria) else "complete"
        return (*self.criteria, CompleteCriterion(kind="complete", name=name))

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
    def by_priority(self) -> tuple[Phase, ...]:
        """Phases with a runner, in the order in which a free slot looks for their steps.

        Those whose runner is polled first, because their steps are short visits, and their service
        takes one batch at a time. Then those that run the fewest at once: what waits for them
        waits longest. Then the latest: chunks that are begun go on before others begin, so that a
        phase that runs one at a time has work from early on.
        """
        phases = [phase for phase in reversed(self.phases) if not phase.is_watched]
        return tuple(sorted(phases, key=lambda p: (not p.runners[0].is_polled, p.at_once)))

    @cached_property
    def ancestors(self) -> dict[str, frozenset[str]]:
        """Phase → every phase upstream of it."""
        above: dict[str, frozenset[str]] = {}
        for phase in self.phases:
            above[phase.name] = frozenset(phase.after).union(*(above[u] for u in phase.after))
        return above

    @cached_property
    def measures(self) -> Measures:
        """What each table is measured by, per entity."""
        return measures(self.phases, self.ancestors)

    @property
    def audits(self) -> Mapping[str, str]:
        """Audit → its statement, as `with_audits` was given them."""
        return self._audits

    def with_audits(self, statements: Mapping[str, str]) -> Self:
        """The pipeline with the text of its audits, which its checksum covers."""
        other = self.model_copy()
        other._audits = dict(statements)
        return other

    def by_ids(self, entity: str) -> bool:
        """Whether tables are compared by the ids of an entity, not by how many there are."""
        return self.compare.get(entity, "ids") == "ids"

    @cached_property
    def places(self) -> Mapping[Place, TableSpec]:
        """Every phase and table; one table may stand in two phases."""
        return {(phase.name, spec.name): spec for phase in self.phases for spec in phase.tables}

    def compared_by_ids(self, place: Place) -> tuple[str, ...]:
        """The entities of a phase's table whose ids are compared with those it is measured by."""
        return tuple(
            entity
            for entity in self.places[place].entities
            if self.by_ids(entity) and self.measures[place, entity]
        )

    @cached_property
    def lookback_total(self) -> timedelta:
        """The longest way from a date to an upstream date that matters to it, or that it changes.

        Back and forward together: a date that is done again reaches both ways from where it is.
        """
        reach: dict[str, int] = {}
        for phase in self.phases:
            own = phase.days_before + phase.days_after
            reach[phase.name] = own + max((reach[u] for u in phase.after), default=0)
        return max(reach.values()) * DAY

    @cached_property
    def looking_ahead(self) -> frozenset[str]:
        """Phases that cannot be computed on the day that their date is: those that read days after
        it or a period, and all that read them."""
        found: set[str] = set()
        for phase in self.phases:
            is_late = phase.days_after > 0 or not phase.grain.is_daily
            if is_late or not found.isdisjoint(phase.after):
                found.add(phase.name)
        return frozenset(found)

    @cached_property
    def checksum(self) -> str:
        """A hash that changes with any value in the file; workers compare it with the plan's."""
        content = self.model_dump_json() + (json.dumps(self._audits) if self._audits else "")
        return hashlib.sha256(content.encode()).hexdigest()[:16]
