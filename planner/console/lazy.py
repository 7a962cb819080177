"""Commands that are imported when they are called: `planner --help` and `status` pay for no other.

Their one-line helps stand in `planner/cli.py`; a test holds them to the docstrings.
"""

from __future__ import annotations

import re
from importlib import import_module
from inspect import cleandoc
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from planner.console import unused_imports


def flowing(text: str) -> str:
    """A text whose paragraphs are a line each, so that a terminal of any width breaks them well."""
    return "\n\n".join(
        part if re.search(r"\n[ -]", part) else " ".join(part.split())
        for part in cleandoc(text).split("\n\n")
    )


class PlainHelp(TyperCommand):
    """A command whose help needs no parser of Markdown."""

    def format_help(self, *arguments: Any) -> None:
        """Show the help."""
        unused_imports.import_help()
        super().format_help(*arguments)


class Lazy(TyperCommand):
    """A command, or a group of them, of which only the name and a line of help are known yet."""

    def __init__(
        self, place: str, told: str, *examples: str, name: str = "", hidden: bool = False
    ) -> None:
        self.place = place
        """`module:attribute`, below `planner.commands`: a function, or a Typer app of several."""
        self.examples = examples
        super().__init__(name or place.partition(":")[2], help=told, hidden=hidden)

    def load(self) -> Any:
        """The command itself, as Typer makes it."""
        module, _, attribute = self.place.partition(":")
        found = getattr(import_module(f"planner.commands.{module}"), attribute)
        app = found
        if not isinstance(found, typer.Typer):
            app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            epilog = "\n".join(["Such as:", *self.examples]) if self.examples else None
            app.command(name=self.name, epilog=epilog, cls=PlainHelp)(found)
        command = typer.main.get_command(app)
        for each in (command, *getattr(command, "commands", {}).values()):
            each.help = flowing(each.help or "")
        return command

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Import the command, and let it read its arguments."""
        return self.load().make_context(*arguments, **options)


class LazyGroup(TyperGroup):
    """The group of a command line's lazy commands, in the order of its help."""

    lazy: ClassVar[tuple[Lazy, ...]] = ()

    def __init__(self, **attributes: Any) -> None:
        commands = {str(each.name): each for each in self.lazy}
        super().__init__(**{**attributes, "commands": commands})

    def format_help(self, *arguments: Any) -> None:
        """Show the help."""
        unused_imports.import_help()
        super().format_help(*arguments)
