"""What each table is measured by: the tables upstream whose ids it has to hold, date by date. Pure.

Without `against`, that is every table upstream which counts the entity and is itself measured by
none: the tables where the entity begins. So a row too many in a phase between is no reason to
expect more of the phases below it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from planner.pipeline.phase import Phase
from planner.pipeline.tables import TableSpec
from planner.text import nearest

Place = tuple[str, str]
"""Phase and table: one table may stand in two phases, with other tables upstream."""

Measures = Mapping[tuple[Place, str], tuple[Place, ...]]
"""A place and an entity that it counts → the places that it is measured by; none where the entity
begins."""


def measures(phases: Sequence[Phase], ancestors: Mapping[str, frozenset[str]]) -> Measures:
    """Resolve `against` for every table and entity, in phase order.

    Raises `ValueError` where `against` names what is not upstream, or counts no entity of a table.
    """
    found: dict[tuple[Place, str], tuple[Place, ...]] = {}
    counting: dict[Place, TableSpec] = {}
    for phase in phases:
        above = {
            place: spec for place, spec in counting.items() if place[0] in ancestors[phase.name]
        }
        for spec in phase.tables:
            place = (phase.name, spec.name)
            named = list(_named(phase, spec, above))
            if named and not any(
                entity in above[each].entities for each in named for entity in spec.entities
            ):
                raise ValueError(
                    f"table {spec.name!r}: nothing that `against` names counts an entity of it"
                )
            for entity in spec.entities:
                able = [each for each in above if entity in above[each].entities]
                chosen = [each for each in named if each in able] or [
                    each for each in able if not found[each, entity]
                ]
                found[place, entity] = tuple(each for each in chosen if each[1] != spec.name)
        counting |= {(phase.name, spec.name): spec for spec in phase.tables}
    return found


def _named(phase: Phase, spec: TableSpec, above: Mapping[Place, TableSpec]) -> Iterator[Place]:
    names = {name for place in above for name in place}
    for name in spec.against or phase.against:
        if name not in names:
            raise ValueError(
                f"table {spec.name!r}: against names {name!r}, which does not stand upstream of "
                f"{phase.name!r}; {nearest(name, sorted(names), what='names')}"
            )
        yield from (place for place in above if name in place)
