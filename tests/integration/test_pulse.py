"""The pulse of real processes: what hangs is ended, and nothing else, however long it takes."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.waiting import until
from worker.processes import pulse
from worker.processes.pulse import LOOK_SECONDS_MAX, SILENT_SECONDS_MIN, Watch

BEAT = 0.01  # seconds
PLACE = 7


def works() -> None:
    """A long script: its process waits for it, and gives signs."""
    with pulse.limited(3600):
        subprocess.run(["sleep", "600"], check=False)


def is_stopped() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def keeps_the_interpreter() -> None:
    """Native code that never gives the interpreter's lock back."""
    ctypes.PyDLL(None).sleep(600)


def never_returns() -> None:
    """A call that lets others run, and outlasts its limit."""
    pulse.TASK_SECONDS = 0.05
    with pulse.limited(0.05):
        threading.Event().wait()


@contextmanager
def process(act: Callable[[], None]) -> Iterator[int]:
    """A process, forked from this one as those of a pool are, that gives signs and then does it."""
    pid = os.fork()
    if not pid:
        try:
            pulse.begin(PLACE, every=BEAT)
            act()
        finally:
            os._exit(0)
    try:
        until(lambda: int(pulse._pids[PLACE]) == pid)
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        pulse._pids[PLACE] = 0


def stands_still() -> bool:
    """Whether no sign comes while twenty should."""
    before = pulse._beats[PLACE]
    time.sleep(20 * BEAT)
    return bool(pulse._beats[PLACE] == before)


def is_dead(pid: int) -> bool:
    """A child that has ended is a zombie until its parent waits for it."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


@pytest.mark.parametrize("act", [is_stopped, keeps_the_interpreter, never_returns])
def test_a_process_that_hangs_is_told_and_then_ended(act: Callable[[], None]) -> None:
    with process(act) as pid:
        until(stands_still)
        watch, at = Watch(seconds=0), 1000.0
        watch.look(at)

        # By half of the time it is told, and not touched
        while not (hung := watch.look(at)):
            at += LOOK_SECONDS_MAX
        assert hung == {pid: pytest.approx(SILENT_SECONDS_MIN / 2, abs=LOOK_SECONDS_MAX)}
        assert not is_dead(pid)
        assert pulse.ended == set()

        # And when all of it is over it is ended; then nothing hangs any more
        while pid not in pulse.ended:
            at += LOOK_SECONDS_MAX
            watch.look(at)
        assert at <= 1000 + SILENT_SECONDS_MIN + 2 * LOOK_SECONDS_MAX
        until(lambda: is_dead(pid))
        assert watch.look(at + 1) == {}
        assert pulse.ended == set()


def test_a_process_that_works_for_hours_is_left_alone() -> None:
    with process(works) as pid:
        watch = Watch(seconds=0)
        for hour in range(24):
            before = pulse._beats[PLACE]
            until(lambda before=before: pulse._beats[PLACE] != before)  # type: ignore[misc]
            assert watch.look(3600.0 * hour) == {}
        assert not is_dead(pid)


def test_who_was_frozen_with_its_processes_ends_none_of_them() -> None:
    """A whole worker that stands still, as with `docker pause`: it has not looked meanwhile."""
    with process(is_stopped) as pid:
        until(stands_still)
        watch = Watch(seconds=0)
        watch.look(0.0)
        assert watch.look(86_400.0) == {}
        assert not is_dead(pid)


def test_a_number_that_another_process_has_by_now_is_not_touched() -> None:
    with process(is_stopped) as pid:
        until(stands_still)
        pulse._borns[PLACE] += 1  # another began under this number
        watch = Watch(seconds=0)
        for look in range(20):
            assert watch.look(LOOK_SECONDS_MAX * look) == {}
        assert not is_dead(pid)
