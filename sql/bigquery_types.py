"""What BigQuery calls the types of columns, said as GoogleSQL does."""

from __future__ import annotations

from google.cloud import bigquery

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
