"""Explains an error: which table or column of the pipeline file is missing, and similar names;
or that all of its tables are, so that it is the wrong file or the wrong warehouse."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from planner.pipeline.load import shipped
from planner.pipeline.pipeline import Pipeline
from planner.text import nearest
from sql.errors import TableNotFound, WarehouseError, WarehouseRefused
from sql.warehouse import Table, Warehouse

NAMES_SHOWN = 12  # when none is near


def explained(warehouse: Warehouse, table: Table, error: WarehouseError) -> WarehouseError:
    """A better error than `error`, which counting `table` raised, or `error` itself.

    Asks the warehouse what it has: one or two requests, and only after something went wrong.
    """
    if not isinstance(error, WarehouseRefused):
        return error
    try:
        columns = warehouse.columns(table.name)
    except TableNotFound:
        return _no_table(warehouse, table, error)
    except WarehouseError:
        return error
    known = {column.lower() for column in columns}  # GoogleSQL does not tell case apart
    absent = [column for column in _asked(table) if column.lower() not in known]
    if not absent:
        return error
    return TableNotFound(
        f"{warehouse.name}: table {table.name} has no column {absent[0]}"
        f"{_hint(absent[0], columns)} Correct it in the pipeline file."
    )


def _no_table(warehouse: Warehouse, table: Table, error: WarehouseError) -> WarehouseError:
    try:
        tables = warehouse.tables(table.name)
    except WarehouseError:
        return error
    return TableNotFound(
        f"{warehouse.name} has no table {table.name}{_hint(table.name, tables)} "
        "Correct it in the pipeline file, or point BACKFILL_PIPELINE or BACKFILL_WAREHOUSE "
        "elsewhere."
    )


def none_of(warehouse: Warehouse, pipeline: Pipeline, setting: str) -> TableNotFound | None:
    """That a warehouse holds none of a file's tables, in one line; None where it holds one.

    `setting` is what BACKFILL_PIPELINE is. Asks for one table after another until one is there.
    """
    for spec in pipeline.tables:
        try:
            warehouse.columns(spec.name)
        except TableNotFound:
            continue
        except WarehouseError:
            pass  # nothing that could not be looked at counts as absent
        return None
    return TableNotFound(
        f"{warehouse.name} holds none of the {len(pipeline.tables)} tables of the pipeline file "
        f"{setting!r} ({pipeline.description or pipeline.name}): set BACKFILL_PIPELINE to a file "
        f"that names the tables there ({', '.join(shipped())} ship, a path is a file of your "
        "own), or BACKFILL_WAREHOUSE to where these are."
    )


def _asked(table: Table) -> Iterator[str]:
    yield table.date
    yield from table.entity_columns
    yield from table.where
    if table.grades is not None:
        yield from (table.grades.system, table.grades.error, table.grades.correct)


def _hint(word: str, known: Collection[str]) -> str:
    if not known:
        return ", and none at all."
    hint = nearest(word, known)
    if hint.endswith("?"):
        return f"; {hint}"
    shown = ", ".join(sorted(known)[:NAMES_SHOWN])
    return f"; it has {shown}{', …' if len(known) > NAMES_SHOWN else ''}."
