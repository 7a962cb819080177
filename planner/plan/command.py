"""A command that touched a plan or a run: who gave it, from where, when, and with which version."""

from __future__ import annotations

from datetime import datetime

from planner.data import Data


class Command(Data):
    """A command, and who gave it."""

    by: str
    """What `--as` says, or login and host: `ada@laptop`."""
    login: str
    host: str
    folder: str
    """Where it was given: the current folder."""
    at: datetime
    version: str
    """Of the planner."""
    text: str
    """The command as it was typed, without secrets."""

    @property
    def line(self) -> str:
        """For people, in one line."""
        where = f"{self.login}@{self.host}:{self.folder}"
        return f"{self.by}, from {where}, {self.at:%Y-%m-%d %H:%M:%S} UTC, with {self.version}"
