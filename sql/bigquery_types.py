"""What BigQuery calls the types of columns, said as GoogleSQL does, and of parameters."""

from __future__ import annotations

from collections.abc import Sequence

from google.cloud import bigquery

from sql.errors import WarehouseRefused
from sql.parameters import scalar_type
from sql.warehouse import Scalar

# tables.get answers in legacy SQL's names.
_GOOGLE = {
    "INTEGER": "INT64",
    "FLOAT": "FLOAT64",
    "BOOLEAN": "BOOL",
    "RECORD": "STRUCT",
}


def columns_of(about: bigquery.Table) -> dict[str, str]:
    """Column → GoogleSQL type."""
    return {field.name: google_type(field) for field in about.schema}


def google_type(field: bigquery.SchemaField) -> str:
    """The GoogleSQL type of a column, such as `ARRAY<STRING>`."""
    kind = _GOOGLE.get(field.field_type, field.field_type)
    if kind == "STRUCT":
        parts = (f"{part.name} {google_type(part)}" for part in field.fields)
        kind = f"STRUCT<{', '.join(parts)}>"
    return f"ARRAY<{kind}>" if field.mode == "REPEATED" else str(kind)


def parameter_of(
    name: str, value: Scalar | Sequence[Scalar]
) -> bigquery.ScalarQueryParameter | bigquery.ArrayQueryParameter:
    """A typed parameter. Raises `WarehouseRefused` for a value that has no type."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if not value:
            raise WarehouseRefused(f"The parameter @{name} is an empty ARRAY: of which type?")
        return bigquery.ArrayQueryParameter(name, _kind(name, value[0]), value)
    return bigquery.ScalarQueryParameter(name, _kind(name, value), value)


def _kind(name: str, value: object) -> str:
    try:
        return scalar_type(value)
    except TypeError as error:
        raise WarehouseRefused(f"The parameter @{name} is {error}.") from None
