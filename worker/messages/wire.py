"""Malformed messages (poison messages) are dropped, and the worker goes on.

Stock Celery 5.7.0 refuses pickles by itself. JSON that is no task ends the worker that reads it, is
redelivered, and ends the next one (a test in `tests/integration/test_redis_access.py` shows it).
Nor does it survive headers that it acts on before any task runs, such as time limits in words, what
is no message among those that were delivered, or a queue's key of another type. Depends on private
parts, as `worker.messages.transport` does.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

import kombu.transport.redis as kombu_redis
import redis
from celery.worker.consumer import Consumer as StockConsumer

from worker.ledger.connection import is_wrong_type
from worker.messages import lanes
from worker.messages.aside import put_aside

log = logging.getLogger(__name__)

SENSELESS = (TypeError, ValueError, LookupError, AttributeError, RecursionError)
"""What reading a malformed message raises. Errors of the connection are none of these. Should a
valid message be dropped, the reconciler resends it."""

_stock_read = kombu_redis.Channel._brpop_read
_stock_restore = kombu_redis.QoS.restore_by_tag
KEEPS_DELIVERED = ("append", "ack", "reject", "restore_visible", "restore_by_tag")
"""What kombu does with its keys for delivered messages."""

OWN_TASKS = ("backfill.step", "backfill.finalize")
"""The tasks that messages may name. Celery has some of its own, such as `celery.map`, which this
program never sends."""
NEVER_SENT = ("timelimit", "eta", "expires")
"""Headers that Celery acts on before a task runs. Our messages have none of them: a step's
time-out is in the pipeline file, and delays are Redis'."""


class Consumer(StockConsumer):  # type: ignore[misc]
    """Celery's consumer; named in the app's setting `worker_consumer`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        kombu_redis.Channel._brpop_read = _read  # type: ignore[method-assign, assignment]
        kombu_redis.QoS.restore_by_tag = _restore  # type: ignore[method-assign]
        for name in KEEPS_DELIVERED:
            setattr(kombu_redis.QoS, name, _with_own_keys(getattr(kombu_redis.QoS, name)))
        super().__init__(*args, **options)

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], None]:
        """The stock handler of deliveries, without malformed ones."""
        stock = super().create_task_handler(*args, **options)

        def handle(message: Any) -> None:
            queue = (message.delivery_info or {}).get("routing_key", "")
            lanes.turns.took(queue, (message.properties or {}).get("priority") or 0)
            try:
                _check(message.headers)
                stock(message)
            except SENSELESS as error:
                log.error("dropped a message that is no task of this program: %r", error)
                message.reject_log_error(log, self.connection_errors)

        return handle


def _check(headers: Any) -> None:
    """Raises `ValueError` for a message that Celery should not act on."""
    if headers.get("task") not in OWN_TASKS:
        raise ValueError(f"it asks for {headers.get('task')!r:.100}")
    for name in NEVER_SENT:
        value = headers.get(name)
        if value is not None and value not in ([None, None], (None, None)):
            raise ValueError(f"its header {name} is {value!r:.100}")
    if headers.get("retries") is not None and not isinstance(headers["retries"], int):
        raise ValueError("its header retries is no number")


def _read(channel: Any, **options: Any) -> bool | None:
    """Take an item from a queue, which may be no message at all."""
    try:
        found: bool | None = _stock_read(channel, **options)
    except redis.ResponseError as error:
        if not is_wrong_type(error):
            raise
        with channel.conn_or_acquire() as client:
            if not put_aside(client, lanes.lists_of(channel.active_queues)):
                raise  # it would be read again without end
        return True
    except SENSELESS as error:
        log.error("dropped an item that is no message: %r", error)
        return True
    return found


def _restore(qos: Any, tag: Any, client: Any = None, leftmost: bool = False) -> None:
    """Requeue a delivered message, which may be none: then it is dropped, and said once."""
    try:
        _stock_restore(qos, tag, client, leftmost)
    except SENSELESS as error:
        log.error("dropped a delivered item that is no message: %r", error)
        with qos.channel.conn_or_acquire(client) as connection:
            connection.hdel(qos.unacked_key, tag)
            connection.zrem(qos.unacked_index_key, tag)


def _with_own_keys(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Put a key of another type aside, and go on: the error would end the worker."""
    if hasattr(stock, "__wrapped__"):  # a consumer is made anew for each connection
        return stock

    @functools.wraps(stock)
    def kept(qos: Any, *args: Any, **options: Any) -> Any:
        try:
            return stock(qos, *args, **options)
        except redis.ResponseError as error:
            if not is_wrong_type(error):
                raise
            with qos.channel.conn_or_acquire() as client:
                if not put_aside(client, ()):
                    raise
        return stock(qos, *args, **options)

    return kept
