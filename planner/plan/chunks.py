"""Groups dates that need the same phases into chunks. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from planner.pipeline.calendar import Calendar

if TYPE_CHECKING:
    from planner.pipeline.pipeline import Pipeline


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Consecutive partition dates with the same phases to do."""

    dates: tuple[date, ...]
    phases: tuple[str, ...]
    """In phase order."""

    @property
    def id(self) -> str:
        """`2022-04-16`, or `2022-04-16..2022-04-22`. No two chunks of a plan share a date."""
        return chunk_id(self.dates)


def chunk_id(dates: Sequence[date]) -> str:
    """The id of the chunk of these dates, which stand in order."""
    first, last = dates[0], dates[-1]
    return f"{first}" if first == last else f"{first}..{last}"


def chunk(
    pipeline: Pipeline,
    todo: Mapping[str, Collection[date]],
    partition_dates: Iterable[date],
    *,
    size: int,
    newest_first: bool = False,
) -> list[Chunk]:
    """Cut what is to do into chunks of at most `size` dates.

    A step runs over the range from a chunk's first date to its last, so a chunk never spans a
    date of `partition_dates` (those that hold rows anywhere, and those that are skipped) that is
    not its own, nor excluded days, which may hold rows too, nor the end of a season.
    """
    days = {day for dates in todo.values() for day in dates}
    position = {day: n for n, day in enumerate(sorted(days | set(partition_dates)))}
    calendar = Calendar(pipeline=pipeline)

    def same_chunk(open_chunk: list[date], day: date) -> bool:
        last = open_chunk[-1]
        return (
            len(open_chunk) < size
            and position[day] == position[last] + 1
            and _needs(pipeline, todo, day) == _needs(pipeline, todo, last)
            and calendar.season_of(day) == calendar.season_of(last)
            and not any(last < excluded < day for excluded in _excluded(pipeline))
        )

    groups: list[list[date]] = []
    for day in sorted(days):
        if groups and same_chunk(groups[-1], day):
            groups[-1].append(day)
        else:
            groups.append([day])
    chunks = [Chunk(dates=tuple(g), phases=_needs(pipeline, todo, g[0])) for g in groups]
    return chunks[::-1] if newest_first else chunks


def _excluded(pipeline: Pipeline) -> Iterator[date]:
    """The first days of what the file itself excludes; days that a table lists are the caller's."""
    return (part.start for part in pipeline.exclude if part.start and part.from_ is None)


def _needs(pipeline: Pipeline, todo: Mapping[str, Collection[date]], day: date) -> tuple[str, ...]:
    return tuple(phase.name for phase in pipeline.phases if day in todo.get(phase.name, ()))
