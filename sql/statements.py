"""Loads the named `.sql` files and fills in their identifiers.

A statement is GoogleSQL. Values are bound parameters (`@start_date`). Table and column names
cannot be parameters in SQL, so a file names them `{table}`, and they are filled in here after
being checked and quoted, so that only names can get in.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from sql.errors import WarehouseRefused

HERE = Path(__file__).resolve().parent

# BigQuery: projects are lower-case with dashes; datasets and tables letters, digits, underscores
# (tables may hold dashes). Columns start with a letter or underscore.
# A name that ends with `*` stands for all tables that begin with it.
_TABLE = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9-]{0,62}\.)?[A-Za-z0-9_]{1,1024}\.[A-Za-z0-9_-]{1,1024}\*?"
)
_TEXT = re.compile(r"[A-Za-z0-9_.*-]*")
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,299}")


def is_table(name: str) -> bool:
    """Whether `name` is `dataset.table` or `project.dataset.table`, and nothing else."""
    return _TABLE.fullmatch(name) is not None


def is_column(name: str) -> bool:
    """Whether `name` is a column's name, and nothing else."""
    return _COLUMN.fullmatch(name) is not None


def quote_table(name: str) -> str:
    """A table's name as GoogleSQL writes it. Raises `WarehouseRefused` if it is none."""
    if not is_table(name):
        raise WarehouseRefused(f"{name!r} is not a table's name: write `dataset.table`.")
    return f"`{name}`"


def quote_column(name: str) -> str:
    """A column's name as GoogleSQL writes it. Raises `WarehouseRefused` if it is none."""
    if not is_column(name):
        raise WarehouseRefused(f"{name!r} is not a column's name.")
    return f"`{name}`"


def quote_text(name: str) -> str:
    """The name of a phase, table or season as a GoogleSQL string.

    Raises `WarehouseRefused` for text that could be anything else.
    """
    if _TEXT.fullmatch(name) is None:
        raise WarehouseRefused(f"{name!r} is no name: use letters, digits, '_', '-' and '.'.")
    return f"'{name}'"


@cache
def load(name: str) -> str:
    """The text of `sql/NAME.sql`; `name` may have folders (`sandbox/analytics`).

    Raises `WarehouseRefused` when there is no such file.
    """
    path = (HERE / f"{name}.sql").resolve()
    if not path.is_relative_to(HERE) or not path.is_file():
        raise WarehouseRefused(f"There is no statement named {name!r}.")
    return path.read_text(encoding="utf-8")


def without_comments(statement: str) -> str:
    """A statement for use as a part of another: bare of comments that fill a line."""
    lines = statement.splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("--"))
