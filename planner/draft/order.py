"""Puts tables into phases, in order: as they are named in order, by a dbt manifest, or by names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from planner.draft.guess import layer
from planner.draft.look import Found
from planner.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Drafted:
    """A phase of the draft."""

    name: str
    after: tuple[str, ...]
    tables: tuple[Found, ...]


def in_order(tables: Sequence[Found]) -> list[Drafted]:
    """A phase per table, each after the one before: the user said the order."""
    names = _names([each.name.rpartition(".")[2] for each in tables])
    return [
        Drafted(name=name, after=tuple(names[n - 1 : n]), tables=(table,))
        for n, (name, table) in enumerate(zip(names, tables, strict=True))
    ]


def by_parents(tables: Sequence[Found], parents: Mapping[str, Sequence[str]]) -> list[Drafted]:
    """A phase per table, after those that it is made from; one that is made from none is a source.

    `parents` is table → the tables that it reads, those among `tables` alone.
    """
    by_name = {each.name: each for each in tables}
    ordered: list[str] = []
    left = sorted(by_name)
    while left:
        ready = [n for n in left if all(p in ordered for p in parents.get(n, ()))]
        if not ready:
            raise UsageError(f"The manifest has a circle: {', '.join(left)}.")
        ordered += ready
        left = [name for name in left if name not in ready]
    short = dict(zip(ordered, _names([n.rpartition(".")[2] for n in ordered]), strict=True))
    return [
        Drafted(
            name=short[name],
            after=tuple(short[parent] for parent in parents.get(name, ())),
            tables=(by_name[name],),
        )
        for name in ordered
    ]


def by_names(tables: Sequence[Found]) -> list[Drafted]:
    """A phase per dataset, ordered by what its name says, such as raw before marts.

    Where all stand in one dataset, the tables' own names decide. Raises `UsageError` when names
    say nothing of the order.
    """
    datasets = list(dict.fromkeys(each.name.rpartition(".")[0] for each in tables))
    if len(datasets) > 1:
        groups = {
            name: [table for table in tables if table.name.rpartition(".")[0] == name]
            for name in datasets
        }
    else:
        groups = {each.name: [each] for each in tables}
    ranks = {name: layer(name.rpartition(".")[2]) for name in groups}
    unknown = [name for name, rank in ranks.items() if rank is None]
    if unknown or len(set(ranks.values())) < 2:
        which = ", ".join((unknown or list(groups))[:6])
        raise UsageError(
            f"Names do not say in which order these are written: {which}. Name the tables in "
            "order, sources first: --tables raw.orders,marts.trend; or give dbt's manifest."
        )
    order = sorted({rank for rank in ranks.values() if rank is not None})
    found: list[Drafted] = []
    for rank in order:
        names = [name for name in groups if ranks[name] == rank]
        before = found[-1].name if found else None
        label = _names([*(each.name for each in found), names[0].rpartition(".")[2]])[-1]
        members = tuple(table for name in names for table in groups[name])
        found.append(Drafted(name=label, after=(before,) if before else (), tables=members))
    return found


def _names(texts: Sequence[str]) -> list[str]:
    """Names that a phase may have, each once."""
    found: list[str] = []
    for text in texts:
        name = re.sub(r"[^a-z0-9_-]", "_", text.lower()).lstrip("_-0123456789")[:36] or "phase"
        number = 2
        while name in found:
            name = f"{name.rstrip('0123456789')}{number}"
            number += 1
        found.append(name)
    return found
