"""What every part of a pipeline file is made of: strict models, and checked names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from types import UnionType
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin

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


SPELLINGS: dict[str, str] = {}
"""Pattern of a text → what it says, for people: few of them read regular expressions."""


def in_words(mistake: Mapping[str, Any]) -> str:
    """What pydantic says of a value, without its own words and without a regular expression."""
    if mistake["type"] == "string_pattern_mismatch":
        pattern = mistake["ctx"]["pattern"]
        return f"{mistake['input']!r}: {SPELLINGS.get(pattern, f'write what fits {pattern}')}"
    return str(mistake["msg"]).removeprefix("Value error, ")


def spelled(pattern: str, says: str) -> FieldInfo:
    """A text of this pattern, and how a refusal says it."""
    SPELLINGS[pattern] = says
    field: FieldInfo = Field(pattern=pattern)
    return field


Name = Annotated[
    str,
    spelled(
        r"^[a-z][a-z0-9_-]{0,39}$",
        "write a small letter, then small letters, digits, _ or -, 40 at most",
    ),
]
RUN_ID = "[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
"""An id names files and folders too, so no path separator and no leading dot can be in it."""
RunId = Annotated[
    str, spelled(f"^{RUN_ID}$", "write a letter or digit, then letters, digits, _ or -, 64 at most")
]
SeasonName = Annotated[
    str,
    spelled(
        r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$",
        "write a letter or digit, then letters, digits, _ or -, 40 at most",
    ),
]
TableName = Annotated[str, AfterValidator(_table_name)]
ColumnName = Annotated[str, AfterValidator(_column_name)]
Line = Annotated[str, Field(min_length=1), spelled(r"^[^\x00\r\n]*$", "write one line")]
"""Text of one line: a command's argument, a path, an address."""


PATTERN_CHARS = 200


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return value


Pattern = Annotated[Line, Field(max_length=PATTERN_CHARS), AfterValidator(_pattern)]
"""A regular expression."""


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
            data = {cls.also.get(key, key): value for key, value in data.items()}
            for key, value in data.items():
                _check_kind(key, value, known[key].annotation)
        return data

    @classmethod
    def known_keys(cls) -> dict[str, FieldInfo]:
        """What the file calls the fields → the fields, in order."""
        return {field.alias or name: field for name, field in cls.model_fields.items()}


def _check_kind(key: str, value: Any, annotation: Any) -> None:
    """Raises `ValueError` for what would be taken for something else: `true` for the number 1, and
    a number for the date that is so many seconds after 1970."""
    kinds = set(_kinds(annotation))
    numbers = kinds & {int, float}
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, bool) and numbers and bool not in kinds:
            raise ValueError(f"{key}: {str(each).lower()} is no number")
        if date in kinds and not numbers:
            is_number = isinstance(each, int | float) or (isinstance(each, str) and _is_epoch(each))
            if is_number:
                raise ValueError(f"{key}: {each!r} is no date: write YYYY-MM-DD")


def _is_epoch(text: str) -> bool:
    return re.fullmatch(r"\s*[-+]?[\d.]+\s*", text) is not None


def _kinds(annotation: Any) -> Iterator[Any]:
    """The types of which a field's value may be, or its items'."""
    inside = [each for each in get_args(annotation) if not isinstance(each, FieldInfo)]
    if get_origin(annotation) in (Union, UnionType, tuple, list, Annotated) and inside:
        for each in inside:
            yield from _kinds(each)
    else:
        yield annotation


def exact(share: float) -> Decimal:
    """A share as the file writes it: 100 × 0.55 is more than 55 in binary."""
    return Decimal(str(share))
