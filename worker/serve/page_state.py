"""The state of a page: what is sent whole each time, and the rows that are sent as they change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Rows = Mapping[tuple[str, str], list[Any]]


@dataclass(frozen=True, kw_only=True)
class PageState:
    """A page at one moment."""

    status: dict[str, Any]
    """Sent whole, each time."""
    rows: Rows = field(default_factory=dict)
    """(`cells` or `steps`, key) → a row of the page's JSON. Sent when it has changed."""
    is_over: bool = False
    """Whether nothing more will change."""
