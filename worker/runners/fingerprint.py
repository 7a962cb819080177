"""The fingerprint of a runner: what makes a phase's rows, as it is on this machine now.

Files are compared by content, so that a commit which changes nothing in the working folder makes
no date outdated, and neither does the commit of what was run before it was committed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from planner.pipeline.phase import Phase
from planner.pipeline.runners import RunnerSpec
from planner.pipeline.statements import read_statement
from planner.plan.made import NO_CODE, Fingerprint
from sql.errors import WarehouseRefused
from worker.runners.code import files_of, mark_of
from worker.runners.environment import Unset, expand

HASH_CHARS = 16  # 64 bits: no two of a phase's few fingerprints share one by chance


def fingerprint(
    phase: Phase, number: int, beside: Path, values: Mapping[str, str] | None = None
) -> Fingerprint:
    """The fingerprint of a phase's runner `number`, from 0. `values` are those that a run set."""
    spec = phase.runners[number]
    content: dict[str, Any] = dict(spec.recipe)
    chosen = spec.chosen(values or {})
    if chosen:
        content["values"] = chosen
    return Fingerprint(
        version=phase.version or "",
        runner=_hash(json.dumps(content, sort_keys=True)),
        statements=_statements(spec, beside),
        code=_code(spec),
    )


def _statements(spec: RunnerSpec, beside: Path) -> str:
    """The hash of its statements' texts; empty without any."""
    texts = []
    for name in spec.statement_names:
        try:
            texts.append(_normal(read_statement(name, beside)))
        except (OSError, ValueError, WarehouseRefused):
            texts.append(f"{name} cannot be read")  # the runner says so
    return _hash("\n;\n".join(texts)) if texts else ""


def _normal(text: str) -> str:
    """A statement without comments and space, neither of which changes a row."""
    import sqlglot  # costs 113 ms
    from sqlglot.errors import SqlglotError

    try:
        tokens = sqlglot.tokenize(text, read="bigquery")
    except SqlglotError:
        return text
    return "\n".join(f"{token.token_type.name} {token.text}" for token in tokens)


def _code(spec: RunnerSpec) -> str:
    """The mark of its files; empty where it cannot be read, or no file of it is known."""
    if not spec.runs_code:
        return NO_CODE
    if not spec.program:
        return ""  # code of others: only a declared version tells it apart
    try:
        folder = Path(expand(spec.folder)).expanduser() if spec.folder else None
        named = [Path(expand(word)).expanduser() for word in spec.program]
    except Unset:
        return ""
    if folder is not None:
        named = [folder / word for word in named]
        return mark_of(folder, [path for path in named if _is_outside(path, folder)])
    return files_of(named)


def _is_outside(path: Path, folder: Path) -> bool:
    return not path.resolve().is_relative_to(folder.resolve())


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_CHARS]
