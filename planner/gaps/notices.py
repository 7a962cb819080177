"""What keeps a scope from being all clear, though it is no gap: one line each. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from planner.gaps.beyond import how_to_go_on
from planner.gaps.gaps import Assessment, SkipReason
from planner.pipeline.calendar import Calendar
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Season, Window
from planner.text import counted, date_ranges


def notices(pipeline: Pipeline, assessment: Assessment, scope: Window) -> list[str]:
    """Sources that hold nothing, dates that cannot be judged, rows beyond the calendar."""
    seasons = Calendar(pipeline=pipeline).seasons(scope)
    bare = {
        phase.name: [each for each in seasons if _is_bare(pipeline, assessment, phase.name, each)]
        for phase in pipeline.phases
        if phase.is_source
    }
    return [
        *_unknown(pipeline, assessment, scope),
        *_bare(pipeline, assessment, bare),
        *_unjudged(pipeline, assessment, scope, bare),
        *_beyond(pipeline, assessment),
    ]


def _unknown(pipeline: Pipeline, assessment: Assessment, scope: Window) -> Iterator[str]:
    first = Calendar(pipeline=pipeline).first
    for name in assessment.unsettled(SkipReason.UNJUDGED, scope):
        if pipeline.by_name[name].is_source and _is_unknown(pipeline, assessment, name):
            yield (
                f"{name} holds no rows at all since {first}, so that nothing is known to be due: "
                "load it, or see whether the pipeline file names the right tables and date columns"
            )


def _is_unknown(pipeline: Pipeline, assessment: Assessment, source: str) -> bool:
    """Whether a source holds nothing, and neither does anything below it."""
    names = [source, *(n for n, above in pipeline.ancestors.items() if source in above)]
    return not any(assessment.holding[name] for name in names)


def _bare(
    pipeline: Pipeline, assessment: Assessment, bare: dict[str, list[Season]]
) -> Iterator[str]:
    for name, seasons in bare.items():
        for season in seasons:
            below = _held_below(pipeline, assessment, name, season)
            days = {day for dates in below.values() for day in dates}
            yield (
                f"{name} holds no rows at all in {season.name}, though {', '.join(below)} "
                f"{'hold' if len(below) > 1 else 'holds'} rows on {counted(len(days), 'date')} of "
                f"it ({date_ranges(days)}): load it again, or see whether it is read as it should"
            )


def _unjudged(
    pipeline: Pipeline, assessment: Assessment, scope: Window, bare: dict[str, list[Season]]
) -> Iterator[str]:
    found = assessment.unsettled(SkipReason.UNJUDGED, scope)
    for name, days in found.items():
        told = [each for each in days if not any(each in season for season in bare.get(name, ()))]
        if (
            not told
            or not pipeline.by_name[name].is_source
            or _is_unknown(pipeline, assessment, name)
        ):
            continue
        first = min(assessment.holding[name], default=None)
        since = f"begins on {first}" if first else "holds no rows"
        yield (
            f"{counted(len(told), 'date')} cannot be judged, {told[0]} to {told[-1]}: {name} "
            f"{since}, and phases below it hold older rows. Load it again, or leave them out: "
            f"--start, or `start` in the pipeline file"
        )
    sources = {name for name in found if pipeline.by_name[name].is_source}
    for name, days in found.items():
        if name not in sources and sources.isdisjoint(pipeline.ancestors[name]):
            yield (
                f"{counted(len(days), 'date')} of {name} cannot be judged "
                f"({date_ranges(days)}): it holds rows, and its sources hold none"
            )


def _beyond(pipeline: Pipeline, assessment: Assessment) -> Iterator[str]:
    names = dict.fromkeys(left.phase for left in assessment.beyond)
    for name in names:
        days = [left.date for left in assessment.beyond if left.phase == name]
        yield (
            f"{name} holds rows on {counted(len(days), 'date')} after the calendar's end, "
            f"{min(days)} to {max(days)}, which are not judged: {how_to_go_on(pipeline)}"
        )


def _is_bare(pipeline: Pipeline, assessment: Assessment, source: str, season: Window) -> bool:
    is_empty = not any(day in season for day in assessment.holding[source])
    return is_empty and bool(_held_below(pipeline, assessment, source, season))


def _held_below(
    pipeline: Pipeline, assessment: Assessment, source: str, season: Window
) -> dict[str, list[date]]:
    """Phase below a source → the dates of a season on which it holds rows."""
    found = {
        phase.name: [day for day in assessment.holding[phase.name] if day in season]
        for phase in pipeline.phases
        if source in pipeline.ancestors[phase.name]
    }
    return {name: days for name, days in found.items() if days}
