"""What GoogleSQL calls the types of the values that statements are given."""

from __future__ import annotations

from datetime import date, datetime


def scalar_type(value: object) -> str:
    """`INT64` of an int, and so on. Raises `TypeError` for what no parameter can be."""
    # Order matters: True is an int, and a datetime is a date.
    match value:
        case bool():
            return "BOOL"
        case str():
            return "STRING"
        case int():
            return "INT64"
        case float():
            return "FLOAT64"
        case date() if not isinstance(value, datetime):
            return "DATE"
    raise TypeError(f"a {type(value).__name__}: use str, int, float, bool or date")
