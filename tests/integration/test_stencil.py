"""Messages in bulk are those that Celery would have sent, but for their ids."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import redis

from planner.sandbox.workers import environment_of
from planner.settings import Settings
from tests.bench.worlds import PHASES, RUN, Sized, round_trips
from worker.messages.stencil import AT_ONCE, push

CHUNKS = 3
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

SEND = f"""
from celery import chain, chord
from planner.settings import load_settings
from worker import canvas
from worker.app import app
from worker.messages.transport import send_only
from worker.context import Context

context = Context(load_settings(), patient=False)
plan, pipeline, run = context.plan("{RUN}"), context.pipeline, "{RUN}"
# Some of the second chunk's steps, and the last of the third's: shapes of their own
wanted = [canvas.ids_of(plan.chunks[0]), canvas.ids_of(plan.chunks[1])[:2],
          canvas.ids_of(plan.chunks[2])[-1:]]
send_only(app)
if "{{who}}" == "ours":
    canvas.send(context.redis, run, plan, pipeline, {{{{each for ids in wanted for each in ids}}}})
else:
    header = [chain(*(canvas.step_message(run, each, pipeline) for each in ids)) for ids in wanted]
    final = canvas.final_message(run)
    chord(header, final.on_error(canvas.final_message(run))).apply_async()
"""


def sent(sized: Sized, client: redis.Redis, who: str) -> tuple[list[Any], dict[str, int]]:
    """What stands in the queues, ids as numbers in their order; and the sizes of chords."""
    environment = {**os.environ, **environment_of(sized.context.settings)}
    subprocess.run([sys.executable, "-c", SEND.format(who=who)], env=environment, check=True)
    found, ids = [], set()
    for queue in PHASES:
        for raw in client.lrange(queue, 0, -1):
            message = json.loads(raw)
            ids.add(message["headers"]["id"])
            message["body"] = json.loads(base64.b64decode(message["body"]))
            message["headers"]["origin"] = ""
            numbers: dict[str, str] = {}
            found.append(
                json.loads(
                    UUID.sub(
                        lambda each, seen=numbers: seen.setdefault(each[0], f"id {len(seen)}"),
                        json.dumps(message),
                    )
                )
            )
            client.delete(queue)
    sizes = {key[-2:]: int(client.get(key)) for key in client.scan_iter("celery-taskset-meta-*")}
    client.delete(*client.scan_iter("celery-taskset-meta-*"))
    assert len(ids) == len(found)
    return found, sizes


def test_messages_in_bulk_are_those_that_celery_sends(
    tmp_path: Path, client: redis.Redis, redis_settings: Settings
) -> None:
    sized = Sized(place=tmp_path, broker_url=redis_settings.redis_url, chunks=CHUNKS)
    sized.register()

    ours, theirs = (sent(sized, client, who) for who in ("ours", "celery"))

    assert len(ours[0]) == CHUNKS
    assert ours == theirs
    assert ours[1] == {".s": CHUNKS}


def test_messages_are_sent_many_at_once(client: redis.Redis) -> None:
    with round_trips() as trips:
        push(client, (("work", str(n)) for n in range(AT_ONCE + 1)))
    assert len(trips) <= 2 + 1  # the last connects
    assert client.lrange("work", -2, -1) == ["1", "0"]
