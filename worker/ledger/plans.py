"""The ledger of plans: the steps of each chunk by themselves, so that a visit reads only its own.

`run:ID:plan` is a plan's JSON with the ids of its chunks where they would stand, in their order,
and `run:ID:chunks` holds each chunk. Runs that were registered before 0.2 have no chunks by
themselves: their plan holds them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from planner.plan.parse import parse_chunk, parse_plan
from worker.ledger.connection import Connected
from worker.ledger.keys import run_key
from worker.ledger.record import reading

if TYPE_CHECKING:
    from planner.plan.plan import Plan, PlannedChunk


class PlanLedger(Connected):
    """Reads the plans of runs."""

    def plan(self, run_id: str) -> Plan | None:
        """The whole plan of a run. Raises `BadPlan`, and `BadRecord` where there is no JSON."""
        with reading(f"the plan of {run_id}"):
            pipe = self.client.pipeline(transaction=False)
            pipe.get(run_key(run_id, "plan"))
            pipe.hgetall(run_key(run_id, "chunks"))
            text, chunks = pipe.execute()
            if text is None:
                return None
            content = json.loads(text)
            if chunks and isinstance(content, dict):
                ids = content.get("chunks", ())
                content["chunks"] = [
                    json.loads(chunks[str(each)]) for each in ids if str(each) in chunks
                ]
        return parse_plan(content, where=f"the plan of {run_id}")

    def chunk(self, run_id: str, chunk_id: str) -> PlannedChunk | None:
        """One chunk of a run's plan; None when it is not by itself. Raises `BadPlan`."""
        with reading(f"the plan of {run_id}"):
            text = self.client.hget(run_key(run_id, "chunks"), chunk_id)
        return None if text is None else read_chunk(run_id, chunk_id, str(text))


def read_chunk(run_id: str, chunk_id: str, text: str) -> PlannedChunk:
    """A chunk as the ledger holds it. Raises `BadPlan`."""
    return parse_chunk(text, chunk_id, where=f"the plan of {run_id}")


def written(plan: Plan) -> tuple[str, dict[str, str]]:
    """A plan as the ledger holds it: its JSON without chunks, and each chunk's, by id."""
    chunks = {chunk.id: chunk.model_dump_json() for chunk in plan.chunks}
    content = plan.model_dump(mode="json", exclude={"chunks"}) | {"chunks": [*chunks]}
    return json.dumps(content), chunks
