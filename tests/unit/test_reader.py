"""One reader for many listeners: how often it looks, what it tells, and what it says of silence."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis

from worker.serve import reader as module
from worker.serve.page_state import PageState
from worker.serve.reader import Reader


class Look:
    """Something that changes whenever it is told to."""

    def __init__(self) -> None:
        self.times = 0
        self.rows: dict[tuple[str, str], list[Any]] = {("cells", "a"): ["a", 0]}
        self.is_over = False
        self.error: Exception | None = None

    def __call__(self) -> PageState:
        self.times += 1
        if self.error:
            raise self.error
        return PageState(status={"n": self.times}, rows=dict(self.rows), is_over=self.is_over)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)


def content(event: str) -> dict[str, Any]:
    name, data = event.strip().split("\n")
    assert name.startswith("id: ")
    found: dict[str, Any] = json.loads(data.removeprefix("data: "))
    return found


async def following(events: AsyncIterator[str], count: int) -> list[dict[str, Any]]:
    return [content(await anext(events)) for _ in range(count)]


def test_hundreds_of_listeners_cost_as_many_looks_as_one() -> None:
    look = Look()

    async def main() -> None:
        reader = Reader(look)
        told = await asyncio.gather(*(following(reader.events(""), 5) for _ in range(200)))
        assert all(each[-1]["cells"] == [] for each in told)

    asyncio.run(main())

    assert look.times <= 10


def test_a_listener_is_told_what_changed_since_it_was_told_last() -> None:
    look = Look()

    async def main() -> None:
        reader = Reader(look)
        quick, slow = reader.events(""), reader.events("")
        assert (await following(quick, 2))[-1]["cells"] == [["a", 0]]
        await following(slow, 2)

        look.rows[("cells", "b")] = ["b", 1]
        while (await following(quick, 1))[0]["cells"] != [["b", 1]]:
            pass
        look.rows[("cells", "b")] = ["b", 2]
        look.rows[("steps", "s")] = ["s"]
        while (await following(quick, 1))[0]["cells"] != [["b", 2]]:
            pass
        (late,) = await following(slow, 1)
        assert (late["cells"], late["steps"]) == ([["b", 2]], [["s"]])

        # One that comes back is told what it missed, or all of it when the numbers are not ours
        again = content(await anext(reader.events(reader.version)))
        assert again["cells"] == []
        for other in ("00000000.7", "", "x"):
            assert len(content(await anext(reader.events(other)))["cells"]) == 2

    asyncio.run(main())


def test_it_stops_looking_when_the_last_listener_goes_and_ends_with_what_it_looks_at() -> None:
    look = Look()

    async def main() -> None:
        reader = Reader(look)
        events = reader.events("")
        await following(events, 3)
        await events.aclose()  # type: ignore[attr-defined]
        assert reader.listeners == 0
        times = look.times
        for _ in range(20):
            await asyncio.sleep(0)
        assert look.times <= times + 1

        look.is_over = True
        told = [content(each) async for each in reader.events("")]
        assert told[-1]["status"]["n"] == look.times

    asyncio.run(main())


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (redis.ConnectionError("secret"), "Redis does not answer (ConnectionError)"),
        (LookupError("run"), "does not hold this run any more"),
        (KeyError("secret"), "does not hold"),
        (RuntimeError("secret"), "A mistake of the planner's: RuntimeError"),
    ],
)
def test_a_look_that_fails_is_told_and_what_was_seen_stays(error: Exception, says: str) -> None:
    look = Look()

    async def main() -> None:
        reader = Reader(look)
        events = reader.events("")
        await following(events, 2)
        look.error = error
        while not (told := content(await anext(events)))["trouble"]:
            pass
        assert says in told["trouble"]
        assert "secret" not in told["trouble"]
        assert told["status"]["n"] >= 1
        look.error = None
        while content(await anext(events))["trouble"]:
            pass

    asyncio.run(main())


def test_a_look_that_hangs_is_told_after_a_moment() -> None:
    held = threading.Event()

    def look() -> PageState:
        held.wait()
        return PageState(status={})

    async def main() -> None:
        reader = Reader(look)
        events = reader.events("")
        try:
            while "does not answer" not in content(await anext(events))["trouble"]:
                pass
        finally:
            held.set()
        while content(await anext(events))["trouble"]:
            pass

    asyncio.run(main())
