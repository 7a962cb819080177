"""docs/commands.md, written from the commands themselves: `make reference`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from planner.cli import COMMANDS

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"
TOP = """# Commands

What the help of each command says, on one page, in the order of `planner --help`; `make reference`
writes it. What `--json` prints, and the exit codes, [stand apart](json.md).
"""
OFF = (None, False, True, (), [])


def page() -> str:
    """The whole page: a section a command, with its examples and its options."""
    parts = [TOP]
    for lazy in COMMANDS:
        if lazy.hidden:
            continue
        command = lazy.load()
        for below, each in getattr(command, "commands", {"": command}).items():
            examples = lazy.examples if each is command else ()
            parts.append("\n".join(_section(f"{lazy.name} {below}".strip(), each, examples)))
    return "\n".join(parts)


def _section(title: str, command: Any, examples: tuple[str, ...]) -> Iterator[str]:
    shown = [each for each in command.params if not getattr(each, "hidden", False)]
    arguments = [each for each in shown if each.param_type_name == "argument"]
    yield f"## `planner {title}`\n"
    yield f"{inspect.cleandoc(command.help or '').strip()}\n"
    if examples:
        yield from ("```console", *(f"$ {example}" for example in examples), "```\n")
    options = [each for each in shown if each not in arguments]
    if arguments or options:
        yield "| option | what it does |\n|---|---|"
        for each in arguments:
            name = each.name.upper()
            yield _row(name if each.required else f"[{name}]", each)
        yield from (_row(", ".join([*each.opts, *each.secondary_opts]), each) for each in options)
        yield ""


def _row(names: str, parameter: Any) -> str:
    told = " ".join((parameter.help or "").split()).replace("|", "\\|")
    default = "" if parameter.default in OFF else f" Default: `{parameter.default}`."
    return f"| `{names}` | {told}{default} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
