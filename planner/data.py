"""The base class of all data, whether it is stored in a file, in Redis or in a report."""

from __future__ import annotations

from functools import cache
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

_put = object.__setattr__  # which a frozen model does not refuse


class Data(BaseModel):
    """Immutable, strict about its keys, and without infinite numbers, which JSON cannot hold."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)

    @classmethod
    def unchecked(cls, **values: Any) -> Self:
        """One of values that our own code made: every field, in its own type.

        A plan is made of hundreds of thousands, and to check each takes longer than to make it;
        pydantic's `model_construct`, too.
        """
        made = cls.__new__(cls)
        _put(made, "__dict__", values)
        _put(made, "__pydantic_fields_set__", _fields(cls))
        _put(made, "__pydantic_extra__", None)
        _put(made, "__pydantic_private__", None)
        return made

    def as_json(self) -> dict[str, Any]:
        """Plain values under their documented keys: dates and times as ISO text."""
        return self.model_dump(mode="json")


@cache
def _fields(kind: type[BaseModel]) -> set[str]:
    """The names of a class' fields, one set for all that are made of it."""
    return set(kind.model_fields)
