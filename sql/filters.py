"""Builds the conditions of a table's `where`: rows that do not fulfil all of them do not count."""

from __future__ import annotations

from collections.abc import Mapping

from sql.statements import quote_column
from sql.warehouse import Condition, Parameters, Scalar


def filters_of(where: Mapping[str, Condition], prefix: str) -> tuple[str, Parameters]:
    """`AND` and a GoogleSQL condition per column, and the parameters of their values.

    The condition of the nth column, from 0, has at most one parameter, named `prefix` and n: a
    value, or an ARRAY. Raises `WarehouseRefused` for what is no column's name.
    """
    written: list[str] = []
    bound: dict[str, Scalar | list[Scalar]] = {}
    for n, (column, condition) in enumerate(where.items()):
        parameter = f"{prefix}{n}"
        written.append(_written(quote_column(column), condition, parameter))
        values = condition.one_of or condition.none_of
        if values:
            bound[parameter] = values[0] if len(values) == 1 else list(values)
    return "".join(f"\n  AND {condition}" for condition in written), bound


def _written(column: str, condition: Condition, parameter: str) -> str:
    match condition:
        case Condition(null=bool(null)):
            return f"{column} IS NULL" if null else f"{column} IS NOT NULL"
        case Condition(one_of=(_,)):
            return f"{column} = @{parameter}"
        case Condition(none_of=(_,)):
            return f"{column} IS DISTINCT FROM @{parameter}"
        case Condition(one_of=(_, *_)):
            return f"{column} IN UNNEST(@{parameter})"
    return f"({column} IS NULL OR {column} NOT IN UNNEST(@{parameter}))"
