"""Reports pool processes that hang: in the worker's log, and in the run's status.

`worker.processes.pulse` finds and ends them.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

import celery.worker.state as worker_state
import redis

from worker.context import Context
from worker.ledger.keys import is_run_id
from worker.processes import pulse
from worker.processes.identity import born

log = logging.getLogger(__name__)


class Hangs:
    """The pool processes of one worker that hang."""

    def __init__(self, context: Context, worker: str) -> None:
        self._context, self._worker = context, worker
        self._watch = pulse.Watch(seconds=2 * context.settings.lease_seconds)
        self._told: dict[int, tuple[str, str] | None] = {}
        self._ended: set[int] = set()

    def look(self) -> None:
        """End those that hang for too long, and report the others, each once."""
        hung = self._watch.look()
        for pid, silent in hung.items():
            if pid not in self._told:
                self._told[pid] = _at_work_on(pid)
                self._tell(pid, silent)
            if pid in pulse.ended and pid not in self._ended:
                self._ended.add(pid)
                log.warning(
                    "pool process %d was ended, since it hung for %.0f s; what it was at is done "
                    "anew by another",
                    pid,
                    silent,
                )
        for pid in self._told.keys() - hung.keys():
            self._forget(pid)

    def _tell(self, pid: int, silent: float) -> None:
        at, seconds = self._told[pid], self._watch.seconds
        told = (
            f"process {pid} on {self._worker} hangs: it is stopped (SIGSTOP, a debugger), or a "
            f"call in it does not return. `py-spy dump --pid {pid}` there shows which, and "
            f"`kill -CONT {pid}` lets it go on. Its worker ends it after {seconds:.0f} s, and "
            "another does it anew"
        )
        log.warning("%s: no sign of life for %.0f s: pool %s", _named(at), silent, told)
        self._note(at, told)

    def _forget(self, pid: int) -> None:
        """It runs again, or is gone: then the next attempt at the step clears the note."""
        at = self._told.pop(pid)
        is_ended = pid in self._ended
        self._ended.discard(pid)
        if is_ended or not born(pid):
            return
        log.warning("pool process %d goes on", pid)
        self._note(at, "")

    def _note(self, at: tuple[str, str] | None, told: str) -> None:
        if at is None:
            return
        with suppress(redis.RedisError):
            self._context.ledger.note_hang(*at, told)


def _at_work_on(pid: int) -> tuple[str, str] | None:
    """The run and step that a process runs; the step is '' for a finalization. None when idle."""
    with suppress(RuntimeError):  # another thread has changed the set meanwhile
        for request in tuple(worker_state.active_requests):
            if request.worker_pid == pid:
                return _ids(request.args)
    return None


def _ids(args: Any) -> tuple[str, str] | None:
    """Run and step of a message, which may hold anything."""
    run_id, step_id = [*args, ""][:2] if isinstance(args, list) and args else (None, "")
    if not isinstance(run_id, str) or not is_run_id(run_id) or not isinstance(step_id, str):
        return None
    return run_id, step_id


def _named(at: tuple[str, str] | None) -> str:
    return " ".join(filter(None, at)) if at else "no step"
