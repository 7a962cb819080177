"""A Redis at a distance: answers come later by a fixed time, and none waits for another.

A process of its own, so that it takes no time from who measures: `delay SOCKET SECONDS` prints the
port on which it listens, and ends with its standard input.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHUNK = 65536
ROOT = Path(__file__).parents[2]


@contextmanager
def delayed(broker_url: str, seconds: float) -> Iterator[str]:
    """The URL of a server on a unix socket as it is seen from afar, while the block runs."""
    place = broker_url.removeprefix("unix://")
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.delay", place, str(seconds)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield f"redis://127.0.0.1:{int(process.stdout.readline())}/0"
        process.communicate("")


def main(place: str, seconds: float) -> None:
    """Serve until the standard input ends."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=_accept, args=(listener, place, seconds), daemon=True).start()
    sys.stdin.read()


def _accept(listener: socket.socket, place: str, seconds: float) -> None:
    while True:
        here, _ = listener.accept()
        here.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        there = socket.socket(socket.AF_UNIX)
        there.connect(place)
        answers: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        for target, arguments in (
            (_ask, (here, there)),
            (_hear, (there, answers, seconds)),
            (_answer, (answers, here, there)),
        ):
            threading.Thread(target=target, args=arguments, daemon=True).start()


def _ask(here: socket.socket, there: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := here.recv(CHUNK):
            there.sendall(data)
    with contextlib.suppress(OSError):
        there.shutdown(socket.SHUT_RDWR)


def _hear(
    there: socket.socket, answers: queue.SimpleQueue[tuple[float, bytes]], seconds: float
) -> None:
    data = b"more"
    while data:
        try:
            data = there.recv(CHUNK)
        except OSError:
            data = b""
        answers.put((time.monotonic() + seconds, data))


def _answer(
    answers: queue.SimpleQueue[tuple[float, bytes]], here: socket.socket, there: socket.socket
) -> None:
    with contextlib.suppress(OSError):
        while True:
            due, data = answers.get()
            if not data:
                break
            time.sleep(max(0.0, due - time.monotonic()))
            here.sendall(data)
    here.close()
    there.close()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
