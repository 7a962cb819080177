"""Notifications: a message to a command or a web hook. None of them decides what a run does.

A message is delivered once, by the first worker that comes to it; a delivery that fails is retried
a few times, and then logged.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import shlex
import signal
import subprocess
import time
from contextlib import suppress
from tempfile import TemporaryFile

from redis import RedisError

from planner.report.message import Message
from planner.settings import Settings
from worker.context import Context
from worker.ledger.keys import PREFIX
from worker.processes.children import signal_group
from worker.processes.secrets import learn, redacted
from worker.runners.deadline import DeadlineClient, within

log = logging.getLogger(__name__)

TRIES = 3
PAUSE_SECONDS = 2.0  # before the second try; then twice as long
DELIVER_SECONDS = 10.0  # for one try
SAID_BYTES = 500  # of why a command did not take it
TOLD_SECONDS = 30 * 86_400  # how long a delivered message is remembered
SIGNATURE = "X-Backfill-Signature"


def notify(context: Context, message: Message, *, once: str) -> bool:
    """Deliver a message, if BACKFILL_NOTIFY says where to; whether it was delivered now.

    `once` tells it apart: of several workers that come to it, one delivers it. Raises nothing.
    """
    where = context.settings.notify
    if not where:
        return False
    if "://" in where:
        learn(where)  # the address of a web hook is a secret
    key = f"{PREFIX}:told:{message.event}:{message.run_id}:{once}"
    try:
        if not context.redis.set(key, "1", nx=True, ex=TOLD_SECONDS):
            return False
        _deliver(context.settings, message)
    except Exception as error:
        told = redacted(f"{type(error).__name__}: {error}")
        log.warning("a notification was not delivered (%s): %s", message.title, told)
        with suppress(RedisError):  # the next look that finds the same tries again
            context.redis.delete(key)
        return False
    return True


def _deliver(settings: Settings, message: Message) -> None:
    """Deliver it, with a few tries. Raises what the last one raised."""
    for attempt in range(TRIES):
        try:
            _try(settings, message)
        except Exception:
            if attempt + 1 == TRIES:
                raise
            time.sleep(PAUSE_SECONDS * 2**attempt)
        else:
            return


def _try(settings: Settings, message: Message) -> None:
    where, body = settings.notify or "", message.model_dump_json().encode()
    if where.startswith(("https://", "http://")):
        headers = {"Content-Type": "application/json"}
        if settings.notify_secret:
            secret = settings.notify_secret.get_secret_value()
            digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
            headers[SIGNATURE] = f"sha256={digest}"
        within(DELIVER_SECONDS, lambda: _post(where, body, headers))
    else:
        _hand_to(shlex.split(where), body)


def _post(where: str, body: bytes, headers: dict[str, str]) -> None:
    """Send it. What the answer holds is not read: it may have no end."""
    with (
        DeadlineClient(timeout=DELIVER_SECONDS) as client,
        client.stream("POST", where, content=body, headers=headers) as answer,
    ):
        if not answer.is_success:
            raise OSError(f"the web hook answered {answer.status_code}")


def _hand_to(command: list[str], body: bytes) -> None:
    """Run a command that reads it. Files, because a pipe is open until all that it started end."""
    with TemporaryFile() as told, TemporaryFile() as said:
        told.write(body)
        told.seek(0)
        process = subprocess.Popen(
            command, stdin=told, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True
        )
        try:
            code = process.wait(DELIVER_SECONDS)
        except BaseException:
            signal_group(process.pid, signal.SIGKILL)
            process.wait()
            raise
        if code:
            signal_group(process.pid, signal.SIGKILL)  # it is tried again
            said.seek(max(0, said.seek(0, os.SEEK_END) - SAID_BYTES))
            why = said.read().decode(errors="replace").strip()
            raise OSError(f"the command exited with {code}: {why}")
