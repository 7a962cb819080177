"""What a page shows, as it was when it was last looked at: the whole of it, and what changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Rows = Mapping[tuple[str, str], list[Any]]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One look."""

    status: dict[str, Any]
    """Sent whole with every look."""
    rows: Rows = field(default_factory=dict)
    """(`cells` or `steps`, key) → a row of the page's JSON. Sent when it has changed."""
    is_over: bool = False
    """Whether nothing more will change."""
