"""Delivered messages say which worker holds them, so that those of one that died come back at once.

kombu knows only when a message was delivered, and gives it back after the visibility timeout. Its
own records are read and written here, as `worker.messages.mailbox` reads them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import redis

from worker.ledger.connection import script
from worker.messages.lanes import list_of
from worker.messages.mailbox import AT_ONCE, UNACKED, UNACKED_INDEX
from worker.processes.identity import is_dead

log = logging.getLogger(__name__)

HOLDER = "holder"
"""The property of a delivered message that names its worker's main process."""


def restore_held(client: redis.Redis) -> int:
    """Put the messages of workers that died on this host back, ahead of others; how many.

    Safe from any number of processes at once, and beside kombu, which restores each message in one
    transaction as well: it is moved, never copied.
    """
    move = script(client, "restore")
    restored = 0
    for tag, queue, message in _of_the_dead(client):
        restored += move(keys=[UNACKED, UNACKED_INDEX, queue], args=[tag, message])
    if restored:
        log.warning("put %d messages of workers that died back into their queues", restored)
    return restored


def _of_the_dead(client: redis.Redis) -> Iterator[tuple[str, str, str]]:
    """Delivery tag, list and message, of what no worker holds any more."""
    for tag, delivered in client.hscan_iter(UNACKED, count=AT_ONCE):
        try:
            message, _, queue = json.loads(str(delivered))
            properties = message["properties"]
            if not is_dead(properties.pop(HOLDER)):
                continue
            _mark_redelivered(message)
        except (ValueError, LookupError, TypeError, AttributeError):
            continue  # no message, or one that an earlier version holds
        if isinstance(queue, str) and queue:
            lane = properties.get("priority")
            into = list_of(queue, lane if isinstance(lane, int) else 0)
            yield str(tag), into, json.dumps(message)


def _mark_redelivered(message: dict[str, Any]) -> None:
    """As kombu marks what it restores."""
    message["headers"]["redelivered"] = True
    message["properties"]["delivery_info"]["redelivered"] = True
