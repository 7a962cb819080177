"""The structure of the code: packages without a cycle, and nothing too long to read.

The import contract (`make lint`) says which package may stand on which. This says of every import,
also of one inside a function, that packages do not stand on each other in a circle.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("planner", "worker", "sql")
MODULE_LINES = 400
FUNCTION_LINES = 60  # from `def`, or its first decorator, to its last line

MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    """As it is imported; a package is named without `__init__`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {module_name(path): path for path in MODULES}

pytestmark = pytest.mark.xdist_group("structure")  # which parses every module once


def package_of(module: str) -> str:
    """The package that a module stands in; directly in `planner` or `worker`, the module itself."""
    if NAMES[module].name == "__init__.py" or module.rpartition(".")[0] in ("planner", "worker"):
        return module
    return module.rpartition(".")[0]


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def executed(tree: ast.AST) -> Iterator[ast.stmt]:
    """Every import, also inside functions, but for those that only a type checker sees."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.expr):
            continue  # which has no statement in it
        if isinstance(node, ast.If) and is_for_types(node.test):
            for other in node.orelse:
                yield from executed(ast.Module(body=[other], type_ignores=[]))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        else:
            yield from executed(node)


def is_for_types(test: ast.expr) -> bool:
    return "TYPE_CHECKING" in (getattr(test, "id", None), getattr(test, "attr", None))


def imported(module: str, tree: ast.Module) -> set[str]:
    """The modules of ours that a module imports."""
    found = set()
    for node in executed(tree):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports by dots, which this test does not read"
            of = node.module or ""
            found |= {
                f"{of}.{name.name}" if f"{of}.{name.name}" in NAMES else of for name in node.names
            }
    return found & NAMES.keys()


@cache
def imports_of(module: str) -> list[str]:
    """The modules of ours that a module of ours imports."""
    return sorted(imported(module, parsed(NAMES[module])))


def edges(group: Callable[[str], str]) -> dict[str, dict[str, str]]:
    """Group → the groups that it imports, each with one import that shows it."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for module in NAMES:
        for other in imports_of(module):
            if group(other) != group(module):
                found[group(module)].setdefault(group(other), f"{module} → {other}")
    return found


@pytest.mark.parametrize("group", [package_of, str], ids=["packages", "modules"])
def test_nothing_imports_each_other_in_a_circle(group: Callable[[str], str]) -> None:
    found = edges(group)
    try:
        TopologicalSorter(found).prepare()
    except CycleError as error:
        circle = error.args[1]  # each is imported by the next
        shown = [found[one][other] for other, one in pairwise(circle)]
        pytest.fail("\n".join(["imports in a circle:", *shown]))


def test_the_test_sees_imports_wherever_they_are_executed() -> None:
    """Or its approval would mean nothing."""
    text = """
from typing import TYPE_CHECKING
import planner.errors
from planner.gaps import matrix
if TYPE_CHECKING:
    from planner.plan.plan import Plan
else:
    import sql.local
class Some:
    def method(self):
        try:
            from worker.ledger.ledger import Ledger
        finally:
            from json import loads
"""
    assert imported("planner.cli", ast.parse(text)) == {
        "planner.errors",
        "planner.gaps.matrix",
        "sql.local",
        "worker.ledger.ledger",
    }


def test_no_module_is_too_long() -> None:
    lengths = {name: len(path.read_text("utf-8").splitlines()) for name, path in NAMES.items()}
    assert lengths
    assert {name: n for name, n in lengths.items() if n > MODULE_LINES} == {}


def test_no_function_is_too_long() -> None:
    lengths = {}
    for name, path in NAMES.items():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                lengths[f"{name}.{node.name}"] = (node.end_lineno or first) - first + 1
    assert lengths
    assert {name: n for name, n in lengths.items() if n > FUNCTION_LINES} == {}


def test_statements_are_found_through_a_symlink(tmp_path: Path) -> None:
    """As where an installation is links to a store of packages."""
    (tmp_path / "sql").symlink_to(ROOT / "sql")
    told = subprocess.run(
        [sys.executable, "-c", "from sql.statements import load; print(load('coverage'))"],
        env={"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stdout.startswith("-- coverage:"), told.stderr
