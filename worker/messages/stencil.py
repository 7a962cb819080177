"""Messages in bulk: Celery makes one of each kind, and copies of it get other ids.

Celery takes about two milliseconds for the first message of a chain of four, most of them for
copies of signatures, and sends each by itself. But the chains of a plan differ in their ids alone.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import redis

AT_ONCE = 500  # messages per round trip
_INDEX, _BODY = "@index", "@body"  # where a copy has its number, and its body


@dataclass(frozen=True)
class Stencil:
    """The first message of a chain whose ids begin with `name`, which is found nowhere else."""

    name: str
    queue: str
    message: dict[str, Any]

    @cached_property
    def group(self) -> str:
        """The id of the chord that the chain is in."""
        return str(self._last["group_id"] if self._links else self._last["group"])

    def copy(self, name: str, index: int) -> str:
        """The message of another chain, whose ids begin with `name`: a number within the chord."""
        ids = {each: str(uuid.uuid4()) for each in self._ids}
        own = ids | {self.name: json.dumps(name)[1:-1], f'"{_INDEX}"': str(index)}
        body, envelope = self._texts
        for old, new in own.items():
            body, envelope = body.replace(old, new), envelope.replace(old, new)
        return envelope.replace(_BODY, base64.b64encode(body.encode()).decode())

    @cached_property
    def _content(self) -> Any:
        """Arguments, keyword arguments, and what is to follow."""
        return json.loads(base64.b64decode(self.message["body"]))

    @property
    def _links(self) -> list[dict[str, Any]]:
        """Every link but the first."""
        return self._content[2]["chain"] or []

    @property
    def _last(self) -> dict[str, Any]:
        """Where the last link says that it is in a chord, and with which number."""
        last: dict[str, Any] = self._links[0]["options"] if self._links else self.message["headers"]
        return last

    @property
    def _ids(self) -> list[str]:
        """What is another one in each message: its own ids, and those of its links' tasks."""
        links = [link["options"]["task_id"] for link in self._links]
        return [self.message["headers"]["id"], self.message["properties"]["delivery_tag"], *links]

    @cached_property
    def _texts(self) -> tuple[str, str]:
        """Body and envelope, with a mark for the number."""
        self._last["group_index"] = _INDEX
        return json.dumps(self._content), json.dumps(self.message | {"body": _BODY})


def push(client: redis.Redis, messages: Iterable[tuple[str, str]]) -> None:
    """Send messages to the end of their queues, as kombu does; each with its queue's name.

    Retried by the client: a message may come twice, as any may.
    """
    left = iter(messages)
    while batch := list(islice(left, AT_ONCE)):
        pipe = client.pipeline(transaction=False)
        for queue, message in batch:
            pipe.lpush(queue, message)
        pipe.execute()
