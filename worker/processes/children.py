"""Child processes: started, supervised, and never outliving this one."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import BinaryIO

from planner.files import private

PR_SET_PDEATHSIG = 1  # prctl(2): the signal a process gets when its parent dies
LOOK_SECONDS = 0.2  # how soon a dead child is noticed
KILLED_MAX_SECONDS = 2.0  # the longest pause of a child that others kill
RESTART_SECONDS = 1.0  # between the first two starts of a child that dies at once
RESTART_MAX_SECONDS = 60.0  # so long at most; a child that lived for longer begins anew


def die_with_parent(parent: int | None = None) -> Callable[[], None] | None:
    """What a child calls before it becomes its command; None where the kernel cannot do it.

    `parent` is the process that starts it: this one by default.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = parent or os.getpid()

    def prepare() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the call
            os.kill(os.getpid(), signal.SIGKILL)

    return prepare


def start_process(
    command: Sequence[str],
    *,
    stdout: int | BinaryIO,
    stderr: int = subprocess.STDOUT,
    environment: Mapping[str, str] | None = None,
    cwd: str | None = None,
    umask: int = -1,
) -> subprocess.Popen[bytes]:
    """Start a command without input, in a session of its own, that dies with this process.

    Its own session keeps Ctrl-C from it, and makes it and what it starts one process group. The
    kernel ties the parent's death to the *thread* that calls this. Raises `OSError`.
    """
    launcher = _launcher()
    if launcher is not None:
        _require_executable(command[0], cwd, environment)
        command = [launcher, "--pdeathsig", "KILL", "--", *command]
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        preexec_fn=None if launcher else die_with_parent(),
        umask=umask,
    )


@cache
def _launcher() -> str | None:
    """util-linux' program that asks for the parent-death signal and becomes the command.

    Python forks for a function that is to be called in the child, which copies the page tables of
    a worker with a warehouse: 9 ms of CPU, where a launcher takes 2.
    """
    found = shutil.which("setpriv") if sys.platform == "linux" else None
    if found is None:
        return None
    asked = [found, "--pdeathsig", "KILL", "--", "true"]  # BusyBox' has no such option
    done = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return found if done.returncode == 0 else None


def _require_executable(
    program: str, cwd: str | None, environment: Mapping[str, str] | None
) -> None:
    """Raises the `OSError` that the launcher only has words for."""
    folders = [""] if os.sep in program else os.get_exec_path(environment)
    paths = [os.path.join(cwd or "", folder, program) for folder in folders]
    if not any(os.path.isfile(path) and os.access(path, os.X_OK) for path in paths):
        number = errno.EACCES if any(map(os.path.exists, paths)) else errno.ENOENT
        raise OSError(number, os.strerror(number), program)


def signal_group(group: int, number: signal.Signals) -> None:
    """Send a signal to a whole process group; to none, when it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


@dataclass(kw_only=True)
class Child:
    """A command that runs for as long as this process."""

    name: str
    command: Sequence[str]
    log: Path
    """Where its output goes; appended to."""
    stop_seconds: float
    """From SIGTERM to SIGKILL."""
    environment: Mapping[str, str] = field(default_factory=dict)
    umask: int = -1
    """Rights that files it makes are without; -1 for those of this process."""
    restart_seconds: float = RESTART_SECONDS
    """From its start to the next, when it dies soon; doubled every time."""
    restarts: int = 0
    process: subprocess.Popen[bytes] | None = None
    _output: BinaryIO | None = field(default=None, repr=False)
    _started: float = 0.0
    _pause: float = 0.0

    def start(self) -> None:
        """Start it, its output appended to its log."""
        self._close()
        self._started = time.monotonic()
        self._output = os.fdopen(
            private(str(self.log), os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab"
        )
        environment = {**os.environ, **self.environment}
        self.process = start_process(
            self.command, stdout=self._output, environment=environment, umask=self.umask
        )

    @property
    def is_alive(self) -> bool:
        """Whether it runs now."""
        return self.process is not None and self.process.poll() is None

    def restart_if_dead(self) -> str:
        """Restart it when it has died and its backoff is over; a line for the log about that.

        The pause doubles while it dies soon, or cannot be started; of one that is killed, as by the
        kernel for want of memory, it stays short: it did nothing wrong.
        """
        lived, pause = time.monotonic() - self._started, self._pause or self.restart_seconds
        if self.is_alive or lived < pause:
            return ""
        how = self._how_it_ended()
        lasted = lived > RESTART_MAX_SECONDS + pause
        was_killed = self.process is not None and (self.process.poll() or 0) < 0
        longest = KILLED_MAX_SECONDS if was_killed else RESTART_MAX_SECONDS
        self._pause = self.restart_seconds if lasted else min(2 * pause, longest)
        try:
            self.start()
        except OSError as error:
            return (
                f"{self.name} {how} and cannot be started again: {error}. "
                f"Next try in {self._pause:g} s"
            )
        self.restarts += 1
        return f"{self.name} {how} and was started again; its log is {self.log}"

    def _how_it_ended(self) -> str:
        code = None if self.process is None else self.process.poll()
        if code is None or self._output is None:
            return "is not there"
        return f"died of signal {-code}" if code < 0 else f"ended with exit code {code}"

    def ask_to_stop(self) -> None:
        """Send SIGTERM, and do not wait."""
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Ask it to stop and wait; after `stop_seconds` kill its whole process group."""
        if self.process is not None:
            self.ask_to_stop()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(self.stop_seconds)
            signal_group(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._close()

    def _close(self) -> None:
        if self._output is not None:
            self._output.close()
            self._output = None


@contextlib.contextmanager
def supervised(
    children: Sequence[Child], *, say: Callable[[str], None] = lambda text: None
) -> Iterator[None]:
    """Run some children while the block runs; one that dies is started anew, each by itself.

    `say` is told of every restart. Raises `OSError` when one cannot be started at first.
    """
    started: Future[None] = Future()
    ended = threading.Event()
    # One thread starts, watches and stops them: the kernel's parent-death signal is tied to the
    # thread that started a child.
    thread = threading.Thread(
        target=_supervise, args=(children, say, started, ended), name="supervisor", daemon=True
    )
    thread.start()
    try:
        started.result()
        yield
    finally:
        ended.set()
        thread.join()


def _supervise(
    children: Sequence[Child],
    say: Callable[[str], None],
    started: Future[None],
    ended: threading.Event,
) -> None:
    try:
        _start_all(children, started)
        while not ended.wait(LOOK_SECONDS):
            for child in children:
                if told := child.restart_if_dead():
                    say(told)
    finally:
        for child in children:
            child.ask_to_stop()
        for child in children:
            child.stop()


def _start_all(children: Sequence[Child], started: Future[None]) -> None:
    """Start them; an error is that of the block, which ends then."""
    try:
        for child in children:
            child.start()
    except Exception as error:
        started.set_exception(error)
    else:
        started.set_result(None)
