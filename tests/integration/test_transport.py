"""Each repair to Celery and kombu: what stock does, and what ours does instead.

Where stock does right by now, its test fails: then the repair can go.
"""

from __future__ import annotations

import base64
import gc
import json
import logging
import os
import textwrap
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import celery.worker.state as worker_state
import pytest
import redis

from planner.settings import Settings
from tests.commands import Done, python
from tests.waiting import until
from worker.ledger.connection import connect
from worker.messages import transport
from worker.messages.lanes import ALL, list_of
from worker.messages.later import deliver, waiting
from worker.messages.mailbox import change_lane, correct_times, steps_with_messages

ROOT = Path(__file__).parents[2]


@pytest.fixture
def broker(redis_settings: Settings, client: redis.Redis) -> Settings:
    """Settings of an empty Redis."""
    return redis_settings


def a_channel_whose_connection_is_gone() -> Any:
    return SimpleNamespace(connection=SimpleNamespace(client=None))


def test_stock_cannot_connect_for_a_collected_channel() -> None:
    with pytest.raises(AttributeError):
        transport._stock_connection_parameters(a_channel_whose_connection_is_gone(), False)


def test_ours_remembers_what_the_channel_connected_with() -> None:
    channel = a_channel_whose_connection_is_gone()
    channel._remembered = {False: {"host": "here"}}

    assert transport._connection_parameters(channel, False) == {"host": "here"}


class Delivered:
    """A channel's deliveries: one message whose task runs, one that was only reserved."""

    def __init__(self) -> None:
        self._delivered = {"running": object(), "reserved": object()}
        self.restored: list[str] = []
        self.channel = SimpleNamespace()

    def restore_by_tag(self, tag: str, client: object = None, leftmost: bool = False) -> None:
        self.restored.append(tag)


class Request:
    """A task that runs."""

    worker_pid = 0

    def __init__(self, message: Any) -> None:
        self.message = message


@pytest.fixture
def a_running_request() -> Iterator[None]:
    request = Request(SimpleNamespace(delivery_tag="running"))
    worker_state.active_requests.add(request)
    yield
    worker_state.active_requests.discard(request)


@pytest.mark.usefixtures("a_running_request")
def test_ours_keeps_what_runs_when_the_connection_is_lost() -> None:
    deliveries = Delivered()

    transport._restore_unacked(deliveries)

    assert deliveries.restored == ["reserved"]


def test_stock_gives_back_what_runs_too(broker: Settings, client: redis.Redis) -> None:
    # Given two delivered messages
    with kombu_connection(broker) as connection:
        queue = connection.SimpleQueue("work")
        for n in range(2):
            queue.put({"n": n})
        messages = [queue.get(timeout=5) for _ in range(2)]
        running = Request(messages[0])
        worker_state.active_requests.add(running)
        assert (client.llen("work"), client.hlen("unacked")) == (0, 2)

        # When stock restores after a lost connection
        transport._stock_restore_unacked(messages[0].channel.qos)

        # Then the running one is back in the queue, to be run a second time
        assert client.llen("work") == 2
        worker_state.active_requests.discard(running)


def kombu_connection(settings: Settings) -> Any:
    from kombu import Connection

    return Connection(
        "redis+socket://" + settings.redis_url.removeprefix("unix://"),
        transport_options={"visibility_timeout": 1, "priority_steps": list(ALL)},
    )


def test_a_held_message_comes_back_unless_its_worker_says_that_it_lives(
    broker: Settings, client: redis.Redis
) -> None:
    # Given a delivered message, older than the visibility timeout
    with kombu_connection(broker) as connection:
        queue = connection.SimpleQueue("work")
        queue.put({"n": 1})
        message = queue.get(timeout=5)
        channel = message.channel
        tag = message.delivery_tag
        client.zadd("unacked_index", {tag: time.time() - 60})

        # When its worker's heartbeat has touched it, nobody gets it again
        consumer = SimpleNamespace(task_consumer=SimpleNamespace(channel=channel))
        transport.VisibilityHeartbeat.touch(SimpleNamespace(), consumer)  # type: ignore[arg-type]
        channel.qos.restore_visible(interval=1)
        assert client.llen("work") == 0

        # Without, stock delivers it again although the worker lives
        client.zadd("unacked_index", {tag: time.time() - 60})
        channel.qos.restore_visible(interval=1)
        assert client.llen("work") == 1


