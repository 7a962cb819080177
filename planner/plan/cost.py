"""What reading the warehouse costs, before it is read. Pure."""

from __future__ import annotations

from planner.data import Data
from planner.errors import UsageError

TIB = 1 << 40


class TooExpensive(UsageError):
    """Counting would cost more than --max-bytes allows."""


class Cost(Data):
    """Bytes that are billed at most, and what they come to."""

    bytes: int
    dollars: float

    def __str__(self) -> str:
        return f"{readable(self.bytes)} (${self.dollars:.4f})"


def cost_of(billed: int, dollars_per_tib: float) -> Cost:
    """What so many billed bytes come to."""
    return Cost(bytes=billed, dollars=round(billed / TIB * dollars_per_tib, 6))


def check_limit(cost: Cost, limit: int | None) -> None:
    """Raises `TooExpensive` for more bytes than the limit allows."""
    if limit is not None and cost.bytes > limit:
        raise TooExpensive(
            f"Counting would be billed {cost.bytes:,} bytes (${cost.dollars:.4f}) at most, and "
            f"--max-bytes allows {limit:,}: nothing was counted. Ask for fewer dates with --start "
            "and --end, or allow more."
        )


def readable(size: int) -> str:
    """`230.0 MiB`."""
    for unit, each in (("TiB", TIB), ("GiB", 1 << 30)):
        if size >= each:
            return f"{size / each:.1f} {unit}"
    return f"{size / (1 << 20):.1f} MiB"
