"""Runs the audits of a pipeline file: queries that answer with the dates whose rows are wrong."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import date

from planner.errors import BadPipeline
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.tables import TableSpec
from planner.pipeline.windows import Window
from planner.text import nearest
from sql.errors import TableNotFound, WarehouseRefused
from sql.statements import is_column, load, quote_column
from sql.together import together
from sql.warehouse import Parameters, Warehouse

A_DAY = Window(start=date(2000, 1, 1), end=date(2000, 1, 1))  # any: a description reads no rows


def check_judgeable(warehouse: Warehouse, pipeline: Pipeline) -> None:
    """Look before anything is counted whether audits and columns are what they have to be.

    Raises `BadPipeline` where an audit is refused or answers without a date, or where a table
    lacks a column that `key`, `filled` or `written_at` names; `sql.WarehouseRefused` where rows
    cannot be told apart by day by a table's date column, though it may hold none to count now;
    `sql.WarehouseError` where the warehouse does not answer. Nothing of it is billed.
    """
    together(
        lambda spec: _check_date(warehouse, spec),
        pipeline.tables,
        at_once=warehouse.at_once,
        cancel=warehouse.cancel,
    )
    for spec in pipeline.tables:
        if any(spec.judged_columns.values()):
            _check_columns(warehouse, spec)
    for audit in pipeline.audits:
        check_audit(warehouse, pipeline, audit)


def check_audit(warehouse: Warehouse, pipeline: Pipeline, audit: str) -> None:
    """Raises as `check_judgeable`, for one audit."""
    _date_column(warehouse, pipeline, audit, A_DAY)


def run_audits(
    warehouse: Warehouse, pipeline: Pipeline, specs: Iterable[TableSpec], window: Window
) -> dict[str, dict[str, frozenset[date]]]:
    """Table → audit → the dates of the window that it finds wrong. Raises as `check_judgeable`."""
    found: dict[str, dict[str, frozenset[date]]] = {}
    for spec in specs:
        for audit in spec.audits:
            if audit in found.get(spec.name, ()):
                continue  # the table stands in two phases
            column = _date_column(warehouse, pipeline, audit, window)
            statement = load("audit").format(
                date=quote_column(column), audit=pipeline.audits[audit]
            )
            rows = warehouse.rows(statement, _bounds(window))
            days = frozenset(row["date"] for row in rows if row["date"] is not None)
            found.setdefault(spec.name, {})[audit] = days
    return found


def _check_date(warehouse: Warehouse, spec: TableSpec) -> None:
    with suppress(TableNotFound):  # the count says so, with the tables that there are
        warehouse.dated(spec.table)


def _check_columns(warehouse: Warehouse, spec: TableSpec) -> None:
    try:
        columns = warehouse.columns(spec.name)
    except TableNotFound:
        return  # the count says so, with the tables that there are
    known = {name.lower() for name in columns}  # BigQuery's names have no case
    for key, wanted in spec.judged_columns.items():
        for column in wanted:
            if column.lower() not in known:
                raise BadPipeline(
                    f"{spec.name} has no column {column!r}, which `{key}` names; "
                    f"{nearest(column, columns, what='columns')}."
                )


def _date_column(warehouse: Warehouse, pipeline: Pipeline, audit: str, window: Window) -> str:
    """The column that an audit answers with: its first, which is a DATE."""
    try:
        columns = warehouse.describe(pipeline.audits[audit], _bounds(window))
    except WarehouseRefused as error:
        why = " ".join(str(error).split())  # an engine points at the place on a line of its own
        raise BadPipeline(f"The audit {audit} is refused: {why}") from None
    name, kind = next(iter(columns.items()), ("", "nothing"))
    if kind != "DATE" or not is_column(name):
        raise BadPipeline(
            f"The audit {audit} answers with {kind} first: its first column has to be a named "
            "DATE, that of each date whose rows are wrong."
        )
    return name


def _bounds(window: Window) -> Parameters:
    return {"start_date": window.start, "end_date": window.end}
