"""`planner settings`: what is set, and where it came from."""

from __future__ import annotations

import os
from typing import Any

from dotenv import dotenv_values

from planner.address import masked
from planner.console import options as opt
from planner.console.context import settings_here
from planner.console.output import count_table, out, print_json
from planner.settings import Settings, masked_webhook, variables


def settings(json: opt.Json = False) -> None:
    """Show every setting, its value (secrets masked), and where it came from."""
    loaded = settings_here()
    written = {name.upper() for name in dotenv_values(".env", encoding="utf-8-sig")}
    rows = [_row(loaded, name, written) for name in Settings.model_fields]
    if json:
        print_json({"settings": rows})
        return
    table = count_table(
        "settings",
        ["variable", "value", "from", "what"],
        [[row["variable"], row["value"], row["source"], row["help"]] for row in rows],
    )
    for column in table.columns:
        column.justify = "left"
        column.overflow = "fold"
    out.print(table)


def _row(loaded: Settings, name: str, written: set[str]) -> dict[str, Any]:
    names = set(variables(name))
    if names & {key.upper() for key in os.environ}:
        source = "environment"
    else:
        source = ".env" if names & written else "default"
    return {
        "variable": variables(name)[0],
        "value": _shown(loaded, name),
        "source": source,
        "help": Settings.model_fields[name].description or "",
    }


def _shown(loaded: Settings, name: str) -> str:
    value = getattr(loaded, name)
    return masked_webhook(value) if name == "notify" and value else masked(str(value))
