"""Success criteria as the pipeline file declares them; `planner.validation.judge` judges them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from planner.pipeline.model import Model, Name, SeasonName

Tolerance = Annotated[float, Field(ge=0.0, lt=1.0)]
"""Share of what is expected that may be absent."""


class _Criterion(Model):
    """Something that has to hold in every season it names."""

    also = {"periods": "seasons"}

    name: Name
    """What the criterion is called."""
    seasons: tuple[SeasonName, ...] = ()
    """Where it is judged. One that has no rows fails. None named: all in scope."""

    @property
    def about(self) -> tuple[str, ...]:
        """The phases it names."""
        return ()

    @property
    def part(self) -> str:
        """The window of a season that it is about; the whole season: `""`."""
        return ""


class EntitiesCriterion(_Criterion):
    """Every table of a phase holds, date by date, the entities that another phase holds."""

    kind: Literal["entities"]
    """`entities`"""
    phase: Name
    """The phase that is judged,"""
    against: Name
    """by this one."""
    entity: Name | None = None
    """What is compared. Without it: the pipeline's own."""
    tolerance: Tolerance = 0.0
    """Share that may be absent."""

    @property
    def about(self) -> tuple[str, ...]:
        return (self.phase, self.against)


class DatesCriterion(_Criterion):
    """Every table of a phase holds the dates of another, less the legitimately empty ones."""

    kind: Literal["dates"]
    """`dates`"""
    phase: Name
    """The phase that is judged,"""
    against: Name
    """by this one."""
    tolerance: Tolerance = 0.0
    """Share that may be absent."""

    @property
    def about(self) -> tuple[str, ...]:
        return (self.phase, self.against)


class RowsCriterion(_Criterion):
    """A phase holds at least so many rows a season. Judged only where the scope holds it all."""

    kind: Literal["rows"]
    """`rows`"""
    phase: Name
    """The phase that is judged."""
    minimum: int = Field(gt=0)
    """Rows."""

    @property
    def about(self) -> tuple[str, ...]:
        return (self.phase,)


class CompleteCriterion(_Criterion):
    """Every date is complete in every phase where it is due."""

    kind: Literal["complete"]
    """`complete`"""
    window: Name | None = None
    """Only this window of a season. A season without it is not judged."""
    phases: tuple[Name, ...] = ()
    """Only these phases."""

    @property
    def about(self) -> tuple[str, ...]:
        return self.phases

    @property
    def part(self) -> str:
        return self.window or ""


Criterion = Annotated[
    EntitiesCriterion | DatesCriterion | RowsCriterion | CompleteCriterion,
    Field(discriminator="kind"),
]
