"""What a range of a step is made by, noted before it runs: its code may change while it does."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from planner.pipeline.phase import Phase
from worker.context import Context
from worker.runners.code import code_of
from worker.runners.environment import Unset, expand
from worker.runners.fingerprint import fingerprint

log = logging.getLogger(__name__)


def note_code(
    context: Context, run_id: str, phase: Phase, number: int, values: Mapping[str, str]
) -> str:
    """Note which code a range is run by, and say it when it is other code than before.

    Returns the fingerprint of what makes its rows, JSON.
    """
    folder = phase.runners[number].folder
    try:
        here = Path(expand(folder)).expanduser() if folder else None
    except Unset:
        here = None  # the runner says so
    if here is not None:
        code = code_of(here)
        before = context.ledger.note_code(run_id, code)
        if before is not None:
            log.warning("%s: the code in %s is %s now, and was %s", run_id, here, code, before)
    return fingerprint(phase, number, context.pipeline_dir, values).model_dump_json()
