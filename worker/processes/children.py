"""Child processes: started, kept alive, and never outliving us."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from planner.files import private

PR_SET_PDEATHSIG = 1  # prctl(2): the signal a process gets when its parent dies
LOOK_SECONDS = 0.2  # how soon a dead child is noticed
RESTART_SECONDS = 1.0  # a child that dies at once is not started more often than this


def die_with_parent(parent: int | None = None) -> Callable[[], None] | None:
    """What a child calls before it becomes its command; None where the kernel cannot do it.

    `parent` is who starts it: this process.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = parent or os.getpid()

    def prepare() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died just before
            os.kill(os.getpid(), signal.SIGKILL)

    return prepare


@dataclass(kw_only=True)
class Child:
    """A command that is to run for as long as we do, in a session of its own."""

    name: str
    command: Sequence[str]
    log: Path
    """Where its output goes; appended to."""
    stop_seconds: float
    """From SIGTERM to SIGKILL."""
    environment: Mapping[str, str] = field(default_factory=dict)
    restarts: int = 0
    process: subprocess.Popen[bytes] | None = None
    _output: BinaryIO | None = field(default=None, repr=False)
    _started: float = 0.0

    def start(self) -> None:
        self._close()
        self._started = time.monotonic()
        self._output = os.fdopen(
            private(str(self.log), os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab"
        )
        self.process = subprocess.Popen(
            self.command,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us: children are asked to stop in turn
            preexec_fn=die_with_parent(),
        )

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def restart_if_dead(self) -> bool:
        """Start it again when it has died, though not too often; whether it was."""
        if self.is_alive or time.monotonic() - self._started < RESTART_SECONDS:
            return False
        self.restarts += 1
        self.start()
        return True

    def ask_to_stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Wait until it has stopped; when it takes too long, kill it and all it started."""
        if self.process is not None:
            self.ask_to_stop()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(self.stop_seconds)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._close()

    def _close(self) -> None:
        if self._output is not None:
            self._output.close()
            self._output = None


class Supervisor:
    """Runs some children while its block runs; one that dies is started again."""

    def __init__(
        self,
        children: Sequence[Child],
        *,
        on_restart: Callable[[Child], None] = lambda child: None,
    ) -> None:
        self.children = children
        self._on_restart = on_restart
        self._ended = threading.Event()
        # The thread that starts a child must live as long as it: the kernel's parent-death
        # signal is tied to the thread.
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def __enter__(self) -> Supervisor:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        try:
            for child in self.children:
                child.start()
            self._started.set()
            while not self._ended.wait(LOOK_SECONDS):
                for child in self.children:
                    if child.restart_if_dead():
                        self._on_restart(child)
        finally:
            self._started.set()
            for child in self.children:
                child.ask_to_stop()
            for child in self.children:
                child.stop()
