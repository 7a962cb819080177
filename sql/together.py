"""Runs several queries of one warehouse at once.

The first error wins: what has not begun never does, what runs is cancelled, and no thread is left
running. An interruption of the caller does the same.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from typing import TypeVar

A = TypeVar("A")
T = TypeVar("T")

STOP_SECONDS = 10.0  # for threads whose jobs were cancelled; a user who pressed Ctrl-C is waiting
_LOOK_SECONDS = 0.05  # between two looks for jobs that began meanwhile


def together(
    ask: Callable[[A], T], about: Sequence[A], *, at_once: int, cancel: Callable[[], None]
) -> list[T]:
    """What `ask` says of each, in order. At most `at_once` are asked at a time.

    Raises what the first of them to fail raises; `cancel` ends what the others are waiting for.
    """
    if min(at_once, len(about)) <= 1:
        return [ask(each) for each in about]
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    ended: queue.SimpleQueue[tuple[int, T | None, BaseException | None]] = queue.SimpleQueue()
    for n in range(len(about)):
        waiting.put(n)

    def work() -> None:
        with suppress(queue.Empty):
            while True:
                n = waiting.get_nowait()
                try:
                    ended.put((n, ask(about[n]), None))
                except BaseException as error:
                    ended.put((n, None, error))

    # Daemons, not a pool: a pool's threads hold the process back when it wants to end.
    threads = [
        threading.Thread(target=copy_context().run, args=(work,), daemon=True, name=f"ask-{n}")
        for n in range(min(at_once, len(about)))
    ]
    answers: dict[int, T] = {}
    try:
        for thread in threads:
            thread.start()
        while len(answers) < len(about):
            n, answer, error = ended.get()
            if error is not None:
                raise error
            answers[n] = answer  # type: ignore[assignment]
    except BaseException:
        with suppress(queue.Empty):
            while True:
                waiting.get_nowait()
        _end(threads, cancel)
        raise
    return [answers[n] for n in range(len(about))]


def _end(threads: Sequence[threading.Thread], cancel: Callable[[], None]) -> None:
    """Cancel, and again what began meanwhile, until every thread has ended."""
    deadline = time.monotonic() + STOP_SECONDS
    for thread in threads:
        while thread.is_alive() and time.monotonic() < deadline:
            cancel()
            thread.join(_LOOK_SECONDS)
