"""Reads plans: files of people, and JSON of the ledger, neither of which is believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from planner.errors import BadPlan
from planner.files import MB, read_capped
from planner.pipeline.days import DAYS_MAX
from planner.pipeline.model import in_words
from planner.plan.chunks import chunk_id
from planner.plan.plan import FORMAT, Plan, PlannedChunk

FILE_BYTES = 256 * MB  # four seasons date by date are 4 MB


def read_plan(path: Path) -> Plan:
    """Read a plan file. Raises `BadPlan` when it is not one, or was edited."""
    try:
        content = json.loads(read_capped(path, FILE_BYTES).decode("utf-8"))
    except OSError as error:
        raise BadPlan(
            f"{path} cannot be read: {error.strerror}. Make one with `planner plan --out FILE`."
        ) from None
    except (ValueError, RecursionError):
        raise BadPlan(f"{path} is not JSON: make one with `planner plan --out FILE`.") from None
    return parse_plan(content, where=str(path))


def parse_plan(content: Any, *, where: str) -> Plan:
    """Validate a plan's JSON. Raises `BadPlan`."""
    if isinstance(content, dict):
        content = {key: value for key, value in content.items() if key != "steps_total"}
    try:
        plan = Plan.model_validate_json(json.dumps(content))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        what = f"{place}: {in_words(first)}" if place else in_words(first)
        raise BadPlan(f"{where} is not a plan: {what}.") from None
    except RecursionError:
        raise BadPlan(f"{where} is not a plan: it is nested too deeply.") from None
    if plan.format != FORMAT:
        raise BadPlan(f"{where} has format {plan.format}; this version reads format {FORMAT}.")
    if plan.checksum != plan.digest():
        raise BadPlan(f"{where} was edited: its checksum does not match. Make a new plan.")
    for chunk in plan.chunks:
        _check(chunk, where=where)
    if (plan.reach.end - plan.reach.start).days >= DAYS_MAX:
        raise BadPlan(f"{where} is not a plan: it reaches over more than {DAYS_MAX:,} days.")
    dates = [day for chunk in plan.chunks for day in chunk.dates]
    if len(set(dates)) < len(dates):
        raise BadPlan(f"{where} is not a plan: two chunks share a date. Make a new one.")
    return plan


def parse_chunk(text: str, chunk_id: str, *, where: str) -> PlannedChunk:
    """Validate the JSON of one chunk of a plan. Raises `BadPlan`."""
    try:
        chunk = PlannedChunk.model_validate_json(text)
    except ValidationError:
        raise BadPlan(f"{where} is not a plan: chunk {chunk_id!r} cannot be read.") from None
    if chunk.id != chunk_id:
        raise BadPlan(f"{where} is not a plan: chunk {chunk_id!r} is {chunk.id!r}.")
    _check(chunk, where=where)
    return chunk


def _check(chunk: PlannedChunk, *, where: str) -> None:
    wrong = _config_mismatch(chunk)
    if wrong is not None:
        raise BadPlan(f"{where} is not a plan: chunk {chunk.id!r}: {wrong}. Make a new one.")


def _config_mismatch(chunk: PlannedChunk) -> str | None:
    """What cannot be in a chunk of ours; None when all fits.

    Its id names files, and its dates are what leases are taken for; and a checksum is no
    signature, so a plan that was made by hand may have one.
    """
    if list(chunk.dates) != sorted(set(chunk.dates)) or chunk.id != chunk_id(chunk.dates):
        return "its id and its dates do not fit"
    if len({step.phase for step in chunk.steps}) < len(chunk.steps):
        return "it has a phase twice"
    ends = (chunk.dates[0], chunk.dates[-1])
    for step in chunk.steps:
        if step.dates != chunk.dates or (step.start, step.end) != ends:
            return f"the dates of {step.phase} are not its own"
    return None
