"""What all data of ours is made of, whether it is kept in a file, in Redis or in a report."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Data(BaseModel):
    """Immutable, strict about its keys, and without infinite numbers, which JSON cannot hold."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)

    def as_json(self) -> dict[str, Any]:
        """Plain values under their documented keys: dates and times as ISO text."""
        return self.model_dump(mode="json")
