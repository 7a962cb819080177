"""Values that one run may set: `{name}` in what a runner declares, with a default and a pattern.

A value is text of the user that reaches a command, a service or a statement, so it has to match
its pattern as a whole, and nothing in it is read as a variable or as another placeholder.
"""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, model_validator

from planner.pipeline.model import Line, Model, Pattern, spelled

VALUE_CHARS = 200  # of a value: it stands in plans, reports and commands
TAKEN = frozenset({"start", "end", "dates", "start_date", "end_date"})
"""Placeholders and parameters that are there already."""


def _name(value: str) -> str:
    if value in TAKEN:
        raise ValueError(f"{{{value}}} has a meaning already: take another name")
    return value


ValueName = Annotated[
    str,
    spelled(
        r"^[a-z][a-z0-9_]{0,39}$",
        "write a small letter, then small letters, digits or _, 40 at most",
    ),
    AfterValidator(_name),
]


class ValueSpec(Model):
    """What one value is without `--set`, and what it may be."""

    default: Line
    """Without `--set`."""
    pattern: Pattern
    """A regular expression."""

    @model_validator(mode="after")
    def _default_fits(self) -> Self:
        why = self.complaint(self.default)
        if why is not None:
            raise ValueError(f"its default {self.default!r} {why}")
        return self

    def complaint(self, value: str) -> str | None:
        """Why it cannot be this; None when it can."""
        if len(value) > VALUE_CHARS or not value.isprintable():
            return f"is not one line of at most {VALUE_CHARS} characters"
        if "${" in value:
            return "names a variable, and those belong into the pipeline file"
        if re.fullmatch(self.pattern, value) is None:
            return f"does not match {self.pattern}"
        return None
