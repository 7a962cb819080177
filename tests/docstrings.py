"""What the code says of the fields of a model and of the members of an enum, below each of them."""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache


@cache
def told_below(kind: type) -> dict[str, str]:
    """Name → the text that stands below it in the class, or in one that it is made from."""
    told: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if each.__module__.startswith(("planner.", "worker.", "sql.")):
            told |= _told_in(each)
    return told


def _told_in(kind: type) -> dict[str, str]:
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    told: dict[str, str] = {}
    for line, below in zip(tree.body, tree.body[1:], strict=False):
        name = _name(line)
        if name and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            told[name] = " ".join(str(below.value.value).split())
    return told


def _name(line: ast.stmt) -> str:
    target = line.target if isinstance(line, ast.AnnAssign) else None
    if isinstance(line, ast.Assign):
        (target,) = line.targets
    return target.id if isinstance(target, ast.Name) else ""
