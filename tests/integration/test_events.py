"""Events of tasks: many in one message, and none lost."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from celery import Celery
from kombu.asynchronous import Hub
from kombu.exceptions import OperationalError

from planner.settings import Settings
from tests.waiting import until
from worker.ledger.connection import connect
from worker.messages.events import EventsTogether
from worker.processes.embedded_redis import embedded_broker


class Worker:
    """What a worker's consumer has of events, and what was published of them."""

    def __init__(self, settings: Settings) -> None:
        broker = settings.redis_url.replace("unix://", "redis+socket://", 1)
        self.app = Celery("watched", broker=broker)
        self.consumer = SimpleNamespace(hub=Hub(), event_dispatcher=None)
        self.turns = self.consumer.hub.create_loop()
        self.step = EventsTogether(self.consumer)
        self.client = connect(settings, patient=False)
        self.published = self.client.pubsub(ignore_subscribe_messages=True)
        self.published.psubscribe("*")
        self.messages: list[list[str]] = []

    def start(self) -> None:
        """Begin, or begin anew after a lost connection, as Celery's own step does before ours."""
        before = self.consumer.event_dispatcher
        self.consumer.event_dispatcher = self.app.events.Dispatcher(
            self.app.connection(), buffer_group=["task"], on_send_buffered=lambda: None
        )
        if before is not None:
            self.consumer.event_dispatcher.extend_buffer(before)
            self.consumer.event_dispatcher.flush()
        self.step.start(self.consumer)

    def tell(self, *uuids: str) -> None:
        """Something happens to tasks."""
        for uuid in uuids:
            self.consumer.event_dispatcher.send("task-received", uuid=uuid)

    def seen(self) -> list[list[str]]:
        """Per message so far, the tasks that it tells of."""
        while (message := self.published.get_message()) is not None:
            body = base64.b64decode(json.loads(message["data"])["body"])
            self.messages.append([each["uuid"] for each in json.loads(body)])
        return self.messages

    def turn(self) -> list[list[str]]:
        """One turn of the loop; what was published by then."""
        self.consumer.hub.call_soon(lambda: None)
        next(self.turns)
        return self.seen()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    settings = Settings(_env_file=None, home=tmp_path / "home")  # type: ignore[call-arg]
    with embedded_broker(settings):
        worker = Worker(settings)
        worker.start()
        until(lambda: worker.published.subscribed and worker.client.pubsub_numpat())
        yield worker
        worker.consumer.event_dispatcher.close()
        worker.consumer.hub.close()
        worker.published.close()
        worker.client.close()


def test_events_of_several_turns_are_one_message(worker: Worker) -> None:
    worker.tell("a")
    assert worker.turn() == [], "stock sends it now"
    worker.tell("b", "c")

    until(worker.turn)

    assert worker.seen() == [["a", "b", "c"]]

    worker.tell("d")  # and the next ones are sent in their turn
    until(lambda: len(worker.turn()) > 1)
    assert worker.seen() == [["a", "b", "c"], ["d"]]


def test_a_worker_that_stops_sends_what_has_come(worker: Worker) -> None:
    worker.tell("a", "b")

    worker.step.stop(worker.consumer)

    until(worker.seen)
    assert worker.seen() == [["a", "b"]]


def test_events_outlive_a_lost_connection(worker: Worker) -> None:
    worker.tell("a", "b")

    with patch.object(
        worker.consumer.event_dispatcher.producer, "publish", side_effect=OperationalError
    ):
        worker.step.stop(worker.consumer)
    worker.start()

    until(worker.seen)
    assert worker.seen() == [["a", "b"]]
