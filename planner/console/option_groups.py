"""Options that stand together in several commands: each group is a dataclass, an option a field.

A command with `@grouped` names such a dataclass as the type of a parameter. Typer shows and reads
the dataclass's fields as options of the command, and the command is given them as one value.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

from planner.console import options as opt
from planner.console.output import note
from planner.errors import UsageError
from planner.pipeline.calendar import Calendar
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Picked, Window
from planner.plan.choices import require_choices
from planner.text import date_runs

if TYPE_CHECKING:
    from planner.plan.command import Command
    from worker.run.plan import Wanted


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Which days a command is about."""

    start: opt.Start = None
    end: opt.End = None
    season: opt.SeasonOption = None

    def window(self, pipeline: Pipeline) -> Window:
        """The days. Raises `UsageError` for days that are reversed, or not there yet."""
        return Calendar(pipeline=pipeline).scope(
            today=opt.today(pipeline), start=self.start, end=self.end, season=self.season
        )

    @property
    def is_until_today(self) -> bool:
        """Whether it is about every day until now, so that the calendar's end should not be one."""
        return self.end is None and self.season is None

    def given(self) -> dict[str, Any]:
        """The options that were given, with their values."""
        hints = get_type_hints(type(self), include_extras=True)
        found = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if value != each.default:
                (option,) = hints[each.name].__metadata__  # Typer takes its first name as a default
                found[str(option.default)] = value
        return found

    def words(self) -> list[str]:
        """The options that were given, as they are typed."""
        found: list[str] = []
        for option, value in self.given().items():
            found.append(option)
            if isinstance(value, list):  # of pairs: the option is repeated
                words = [f"{name}={text}" for name, text in value]
                found += [word for each in words for word in (option, each)][1:]
            elif isinstance(value, frozenset):
                found.append(date_runs(value).replace(", ", ","))
            elif value is not True:
                found.append(str(value))
        return found


@dataclass(frozen=True, kw_only=True)
class Counting(Scope):
    """What counts as a gap, and what counting may cost."""

    dates: opt.Dates = None
    no_cascade: opt.NoCascade = False
    stale: opt.Stale = False
    changed: opt.Changed = False
    include_open: opt.IncludeOpen = False
    max_bytes: opt.MaxBytes = None

    @property
    def is_until_today(self) -> bool:
        """Whether it is about every day until now, so that the calendar's end should not be one."""
        return self.dates is None and super().is_until_today

    @property
    def counting(self) -> dict[str, Any]:
        """How `read_assessment` is asked to count."""
        return {
            "stale": self.stale,
            "max_bytes": self.max_bytes,
            "include_open": self.include_open,
            "beyond": self.is_until_today,
        }

    def window(self, pipeline: Pipeline) -> Window:
        """The days, or those of them that `--dates` lists. Raises `UsageError`."""
        if self.dates is None:
            return super().window(pipeline)
        if self.season or self.start or self.end:
            raise UsageError("Give --dates, or --season, --start and --end, not both.")
        today = opt.today(pipeline)
        if max(self.dates) > today:
            raise UsageError(
                f"--dates names {max(self.dates)}, which is in the future: leave out what is "
                f"after {today}, which is today."
            )
        picked = Picked.of(self.dates)
        calendar = Calendar(pipeline=pipeline)
        calendar.require_any(picked)
        if outside := [day for day in picked.days() if not calendar.covers(day)]:
            note(
                f"The calendar of {pipeline.name} does not cover {date_runs(outside, shown=6)} of "
                "--dates, skipped."
            )
        return picked


@dataclass(frozen=True, kw_only=True)
class Planning(Counting):
    """Which gaps a plan takes, in which order."""

    phases: opt.Phases = None
    from_phase: opt.FromPhase = None
    chunk_dates: opt.ChunkDates = None
    newest_first: opt.NewestFirst = False
    limit: opt.Limit = None
    exclude: opt.Exclude = None
    reasons: opt.Reasons = None
    redo: opt.Redo = False
    everything: opt.All = False
    reason: opt.ReasonText = ""
    set_values: opt.SetValues = None
    runner: opt.RunnerOf = None

    @property
    def shaping(self) -> list[str]:
        """The options that were given and that a plan file answers by itself."""
        return [option for option in self.given() if option != "--max-bytes"]

    def _require_dates(self) -> None:
        named = (self.start, self.end, self.season, self.dates, self.changed)
        if not any(named) and not self.everything:
            raise UsageError(
                "--redo writes complete dates anew: say which, by --dates, --start and --end or "
                "--season; --changed is those that other code made, --all is every date."
            )

    @property
    def writes_anew(self) -> bool:
        """Whether complete dates are asked for: then gaps are taken only when they are, too."""
        return self.redo or self.changed

    def wanted(
        self, pipeline: Pipeline, *, gaps: bool = True, asked: Command | None = None
    ) -> Wanted:
        """What to plan. Raises `UsageError` for a phase that cannot be run, where none can, and for
        a `--redo` of everything that does not say so.

        The phases below one that is written anew may be run too; `--phases` need not name them.
        """
        from worker.run.plan import Wanted

        if all(phase.is_watched for phase in pipeline.phases):
            raise UsageError(
                f"No phase of {pipeline.name} has a runner, so nothing can be repaired: `planner "
                "gaps` says what is short; [[phases.runners]] in the pipeline file says what "
                "writes a phase's rows."
            )
        phases = opt.choose_phases(pipeline, self.phases, self.from_phase)
        chosen = phases
        if self.redo:
            self._require_dates()
        if self.writes_anew:
            below = {n for n in pipeline.by_name if not pipeline.ancestors[n].isdisjoint(phases)}
            phases = [n for n in pipeline.by_name if n in phases or n in below]
        scope = self.window(pipeline)
        if self.redo:
            Calendar(pipeline=pipeline).require_any(scope)
        values, pinned = dict(self.set_values or ()), dict(self.runner or ())
        require_choices(pipeline, phases, values, pinned)
        _require_no_secrets(values)
        return Wanted(
            values=values,
            pinned=pinned,
            scope=scope,
            phases=phases,
            redo=chosen if self.redo and not self.changed else (),
            changed=chosen if self.changed else (),
            gaps=gaps,
            cascade=not self.no_cascade,
            chunk_dates=self.chunk_dates,
            newest_first=self.newest_first,
            limit=self.limit,
            exclude=self.exclude or frozenset(),
            reasons=opt.choose_reasons(self.reasons),
            reason=self.reason,
            asked=asked,
        )


def _require_no_secrets(values: Mapping[str, str]) -> None:
    """Raises `UsageError` for a value that is a secret: values are kept and shown."""
    from worker.processes.secrets import redacted

    for name, value in values.items():
        if redacted(value) != value:
            raise UsageError(
                f"--set {name} is a secret that this process knows, and values are shown: write "
                "${NAME} in the pipeline file, and set it where workers start."
            )


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of its groups as parameters, for Typer and for callers."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name in groups:
            group = groups[parameter.name]
            types = get_type_hints(group, include_extras=True)
            parameters += [
                parameter.replace(name=each.name, annotation=types[each.name], default=each.default)
                for each in fields(group)
            ]
        else:
            parameters.append(parameter.replace(annotation=hints[parameter.name]))

    @functools.wraps(command)
    def flat(**options: Any) -> None:
        given = {
            name: group(**{e.name: options.pop(e.name) for e in fields(group) if e.name in options})
            for name, group in groups.items()
        }
        command(**given, **options)

    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {each.name: each.annotation for each in parameters}
    return flat