def test_a_message_of_a_process_that_hangs_in_the_kernel_comes_back(
    broker: Settings, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was ended, is still there, and cannot write: its worker lives, and holds two messages."""
    with kombu_connection(broker) as connection:
        queue = connection.SimpleQueue("work")
        requests = set()
        for pid in (1, 2):
            queue.put({"n": pid})
            request = Request(queue.get(timeout=5))
            request.worker_pid = pid
            requests.add(request)
        channel = queue.consumer.channel
        old = time.time() - 60
        client.zadd("unacked_index", {r.message.delivery_tag: old for r in requests})
        monkeypatch.setattr(worker_state, "active_requests", requests)
        monkeypatch.setattr(transport.pulse, "ended", {2})

        consumer = SimpleNamespace(task_consumer=SimpleNamespace(channel=channel))
        transport.VisibilityHeartbeat.touch(SimpleNamespace(), consumer)  # type: ignore[arg-type]
        channel.qos.restore_visible(interval=1)

        assert queue.get(timeout=5).payload == {"n": 2}
        assert client.llen("work") == 0


def test_a_message_that_is_to_come_later_waits_in_redis_by_its_clock(
    broker: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kombu.transport.redis.Channel._put", transport._put)
    client = connect(broker, patient=False)
    with closing(client), kombu_connection(broker) as connection:
        # Given messages for now, for soon, and for much later
        queue = connection.SimpleQueue("work")
        for n, seconds in enumerate((0, 0.2, 3600)):
            queue.put({"n": n}, headers={transport.WAIT: seconds})
        assert (client.llen("work"), client.zcard(waiting("work"))) == (1, 2)

        # When two look for those that are due
        def come() -> bool:
            deliver(client, ["other", "work"])
            deliver(client, ["work"])
            return client.llen("work") == 2

        until(come)

        # Then each has come once, and does not say when any more; the last one waits
        first, second = queue.get(timeout=5), queue.get(timeout=5)
        assert [first.payload, second.payload] == [{"n": 0}, {"n": 1}]
        assert transport.WAIT not in second.headers
        assert client.zcard(waiting("work")) == 1


def test_a_message_is_put_off_as_long_when_it_is_sent_a_second_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given Redis away at the first try
    asked: list[float] = []

    def put_off(client: Any, queue: str, message: str, seconds: float, awaited: object) -> None:
        asked.append(seconds)
        if len(asked) == 1:
            raise redis.ConnectionError

    monkeypatch.setattr(transport, "put_off", put_off)
    channel = SimpleNamespace(conn_or_acquire=lambda: nullcontext())
    message = {"headers": {transport.WAIT: 600}, "body": ""}

    # When kombu sends the same message again
    with pytest.raises(redis.ConnectionError):
        transport._put(channel, "work", message)
    transport._put(channel, "work", message)

    # Then it waits as long
    assert asked == [600, 600]


def test_a_message_delivered_in_the_future_is_delivered_now(broker: Settings) -> None:
    """By a worker whose clock is ahead: should it die, its message would stay with it till then."""
    client = connect(broker, patient=False)
    now, _ = client.time()
    client.zadd("unacked_index", {"ahead": now + 3600, "right": now - 1, "behind": now - 3600})

    correct_times(client)

    scores = client.zrange("unacked_index", 0, -1, withscores=True)
    found = {tag: score - now for tag, score in scores}
    assert 0 <= found["ahead"] < 60
    assert (found["right"], found["behind"]) == (-1, -3600)
    client.close()


def test_a_queued_message_is_found_beside_one_that_is_no_text(broker: Settings) -> None:
    client = connect(broker, patient=False)
    body = base64.b64encode(json.dumps([["run-1", "chunk/a"], {}, {}]).encode()).decode()
    headers = {"task": "backfill.step"}
    ours = json.dumps({"headers": headers, "body": body, "properties": {"priority": 3}})
    client.lpush("facts", b"\xff\xfe", ours, b"\xff")

    assert steps_with_messages(client, ["facts"]) == {"run-1": {"chunk/a"}}
    change_lane(client, "run-1", ["facts"], old=0, new=3)
    assert client.lrange(list_of("facts", 3), 0, -1) == [ours]
    assert client.llen("facts") == 2
    client.close()


def run(code: str, *arguments: str) -> Done:
    """In a process of its own, as Celery's and kombu's classes are changed there."""
    return python(code, *arguments, environment=os.environ, cwd=ROOT, seconds=60)


REVOKE = textwrap.dedent(
    """
    import sys, threading, time
    from celery import Celery, chain, chord, signals
    from celery.contrib.testing.worker import start_worker
    from worker.messages import transport

    url = "redis+socket://" + sys.argv[1]
    app = Celery("revoked", broker=url, backend=url)
    done = threading.Event()

    @app.task(name="link")
    def link():
        pass

    @app.task(name="last", bind=True)
    def last(self):
        done.set()

    if sys.argv[2] == "ours":
        signals.task_revoked.connect(transport.settle_revoked, weak=False)
    first = link.si().set(task_id="first")
    chord([chain(first, link.si())], last.si().on_error(last.si())).apply_async()
    from celery.worker.state import revoked
    revoked.add("first")
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=30):
        print("settled" if done.wait(float(sys.argv[3])) else "hangs", flush=True)
    import os
    os._exit(0)
    """
)


@pytest.mark.parametrize(
    ("whose", "seconds", "outcome"), [("stock", 2, "hangs"), ("ours", 20, "settled")]
)
@pytest.mark.quick(1)
def test_revoking_a_link_settles_its_chord(
    broker: Settings, whose: str, seconds: float, outcome: str
) -> None:
    done = run(REVOKE, str(broker.socket), whose, str(seconds))

    assert done.out.strip() == outcome, done.err


PUBLISH = textwrap.dedent(
    """
    import sys
    from celery import Celery
    from worker.messages import transport

    url = "redis+socket://" + sys.argv[1]
    app = Celery("publisher", broker=url, backend=url)
    if sys.argv[2] == "ours":
        transport.send_only(app)
    result = app.signature("anything").apply_async()
    pubsub = app.backend.result_consumer._pubsub
    print(len(pubsub.channels) if pubsub else 0)
    """
)


@pytest.mark.parametrize(("whose", "subscriptions"), [("stock", "1"), ("ours", "0")])
def test_a_publisher_listens_for_no_results(
    broker: Settings, whose: str, subscriptions: str
) -> None:
    done = run(PUBLISH, str(broker.socket), whose)

    assert done.out.strip() == subscriptions, done.err
    if whose == "ours":
        assert "Traceback" not in done.err


@pytest.fixture(autouse=True)
def _collect() -> Iterator[None]:
    """kombu leaves sockets to the collector, whose warning is an error in any later test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_a_visibility_heartbeat_that_fails_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    heartbeat = transport.VisibilityHeartbeat.__new__(transport.VisibilityHeartbeat)
    heartbeat.fails = False

    for _ in range(3):
        heartbeat.touch(None)

    told = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert ["visibility heartbeat" in each.getMessage() for each in told] == [True]


def test_a_channel_makes_one_client_for_all_that_it_does(broker: Settings) -> None:
    script = """
        import kombu
        from kombu.transport.redis import Channel
        from worker.messages import transport
        connection = kombu.Connection(URL)
        channel = connection.default_channel

        def client():
            with channel.conn_or_acquire() as client:
                assert client.ping()
                return client

        assert client() is not client(), "stock makes it anew"
        Channel._create_client = transport._create_client
        first = client()
        assert client() is first
        channel._disconnect_pools()  # as after a lost connection, and in a forked process
        assert client().connection_pool is channel.pool is not first.connection_pool
        assert client() is not first
    """
    url = broker.redis_url.replace("unix://", "redis+socket://", 1)
    code = f"URL = {url!r}\n{textwrap.dedent(script)}"
    done = run(code)

    assert done.code == 0, done.err
