"""`${NAME}` and `${NAME:-default}` in the pipeline file, read where the step runs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import date

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_PLACE = re.compile(r"(?<!\$)\{([a-z][a-z0-9_]*)\}")
NO_VALUES: Mapping[str, str] = {}


class Unset(Exception):
    """A variable that the pipeline file needs is not set."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The pipeline file needs ${{{name}}}: set {name} where workers start.")


def expand(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Fill in variables. Raises `Unset`."""

    def value(match: re.Match[str]) -> str:
        name, default = match.groups()
        found = environment.get(name, default)
        if found is None:
            raise Unset(name)
        return found

    return _VARIABLE.sub(value, text)


def fill(text: str, dates: tuple[date, ...], values: Mapping[str, str] = NO_VALUES) -> str:
    """Put the step's dates in the place of `{start}`, `{end}` and `{dates}`, and values in that
    of their names. What was put in is not looked at again."""
    known = {
        **values,
        "start": dates[0].isoformat(),
        "end": dates[-1].isoformat(),
        "dates": ",".join(day.isoformat() for day in dates),
    }
    return _PLACE.sub(lambda found: known.get(found[1], found[0]), text)
