"""One reader for everyone who looks at the same page: it asks Redis as often as one would.

A reader looks while there are listeners, and each listener is told what has changed since it was
last told, so that a slow one gets fewer events, and never a queue of old ones.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import redis

from planner.errors import FleetError
from sql import WarehouseError
from worker.serve.page_state import PageState

LOOK_SECONDS = 1.0  # between two looks
PATIENCE_SECONDS = 2.0  # a read that takes longer is reported as an unreachable Redis
FRESH_SECONDS = 1.0  # a page that is opened shows a look of so long ago

BOOT = secrets.token_hex(4)
"""Of this process: what an earlier one numbered means nothing here."""

log = logging.getLogger(__name__)


@dataclass
class _Versions:
    """What was seen, and with which look each row last changed."""

    number: int = 0
    seen: PageState | None = None
    changed: dict[tuple[str, str], int] = field(default_factory=dict)

    def take(self, seen: PageState) -> None:
        self.number += 1
        before = self.seen.rows if self.seen else {}
        for key, row in seen.rows.items():
            if before.get(key) != row:
                self.changed[key] = self.number
        self.seen = seen


class Reader:
    """Polls one page's state for all of its listeners."""

    def __init__(self, look: Callable[[], PageState]) -> None:
        self._look = look
        self._known = _Versions()
        self._looked_at = 0.0
        self._trouble = ""
        self._news = asyncio.Condition()
        self._busy = asyncio.Lock()
        self._told: dict[tuple[int, int, str], str] = {}
        self._task: asyncio.Task[None] | None = None
        self.listeners = 0

    @property
    def version(self) -> str:
        """What the latest look is called."""
        return f"{BOOT}.{self._known.number}"

    async def latest(self) -> PageState:
        """A look that is a second old at most. Raises what the look raises."""
        async with self._busy:
            is_old = time.monotonic() - self._looked_at > FRESH_SECONDS
            if self._known.seen is None or is_old:
                await self._take()
        assert self._known.seen is not None
        return self._known.seen

    async def events(self, since: str) -> AsyncIterator[str]:
        """What changes after a look, as server-sent events, until the listener goes or all is
        over."""
        self.listeners += 1
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        try:
            last = _number(since)
            while True:
                told = self._state
                text, last = self._event(last), self._known.number
                yield text
                if self._known.seen is not None and self._known.seen.is_over:
                    return
                async with self._news:
                    while told == self._state:
                        await self._news.wait()
        finally:
            self.listeners -= 1
            if not self.listeners and self._task is not None:
                self._task.cancel()
                self._task = None

    @property
    def _state(self) -> tuple[int, str]:
        return self._known.number, self._trouble

    def _event(self, since: int) -> str:
        """One event for all who were last told the same."""
        key = (since, self._known.number, self._trouble)
        if key not in self._told:
            if len(self._told) > 64 or any(number != key[1] for _, number, _ in self._told):
                self._told.clear()
            self._told[key] = self._written(since)
        return self._told[key]

    def _written(self, since: int) -> str:
        seen = self._known.seen
        content: dict[str, Any] = {"trouble": self._trouble}
        if seen is not None:
            new = [key for key in seen.rows if self._known.changed[key] > since]
            content |= {"status": seen.status}
            for kind in ("cells", "steps"):
                content[kind] = [seen.rows[key] for key in new if key[0] == kind]
        text = json.dumps(content, separators=(",", ":"))
        return f"id: {self.version}\ndata: {text}\n\n"

    async def _run(self) -> None:
        while True:
            started = time.monotonic()
            async with self._busy:
                await self._take_or_tell()
            async with self._news:
                self._news.notify_all()
            spent = time.monotonic() - started
            await asyncio.sleep(max(0.0, LOOK_SECONDS - spent))

    async def _take(self) -> None:
        seen = await asyncio.to_thread(self._look)
        self._looked_at = time.monotonic()
        self._known.take(seen)
        self._trouble = ""

    async def _take_or_tell(self) -> None:
        """Look; where nothing answers, say so, and keep what was seen."""
        look = asyncio.create_task(self._take())
        try:
            done, _ = await asyncio.wait({look}, timeout=PATIENCE_SECONDS)
            if not done:
                self._trouble = "Redis does not answer: what stands here is of before."
                async with self._news:
                    self._news.notify_all()
            await look
        except Exception as error:
            self._trouble = trouble_of(error)
        finally:
            if not look.done():
                look.cancel()


class Readers:
    """The readers that are at work, by what they look at."""

    def __init__(self) -> None:
        self._readers: dict[Hashable, Reader] = {}

    def of(self, key: Hashable, make: Callable[[], Callable[[], PageState]]) -> Reader:
        """The reader of something, made where there is none. One that has no listeners any more is
        forgotten when others are made. `make` may raise."""
        if key not in self._readers:
            look = make()
            self._readers = {k: each for k, each in self._readers.items() if each.listeners}
            self._readers[key] = Reader(look)
        return self._readers[key]

    @property
    def listeners(self) -> int:
        """Of all of them."""
        return sum(each.listeners for each in self._readers.values())

    def forget(self, key: Hashable) -> None:
        """Forget a reader whose thing is gone."""
        with suppress(KeyError):
            del self._readers[key]


def trouble_of(error: Exception) -> str:
    """The text of a poll that failed; a part of it may be a server's."""
    match error:
        case TimeoutError():
            return "Redis does not answer: what stands here is of before."
        case redis.RedisError():
            return f"Redis does not answer ({type(error).__name__}): what stands here is of before."
        case WarehouseError() | FleetError():
            return str(error)
        case LookupError():
            return "Redis does not hold this run any more."
    log.exception("a look failed")
    return f"A mistake of the planner's: {type(error).__name__}. What stands here is of before."


def _number(event: str) -> int:
    """Which look of this process an event's id names; 0 where it names none."""
    named = re.fullmatch(rf"{BOOT}\.([0-9]{{1,18}})", event)
    return int(named[1]) if named else 0
