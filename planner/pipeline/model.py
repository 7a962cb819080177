"""What every part of a pipeline file is made of: strict models, and checked names."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, model_validator
from pydantic.fields import FieldInfo

from planner.data import Data
from planner.text import WORD_CHARS, nearest
from sql.statements import is_column, is_table


def _table_name(value: str) -> str:
    if not is_table(value):
        raise ValueError(f"{value!r} is not a table's name: write dataset.table")
    return value


def _column_name(value: str) -> str:
    if not is_column(value):
        raise ValueError(f"{value!r} is not a column's name")
    return value


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
RUN_ID = "[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
"""An id names files and folders too, so no path separator and no leading dot can be in it."""
RunId = Annotated[str, Field(pattern=f"^{RUN_ID}$")]
SeasonName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")]
TableName = Annotated[str, AfterValidator(_table_name)]
ColumnName = Annotated[str, AfterValidator(_column_name)]
Line = Annotated[str, Field(min_length=1, pattern=r"^[^\x00\r\n]*$")]
"""Text of one line: a command's argument, a path, an address."""


class Model(Data):
    """A part of the file: an unknown key is refused with the nearest known one."""

    also: ClassVar[Mapping[str, str]] = {}
    """Another word for a key, for people without a league → the key."""

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            known = cls.known_keys()
            for key in data:
                if key not in known and key not in cls.also:
                    word = str(key)[:WORD_CHARS]
                    raise ValueError(f"unknown key {word!r}; {nearest(word, [*known, *cls.also])}")
            for word, key in cls.also.items():
                if word in data and key in data:
                    raise ValueError(f"{word!r} and {key!r} say the same: keep one")
            return {cls.also.get(key, key): value for key, value in data.items()}
        return data

    @classmethod
    def known_keys(cls) -> dict[str, FieldInfo]:
        """What the file calls the fields → the fields, in order."""
        return {field.alias or name: field for name, field in cls.model_fields.items()}


def exact(share: float) -> Decimal:
    """A share as the file writes it: 100 × 0.55 is more than 55 in binary."""
    return Decimal(str(share))
