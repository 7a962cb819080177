"""Malformed messages (poison messages) are dropped, and the worker goes on.

Stock Celery 5.7.0 refuses pickles by itself. JSON that is no task ends the worker that reads it, is
redelivered, and ends the next one (a test in `tests/integration/test_redis_access.py` shows it).
Depends on private parts, as `worker.messages.transport` does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import kombu.transport.redis as kombu_redis
from celery.worker.consumer import Consumer as StockConsumer

log = logging.getLogger(__name__)

SENSELESS = (TypeError, ValueError, LookupError, AttributeError, RecursionError)
"""What reading a malformed message raises. Errors of the connection are none of these. Should a
valid message be dropped, the reconciler resends it."""

_stock_read = kombu_redis.Channel._brpop_read


class Consumer(StockConsumer):  # type: ignore[misc]
    """Celery's consumer; named in the app's setting `worker_consumer`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        kombu_redis.Channel._brpop_read = _read  # type: ignore[method-assign, assignment]
        super().__init__(*args, **options)

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], None]:
        """The stock handler of deliveries, without malformed ones."""
        stock = super().create_task_handler(*args, **options)

        def handle(message: Any) -> None:
            try:
                stock(message)
            except SENSELESS as error:
                log.error("dropped a message that is no task of this program: %r", error)
                message.reject_log_error(log, self.connection_errors)

        return handle


def _read(channel: Any, **options: Any) -> bool | None:
    """Take an item from a queue, which may be no message at all."""
    try:
        found: bool | None = _stock_read(channel, **options)
    except SENSELESS as error:
        log.error("dropped an item that is no message: %r", error)
        return True
    return found
