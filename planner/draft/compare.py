"""Which ids a table shares with those that it is made from, and how well they agree. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from planner.draft.guess import entity_name
from planner.draft.look import Found

SAME = 0.999  # of the ids of its upstream, on a day in the middle: as good as all
LEAST = 0.5  # a table with a smaller share is about something else
DAYS_LEAST = 3  # on which both tables hold rows: fewer say nothing
ENTITIES_MOST = 3  # per table: each is counted on every date


@dataclass(frozen=True, kw_only=True)
class Shared:
    """An id that a table holds, and the tables that it is made from hold, too."""

    entity: str
    column: str
    share: float = 1.0
    """Of the ids upstream, on the day in the middle of the latest ones."""
    has_more: bool = False
    """Whether it holds more ids than its upstream on most days."""


def shared(tables: Sequence[Found]) -> dict[str, str]:
    """Column → the name of what it counts, of ids that two tables or more hold.

    Columns of one name are one, and so are columns that held the same ids lately.
    """
    columns = [(table, column) for table in tables for column in table.ids]
    groups: list[set[str]] = []
    for table, column in columns:
        alike = {column.lower()} | {
            other.lower()
            for beside, other in columns
            if beside is not table and _hold_the_same(table, column, beside, other)
        }
        touched = [group for group in groups if not group.isdisjoint(alike)]
        groups = [group for group in groups if group not in touched] + [alike.union(*touched)]
    found: dict[str, str] = {}
    order = [column.lower() for _, column in columns]
    for group in sorted(groups, key=lambda group: min(map(order.index, group))):
        if sum(column in group for column in order) > 1:
            name = base = entity_name(min(group, key=order.index))
            number = 2
            while name in found.values():
                name, number = f"{base}_{number}", number + 1
            found |= dict.fromkeys(group, name)
    return found


def _hold_the_same(table: Found, column: str, beside: Found, other: str) -> bool:
    """Whether two columns held the same ids on most of the days on which both tables hold rows."""
    days = set(table.recent) & set(beside.recent)
    same = sum(
        table.recent[day].fingerprints.get(column) == beside.recent[day].fingerprints.get(other, 0)
        for day in days
    )
    return len(days) >= DAYS_LEAST and same > len(days) / 2


def compared(table: Found, above: Iterable[Found], names: Mapping[str, str]) -> list[Shared]:
    """The ids of a table to count, beside those that it is made from; all that are shared, of a
    source. One whose numbers are far from those above is left out."""
    found: list[Shared] = []
    parents = list(above)
    for column in table.ids:
        entity = names.get(column.lower())
        if entity is None or entity in (each.entity for each in found):
            continue
        each = Shared(entity=entity, column=column)
        if parents:
            shares = [s for parent in parents for s in _shares(table, parent, column, names)]
            if not shares:
                continue
            middle = statistics.median(shares)
            if not LEAST <= middle <= 1 / LEAST:
                continue
            share = 1.0 if middle >= SAME else math.floor(middle * 100) / 100
            each = Shared(entity=entity, column=column, share=share, has_more=middle > 1)
        found.append(each)
    return found[:ENTITIES_MOST]


def _shares(table: Found, parent: Found, column: str, names: Mapping[str, str]) -> list[float]:
    """Ids that a table holds, by those of a parent, per day on which both hold some."""
    entity = names[column.lower()]
    other = next((each for each in parent.ids if names.get(each.lower()) == entity), None)
    if other is None:
        return []
    days = sorted(set(table.recent) & set(parent.recent))
    pairs = [
        (table.recent[day].entities.get(column, 0), parent.recent[day].entities.get(other, 0))
        for day in days
    ]
    return [own / theirs for own, theirs in pairs if own and theirs]
