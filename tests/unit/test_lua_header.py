"""The generated Lua header holds every state, and no script spells one by itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from worker.ledger.connection import LUA, script_text
from worker.ledger.header import ENUMS, SETS, header

SCRIPTS = sorted(LUA.glob("*.lua"))
FIELDS = {"paused"}
"""Fields of a run that are named as a state is."""

script = pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)


def test_it_holds_every_state_and_set() -> None:
    for name, enum in ENUMS.items():
        held = dict(re.findall(r"(\w+)='(\w+)'", table(name)))
        assert held == {member.name: member.value for member in enum}
    for name, members in SETS.items():
        assert set(re.findall(r"\['(\w+)'\]=true", table(name))) == {str(each) for each in members}


def table(name: str) -> str:
    return header().partition(f"local {name}={{")[2].partition("}")[0]


@script
def test_a_script_spells_no_state(path: Path) -> None:
    states = {str(member) for enum in ENUMS.values() for member in enum} - FIELDS
    quoted = set(re.findall(r"""['"](\w+)['"]""", code(path)))
    assert not quoted & states


@script
def test_a_script_names_states_and_sets_that_exist(path: Path) -> None:
    """Lua reads a name that does not exist as nil, and says nothing."""
    for name, member in re.findall(r"\b(RUN|STEP|DATE)\.(\w+)", code(path)):
        assert member in ENUMS[name].__members__
    assert set(re.findall(r"\b(?:RUN|STEP|DATE)_\w+", code(path))) <= set(SETS)


@script
def test_line_numbers_in_errors_are_the_files(path: Path) -> None:
    assert len(script_text(path.stem).splitlines()) == len(path.read_text().splitlines())


def code(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    return re.sub(r"--.*", "", text)
