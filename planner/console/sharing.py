"""The options by which a run shares the fleet with others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import time
from typing import TYPE_CHECKING, Annotated

import typer

from planner.errors import UsageError
from planner.plan.hours import Hours, parse_time
from planner.plan.states import Priority

if TYPE_CHECKING:
    from worker.ledger.orders import OrderChanges, Orders


def _time(text: str) -> time:
    try:
        return parse_time(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """How a run shares the fleet: runs take turns, whatever their size."""

    priority: Annotated[
        Priority | None,
        typer.Option(
            "--priority",
            help="How many turns it has beside other runs: 4, 2 or 1 of 7; 2 where it is not said.",
        ),
    ] = None
    max_slots: Annotated[
        int | None,
        typer.Option(
            "--max-slots",
            min=1,
            max=100_000,
            metavar="N",
            help="Run N of its steps at once, at most.",
        ),
    ] = None
    not_before: Annotated[
        time | None,
        typer.Option(
            "--not-before",
            parser=_time,
            metavar="HH:MM",
            help="With --until: begin steps only between the two, in the file's time zone.",
        ),
    ] = None
    until: Annotated[
        time | None,
        typer.Option(
            "--until",
            parser=_time,
            metavar="HH:MM",
            help="What runs then goes on to its end; the others wait for --not-before.",
        ),
    ] = None

    def orders(self, orders: Orders, timezone: str) -> Orders:
        """The orders of a run with these. Raises `UsageError` for half of its hours, or none."""
        priority, hours = self.priority or Priority.NORMAL, self._hours(timezone)
        return replace(orders, priority=priority, max_slots=self.max_slots, hours=hours)

    def changes(self, timezone: str) -> OrderChanges:
        """What they change of a run; raises as `orders` does."""
        from worker.ledger.orders import OrderChanges

        hours = self._hours(timezone)
        return OrderChanges(priority=self.priority, max_slots=self.max_slots, hours=hours)

    def _hours(self, timezone: str) -> Hours | None:
        if (self.not_before is None) != (self.until is None) or (
            self.not_before is not None and self.not_before == self.until
        ):
            raise UsageError(
                "Hours have a begin and an end: write both, such as --not-before 22:00 "
                "--until 06:00."
            )
        if self.not_before is None or self.until is None:
            return None
        return Hours(begin=self.not_before, end=self.until, timezone=timezone)
