"""The ledger: what was asked for and what ran, in Redis. The authority on whether a step ran.

Keys, below `backfill:`

    runs                  sorted set   run id → when it was registered
    held:PIPELINE         hash         `phase|date` → the run that is repairing it
    run:ID                hash         plan, pipeline, state, times, validation: `RunRecord`
    run:ID:plan           string       the plan, JSON, with the ids of its chunks alone
    run:ID:chunks         hash         chunk id → the chunk, JSON
    run:ID:steps          hash         step id → state
    run:ID:dates          hash         `phase|date` → state
    run:ID:log            list         commands that touched it after the one that sent it, JSON
    run:ID:made           hash         `phase|date` → what made it: a fingerprint, JSON
    run:ID:published      set          dates that were published
    run:ID:report         string       the report, JSON
    run:ID:kept           hash         what was there before the run, and where it is kept
    run:ID:left           hash         marks of what the run left there
    restores, restores:ID sorted set   restores by time, and each: `RestoreRecord`
    run:ID:missing        hash         chunk without a message → since when
    run:ID:step:STEP      hash         token, worker, attempt, times, error: `StepRecord`
    staged:ID:PART        hash, string what a run is registered with, until it is

Every transition is one Lua script, and so atomic. Ended runs stay for a month.
"""

from __future__ import annotations

from worker.ledger.billed import BilledLedger
from worker.ledger.commands import CommandLedger
from worker.ledger.connection import now
from worker.ledger.ends import EndLedger
from worker.ledger.kept import KeptLedger
from worker.ledger.look import LookLedger
from worker.ledger.made import MadeLedger
from worker.ledger.peek import PeekLedger
from worker.ledger.plans import PlanLedger
from worker.ledger.restores import RestoreLedger
from worker.ledger.runs import RunLedger
from worker.ledger.steps import StepLedger


class Ledger(
    RunLedger,
    EndLedger,
    PlanLedger,
    StepLedger,
    LookLedger,
    PeekLedger,
    MadeLedger,
    CommandLedger,
    KeptLedger,
    RestoreLedger,
    BilledLedger,
):
    """Reads and writes the ledger through one Redis client."""

    def now(self) -> float:
        """Seconds since the epoch, by Redis' clock: a worker's own may be wrong."""
        return now(self.client)
