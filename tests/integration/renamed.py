"""A run whose phase has another name by now in the pipeline file."""

from __future__ import annotations

from planner.plan import Plan
from worker.ledger import Ledger


def rename(ledger: Ledger, run_id: str, old: str, new: str = "gone") -> None:
    """Let a run's plan call a phase what no pipeline file calls it."""
    key = f"backfill:run:{run_id}"
    text = str(ledger.client.get(f"{key}:plan")).replace(f'"{old}"', f'"{new}"')
    plan = Plan.model_validate_json(text).sealed()
    ledger.client.set(f"{key}:plan", plan.model_dump_json())
    ledger.client.hset(key, "pipeline_checksum", "of the file as it was")
    for part, tail in (("steps", f"/{old}"), ("dates", f"{old}|")):
        for field, state in ledger.client.hgetall(f"{key}:{part}").items():
            if tail in str(field):
                ledger.client.hdel(f"{key}:{part}", field)
                ledger.client.hset(f"{key}:{part}", str(field).replace(old, new), state)
