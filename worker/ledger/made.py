"""The ledger of what made each date of a run, until the run's end writes it down for good."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

from planner.plan.made import Fingerprint, MadeBy
from worker.ledger.connection import Connected
from worker.ledger.keys import date_field, parse_date_field, run_key
from worker.ledger.record import reading


class MadeLedger(Connected):
    """Reads and writes `run:ID:made`."""

    def note_made(self, run_id: str, phase: str, made: dict[date, str]) -> None:
        """Write down what made some dates of a phase: `Fingerprint`s, JSON."""
        if made:
            items = [word for day, text in made.items() for word in (date_field(phase, day), text)]
            self.client.hset(run_key(run_id, "made"), items=items)

    def made(self, run_id: str, done: Collection[tuple[str, date]]) -> tuple[MadeBy, ...]:
        """What made those dates of a run that are done."""
        with reading(f"what made the dates of {run_id}"):
            by_text: dict[str, dict[str, list[date]]] = {}
            for field, text in sorted(self._hash(run_key(run_id, "made")).items()):
                phase, day = parse_date_field(field)
                if (phase, day) in done:
                    by_text.setdefault(text, {}).setdefault(phase, []).append(day)
            return tuple(
                MadeBy(
                    fingerprint=Fingerprint.model_validate_json(text),
                    dates={phase: tuple(days) for phase, days in dates.items()},
                )
                for text, dates in by_text.items()
            )
