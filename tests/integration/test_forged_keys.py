"""Any key of ours in Redis, of another type or full of junk: every command tells it in words."""

from __future__ import annotations

import pytest
import redis

from planner.errors import Exit
from tests.integration.bad import Run, Told
from tests.integration.mart import DAYS, RUN, Mart
from tests.integration.test_restore import TWICE, redo, run
from worker.ledger.healing import Healing
from worker.ledger.slots import Member, sign_on
from worker.run.restore import restore

COMMANDS = [
    *(["runs"], ["runs", "--json"], ["status", RUN], ["log", RUN], ["logs", RUN], ["report", RUN]),
    *(["explain", "daily", str(DAYS[1])], ["heal", "--dry-run"], ["diff", RUN], ["gaps"]),
    *(["plan"], ["retry", RUN], ["restore", RUN, "--yes"], ["metrics", "--once"]),
]


@pytest.fixture
def full(mart: Mart) -> Mart:
    """Everything that the ledger holds is there."""
    mart.says("daily", TWICE)
    assert run(mart, redo(mart, "daily")).state == "complete"
    restore(mart.context, RUN)
    healing = Healing(mart.context.redis, mart.context.realm)
    healing.took([("daily", DAYS[1])])
    healing.note_told([("daily", DAYS[1])])
    healing.spend(DAYS[1], 1)
    has = Member(host="h", files=(), made=(), warehouse="x", warehouse_id="y", queues=())
    sign_on(mart.context.redis, "worker-1@h", 1, seconds=600, has=has)
    return mart


def damage(client: redis.Redis, key: str, junk: bytes | None) -> None:
    """Of another type without junk; else each value, field or member is that."""
    kind = str(client.type(key))
    if junk is None:
        client.delete(key)
        client.rpush(key, "x") if kind == "string" else client.set(key, "x")
    elif kind == "string":
        client.set(key, junk)
    elif kind == "zset":
        client.zadd(key, {junk: 4e9})
    elif kind == "set":
        client.sadd(key, junk)
    else:
        for field in client.hkeys(key):
            client.hset(key, str(field), junk)
        client.hset(key, junk, junk)


FOUND = [
    ("backfill:billed", ["metrics", "--once"]),
    (f"backfill:run:{RUN}:dates", ["explain", "daily", str(DAYS[1])]),
    (f"backfill:run:{RUN}:report", ["retry", RUN]),
    ("backfill:slots", ["plan"]),
]
"""What ended in a traceback."""


def in_words(found: Told) -> bool:
    return found.code != Exit.MISTAKE and "Traceback" not in found.err


def test_what_ended_in_a_traceback_is_told_in_words(full: Mart, told: Run) -> None:
    client = full.ledger.client
    for key, words in FOUND:
        before = client.dump(key)
        for junk in (b"[", b"\xff\xfe"):
            if before is not None:
                client.restore(key, 0, before, replace=True)
            damage(client, key, junk)
            found = told(*words)
            assert in_words(found), (key, words, found)
        client.delete(key)
        if before is not None:
            client.restore(key, 0, before, replace=True)


@pytest.mark.slow
@pytest.mark.parametrize("junk", [None, b"["], ids=["another type", "junk"])
def test_every_key_and_every_command(full: Mart, told: Run, junk: bytes | None) -> None:
    client = full.ledger.client
    bad = []
    for key in sorted(str(key) for key in client.scan_iter("backfill:*")):
        before = client.dump(key)
        for words in COMMANDS if before is not None else ():
            client.restore(key, 0, before, replace=True)
            damage(client, key, junk)
            found = told(*words)
            if not in_words(found):
                bad.append((key, words, found.err[-300:]))
        if before is not None:
            client.restore(key, 0, before, replace=True)

    assert bad == []
