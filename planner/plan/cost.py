"""What reading the warehouse costs, before it is read. Pure."""

from __future__ import annotations

from pydantic import Field

from planner.data import Data
from planner.errors import UsageError

TIB = 1 << 40


class TooExpensive(UsageError):
    """It would cost more than --max-bytes or --max-dollars allows."""


class Cost(Data):
    """Bytes that are billed at most, and what they come to."""

    bytes: int
    dollars: float

    def __str__(self) -> str:
        return f"{readable(self.bytes)} (${self.dollars:.4f})"


class PlanCost(Data):
    """What the warehouse bills, as far as that is known."""

    counting: Cost
    """The plan's own queries."""
    recounts: Cost
    """The run's: counts before and after each step, one query per table, at BigQuery's minimum
    each; and the final validation."""
    statements: Cost | None = None
    """What the phases' own statements are billed, by dry run, but for those of `unknown`."""
    scripts: Cost | None = Field(default=None, exclude_if=lambda cost: cost is None)
    """What scripts are billed, by what earlier runs' jobs with their labels were, per date; None,
    and not written: nothing tells."""
    keeping: Cost | None = None
    """What keeping rows that are written over asks, and comparing them afterwards. None: nothing is
    kept."""
    unknown: dict[str, str] = Field(default_factory=dict)
    """Phase → why it is not known what its runner is billed."""

    @property
    def run(self) -> Cost:
        """What is known of what the run will be billed."""
        parts = [
            each for each in (self.recounts, self.statements, self.scripts, self.keeping) if each
        ]
        return Cost(
            bytes=sum(each.bytes for each in parts),
            dollars=round(sum(each.dollars for each in parts), 6),
        )


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


def check_dollars(cost: PlanCost | None, limit: float | None) -> None:
    """Raises `TooExpensive` for a plan whose run is known to be billed more than the limit."""
    if cost is None or limit is None or cost.run.dollars <= limit:
        return
    unknown = f", and what {', '.join(cost.unknown)} reads is not in it" if cost.unknown else ""
    raise TooExpensive(
        f"The run would be billed about {cost.run}{unknown}, and --max-dollars allows ${limit:g}: "
        "nothing was sent. Ask for fewer dates with --start and --end, or allow more."
    )


def readable(size: int) -> str:
    """`230.0 MiB`."""
    for unit, each in (("TiB", TIB), ("GiB", 1 << 30)):
        if size >= each:
            return f"{size / each:.1f} {unit}"
    return f"{size / (1 << 20):.1f} MiB"
