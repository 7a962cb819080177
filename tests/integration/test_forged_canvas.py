"""Messages that ask Celery for more than a step: callbacks, chords and chains of a stranger's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kombu
import pytest

from planner.plan.states import RunState
from tests.integration.tiny import Tiny
from tests.waiting import until
from worker.messages import wire

OWN = ("backfill.step", "backfill.finalize")
BUILT_IN = [
    *("celery.backend_cleanup", "celery.chord_unlock", "celery.accumulate", "celery.map"),
    *("celery.starmap", "celery.chunks", "celery.group", "celery.chain", "celery.chord"),
]


def signature(task: str, *args: object, **options: object) -> dict[str, Any]:
    return {
        "task": task,
        "args": list(args),
        "kwargs": {},
        "options": {"queue": "a", **options},
        "subtask_type": None,
        "immutable": True,
    }


@pytest.mark.parametrize("task", [*BUILT_IN, "os.system", "backfill.stepp", "", None, 1, ["x"]])
def test_a_task_that_is_none_of_ours_is_thrown_away(task: object) -> None:
    with pytest.raises(wire.SENSELESS):
        wire._check({"task": task, "id": "1"})


@pytest.mark.parametrize("task", OWN)
def test_ours_are_taken(task: str) -> None:
    wire._check({"task": task, "id": "1", "timelimit": [None, None], "retries": 0})


def test_forged_callbacks_chords_and_chains_run_nothing_and_end_no_worker(
    tiny: Tiny, tmp_path: Path
) -> None:
    harm, restarts, client = tmp_path / "harm", tiny.worker.restarts, tiny.client
    touch = f"touch {harm}"
    asked = [
        signature("os.system", touch),
        signature("celery.map", {"task": "os.system"}, [touch]),
        signature("celery.chord", [signature("os.system", touch)], signature("os.system", touch)),
        signature("backfill.step", "../x", "y", serializer="pickle"),
        signature("backfill.step", "run-x", "y", exchange="x", routing_key="elsewhere"),
    ]
    with kombu.Connection(tiny.settings.redis_url) as connection:
        producer = connection.Producer()
        for one in asked:
            for embed in (
                {"callbacks": [one]},
                {"errbacks": [one]},
                {"chain": [one]},
                {"chord": one},
                {"callbacks": [one], "errbacks": [one], "chain": [one], "chord": one},
            ):
                headers = {"task": "backfill.step", "id": "1", "lang": "py", "group": "g"}
                body = [["run-x", "step-x"], {}, embed]
                producer.publish(body, routing_key="a", headers=headers)
        for task in BUILT_IN:
            headers = {"task": task, "id": "1", "lang": "py"}
            producer.publish([["g", asked[0]], {}, {}], routing_key="a", headers=headers)

    assert tiny.ended(tiny.enqueue(tiny.days(1))).state is RunState.COMPLETE
    until(lambda: not client.llen("a"))
    assert tiny.worker.restarts == restarts
    assert not harm.exists()
    assert not client.exists("elsewhere")
