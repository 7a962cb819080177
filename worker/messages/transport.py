"""Repairs that depend on private parts of Celery 5.7.0 and kombu 5.7.0. Both are pinned.

Two more modules depend on them: `worker.messages.mailbox` reads kombu's private keys, and
`worker.messages.wire` replaces Celery's consumer.

Found by running them (the tests in `tests/integration/test_transport.py` fail when one of
these is no longer needed):

- A worker that runs a task and has a free slot dies when Redis goes away: a collected channel
  is asked for its connection's parameters, and has none any more. → `_connection_parameters`
- A lost connection makes kombu requeue messages whose tasks still run. → `_restore_unacked`
- A message is redelivered after the visibility timeout, although its worker lives.
  → `VisibilityHeartbeat`, which makes a short timeout safe: a dead worker's messages come back
  within a minute, and a six-hour step is never delivered twice. Those of a pool process that hangs
  come back as well (`worker/processes/pulse.py`).
- A sender subscribes to the result of every message that it sends, and prints a traceback at exit.
  → `send_only`
- A delayed message is held by the worker that receives it, behind that worker's running step,
  however idle others are.
  → `_put`, which delays it in Redis (`worker/messages/later.py`)
- A dead worker's message comes back after the visibility timeout, also where its host knows better.
  → `_append`, which lets a delivered message name its worker (`worker/messages/delivered.py`)
- Each operation of a channel makes a client of redis-py, which takes 60 µs, five times a step. It
  holds a pool, and no state of its own. → `_create_client`
- Revoking a link that is not the last of its chain leaves the chord incomplete for ever.
  → `settle_revoked`
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar

import celery.worker.state as worker_state
import kombu.transport.redis as kombu_redis
from celery import bootsteps, signals
from celery.exceptions import TaskRevokedError
from kombu.utils.json import dumps

from worker.ledger.awaited import Awaited
from worker.messages.delivered import HOLDER
from worker.messages.events import EventsTogether
from worker.messages.lanes import followed, list_of
from worker.messages.later import put_off
from worker.processes import pulse
from worker.processes.identity import owner

log = logging.getLogger(__name__)

TOUCH_AT_ONCE = 500  # messages per ZADD
WAIT = "wait_seconds"  # the header with a message's delay
AWAITED = "awaited"  # the header with what its step waits for
PLANNER_TRIES = 3  # to send a message

_withheld: ContextVar[list[tuple[str, dict[str, Any]]] | None] = ContextVar(
    "withheld", default=None
)

_stock_connection_parameters = kombu_redis.Channel._connparams
_stock_restore_unacked = kombu_redis.QoS.restore_unacked
_stock_put = kombu_redis.Channel._put
_stock_append = kombu_redis.QoS.append
_stock_create_client = kombu_redis.Channel._create_client


def install(app: Any, *, visibility_seconds: float) -> None:
    """Repair the transport of this process, and start its visibility heartbeat."""
    kombu_redis.Channel._connparams = _connection_parameters  # type: ignore[method-assign]
    kombu_redis.QoS.restore_unacked = _restore_unacked  # type: ignore[method-assign]
    kombu_redis.Channel._put = _put  # type: ignore[assignment, method-assign]
    kombu_redis.QoS.append = _append  # type: ignore[method-assign]
    kombu_redis.Channel._create_client = _create_client  # type: ignore[method-assign]
    VisibilityHeartbeat.every_seconds = visibility_seconds / 4
    app.steps["consumer"].update((VisibilityHeartbeat, EventsTogether))
    signals.task_revoked.connect(settle_revoked, weak=False)


def _connection_parameters(channel: Any, asynchronous: bool = False) -> dict[str, Any]:
    """A channel's connection parameters, also after its connection was collected: an ack by tag
    still asks for them."""
    remembered: dict[bool, dict[str, Any]] = channel.__dict__.setdefault("_remembered", {})
    if getattr(channel.connection, "client", None) is not None:
        remembered[asynchronous] = dict(_stock_connection_parameters(channel, asynchronous))
    return dict(remembered[asynchronous])


def _create_client(channel: Any, asynchronous: bool = False) -> Any:
    """The client of before, as long as the channel has the same pool."""
    if asynchronous:  # has a connection of its own
        return _stock_create_client(channel, asynchronous)
    client = channel.__dict__.get("_own_client")
    if client is None or client.connection_pool is not channel.pool:
        client = channel.__dict__["_own_client"] = _stock_create_client(channel)
    return client


def _restore_unacked(qos: Any, client: Any = None) -> None:
    """After a lost connection, requeue messages that are only reserved; keep those that run."""
    stopping = (worker_state.should_stop, worker_state.should_terminate)
    if any(flag is not None and flag is not False for flag in stopping):
        _stock_restore_unacked(qos, client)
        return
    running = _running_tags()
    for tag in [tag for tag in list(qos._delivered) if tag not in running]:
        try:
            qos.restore_by_tag(tag)
        except Exception:  # Redis does not answer: the visibility sweep restores it
            log.debug("message %s is left to the visibility sweep", tag)
            break
    qos._delivered.clear()


def _running_tags() -> set[str]:
    return {request.message.delivery_tag for request in tuple(worker_state.active_requests)}


def _hung_tags() -> set[str]:
    """Messages of processes that were ended, and are still there: they hang in the kernel."""
    running = tuple(worker_state.active_requests) if pulse.ended else ()
    return {each.message.delivery_tag for each in running if each.worker_pid in pulse.ended}


class VisibilityHeartbeat(bootsteps.StartStopStep):  # type: ignore[misc]
    """Tells Redis every quarter of the visibility timeout which messages this worker holds."""

    requires: ClassVar[set[str]] = {"celery.worker.consumer.tasks:Tasks"}
    every_seconds = 15.0

    def __init__(self, consumer: Any, **options: Any) -> None:
        self.timer: Any = None
        self.fails = False
        super().__init__(consumer, **options)

    def start(self, consumer: Any) -> None:
        """Begin the heartbeat on the timer of the worker."""
        self.timer = consumer.timer.call_repeatedly(
            self.every_seconds, self.touch, (consumer,), priority=10
        )

    def stop(self, consumer: Any) -> None:
        """End the heartbeat."""
        if self.timer:
            self.timer.cancel()
            self.timer = None

    def touch(self, consumer: Any) -> None:
        """Renew the delivery time of every message that this worker holds."""
        try:
            channel = consumer.task_consumer.channel
            tags = list((set(channel.qos._delivered) | _running_tags()) - _hung_tags())
            with channel.conn_or_acquire() as client:
                now, _ = client.time()  # Redis' clock: this worker's own may be wrong
                for first in range(0, len(tags), TOUCH_AT_ONCE):
                    held = dict.fromkeys(tags[first : first + TOUCH_AT_ONCE], now)
                    client.zadd(channel.unacked_index_key, held, xx=True)
        except Exception as error:  # the next beat is soon, and delivery is at least once
            level = logging.DEBUG if self.fails else logging.WARNING  # said once
            log.log(level, "visibility heartbeat: %r; running steps may be delivered twice", error)
            self.fails = True
        else:
            self.fails = False


def _put(channel: Any, queue: str, message: dict[str, Any], **options: Any) -> None:
    """Send a message, or delay it as its header says, or withhold it; in its run's lane."""
    if (lane := followed()) is not None:
        message = {**message, "properties": {**message["properties"], "priority": lane}}
    withheld = _withheld.get()
    if withheld is not None:
        withheld.append((queue, message))
        return
    # A copy: kombu resends the same headers when Redis did not answer.
    headers = dict(message["headers"])
    seconds, awaited = headers.pop(WAIT, None), headers.pop(AWAITED, None)
    message = {**message, "headers": headers}
    if not seconds:
        _stock_put(channel, queue, message, **options)
        return
    with channel.conn_or_acquire() as client:
        into = list_of(queue, message.get("properties", {}).get("priority") or 0)
        put_off(client, into, dumps(message), seconds, awaited and Awaited(**awaited))


