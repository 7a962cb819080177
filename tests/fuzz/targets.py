"""What is fuzzed: each target draws hostile input, and raises for what must not happen.

The damage is that of `tests/unit/test_fuzz.py`, which tries a little of it in every run of the
tests.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import httpx
from hypothesis import strategies as st

from planner.errors import BadPipeline, BadPlan, BadRecord
from planner.pipeline.load import load_pipeline
from planner.plan.parse import parse_plan, read_plan
from planner.plan.states import StepState
from tests.unit import examples as eg
from tests.unit.test_fuzz import CONTENTS, FILES, JSON_PARTS, damaged, spoiled
from tests.unit.test_plan import planned
from worker.ledger.record import reading, run_record, step_record
from worker.messages import mailbox, wire
from worker.processes.forms import forms_of, seen
from worker.processes.secrets import redacted
from worker.runners.answers import content, status_of, text_of
from worker.runners.output import LINE_CHARS, captured


def pipeline_file(data: st.DataObject) -> None:
    """A file that ships with bytes spoiled, or with values exchanged."""
    name = data.draw(st.sampled_from(sorted(FILES)))
    with TemporaryDirectory() as place:
        path = Path(place) / "hostile.toml"
        if data.draw(st.booleans()):
            path.write_bytes(data.draw(spoiled(FILES[name])))
            _read(path)
        else:
            found = data.draw(damaged(CONTENTS[name]))
            path.write_text("")
            with patch("planner.pipeline.load.tomllib.loads", lambda text: found):
                _read(path)


def _read(path: Path) -> None:
    try:
        assert load_pipeline(str(path)).checksum
    except BadPipeline:
        return  # in words: every error of ours has some


def _plan() -> Any:
    of = eg.rolling(3)
    cover = eg.covered(of, eg.days(0, 30))
    eg.empty(cover, "clean", eg.day(2), eg.day(10))
    return planned(of, cover, eg.window(4, 10))


PLAN = _plan()


def plan_file(data: st.DataObject) -> None:
    """A plan with bytes or values changed: the same, or refused."""
    try:
        if data.draw(st.booleans()):
            found = parse_plan(data.draw(damaged(PLAN.as_json(), JSON_PARTS)), where="plan.json")
        else:
            with TemporaryDirectory() as place:
                path = Path(place) / "plan.json"
                path.write_bytes(data.draw(spoiled(json.dumps(PLAN.as_json()).encode())))
                found = read_plan(path)
    except BadPlan:
        return
    assert found == PLAN


MESSAGE = {
    "body": base64.b64encode(b'[["run-x", "chunk/step"], {}, {"chain": null}]').decode(),
    "content-encoding": "utf-8",
    "content-type": "application/json",
    "headers": {
        "task": "backfill.step",
        "id": "1",
        "timelimit": [None, None],
        "eta": None,
        "expires": None,
        "retries": 0,
        "argsrepr": "()",
    },
    "properties": {"delivery_tag": "1", "priority": 0, "delivery_info": {"routing_key": "a"}},
}


def message(data: st.DataObject) -> None:
    """A message of ours damaged: it is read, or is one that the consumer drops."""
    found = data.draw(damaged(MESSAGE, JSON_PARTS))
    try:
        raw = json.dumps(found)
    except (TypeError, ValueError):
        return  # JSON cannot hold it, so no message can
    mailbox._whose(raw)
    mailbox._whose(data.draw(st.text(max_size=50) | st.just(f"[{raw}, 1]")))
    headers = found.get("headers") if isinstance(found, dict) else None
    try:
        wire._check(headers)
    except wire.SENSELESS:
        return
    assert isinstance(headers, dict)
    assert all(headers.get(name) in (None, [None, None]) for name in wire.NEVER_SENT)


RUN = {
    "state": "running",
    "pipeline": "shop",
    "pipeline_checksum": "x",
    "plan_id": "plan-1",
    "warehouse": "local:x",
    "scope_start": "2024-01-01",
    "scope_end": "2024-01-31",
    "created": "1704067200.5",
    "deadline": "",
    "validation": '{"passed": true, "checked": 1, "short": 0, "remaining": 0}',
    "publication": "",
    "endings": "1",
}
STEP = {
    "attempt": "1",
    "failures": "0",
    "started": "1704067200.5",
    "error": "",
    "tried": '{"2024-01-01": "x"}',
    "waits": "3",
    "worked": "1.5",
    "again": "1704067200",
}


def record(data: st.DataObject) -> None:
    """What Redis holds of a run or a step, damaged: read, or named in words."""
    of = data.draw(st.sampled_from([RUN, STEP]))
    hashed = {
        str(key)[:50]: value if isinstance(value, str) else json.dumps(value, default=str)
        for key, value in data.draw(damaged(of, JSON_PARTS)).items()
    }
    try:
        with reading("run-x"):
            if of is RUN:
                assert run_record("run-x", hashed).id == "run-x"
            else:
                assert step_record("x", StepState.RUNNING, hashed).retry_text is not None
    except BadRecord:
        return


ANSWER = {
    "status": "running",
    "batch_id": "b-1",
    "progress": {"completed": 1, "failed": 0, "is_complete": False, "completed_players": 3},
    "is_stalled": False,
    "message": "so far",
    "summary": {"a": [1, 2]},
}


def answer(data: st.DataObject) -> None:
    """What a service answers: a status, or an error of its own; all text of it is short."""
    if data.draw(st.booleans()):
        body = data.draw(spoiled(json.dumps(ANSWER).encode()))
    else:
        try:
            body = json.dumps(data.draw(damaged(ANSWER, JSON_PARTS))).encode()
        except (TypeError, ValueError):
            return
    code = data.draw(st.sampled_from([200, 200, 200, 202, 204, 302, 404, 409, 413, 500, 599]))
    response = httpx.Response(code, content=body, request=httpx.Request("GET", "http://x/"))
    assert len(text_of(content(response))) <= 500
    try:
        status = status_of(response)
    except httpx.HTTPStatusError:
        return
    assert len(status.text) <= 500
    assert status.batch_id is None or status.batch_id.isprintable()


SECRET = "hunter-ZWVp4/+x=&'\"\\9"
FORMS = forms_of([SECRET])


def stream(data: st.DataObject) -> None:
    """What a script prints, in any blocks, with a secret in any form: it is nowhere."""
    parts = st.one_of(
        st.binary(max_size=60),
        st.sampled_from(FORMS).map(str.encode),
        st.sampled_from([b"\x1b[31m", b"\x1b[", b"\x1b]0;", b"\r", b"\n", b"\xff", b"413 "]),
        st.integers(1, 3 * LINE_CHARS).map(lambda n: b"." * n),
    )
    whole = b"".join(data.draw(st.lists(parts, max_size=12)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    with TemporaryDirectory() as place:
        log = Path(place) / "log"
        with captured(log=log, hidden=FORMS) as made:
            for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
                if begin < end:
                    os.write(made.pipe, whole[begin:end])
        kept = log.read_text("utf-8") if log.exists() else ""
    told = redacted(whole.decode("utf-8", "replace"), {"MY_TOKEN": SECRET})
    for text in (kept, made.tail, told):
        clear = seen(text)
        assert not [form for form in FORMS if form in text or form in clear]


TARGETS: dict[str, Callable[[st.DataObject], None]] = {
    "pipeline file": pipeline_file,
    "plan file": plan_file,
    "message": message,
    "record in Redis": record,
    "answer of a service": answer,
    "output of a script": stream,
}
