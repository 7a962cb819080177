"""What a column has to hold so that a row counts: one entry of a table's `where`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, time
from typing import Any, Self

from pydantic import ConfigDict, Field, StrictBool, field_validator, model_validator

from planner.pipeline.model import Model
from planner.text import WORD_CHARS
from sql.warehouse import Condition, Scalar

_KINDS: dict[type, str] = {
    bool: "BOOL",
    str: "STRING",
    int: "INT64",
    float: "FLOAT64",
    date: "DATE",
}
"""Type of a TOML value → its GoogleSQL type."""

_INT64_BITS = 63  # and a sign


class ConditionSpec(Model):
    """One of three conditions. A value alone is short for a list of one."""

    model_config = ConfigDict(serialize_by_alias=True)  # `in` and `not` are words of Python

    in_: tuple[Scalar, ...] | None = Field(default=None, alias="in")
    """It holds one of these."""
    not_: tuple[Scalar, ...] | None = Field(default=None, alias="not")
    """It does not hold this value, or any of these. NULL is no value: rows that hold NULL count."""
    null: StrictBool | None = None
    """`true`: it is NULL. `false`: it is not."""

    @model_validator(mode="before")
    @classmethod
    def _value_alone(cls, data: Any) -> Any:
        if isinstance(data, (dict, cls)):
            return data
        if isinstance(data, list):
            raise ValueError(f"a list needs in or not: write {{ in = {_shown(data)} }}")
        return {"in": [_value(data)]}

    @field_validator("in_", mode="before")
    @classmethod
    def _list(cls, data: Any) -> tuple[Scalar, ...] | None:
        if data is None:
            return None
        if not isinstance(data, (list, tuple)):
            raise ValueError(f"{_shown(data)} is no list: write in = [{_shown(data)}]")
        return _values(data)

    @field_validator("not_", mode="before")
    @classmethod
    def _list_or_value(cls, data: Any) -> tuple[Scalar, ...] | None:
        if data is None:
            return None
        return _values(data if isinstance(data, (list, tuple)) else [data])

    @model_validator(mode="after")
    def _one_condition(self) -> Self:
        given = {"in": self.in_, "not": self.not_, "null": self.null}
        said = [key for key, value in given.items() if value is not None]
        if not said:
            raise ValueError("say one of in, not and null")
        if len(said) > 1:
            raise ValueError(f"says {' and '.join(said)}: a column has one condition")
        return self

    @property
    def condition(self) -> Condition:
        """As a warehouse is asked for it."""
        return Condition(one_of=self.in_ or (), none_of=self.not_ or (), null=self.null)


def conditions(where: Mapping[str, ConditionSpec]) -> dict[str, Condition]:
    """Column → what it has to hold, as a warehouse is asked for it."""
    return {column: spec.condition for column, spec in where.items()}


def _values(data: list[Any] | tuple[Any, ...]) -> tuple[Scalar, ...]:
    """The values in order, each once: two lists that mean the same are equal."""
    if not data:
        raise ValueError("the list is empty: name at least one value")
    values = [_value(each) for each in data]
    kinds = sorted({_KINDS[type(value)] for value in values})
    if len(kinds) > 1:
        raise ValueError(f"mixes {' and '.join(kinds)}: give values of one type")
    return tuple(sorted(set(values)))  # they are of one type


def _value(data: Any) -> Scalar:
    is_value = type(data) in _KINDS  # a datetime is a date to isinstance
    if isinstance(data, float):
        is_value = math.isfinite(data)
    elif isinstance(data, int):
        is_value = data.bit_length() <= _INT64_BITS
    if not is_value:
        raise ValueError(f"{_shown(data)} is no value: give text, a number, true, false or a date")
    value: Scalar = data
    return value


def _shown(data: Any) -> str:
    """A value as TOML writes it, as far as it is short."""
    return _toml(data)[:WORD_CHARS]


def _toml(data: Any) -> str:
    match data:
        case bool():
            return str(data).lower()
        case date() | time():
            return data.isoformat()
        case list() | tuple():
            return f"[{', '.join(map(_toml, data))}]"
    return repr(data)