@contextmanager
def withholding() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Messages that the block sends are not sent: their queues, and what they are."""
    kept: list[tuple[str, dict[str, Any]]] = []
    token = _withheld.set(kept)
    try:
        yield kept
    finally:
        _withheld.reset(token)


def _append(qos: Any, message: Any, delivery_tag: str) -> None:
    """Note a delivered message, with the process that holds it."""
    message._raw["properties"][HOLDER] = owner()
    _stock_append(qos, message, delivery_tag)


def settle_revoked(sender: Any, request: Any, **ignored: Any) -> None:
    """Fail the rest of a revoked task's chain, so that its chord can complete."""
    context = getattr(request, "_context", request)
    sender.backend._fail_chain(getattr(context, "chain", None), TaskRevokedError("revoked"), None)


def send_only(app: Any) -> None:
    """Make a planner's app send without subscribing to results: it reads the ledger instead.

    Flower shows what it sends once a worker has received it.

    A user waits for it, so a dead Redis is an error within seconds.
    """
    policy = {**app.conf.task_publish_retry_policy, "max_retries": PLANNER_TRIES}
    app.conf.task_publish_retry_policy = policy
    app.conf.task_send_sent_event = False
    app.backend.on_task_call = lambda producer, task_id: None
    app.backend.result_consumer.consume_from = lambda task_id: None
    app.backend.result_consumer.cancel_for = lambda task_id: None
