"""The ledger of commands that touched a run after the one that sent it."""

from __future__ import annotations

from typing import cast

from planner.plan.command import Command
from worker.ledger.connection import Connected
from worker.ledger.keys import run_key
from worker.ledger.record import RunRecord, reading


class CommandLedger(Connected):
    """Reads and writes `run:ID:log`."""

    def note_command(self, run_id: str, command: Command) -> None:
        """Add a command to a run's log."""
        self.client.rpush(run_key(run_id, "log"), command.model_dump_json())

    def forget_command(self, run_id: str, command: Command) -> None:
        """Take a command that was refused off a run's log."""
        self.client.lrem(run_key(run_id, "log"), -1, command.model_dump_json())

    def commands(self, run: RunRecord) -> tuple[Command, ...]:
        """Every command that touched a run, in order; the first one sent it."""
        with reading(f"the log of {run.id}"):
            found = cast("list[str]", self.client.lrange(run_key(run.id, "log"), 0, -1))
            later = tuple(Command.model_validate_json(text) for text in found)
            return later if run.asked is None else (run.asked, *later)
