"""The Lua header: the states of `planner.plan.states`, as tables that every script can read.

`RUN.PAUSED` is the text `paused`, `RUN_ENDED` a set of such texts. Enums and sets stand in one
place, so that no script spells a state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cache

from planner.plan import states

ENUMS: Mapping[str, type[StrEnum]] = {
    "RUN": states.RunState,
    "STEP": states.StepState,
    "DATE": states.DateState,
}
"""Lua table → the enum whose names and texts it holds."""

SETS: Mapping[str, frozenset[StrEnum]] = {
    "RUN_ACTIVE": frozenset(states.RUN_ACTIVE),
    "RUN_CANCELLABLE": frozenset(states.RUN_CANCELLABLE),
    "RUN_ENDED": frozenset(states.RUN_ENDED),
    "STEP_ACTIVE": frozenset(states.STEP_ACTIVE),
}
"""Lua table → the set whose members are its keys."""


@cache
def header() -> str:
    """One line: what a script's own first line says stays on line 1 of Redis' error texts."""
    enums = {name: _table(f"{e.name}='{e}'" for e in enum) for name, enum in ENUMS.items()}
    sets = {name: _table(f"['{e}']=true" for e in sorted(of)) for name, of in SETS.items()}
    return " ".join(f"local {name}={table}" for name, table in (enums | sets).items())


def _table(entries: Iterable[str]) -> str:
    return "{" + ",".join(entries) + "}"
